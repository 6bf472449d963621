"""What a two-input coincidence counter does with clicks: delay, window, and counts by dwell time.

It knows nothing of wires. Times are int64 picoseconds of the counter's own clock, clicks come slice by slice
as sorted arrays, and every count is the same wherever the slices are cut.
"""

from dataclasses import dataclass, field

import numpy as np

from sim_instruments.ports import Tags
from timetags.block import Times

NONE: Times = np.empty(0, dtype=np.int64)
TICK_PS = 1000
"""Clicks are seen by a clock of 1 ns, since window and delay are whole nanoseconds (invented)."""
LONGEST_WINDOW_TICKS = 7


@dataclass(frozen=True)
class Tally:
    """Counts of one dwell time."""

    first: int = 0
    second: int = 0
    coincidences: int = 0

    def plus(self, first: int, second: int, coincidences: int) -> "Tally":
        return Tally(self.first + first, self.second + second, self.coincidences + coincidences)


@dataclass
class CoincidenceLogic:
    """Counts clicks of inputs 1 and 2 from `begin` on. A click of input 1, after its delay, is a coincidence
    when the clock shows a click of input 2 no more than `window_ticks` away from it."""

    window_ticks: int
    delay_ticks: int
    dwell_ps: int
    repeats: bool = True
    """Whether a dwell time follows the other; else it counts one, and stops."""
    enabled: bool = True
    """Whether clicks get in at all."""
    last: Tally = Tally()
    """Of the last dwell time that has ended."""
    _running: Tally = Tally()
    _end_ps: int | None = None
    """When the running dwell time ends; None: it does not count."""
    _done_ps: int = 0
    _clicks: tuple[Times, Times] = field(default=(NONE, NONE))

    @property
    def counting(self) -> bool:
        return self._end_ps is not None

    def begin(self, now_ps: int) -> None:
        """Set all counts to zero and begin a dwell time now."""
        self.last = self._running = Tally()
        self._end_ps = now_ps + self.dwell_ps
        self._done_ps = now_ps
        self._clicks = NONE, NONE

    def take(self, tags: Tags, until_ps: int) -> None:
        """Take all clicks before `until_ps` that were not taken before."""
        if self._end_ps is None:
            return
        new = [tags.get(n, NONE) if self.enabled else NONE for n in (1, 2)]
        first = np.concatenate((self._clicks[0], new[0] + self.delay_ticks * TICK_PS))
        second = np.concatenate((self._clicks[1], new[1]))
        first.sort(kind="stable")  # the delay may have been changed
        # What comes later can be a partner of what is nearer to `until_ps` than this.
        ready_ps = max(self._done_ps, until_ps - (LONGEST_WINDOW_TICKS + 1) * TICK_PS)
        pairs = first[self._has_partner(first, second)]
        while self._end_ps is not None and self._done_ps < ready_ps:
            stop_ps = min(ready_ps, self._end_ps)
            self._running = self._running.plus(
                *(self._between(times, stop_ps) for times in (first, second, pairs))
            )
            self._done_ps = stop_ps
            if stop_ps == self._end_ps:
                self.last, self._running = self._running, Tally()
                self._end_ps = self._end_ps + self.dwell_ps if self.repeats else None
        kept_ps = self._done_ps - (LONGEST_WINDOW_TICKS + 1) * TICK_PS
        self._clicks = (
            first[np.searchsorted(first, self._done_ps) :],
            second[np.searchsorted(second, kept_ps) :],
        )

    def _has_partner(self, first: Times, second: Times) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        ticks, partners = first // TICK_PS, second // TICK_PS
        at = np.searchsorted(partners, ticks - self.window_ticks)
        nearest = np.append(partners, np.iinfo(np.int64).max)[at]
        return nearest <= ticks + self.window_ticks

    def _between(self, times: Times, stop_ps: int) -> int:
        low, high = np.searchsorted(times, (self._done_ps, stop_ps))
        return int(high - low)
