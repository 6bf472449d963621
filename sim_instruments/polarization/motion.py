"""How a motor's position changes with time: straight legs, each a trapezoid of speed.

Positions are motor steps as floats, times are integer picoseconds, so that slices of any length add up
without rounding and a motion ends exactly on its target at exactly its duration.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

PS = 1_000_000_000_000
"""Picoseconds per second."""


@dataclass(frozen=True)
class Leg:
    """From rest to rest over a straight line, at most at `speed` (steps/s, > 0), speeding up and slowing
    down with `acceleration` (steps/s^2, > 0, infinite for a motor without inertia)."""

    start: float
    end: float
    speed: float
    acceleration: float = math.inf

    @property
    def ramp_s(self) -> float:
        """Seconds of speeding up, and again of slowing down."""
        return min(self.speed, math.sqrt(self.acceleration * abs(self.end - self.start))) / self.acceleration

    @property
    def duration_ps(self) -> int:
        """d/v + v/a, or 2 sqrt(d/a) where the distance d is too short to reach the speed v."""
        distance = abs(self.end - self.start)
        if math.isinf(self.acceleration):
            return round(distance / self.speed * PS)
        cruise = max(0.0, distance / self.speed - self.speed / self.acceleration)
        return round((2 * self.ramp_s + cruise) * PS)

    def position(self, elapsed_ps: int) -> float:
        if elapsed_ps >= self.duration_ps:
            return self.end
        t, total, ramp = elapsed_ps / PS, self.duration_ps / PS, self.ramp_s
        sign = math.copysign(1.0, self.end - self.start)
        if math.isinf(self.acceleration):
            return self.start + sign * self.speed * t
        if t < ramp:
            return self.start + sign * self.acceleration * t**2 / 2
        if t > total - ramp:
            return self.end - sign * self.acceleration * (total - t) ** 2 / 2
        return self.start + sign * self.acceleration * ramp * (t - ramp / 2)

    def velocity(self, elapsed_ps: int) -> float:
        """Steps per second, signed."""
        t, total = elapsed_ps / PS, self.duration_ps / PS
        if not 0 <= t < total:
            return 0.0
        sign = math.copysign(1.0, self.end - self.start)
        if math.isinf(self.acceleration):
            return sign * self.speed
        return sign * self.acceleration * min(t, total - t, self.ramp_s)


@dataclass(frozen=True)
class Pause:
    """Standing still for a while."""

    end: float
    duration_ps: int

    def position(self, elapsed_ps: int) -> float:  # noqa: ARG002
        return self.end

    def velocity(self, elapsed_ps: int) -> float:  # noqa: ARG002
        return 0.0


@dataclass(frozen=True)
class Braking:
    """From `speed` (steps/s, signed) to rest with `acceleration` (steps/s^2), ending on a whole step."""

    start: float
    speed: float
    acceleration: float

    @property
    def end(self) -> float:
        return float(round(self.start + self.speed * abs(self.speed) / (2 * self.acceleration)))

    @property
    def duration_ps(self) -> int:
        return round(abs(self.speed) / self.acceleration * PS)

    def position(self, elapsed_ps: int) -> float:
        if elapsed_ps >= self.duration_ps:
            return self.end
        t = elapsed_ps / PS
        return self.start + self.speed * t - math.copysign(self.acceleration, self.speed) * t**2 / 2

    def velocity(self, elapsed_ps: int) -> float:
        left = max(0, self.duration_ps - elapsed_ps) / PS
        return math.copysign(self.acceleration * left, self.speed)


class Motor:
    """A motor with a position, at rest or on its way through a row of legs."""

    def __init__(self, position: float) -> None:
        self.position = position
        self._legs: list[Leg | Pause | Braking] = []
        self._elapsed_ps = 0

    @property
    def moving(self) -> bool:
        return bool(self._legs)

    @property
    def velocity(self) -> float:
        """Steps per second, signed."""
        return self._legs[0].velocity(self._elapsed_ps) if self._legs else 0.0

    @property
    def direction(self) -> int:
        """+1 while the position rises, -1 while it falls, 0 at rest (also before the first moment has
        passed of a motion that has been commanded, the sign of what is to come)."""
        if not self._legs:
            return 0
        ahead = self._legs[0].end - self.position
        return (ahead > 0) - (ahead < 0)

    @property
    def remaining_ps(self) -> int:
        """Until the present leg ends; 0 at rest."""
        return self._legs[0].duration_ps - self._elapsed_ps if self._legs else 0

    def travel(self, legs: Sequence[Leg | Pause | Braking]) -> None:
        """Give up the present motion and begin this one."""
        self._legs = list(legs)
        self._elapsed_ps = 0

    def halt(self) -> None:
        """Stand still at once, on the nearest whole step."""
        self._legs = []
        self.position = float(round(self.position))

    def advance(self, duration_ps: int) -> bool:
        """Move on by at most `remaining_ps`; returns whether a whole motion has just ended."""
        if not self._legs:
            return False
        self._elapsed_ps += duration_ps
        leg = self._legs[0]
        self.position = leg.position(self._elapsed_ps)
        if self._elapsed_ps < leg.duration_ps:
            return False
        self._legs.pop(0)
        self._elapsed_ps = 0
        return not self._legs
