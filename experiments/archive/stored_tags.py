"""The stored tags of a stay, merged on the hub's time as the run merged them.

It guarantees that time of which tags are missing or damaged is in no block, so that it does not count as
live, and that each damaged segment is told of.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.archive.counting import Counting, ReplayError, StoredDwell
from experiments.archive.stored import PS, StoredRun
from experiments.engine.record import TAGS
from experiments.measurements.dwell import MARGIN_PS

if TYPE_CHECKING:
    from timetags.block import TagBlock
    from timetags.clocks.affine import AffineClock

SLACK_PS = PS
"""How much more of each tagger's stream is read than a dwell needs, so that all have begun and none has
ended: a raw segment spans a second."""


class StoredTags:
    """The tags of one run. What people should know is added to `remarks`."""

    def __init__(self, run: StoredRun, counting: Counting, remarks: dict[str, None]) -> None:
        self._run, self._counting, self._remarks = run, counting, remarks

    def blocks(self, dwell: StoredDwell) -> Iterator["TagBlock"]:
        """Those of a dwell, and `MARGIN_PS` around it, as far as they are stored. ReplayError where none
        are."""
        within = dwell.begin_ps - MARGIN_PS, dwell.end_ps + MARGIN_PS
        if self._counting.experiment.record.tags == "heralds":
            return self._segments("heralds", within)
        return self._merged(within, dwell.clocks)

    def _merged(
        self, within_ps: tuple[int, int], clock_of: Mapping[str, "AffineClock"]
    ) -> Iterator["TagBlock"]:
        from timetags.clocks.align import merged

        gaps: list[tuple[int, int]] = []
        streams, clocks = [], []
        for tagger in self._counting.taggers:
            clock = clock_of[tagger]
            begin, end = (clock.own(time) for time in within_ps)
            segments = self._segments(f"raw/{tagger}", (begin - SLACK_PS, end + SLACK_PS))
            streams.append(_noting_gaps(segments, clock, gaps))
            clocks.append(clock)
        for block in merged(streams, clocks, whole=False):
            yield from _without(gaps, block)

    def _segments(self, source: str, within_ps: tuple[int, int]) -> Iterator["TagBlock"]:
        from timetags.files.segments import read_segments

        folder = self._run.path / TAGS / source
        if not folder.is_dir():
            raise ReplayError(f"{self._run.name} has no tags in {TAGS}/{source}")
        return read_segments(folder, self._damaged, within_ps)

    def _damaged(self, path: Path, reason: str) -> None:
        self._remarks[f"left out {path.relative_to(self._run.path)}: {reason}"] = None


def _noting_gaps(
    stream: Iterator["TagBlock"], clock: "AffineClock", gaps: list[tuple[int, int]]
) -> Iterator["TagBlock"]:
    """The same stream; where it lacks a piece is added to `gaps`, in the time of the hub."""
    end_ps: int | None = None
    for block in stream:
        if end_ps is not None and block.start_ps > end_ps:
            gaps.append((clock.instant(end_ps), clock.instant(block.start_ps)))
        end_ps = block.end_ps
        yield block


def _without(gaps: Sequence[tuple[int, int]], block: "TagBlock") -> Iterator["TagBlock"]:
    """The pieces of a block that lie in no gap: time of which tags are missing does not count as live."""
    inside = sorted(gap for gap in gaps if gap[0] < block.end_ps and block.start_ps < gap[1])
    if not inside:
        yield block
        return
    borders = [(block.start_ps, block.start_ps), *inside, (block.end_ps, block.end_ps)]
    reached = block.start_ps
    for (_, begin), (end, _) in pairwise(borders):
        reached = max(reached, begin)
        if reached < end:
            yield block.between(reached, end)
