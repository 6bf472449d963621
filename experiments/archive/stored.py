"""A stored run, for programs and notebooks: its tags as numpy arrays, its events as tables, its results.

`open_run("last")` is all that is needed. Nothing of a run is ever changed by reading it. Every part is read
when it is asked for; numpy, pyarrow and pandas are loaded only then.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from experiments.archive.finding import RUNS, find_run, read_about
from experiments.archive.journal import Event, Journal, read_journal
from experiments.archive.recovery import recover, tag_folders

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from timetags.block import TagBlock

PS = 10**12


@dataclass(frozen=True, eq=False)
class Tags:
    """Time tags: when (int64 ps, sorted) and on which channel (uint8), which is the place of the detector in
    `detectors`."""

    times_ps: "NDArray[np.int64]"
    channels: "NDArray[np.uint8]"
    detectors: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.times_ps)

    def of(self, detector: str) -> "NDArray[np.int64]":
        """The times of one detector in ps. KeyError names the detectors that there are."""
        if detector not in self.detectors:
            raise KeyError(f"no detector {detector!r}; there are {', '.join(self.detectors)}")
        times: NDArray[np.int64] = self.times_ps[self.channels == self.detectors.index(detector)]
        return times


class StoredRun:
    """The run in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<run {self.name}: {self.state}>"

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """What run.json says: state, exit code, message, times, seed."""
        return read_about(self.path)

    @property
    def state(self) -> str:
        """`completed`, `aborted`, `failed`, `interrupted`, or what a run that goes on is doing."""
        return str(self.about.get("state", "unknown"))

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The configuration as run, under `experiment` and `testbed`; numbers in SI units."""
        found = yaml.load((self.path / "config.resolved.yaml").read_bytes(), Loader=yaml.CSafeLoader)
        return found if isinstance(found, dict) else {}

    @cached_property
    def results(self) -> Mapping[str, Any]:
        """What results.json says; empty of a run that measured nothing."""
        return self._json("results.json")

    @cached_property
    def calibrations(self) -> Mapping[str, Any]:
        """The calibrations that the run made or used."""
        return self._json("calibrations.json")

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """Versions, git commit, host, seed, clocks."""
        return self._json("env.json")

    @cached_property
    def journal(self) -> Journal:
        """Everything that happened. OSError when documents.jsonl cannot be read."""
        return read_journal(self.path)

    @property
    def detectors(self) -> tuple[str, ...]:
        """The detectors in the order of their channels."""
        return tuple(self.config.get("testbed", {}).get("detectors", ()))

    @property
    def streams(self) -> list[str]:
        """The streams of events that there are, such as `state`, `rates` and `live`."""
        return self.journal.streams

    @property
    def tag_sources(self) -> list[str]:
        """Where there are tags: `heralds`, on the hub's time base, and `raw/TAGGER`, each on its own."""
        return [str(folder.relative_to(self.path / "tags")) for folder in tag_folders(self.path)]

    def tags(self, start_s: float = 0.0, end_s: float | None = None, source: str | None = None) -> Tags:
        """The tags with `start_s` <= t < `end_s`, in seconds of the source's own time, by default all.

        `source` is one of `tag_sources`, by default `heralds` if it is there, or the only one. LookupError
        says what there is. Damaged segments are left out, with a warning in the log.
        """
        import numpy as np

        window = (round(start_s * PS), round(end_s * PS) if end_s is not None else 2**62)
        blocks = [block.between(*window) for block in self.blocks(source, window)]
        times = [block.times for block in blocks] or [np.empty(0, np.int64)]
        channels = [block.channels for block in blocks] or [np.empty(0, np.uint8)]
        return Tags(np.concatenate(times), np.concatenate(channels), self.detectors)

    def blocks(
        self, source: str | None = None, within_ps: tuple[int, int] | None = None
    ) -> Iterator["TagBlock"]:
        """The same tags segment by segment, for what is too large for memory."""
        from timetags.files.segments import read_segments

        return read_segments(self.path / "tags" / self._source(source), within_ps=within_ps)

    def events(self, stream: str) -> "pa.Table":
        """The events of a stream as an arrow table: a column for each field, and `time`, the wall time in s
        since 1970. Lists stay lists; details are JSON text. LookupError names the streams that there are."""
        import pyarrow as pa

        return pa.table(self._columns(stream))

    def to_pandas(self, stream: str) -> "pd.DataFrame":
        """The same as a pandas table, `time` as UTC times."""
        import pandas as pd

        table = pd.DataFrame(self._columns(stream))
        table["time"] = pd.to_datetime(table["time"], unit="s", utc=True)
        return table

    def _columns(self, stream: str) -> dict[str, list[Any]]:
        events = self.journal.of(stream)
        if not events:
            known = ", ".join(self.streams) or "none"
            raise LookupError(f"{self.name} has no events of stream {stream!r}; streams: {known}")
        return columns_of(events)

    def _source(self, source: str | None) -> str:
        known = self.tag_sources
        if source is None and "heralds" in known:
            return "heralds"
        if source is None and len(known) == 1:
            return known[0]
        if source not in known:
            asked = "no source was named" if source is None else f"none of them is {source!r}"
            raise LookupError(f"{self.name} has tags of: {', '.join(known) or 'nothing'}; {asked}")
        return source

    def _json(self, name: str) -> Mapping[str, Any]:
        try:
            found = json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return {}
        return found if isinstance(found, dict) else {}


def open_run(run: str = "last", runs: str | Path = RUNS) -> StoredRun:
    """The run in the folder `runs` whose name begins or ends with `run`, or the `last`. LookupError says what
    there is. A run whose process is gone is marked as interrupted first."""
    folder = find_run(run, Path(runs))
    recover([folder])
    return StoredRun(folder)


def columns_of(events: Sequence[Event]) -> dict[str, list[Any]]:
    """Events as columns; None where an event has no such field."""
    names = dict.fromkeys(name for event in events for name in event.data)
    columns = {name: [event.data.get(name) for event in events] for name in names}
    return {**columns, "time": [event.time for event in events]}
