"""Follow the delay between two nodes while tags come in, and raise the alarm when it jumps.

Clocks that a network disciplines still differ in rate by some 1e-11, which is a nanosecond in a hundred
seconds, and a fibre changes by 37 ps per km and kelvin (`physics.md` 2): of the order of a coincidence
window. So the correlation peak is looked at again and again (a *look*), and a Kalman filter for delay and
rate feeds the drift forward. What is tracked is the offset of the peak from where a calibration put it,
positive when the second's tags come late.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from timetags.block import TagBlock

if TYPE_CHECKING:
    from timetags.analyses.correlate import Correlation

BIN_PS = 80
HALF_RANGE_PS = 8_000
"""Bins and half width of a look's histogram, about the offset that is expected."""
RATE_SIGMA = 50.0
"""What may be expected of a disciplined clock's rate before anything is known, in ps/s: 5e-11."""
RATE_WANDER = 0.1
OFFSET_WANDER = 2.0
"""How much rate (ps/s) and offset (ps) change by themselves within a second, as a random walk. Far above a
disciplined clock's and a buried fibre's, so that the track follows and its errors stay honest."""
ALARM_SIGMAS = 3.0
"""A look further from what was expected than this raises the alarm (`physics.md` 6); one in 370 by chance."""
JUMP_SIGMAS = 5.0
"""A look further away than this is a jump of the delay, not drift: the track begins anew there. Which rate a
clock may take up all at once and still be followed, `HALF_RANGE_PS` says: some 0.7 ns/s when looks are ten
seconds apart. With a greater one the next look finds no peak."""


@dataclass(frozen=True)
class TrackPoint:
    """One look: when (ps, middle of the look), the offset found with its standard error (ps), the rate of the
    track after it (ps/s), by how many standard deviations it differed from what was expected, and whether the
    track took that for a jump."""

    time_ps: int
    offset_ps: float
    error_ps: float
    rate_ps_per_s: float
    surprise: float
    jumped: bool

    @property
    def alarming(self) -> bool:
        """Whether drift and noise hardly explain it: more than 3 standard deviations away."""
        return abs(self.surprise) > ALARM_SIGMAS


