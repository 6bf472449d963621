"""A census: how many pairs of each line with the hub lie in their window, over the beginning of a stay."""

from typing import TYPE_CHECKING

from experiments.calibrations.tracking import DelayTracker
from experiments.engine.tags import PS
from experiments.watchdogs.subject import Subject
from timetags.block import TagBlock

if TYPE_CHECKING:
    from timetags.analyses.correlate import Correlation


class Census:
    """A sink for the tags of the stretch `window_ps`. Uses the delays that the tracker expects in its middle
    when the first tags come: after the look before."""

    def __init__(self, subject: Subject, tracker: DelayTracker, window_ps: tuple[int, int]) -> None:
        self._subject, self._tracker, self._middle_ps = subject, tracker, sum(window_ps) // 2
        self.seconds = (window_ps[1] - window_ps[0]) / PS
        self._counting: list[Correlation] = []
        self.pairs: tuple[int, ...] = (0,) * len(tracker.spokes)

    def add(self, block: TagBlock) -> None:
        self._counting = self._counting or self._set_up()
        for counting in self._counting:
            counting.add(block)

    def finish(self) -> None:
        for counting in self._counting:
            counting.finish()
        if self._counting:
            self.pairs = tuple(int(counting.counts.sum()) for counting in self._counting)
        self._counting = []

    def _set_up(self) -> "list[Correlation]":
        from timetags.analyses.correlate import Correlation

        width = round(self._subject.window * PS)
        start = round(self._subject.window_centre * PS) - width // 2
        delays = self._tracker.delays_at(self._middle_ps)
        hub, window = self._tracker.hub, (start, start + width)
        return [
            Correlation(hub, spoke, delays, bin_ps=width, range_ps=window) for spoke in self._tracker.spokes
        ]
