"""What a polarization controller does to light, as far as it is known: a row of linear retarders.

A plate is known by the property that its angle is not (`PolarizationController.angle_is`): of paddles and
wave plates the retardance, of squeezers and liquid crystals the fast axis. Neither is known exactly, and
`Plates` carries the errors that have been learned. It answers two questions: which rotation do these angles
make (`rotation`), and at which angles does it make this rotation (`angles_for`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import pi
from typing import Literal

import numpy as np

from experiments.calibrations.polarization.sphere import Floats, equator, retarders, rotation_vectors

FEWEST = 3
"""Plates: a rotation has three free numbers."""
STARTS = 16
"""From so many random angles, besides the present ones, a solution is looked for."""
STEPS = 24
LONGEST_STEP_RAD = 0.6
DAMPING = 1e-3
ROUNDING = 1e-9
"""Of a period: an angle is within limits that it misses by the rounding of numbers."""
GOOD_RAD = 0.02
"""Solutions that miss by no more than this more than the best are as good; the one nearest to where the
plates stand is taken, since plates that move less take less time and wear less."""

AngleIs = Literal["orientation", "retardance"]


@dataclass(frozen=True)
class Plates:
    """Plates in beam order. `angle_is` says what their angle is, `fixed_rad` the other property, and angles
    may be from `low_rad` to `high_rad`. `stretch` is the relative error of each retardance, `tilt_rad` that
    of each fast axis."""

    angle_is: AngleIs
    fixed_rad: tuple[float, ...]
    low_rad: float
    high_rad: float
    stretch: tuple[float, ...] = ()
    tilt_rad: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        return len(self.fixed_rad)

    @property
    def period_rad(self) -> float:
        """By how much more an angle does the same to light."""
        return pi if self.angle_is == "orientation" else 2 * pi

    @cached_property
    def _fixed(self) -> Floats:
        return np.array(self.fixed_rad)

    @cached_property
    def _stretch(self) -> Floats:
        return 1 + (np.array(self.stretch) if self.stretch else np.zeros(self.count))

    @cached_property
    def _tilt(self) -> Floats:
        return np.array(self.tilt_rad) if self.tilt_rad else np.zeros(self.count)

    def _each(self, angles_rad: Floats) -> tuple[Floats, Floats]:
        """Retardance and fast axis of each plate: (..., n) each."""
        if self.angle_is == "orientation":
            return np.broadcast_to(self._stretch * self._fixed, angles_rad.shape), self._tilt + angles_rad
        return self._stretch * angles_rad, np.broadcast_to(self._tilt + self._fixed, angles_rad.shape)

    def rotation(self, angles_rad: Floats) -> Floats:
        """The rotation that these angles make: (..., n) -> (..., 3, 3)."""
        return chained(retarders(*self._each(angles_rad)))

    def guessed(self, angles_rad: Floats, stretch: Floats, tilt_rad: Floats) -> Floats:
        """The same with other errors than those known, which broadcast with the angles: (..., n) each."""
        if self.angle_is == "orientation":
            return chained(retarders((1 + stretch) * self._fixed, tilt_rad + angles_rad))
        return chained(retarders((1 + stretch) * angles_rad, tilt_rad + self._fixed))

    def _slopes(self, angles_rad: Floats) -> tuple[Floats, Floats]:
        """The rotation, and its velocity with each angle: (..., 3, 3) and (..., 3, n). A change dx of the
        angles turns what leaves by the rotation vector `slopes @ dx`."""
        retardance, axis = self._each(angles_rad)
        turns = retarders(retardance, axis)
        if self.angle_is == "retardance":
            own = self._stretch[:, None] * equator(axis)
        else:
            # R(x) turns with its axis about s3 at 2 x: dR R^-1 = 2 (s3 - R s3) as a vector.
            own = 2 * (np.array([0.0, 0.0, 1.0]) - turns[..., :, 2])
        behind = np.eye(3)
        slopes = np.empty((*angles_rad.shape[:-1], 3, self.count))
        for k in reversed(range(self.count)):
            slopes[..., :, k] = (behind @ own[..., k, :, None])[..., 0]
            behind = behind @ turns[..., k, :, :]
        return behind, slopes

    def reachable(self, angles_rad: Floats) -> Floats:
        """The same angles for the light, brought into the limits by whole periods, each as near to its place
        as can be; what lies in a gap of the limits goes to the nearer end."""
        period = self.period_rad
        low = np.ceil((self.low_rad - angles_rad) / period - ROUNDING)
        high = np.floor((self.high_rad - angles_rad) / period + ROUNDING)
        brought: Floats = angles_rad + period * np.clip(0.0, np.minimum(low, high), np.maximum(low, high))
        # In a gap low is one more than high: above the upper end, and a period lower below the lower one.
        above = (brought - self.high_rad) % period <= (self.low_rad - brought) % period
        in_gap = low > high
        brought = np.where(in_gap & above, self.high_rad, np.where(in_gap, self.low_rad, brought))
        return self.within(brought)

    def within(self, angles_rad: Floats) -> Floats:
        """Angles that miss the limits by no more than a reading wavers, cut off there."""
        cut: Floats = np.clip(angles_rad, self.low_rad, self.high_rad)
        return cut

    def random(self, rng: np.random.Generator, *shape: int) -> Floats:
        """Random angles of one period about the middle of the limits: (*shape, n)."""
        middle, span = (self.low_rad + self.high_rad) / 2, min(self.period_rad, self.high_rad - self.low_rad)
        return rng.uniform(middle - span / 2, middle + span / 2, (*shape, self.count))

    def angles_for(self, target: Floats, near_rad: Floats, rng: np.random.Generator) -> Floats:
        """Angles within the limits whose rotation comes nearest to `target`; of several that come as near,
        those nearest to `near_rad`.

        Damped Gauss-Newton steps on the rotation that is missing, from `near_rad` and `STARTS` random angles
        at once; a step never leaves the limits."""
        x = np.concatenate([near_rad[None], self.random(rng, STARTS)])
        identity = DAMPING * np.eye(3)
        for _ in range(STEPS):
            made, slopes = self._slopes(x)
            missing = rotation_vectors(target @ np.swapaxes(made, -1, -2))
            across = np.swapaxes(slopes, -1, -2)
            step = (across @ np.linalg.solve(slopes @ across + identity, missing[..., None]))[..., 0]
            longest = np.max(np.abs(step), axis=-1, keepdims=True)
            x = self.reachable(x + step * np.minimum(1.0, LONGEST_STEP_RAD / np.maximum(longest, 1e-12)))
        missed = _angle(target @ np.swapaxes(self.rotation(x), -1, -2))
        way = np.max(np.abs(x - near_rad), axis=-1)
        good = missed <= missed.min() + GOOD_RAD
        best: Floats = x[np.argmin(np.where(good, way, np.inf))]
        return best

    @classmethod
    def nominal(
        cls, angle_is: AngleIs, count: int, low_rad: float, high_rad: float, fixed_rad: Sequence[float] | None
    ) -> "Plates":
        """Plates as they are usually built, unless `fixed_rad` says otherwise. ValueError where nothing is
        usual."""
        if fixed_rad is None:
            fixed_rad = usual(angle_is, count)
        if len(fixed_rad) != count:
            raise ValueError(f"{len(fixed_rad)} plates are described, there are {count}")
        return cls(angle_is, tuple(fixed_rad), low_rad, high_rad)


def usual(angle_is: AngleIs, count: int) -> tuple[float, ...]:
    """Retardances or fast axes that such controllers usually have. ValueError where nothing is usual.

    Squeezers stand at 0 and 45 degrees in turn (ozoptics_epc400.md, M); three paddles are wound as quarter,
    half and quarter wave plates; seven plates are three quarter, a half, three quarter (novoptel_epc.md, M).
    """
    if angle_is == "retardance":
        return tuple(pi / 4 * (k % 2) for k in range(count))
    if count in (3, 7):
        side = (pi / 2,) * (count // 2)
        return (*side, pi, *side)
    raise ValueError(f"what {count} plates retard by is not known")


def chained(turns: Floats) -> Floats:
    """One rotation out of those that follow each other in beam order: (..., n, 3, 3) -> (..., 3, 3)."""
    whole = turns[..., 0, :, :]
    for k in range(1, turns.shape[-3]):
        whole = turns[..., k, :, :] @ whole
    return whole


def _angle(turns: Floats) -> Floats:
    angle: Floats = np.arccos(np.clip((np.trace(turns, axis1=-2, axis2=-1) - 1) / 2, -1.0, 1.0))
    return angle
