"""Which tags a run keeps, and in which files: those around heralds, the first seconds raw, or all raw.

Segments are cut on a grid of time, so that the files are the same bytes for the same tags, in whatever
blocks these came. A disk that is full raises StorageError; segments written before stay readable.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.calibrations.tracking import DelayTracker
from experiments.config.experiment import Record
from experiments.config.settings import SwappingSettings
from experiments.engine.bench import Bench
from experiments.engine.feed import Feed
from experiments.engine.gates import Gate
from experiments.engine.outcome import StorageError
from experiments.engine.record import TAGS
from experiments.engine.tags import PS
from timetags.analyses.analysis import Analysis
from timetags.block import TagBlock
from timetags.files.manifest import Segment
from timetags.files.segments import SegmentWriter

if TYPE_CHECKING:
    from timetags.analyses.around import TagsAroundHeralds

RAW_GRID_PS = 10**12
HERALD_GRID_PS = 60 * 10**12
"""Span of a segment: what a crash costs at most, and what is held in memory until then."""
_FOR_EVER_PS = 2**62
_ANY_ROWS = 2**62


class TagFiles:
    """The tag files of one run. `on_segment(folder, segment)` is told of each segment that is on disk, with
    its folder within the run's, in a worker thread."""

    def __init__(self, run: Path, record: Record, on_segment: Callable[[str, Segment], None]) -> None:
        self._run, self._record, self._on_segment = run, record, on_segment
        self._heralds: SegmentSink | None = None

    def keep_raw(self, feeds: Iterable[Feed]) -> None:
        """Set up raw recording of each tagger, in its own time, from the start of its recording on."""
        seconds = self._record.raw
        end = _FOR_EVER_PS if self._record.tags == "raw" else round(seconds * PS)
        for feed in feeds:
            if end > 0:
                sink = self._sink(f"{TAGS}/raw/{feed.name}", RAW_GRID_PS)
                feed.gates.append(Gate(0, end, sink))

    def around_heralds(
        self, bench: Bench, settings: SwappingSettings, tracker: DelayTracker
    ) -> list[Analysis]:
        """The sinks for one dwell: one that keeps the tags around heralds, or none. All dwells share one
        writer, since the last tags of a dwell come when the next has begun."""
        if self._record.tags != "heralds":
            return []
        if self._heralds is None:
            self._heralds = self._sink(f"{TAGS}/heralds", HERALD_GRID_PS)
        around_ps = round(self._record.around * PS)
        return [HeraldSink(self._heralds, bench, settings, tracker, around_ps)]

    def _sink(self, folder: str, grid_ps: int) -> "SegmentSink":
        return SegmentSink(self._run / folder, grid_ps, partial(self._on_segment, folder))


class SegmentSink:
    """Writes a stream into segments that begin at whole multiples of `grid_ps`."""

    def __init__(self, folder: Path, grid_ps: int, on_segment: Callable[[Segment], None]) -> None:
        self._what = f"tags to {folder}"
        self._grid_ps = grid_ps
        with StorageError.when(self._what):
            self._writer = SegmentWriter(folder, rows=_ANY_ROWS, span_ps=_FOR_EVER_PS, on_segment=on_segment)

    def add(self, block: TagBlock) -> None:
        for piece in _on_grid(block, self._grid_ps):
            with StorageError.when(self._what):
                self._writer.append(piece)
                if piece.end_ps % self._grid_ps == 0:
                    self._writer.flush()

    def finish(self) -> None:
        with StorageError.when(self._what):
            self._writer.flush()


class HeraldSink:
    """Keeps the tags around heralds, on the hub's time base with the coarse shifts alone; the fine delays and
    how they drifted are in calibrations.json. Heralds are looked for with the delays at the first tag."""

    def __init__(
        self,
        segments: SegmentSink,
        bench: Bench,
        settings: SwappingSettings,
        tracker: DelayTracker,
        around_ps: int,
    ) -> None:
        self._hub = [bench.channel(name) for name in bench.hub_detectors(settings.bell_state_measurement)]
        self._window_ps, self._around_ps = round(settings.bsm_window * PS), around_ps
        self._tracker, self._segments = tracker, segments
        self._selection: TagsAroundHeralds | None = None

    def add(self, block: TagBlock) -> None:
        from timetags.analyses.around import TagsAroundHeralds

        if self._selection is None:
            self._selection = TagsAroundHeralds(
                self._hub,
                self._tracker.delays_at(block.start_ps),
                self._segments,
                bsm_window_ps=self._window_ps,
                around_ps=self._around_ps,
            )
        self._selection.add(block)

    def finish(self) -> None:
        (self._selection or self._segments).finish()


def _on_grid(block: TagBlock, grid_ps: int) -> Iterator[TagBlock]:
    begin = block.start_ps
    while begin < block.end_ps:
        end = min(block.end_ps, (begin // grid_ps + 1) * grid_ps)
        yield block.between(begin, end)
        begin = end
