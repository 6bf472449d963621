"""The clock of a node: what its counter shows at every moment of the world.

Its frequency is off by a constant and wanders, its phase does a random walk; it never stands still or runs
backwards. Its path is drawn in steps on a fixed grid of the world's time and runs straight within one, so
that it does not depend on how time is sliced. Readings are exact to the picosecond at any time: only what
lies within a step is ever floating point. All clocks show 0 at the world's beginning; where a tagger's time
begins is its own business.

Source: physics.md 2, "Clocks".
"""

from dataclasses import dataclass
from math import floor, inf, nextafter, sqrt

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.layout import Clock
from sim_instruments.world.polarization import Floats

STEP_PS = 10_000_000_000
FREE_ERROR = 1e-6
"""Standard deviation of the relative frequency error of an oscillator that follows no reference. [assumed,
physics.md 2]"""
SLOWEST = 0.5
"""Pace below which no noise can press the clock, so that it stays monotonic."""


@dataclass(frozen=True)
class Step:
    """A straight piece of the clock's path: it shows `shown_ps` + `fraction` where the step begins, and goes
    on at `pace`."""

    shown_ps: int
    fraction: float
    pace: float


@dataclass(frozen=True)
class Path:
    """The clock's path around a slice for the kernels, one entry per step. Times are picoseconds since the
    slice began."""

    begin: Floats
    """Where the steps begin, and where the last one ends."""
    shown: NDArray[np.int64]
    fraction: Floats
    pace: Floats

    def read(self, time: float) -> int:
        """What the clock shows. The kernel `detect` works out the same, to the bit."""
        k = int(np.searchsorted(self.begin[1:-1], time, side="right"))
        since = time - float(self.begin[k])
        return int(self.shown[k]) + floor(float(self.fraction[k]) + since * float(self.pace[k]))

    def crossing(self, shown_ps: int) -> float:
        """The first time at which the clock shows `shown_ps`."""
        k = max(0, int(np.searchsorted(self.shown, shown_ps)) - 1)
        time = float(self.begin[k] + (shown_ps - int(self.shown[k]) - self.fraction[k]) / self.pace[k])
        while self.read(time) >= shown_ps:
            time = nextafter(time, -inf)
        while self.read(time) < shown_ps:
            time = nextafter(time, inf)
        return time


class NodeClock:
    """A clock, known up to where `advance` has brought it."""

    def __init__(self, clock: Clock, rng: np.random.Generator) -> None:
        self.clock = clock
        self._rng = rng
        self._own = float(rng.standard_normal())
        self._wander = 0.0
        self._first = 0
        """Number on the grid of the first step that is kept."""
        self._steps: list[Step] = []
        self._next = (0, 0.0)
        """What the clock shows where the next step begins, and the fraction of a picosecond."""
        self._until_ps = 0
        self.advance(0, locked=True)

    def advance(self, until_ps: int, *, locked: bool) -> None:
        """Know the clock up to a time of the world; what lies further back than one step before the last such
        time is forgotten.

        Without a reference (`locked` false) it goes on from where it is, at the frequency of a free
        oscillator; it notices at the next step."""
        old = max(self._until_ps // STEP_PS - 1 - self._first, 0)
        del self._steps[:old]
        self._first += old
        self._until_ps = until_ps
        missing = until_ps // STEP_PS + 1 - self._first - len(self._steps)
        for draw in self._rng.standard_normal((max(missing, 0), 3)).tolist():
            self._steps.append(self._step(draw, locked))

    def _step(self, draw: list[float], locked: bool) -> Step:
        """White FM is a random walk of the phase. The frequency's walk and the phase that it adds within the
        step are drawn together, as the end and the integral of one Brownian path."""
        seconds = STEP_PS * 1e-12
        white, walk, bridge = draw
        error = self.clock.frequency_error if locked else max(self.clock.frequency_error, FREE_ERROR)
        phase_s = (
            (self._own * error + self._wander) * seconds
            + self.clock.phase_walk * sqrt(seconds) * white
            + self.clock.frequency_walk * seconds**1.5 * (walk / 2 + bridge / sqrt(12))
        )
        self._wander += self.clock.frequency_walk * sqrt(seconds) * walk
        ahead_ps = max(phase_s * 1e12, (SLOWEST - 1) * STEP_PS)
        shown, fraction = self._next
        whole = floor(fraction + ahead_ps)
        self._next = shown + STEP_PS + whole, fraction + ahead_ps - whole
        return Step(shown, fraction, 1.0 + ahead_ps / STEP_PS)

    def to_ps(self, world_ps: int, resolution_ps: int = 1) -> int:
        """What a counter of that resolution shows at a time of the world, which `advance` has made known and
        not yet forgotten."""
        step = self._steps[world_ps // STEP_PS - self._first]
        shown = step.shown_ps + floor(step.fraction + float(world_ps % STEP_PS) * step.pace)
        return shown // resolution_ps * resolution_ps

    def path(self, origin_ps: int, since_ps: int, until_ps: int) -> Path:
        """The path over known times of the world, as seen from `origin_ps`."""
        first, last = since_ps // STEP_PS, until_ps // STEP_PS
        steps = self._steps[first - self._first : last + 1 - self._first]
        return Path(
            np.array([k * STEP_PS - origin_ps for k in range(first, last + 2)], dtype=np.float64),
            np.array([step.shown_ps for step in steps], dtype=np.int64),
            np.array([step.fraction for step in steps]),
            np.array([step.pace for step in steps]),
        )
