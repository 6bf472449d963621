"""The clock of a node: what its counter shows at every moment of the world.

Its frequency is off by a constant and wanders, its phase does a random walk; it never stands still or runs
backwards. Its path is drawn in steps on a fixed grid of the world's time and runs straight within one, so
that it does not depend on how time is sliced. Readings are exact to the picosecond at any time: only what
lies within a step is ever floating point. All clocks show 0 at the world's beginning; where a tagger's time
begins is its own business.

Source: physics.md 2, "Clocks".
"""

from math import floor, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.layout import Clock
from sim_instruments.world.wave_packets import Floats
from timetags.jit import kernel

STEP_PS = 10_000_000_000
UNITS = 2**20
GRAIN = 1 / UNITS
"""Picoseconds in which a clock's path is kept, so that its sums are exact: 1e-16 of a step, and enough for 8
seconds between a clock and the world."""
FREE_ERROR = 1e-6
"""Standard deviation of the relative frequency error of an oscillator that follows no reference. [assumed,
physics.md 2]"""
SLOWEST = 0.5
"""Pace below which no noise can press the clock, so that it stays monotonic."""


class Path(NamedTuple):
    """The clock's path around a slice for the kernels, one entry per step. Times are picoseconds since the
    slice began."""

    begin: Floats
    """Where the steps begin, and where the last one ends."""
    shown: NDArray[np.int64]
    """What the clock shows where they begin, in whole picoseconds,"""
    fraction: Floats
    """and the rest of it."""
    pace: Floats


@kernel
def read(path: Path, time: float) -> int:
    """What a clock shows."""
    k = len(path.pace) - 1
    while k > 0 and time < path.begin[k]:
        k -= 1
    return int(path.shown[k] + np.int64(floor(path.fraction[k] + (time - path.begin[k]) * path.pace[k])))


@kernel
def crossing(path: Path, shown: int) -> float:
    """The first time at which a clock shows at least `shown`: `read` agrees, to the bit."""
    k = len(path.pace) - 1
    while k > 0 and path.shown[k] >= shown:
        k -= 1
    since = (shown - path.shown[k] - path.fraction[k]) / path.pace[k]
    late = path.begin[k] + since
    rounding = 1e-15 * (abs(path.begin[k]) + abs(since))
    early, late = late - rounding, late + rounding
    while True:
        middle = early + (late - early) / 2
        if not early < middle < late:
            return float(late)
        if read(path, middle) < shown:
            early = middle
        else:
            late = middle


class NodeClock:
    """A clock, known up to where `advance` has brought it."""

    def __init__(self, clock: Clock, rng: np.random.Generator) -> None:
        self.clock = clock
        self._rng = rng
        self._own = float(rng.standard_normal())
        self._wander = 0.0
        """By how much the frequency has changed since the beginning."""
        self._first = 0
        """Number of the grid's first point that is kept."""
        self._ahead = np.zeros(1, dtype=np.int64)
        """By how much the clock is ahead of the world at the points of the grid, in `GRAIN` picoseconds."""
        self._path: tuple[tuple[int, int], Path] | None = None
        """The latest that was asked for, which all detectors at the clock have in common, and for what."""
        self._until_ps = 0
        self.advance(0, locked=True)

    def advance(self, until_ps: int, *, locked: bool) -> None:
        """Know the clock up to a time of the world; what lies further back than one step before the last such
        time is forgotten.

        Without a reference (`locked` false) it goes on from where it is, at the frequency of a free
        oscillator; it notices at the next step."""
        old = max(self._until_ps // STEP_PS - 1 - self._first, 0)
        missing = until_ps // STEP_PS + 2 - self._first - len(self._ahead)
        self._until_ps = until_ps
        if missing <= 0:
            return
        gained = self._ahead[-1] + np.cumsum(self._gains(missing, locked))
        self._ahead = np.concatenate((self._ahead[old:], gained))
        self._first += old

    def _gains(self, steps: int, locked: bool) -> NDArray[np.int64]:
        """What the clock gains in each of the next steps. White FM is a random walk of the phase. The
        frequency's walk and the phase that it adds are drawn together, as the end and the integral of one
        Brownian path."""
        seconds = STEP_PS * 1e-12
        clock = self.clock
        white, walk, bridge = self._rng.standard_normal((steps, 3)).T
        error = clock.frequency_error if locked else max(clock.frequency_error, FREE_ERROR)
        change = clock.frequency_walk * sqrt(seconds) * walk
        wander = np.cumsum(np.concatenate(([self._wander], change)))
        self._wander = float(wander[-1])
        gains_s = (
            (self._own * error + wander[:-1]) * seconds
            + clock.phase_walk * sqrt(seconds) * white
            + clock.frequency_walk * seconds**1.5 * (walk / 2 + bridge / sqrt(12))
        )
        gains_ps = np.maximum(gains_s * 1e12, (SLOWEST - 1) * STEP_PS)
        grains: NDArray[np.int64] = np.rint(gains_ps / GRAIN).astype(np.int64)
        return grains

    def to_ps(self, world_ps: int, resolution_ps: int = 1) -> int:
        """What a counter of that resolution shows at a time of the world, which `advance` has made known.
        ValueError for one that is forgotten."""
        begin, end = map(int, self._points(world_ps, world_ps))
        gained = begin * GRAIN % 1.0 + (end - begin) * GRAIN * (world_ps % STEP_PS / STEP_PS)
        return (world_ps + begin // UNITS + floor(gained)) // resolution_ps * resolution_ps

    def watermark(self, end_ps: int, guard_ps: int, resolution_ps: int) -> int:
        """All tags before this reading, and no others, are out after a slice that ends at `end_ps`, if clicks
        come at most `guard_ps` out of order."""
        return self.to_ps(max(end_ps - guard_ps, 0), resolution_ps)

    def path(self, start_ps: int, end_ps: int) -> Path:
        """The path from a step before a slice until its end. ValueError for times that are forgotten."""
        if self._path is None or self._path[0] != (start_ps, end_ps):
            since_ps = max(start_ps - STEP_PS, 0)
            ahead = self._points(since_ps, end_ps)
            grid = (since_ps // STEP_PS + np.arange(len(ahead))) * STEP_PS
            self._path = (
                (start_ps, end_ps),
                Path(
                    (grid - start_ps).astype(np.float64),
                    (grid + ahead // UNITS)[:-1],
                    np.asarray((ahead % UNITS)[:-1] * GRAIN, dtype=np.float64),
                    1.0 + np.diff(ahead) * (GRAIN / STEP_PS),
                ),
            )
        return self._path[1]

    def _points(self, since_ps: int, until_ps: int) -> NDArray[np.int64]:
        """By how much the clock is ahead at the points of the grid around that time."""
        first, last = since_ps // STEP_PS - self._first, until_ps // STEP_PS - self._first
        if first < 0:
            raise ValueError(f"the clock has forgotten {since_ps} ps")
        return self._ahead[first : last + 2]