class Track:
    """Offset and rate of one clock against another: a Kalman filter with a constant rate as its model.

    It begins at `time_ps` with the offset 0 +- `error_ps`, and a rate of 0 +- `rate_sigma` ps/s; give the
    latter for clocks that are not disciplined (1e-12 is 1 ps/s).
    """

    def __init__(self, time_ps: int, error_ps: float, rate_sigma: float = RATE_SIGMA) -> None:
        self.points: list[TrackPoint] = []
        self._time_ps, self._rate_sigma = time_ps, rate_sigma
        self._state = np.zeros(2)
        self._covariance = np.diag([error_ps**2, rate_sigma**2])
        self._landed: tuple[float, float] | None = None
        """Offset and error of the last look, if that was a jump."""

    def expect(self, time_ps: int) -> float:
        """The offset to expect at a time, in ps."""
        state, _ = self._moved(time_ps)
        return float(state[0])

    def error(self, time_ps: int) -> float:
        """The standard error of `expect`, in ps."""
        _, covariance = self._moved(time_ps)
        return float(np.sqrt(covariance[0, 0]))

    def shift(self, by_ps: float) -> None:
        """From now on the second's tags come later by this: somebody has moved a delay on purpose."""
        self._state = self._state + np.array([by_ps, 0.0])
        if self._landed is not None:
            self._landed = self._landed[0] + by_ps, self._landed[1]

    def update(self, time_ps: int, offset_ps: float, error_ps: float) -> TrackPoint:
        """Take a look's result. After two jumps in a row the delay runs, as that of a clock that has lost its
        reference: the track goes on with the rate between them."""
        state, covariance = self._moved(time_ps)
        difference = offset_ps - state[0]
        spread = covariance[0, 0] + error_ps**2
        surprise = float(difference / np.sqrt(spread))
        jumped = abs(surprise) > JUMP_SIGMAS
        seconds = (time_ps - self._time_ps) / 1e12
        if jumped and self._landed is not None and seconds > 0:
            before_ps, before_error_ps = self._landed
            state = np.array([offset_ps, (offset_ps - before_ps) / seconds])
            with_rate = error_ps**2 / seconds
            rate = (error_ps**2 + before_error_ps**2) / seconds**2
            covariance = np.array([[error_ps**2, with_rate], [with_rate, rate]])
        elif jumped:
            state = np.array([offset_ps, state[1]])
            covariance = np.diag([error_ps**2, self._rate_sigma**2])
        else:
            gain = covariance[:, 0] / spread
            state = state + gain * difference
            covariance = covariance - np.outer(gain, covariance[0])
        self._time_ps, self._state, self._covariance = time_ps, state, covariance
        self._landed = (offset_ps, error_ps) if jumped else None
        point = TrackPoint(time_ps, offset_ps, error_ps, float(state[1]), surprise, jumped)
        self.points.append(point)
        return point

    def _moved(self, time_ps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        seconds = (time_ps - self._time_ps) / 1e12
        step = np.array([[1.0, seconds], [0.0, 1.0]])
        wander = np.diag([OFFSET_WANDER**2, RATE_WANDER**2]) * abs(seconds)
        return step @ self._state, step @ self._covariance @ step.T + wander


LEAST_PAIRS = 8
"""With fewer pairs in it a peak may be two clicks that happen to lie close together: of looks at ten pairs
one in ten was a nanosecond off, and said 30 ps. What misled them had fewer than eight pairs; to do
without more would lose the track of faint pairs, whose clocks drift out of their window."""


class Look:
    """An analysis of one stretch of a merged stream, `begin_ps` to `end_ps`, that updates a track at its end.

    Correlates any of the channels `first` with any of `second`; `delays_ps` is the calibration by channel,
    without what the track knows. The stream is cut to the stretch by whoever feeds it. `point` is what was
    found, None before the end, or if there were too few pairs for a peak: then the track just goes on.
    """

    def __init__(
        self,
        track: Track,
        first: Collection[int],
        second: Collection[int],
        delays_ps: Mapping[int, int],
        begin_ps: int,
        end_ps: int,
    ) -> None:
        self._track, self._first, self._second, self._delays = track, first, second, delays_ps
        self._middle_ps = (begin_ps + end_ps) // 2
        self._expected_ps = 0
        self._histogram: Correlation | None = None
        self.point: TrackPoint | None = None

    def add(self, block: TagBlock) -> None:
        if self._histogram is None:
            # Not before the first tags: the look before this one says where to look.
            self._histogram = self._set_up()
        self._histogram.add(block)

    def finish(self) -> None:
        from timetags.clocks.peak import DelayError, fit_peak

        if self._histogram is None:
            return
        self._histogram.finish()
        try:
            peak = fit_peak(self._histogram.counts, self._histogram.centres_ps, BIN_PS)
        except DelayError:
            return
        if peak.pairs < LEAST_PAIRS:
            return
        offset = self._expected_ps + peak.position_ps
        self.point = self._track.update(self._middle_ps, offset, peak.position_error_ps)

    def _set_up(self) -> "Correlation":
        from timetags.analyses.correlate import Correlation

        self._expected_ps = round(self._track.expect(self._middle_ps))
        delays = dict(self._delays)
        for channel in self._second:
            delays[channel] = delays.get(channel, 0) - self._expected_ps
        around = (-HALF_RANGE_PS, HALF_RANGE_PS)
        return Correlation(self._first, self._second, delays, bin_ps=BIN_PS, range_ps=around)


class Follow:
    """An analysis of a whole merged stream that follows one delay, a look of `look_ps` every `every_ps`.

    Looks lie on multiples of `every_ps`, so the track does not depend on the cuts. It begins with the stream,
    at the calibrated delays +- `error_ps`. `missed` counts the looks in a row that found no peak: the
    source is dark, or the delay jumped by more than 8 ns and has to be searched for anew. ValueError unless
    0 < `look_ps` <= `every_ps`.
    """

    def __init__(
        self,
        first: Collection[int],
        second: Collection[int],
        delays_ps: Mapping[int, int],
        *,
        look_ps: int,
        every_ps: int,
        error_ps: float,
        rate_sigma: float = RATE_SIGMA,
    ) -> None:
        if not 0 < look_ps <= every_ps:
            raise ValueError(f"looks of {look_ps} ps every {every_ps} ps cannot be")
        self._first, self._second, self._delays = tuple(first), tuple(second), dict(delays_ps)
        self._look_ps, self._every_ps = look_ps, every_ps
        self._error_ps, self._rate_sigma = error_ps, rate_sigma
        self._track: Track | None = None
        self._look: Look | None = None
        self._look_end_ps = 0
        self.missed = 0

    @property
    def points(self) -> list[TrackPoint]:
        """All looks so far that found the peak."""
        return self._track.points if self._track is not None else []

    @property
    def alarms(self) -> list[TrackPoint]:
        """Those of them that differ from what was expected by more than 3 standard deviations."""
        return [point for point in self.points if point.alarming]

    def delays_at(self, time_ps: int) -> dict[int, int]:
        """What to add to the times of each channel at a time, in whole ps, by what is known so far."""
        offset = round(self._track.expect(time_ps)) if self._track is not None else 0
        shifted = {channel: self._delays.get(channel, 0) - offset for channel in self._second}
        return self._delays | shifted

    def add(self, block: TagBlock) -> None:
        if self._track is None:
            self._track = Track(block.start_ps, self._error_ps, self._rate_sigma)
        begin = block.start_ps // self._every_ps * self._every_ps
        for start in range(begin, block.end_ps, self._every_ps):
            end = start + self._look_ps
            if block.end_ps <= start or block.start_ps >= end:
                continue
            if self._look is None or self._look_end_ps != end:
                self._end_look()
                self._look = Look(self._track, self._first, self._second, self._delays, start, end)
                self._look_end_ps = end
            self._look.add(block.between(start, end))
            if block.end_ps >= end:
                self._end_look()

    def finish(self) -> None:
        """A look that the stream's end cut short counts, with the pairs that it has."""
        self._end_look()

    def _end_look(self) -> None:
        if self._look is not None:
            self._look.finish()
            self.missed = 0 if self._look.point is not None else self.missed + 1
            self._look = None
