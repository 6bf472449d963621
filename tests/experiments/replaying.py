"""What tests of replay share: runs to which something happens in a dwell, and the clicks of a stored run for
counting by hand."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.archive.stored import StoredRun
from experiments.engine.events import Happened, RunEvent
from tests.experiments.fakes import DETECTORS, ToyBench
from tests.recorded import events, happened
from tests.stored import toy_run
from timetags.clocks.track import Track

Times = NDArray[np.int64]


class InDwell:
    """Does something `after_s` seconds into the `nth` dwell."""

    def __init__(self, bench: ToyBench, nth: int, after_s: float, act: Callable[[], Any]) -> None:
        self._bench, self._nth, self._after_s, self._act = bench, nth, after_s, act

    def notify(self, event: RunEvent) -> None:
        if isinstance(event, Happened) and event.event == "dwell":
            self._nth -= 1
            if self._nth == 0:
                self._bench.clock.at.append((self._bench.clock.now() + self._after_s, self._act))


async def aborted(runs: Path, bench: ToyBench, nth: int, after_s: float, **more: Any) -> StoredRun:
    """A run that was aborted in its `nth` dwell."""
    tasks: list[asyncio.Task[Path]] = []
    hand = InDwell(bench, nth, after_s, lambda: tasks[0].cancel())
    tasks.append(asyncio.create_task(toy_run(runs, bench, observers=[hand], **more)))
    return StoredRun(await tasks[0])


class StoredClicks:
    """Those of a run that kept all tags, with the delays that it first found under the name `calibration`,
    followed by the looks at each of `spokes`. `more_ps` is added to the delays of detectors.

    Of our own code only the reader of segments and `Track` are used, which have tests of their own."""

    def __init__(
        self,
        run: StoredRun,
        calibration: str,
        spokes: Mapping[str, Sequence[str]],
        more_ps: Mapping[str, int],
    ) -> None:
        found = next(c for c in happened(run.path, "calibrated") if c["calibration"] == calibration)
        self._middle_ps, self._fine = found["middle_ps"], found["detector_delays"]
        self._spokes, self._more_ps, self._run = spokes, more_ps, run
        self._looks = events(run.path, "delays")
        self._tags: dict[str, Times] = {}
        for tagger, shift in found["tagger_shifts"].items():
            tags = run.tags(source=f"raw/{tagger}")
            for detector in self._fine:
                if DETECTORS[detector].startswith(f"{tagger}."):
                    self._tags[detector] = tags.of(detector) + shift["value"]

    def slices(self, step: str, slice_ps: int) -> Iterator[tuple[int, int]]:
        """Begin and end of each slice of what a step has counted."""
        for dwell in happened(self._run.path, "dwell"):
            if dwell["step"] == step:
                for start in range(dwell["begin_ps"], dwell["end_ps"], slice_ps):
                    yield start, min(start + slice_ps, dwell["end_ps"])

    def of(self, detector: str, slice_ps: tuple[int, int], only_own: bool = False) -> Times:
        """The times of a detector with its delay in a slice; with `only_own` those alone that fall into the
        slice before it is added."""
        start, stop = slice_ps
        delay: int = round(self._fine[detector]["value"]) + self._more_ps.get(detector, 0)
        for spoke, detectors in self._spokes.items():
            if detector in detectors:
                track = Track(self._middle_ps, max(fine["uncertainty"] for fine in self._fine.values()))
                for look in self._looks:
                    if look["spoke"] == spoke and look["time_ps"] < start:
                        track.update(look["time_ps"], look["offset_ps"], look["error_ps"])
                delay -= round(track.expect((start + stop) // 2))
        times: Times = self._tags[detector]
        if only_own:
            times = times[(start <= times) & (times < stop)]
        return times + delay


def pairs_within(first: Times, second: Times, low: float, high: float) -> int:
    """How many pairs have low <= second - first < high."""
    later, earlier = (np.searchsorted(first, second - edge, "right") for edge in (low, high))
    return int((later - earlier).sum())
