"""Let atheris look for bytes that break a parser: `.venv/bin/python -m tests.fuzz [TARGET...] [--seconds N]`.

Each target gets a process of its own and so many seconds of a core; `--jobs` of them run side by side. Ends
with exit code 1 if one fails, having printed its traceback; the bytes are then in a file that is named, and
`.venv/bin/python -m tests.fuzz TARGET --input FILE` tries them again. atheris is not among the requirements,
since it has no wheel for every Python: `.venv/bin/pip install atheris`.
"""

import argparse
import asyncio
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp
from types import FunctionType, ModuleType

HANGS_S = 10
"""Seconds for one input after which it counts as a hang."""
MEMORY_MB = 2048
PARSERS = ("drivers", "sim_instruments", "experiments.config", "experiments.archive.journal")
"""Whose coverage leads the search, with that of the files below."""
FILES = (
    "opening",
    "record_file",
    "order",
    "ptu",
    "ptu_header",
    "idq",
    "sfifteen",
    "swabian",
    "lines",
    "manifest",
)


def search(target: str, seconds: int, folder: Path) -> None:
    """Fuzz one target in this process, which does not come back from it."""
    import atheris  # type: ignore[import-not-found,unused-ignore]

    with atheris.instrument_imports(include=list(PARSERS), exclude=["sim_instruments.world"]):
        from tests.fuzz.targets import TARGETS

        TARGETS[target].run(TARGETS[target].seeds[0])  # what it imports only now; kernels are loaded
    for name in FILES:  # not as they are imported: compiled kernels stand among them
        instrument(import_module(f"timetags.files.{name}"), atheris.instrument_func)
    corpus = folder / target
    corpus.mkdir()
    for number, seed in enumerate(TARGETS[target].seeds):
        (corpus / f"seed{number}").write_bytes(seed)

    def run(data: bytes) -> None:
        if data:
            TARGETS[target].run(data)

    atheris.Setup(
        [
            sys.argv[0], str(corpus), f"-artifact_prefix={folder}/{target}-", "-print_final_stats=1",
            f"-max_total_time={seconds}", f"-timeout={HANGS_S}", f"-max_len={TARGETS[target].longest}",
            f"-rss_limit_mb={MEMORY_MB}",
        ],
        run,
    )  # fmt: skip
    atheris.Fuzz()


def instrument(module: ModuleType, how: Callable[[FunctionType], object]) -> None:
    """Instrument a module's own functions and methods in place, but for compiled kernels."""
    own = [part for part in vars(module).values() if getattr(part, "__module__", None) == module.__name__]
    methods = [method for part in own if isinstance(part, type) for method in vars(part).values()]
    for function in (*own, *methods):
        if isinstance(function, FunctionType):
            how(function)


async def hunt(target: str, seconds: int, folder: Path, room: asyncio.Semaphore) -> bool:
    """Fuzz one target in a process of its own and tell how it went; whether nothing was found."""
    arguments = [
        sys.executable,
        "-m",
        "tests.fuzz",
        target,
        "--seconds",
        str(seconds),
        "--within",
        str(folder),
    ]
    async with room:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *arguments, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
        output = (await process.communicate())[0].decode(errors="replace")
    runs = re.search(r"number_of_executed_units: (\d+)", output)
    covered = re.findall(r"cov: (\d+)", output)
    verdict = "nothing found" if process.returncode == 0 else f"FAILED\n{output[-4000:]}"
    sys.stdout.write(
        f"{target:26} {int(runs[1]) if runs else 0:12,} inputs, coverage {covered[-1] if covered else '?'}: "
        f"{verdict}\n"
    )
    sys.stdout.flush()
    return process.returncode == 0


def main() -> int:
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Fuzz the parsers with atheris."
    )
    parser.add_argument("target", nargs="*", help=f"of {', '.join(TARGETS)}; by default all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (default 1)")
    parser.add_argument("--input", type=Path, help="try the bytes of this file instead, once")
    given = parser.parse_args()
    targets = given.target or list(TARGETS)
    if strange := set(targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(strange))}")
    if given.input:
        for target in targets:
            TARGETS[target].run(given.input.read_bytes())
        return 0

    async def everything() -> list[bool]:
        folder, room = Path(mkdtemp(prefix="fuzz")), asyncio.Semaphore(given.jobs)
        return await asyncio.gather(*(hunt(target, given.seconds, folder, room) for target in targets))

    return 0 if all(asyncio.run(everything())) else 1


if __name__ == "__main__":
    if "--within" in sys.argv:  # one of our own processes, which must not import a parser before atheris does
        search(sys.argv[1], int(sys.argv[3]), Path(sys.argv[5]))
    sys.exit(main())
