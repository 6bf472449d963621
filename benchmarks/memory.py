"""Peak memory of an analysis of a long file: `python -m benchmarks.memory FILE` prints it, in MB.

The process that is measured does nothing else, so all that it takes is in the figure, imports included.
"""

import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.our_ways import correlator, folder, pairer
from benchmarks.work import Stream
from timetags.analyses.analysis import OnePass
from timetags.analyses.rates import Singles
from timetags.block import TagBlock
from timetags.files.opening import open_tags
from timetags.files.ptu_writer import PtuWriter


def write_long(path: Path, stream: Stream, tags: int) -> None:
    """A PTU file of this many tags: the stream, over and over."""
    length = int(stream.times[-1]) + 1_000_000
    with PtuWriter(path) as file:
        for begin in range(0, tags, len(stream)):
            count, shift = min(len(stream), tags - begin), begin // len(stream) * length
            times = stream.times[:count] + shift
            file.append(TagBlock(times, stream.channels[:count], shift, shift + length))


def peak_mb(path: Path) -> float:
    """What a process of its own takes to count singles, a correlation, all pairs and four-folds of a file."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", path], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    """Analyse the file named in the command line."""
    OnePass(Singles(), correlator(), pairer(), folder()).run(open_tags(Path(sys.argv[1])))
    print(_peak_bytes() * 1e-6)  # noqa: T201


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage here: that counts what the parent had when it began this process.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    main()
