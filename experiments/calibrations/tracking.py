"""Delay tracking: follow each spoke's delay against the hub while a measurement goes on.

Clocks that a network disciplines still differ in rate by some 1e-11, which is a nanosecond in a hundred
seconds, and a fibre changes by 37 ps per km and kelvin (`physics.md` 2): of the order of a coincidence
window. So the correlation peak of each spoke is looked at every few seconds (a *look*), and a Kalman filter
for delay and rate feeds the drift forward. What is tracked is the offset of the peak from where the
calibration put it, positive when the spoke's tags come late.
"""

from collections.abc import Mapping, Sequence
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
"""What may be expected of a clock's rate before anything is known, in ps/s: 5e-11."""
RATE_WANDER = 0.1
OFFSET_WANDER = 2.0
"""How much rate (ps/s) and offset (ps) change by themselves within a second, as a random walk. Far above a
disciplined clock's and a buried fibre's, so that the track follows and its errors stay honest."""
JUMP_SIGMAS = 5.0
"""A look further away than this is a jump of the delay, not drift: the track begins anew there."""


@dataclass(frozen=True)
class TrackPoint:
    """One look at one spoke: when (ps of hub time), the offset found with its standard error (ps), the rate
    of the track after it (ps/s), and whether the delay had jumped."""

    time_ps: int
    offset_ps: float
    error_ps: float
    rate_ps_per_s: float
    jumped: bool


class Track:
    """Offset and rate of one spoke: a Kalman filter with a constant rate as its model."""

    def __init__(self, time_ps: int, error_ps: float) -> None:
        self.points: list[TrackPoint] = []
        self._time_ps = time_ps
        self._state = np.zeros(2)
        self._covariance = np.diag([error_ps**2, RATE_SIGMA**2])

    def expect(self, time_ps: int) -> float:
        """The offset to expect at a time, in ps."""
        state, _ = self._moved(time_ps)
        return float(state[0])

    def update(self, time_ps: int, offset_ps: float, error_ps: float) -> None:
        """Take a look's result."""
        state, covariance = self._moved(time_ps)
        surprise = offset_ps - state[0]
        spread = covariance[0, 0] + error_ps**2
        jumped = bool(surprise**2 > JUMP_SIGMAS**2 * spread)
        if jumped:
            state, covariance = np.array([offset_ps, state[1]]), np.diag([error_ps**2, RATE_SIGMA**2])
        else:
            gain = covariance[:, 0] / spread
            state = state + gain * surprise
            covariance = covariance - np.outer(gain, covariance[0])
        self._time_ps, self._state, self._covariance = time_ps, state, covariance
        self.points.append(TrackPoint(time_ps, offset_ps, error_ps, float(state[1]), jumped))

    def _moved(self, time_ps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        seconds = (time_ps - self._time_ps) / 1e12
        step = np.array([[1.0, seconds], [0.0, 1.0]])
        wander = np.diag([OFFSET_WANDER**2, RATE_WANDER**2]) * abs(seconds)
        return step @ self._state, step @ self._covariance @ step.T + wander


class DelayTracker:
    """The tracks of all spokes. `hub` and `spokes` are channels of merged tags, `delays_ps` the calibration's
    fine delays by channel, found at `time_ps` of hub time with an error of `error_ps`."""

    def __init__(
        self,
        hub: Sequence[int],
        spokes: Sequence[Sequence[int]],
        delays_ps: Mapping[int, int],
        time_ps: int,
        error_ps: float,
    ) -> None:
        self.hub, self.spokes = tuple(hub), tuple(tuple(spoke) for spoke in spokes)
        self._delays_ps = dict(delays_ps)
        self.tracks = tuple(Track(time_ps, error_ps) for _ in spokes)

    def delays_at(self, time_ps: int) -> dict[int, int]:
        """What to add to the times of each channel at a time, in whole ps."""
        delays = dict(self._delays_ps)
        for spoke, track in zip(self.spokes, self.tracks, strict=True):
            for channel in spoke:
                delays[channel] = delays.get(channel, 0) - round(track.expect(time_ps))
        return delays


class Look:
    """A sink: histograms of all spokes over one stretch of tags, from which the tracks are updated. With too
    few pairs for a peak the track just goes on."""

    def __init__(self, tracker: DelayTracker, begin_ps: int, end_ps: int) -> None:
        self._tracker = tracker
        self._middle_ps = (begin_ps + end_ps) // 2
        self._expected_ps: list[int] = []
        self._histograms: list[Correlation] = []

    def add(self, block: TagBlock) -> None:
        from timetags.analyses.correlate import Correlation

        tracker = self._tracker
        if not self._histograms:
            # Not before the first tags: the look before this one says where to look.
            delays = tracker.delays_at(self._middle_ps)
            around = (-HALF_RANGE_PS, HALF_RANGE_PS)
            self._expected_ps = [round(track.expect(self._middle_ps)) for track in tracker.tracks]
            self._histograms = [
                Correlation(tracker.hub, spoke, delays, bin_ps=BIN_PS, range_ps=around)
                for spoke in tracker.spokes
            ]
        for histogram in self._histograms:
            histogram.add(block)

    def finish(self) -> None:
        from timetags.clocks.peak import DelayError, fit_peak

        for track, expected, histogram in zip(
            self._tracker.tracks, self._expected_ps, self._histograms, strict=False
        ):
            try:
                peak = fit_peak(histogram.counts, histogram.centres_ps, BIN_PS)
            except DelayError:
                continue
            track.update(self._middle_ps, expected + peak.position_ps, peak.position_error_ps)
