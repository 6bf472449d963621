"""A detector's bias sweep: efficiency and dark counts against bias, and the operating point they suggest.

Counts with light and without, at each bias, are fitted together (`physics.md` 2, Detectors):

    nanowire:   with light  A/2 erfc((I0 - I)/w) + dark,     dark = d0 + d1 exp(I / wd)
    avalanche:  with light  A (1 - exp(-V / V0)) + dark,     the same dark counts over overvoltage V

Efficiency is known only relative to the plateau, unless the light is: A is a rate.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from experiments.estimators.estimate import Estimate
from experiments.estimators.poisson_fit import FitError, Floats, fit_poisson

Kind = Literal["nanowire", "avalanche_diode"]
UNITS: dict[Kind, str] = {"nanowire": "A", "avalanche_diode": "V over breakdown"}
STRANGE, GROSS = 10.0, 0.05
"""Counts that scatter about their curve with a deviance of so much per degree of freedom, and by so much of
the plateau, are no counts of such a detector. Dead time bends the curve by less. [assumed]"""


@dataclass(frozen=True)
class BiasSweep:
    """Counts at each bias (amperes or volts, rising), `seconds` each, with light and in the dark."""

    bias: Floats
    lit: Floats
    dark: Floats
    seconds: float


@dataclass(frozen=True)
class BiasFit:
    """The fitted curves. `plateau_hz` is the rate of light at full efficiency."""

    kind: Kind
    values: Floats
    """A, then I0 and w (or V0), then d0, the dark counts added at the highest bias, and wd; in 1/s and units
    of bias."""
    swept: tuple[float, float]
    plateau_hz: Estimate
    deviance: float
    freedom: int

    @property
    def widening(self) -> float:
        """By how much errors grow for how well the curve fits: counts are many, and detectors no erfc."""
        return sqrt(max(1.0, self.deviance / max(self.freedom, 1)))

    def light_hz(self, bias: Floats) -> Floats:
        """Expected clicks for light."""
        return _light(self.kind, self.values, np.asarray(bias, float))

    def efficiency(self, bias: Floats) -> Floats:
        """Relative to the plateau, 0 to 1."""
        share: Floats = self.light_hz(bias) / self.plateau_hz.value
        return share

    def dark_hz(self, bias: Floats) -> Floats:
        """Expected dark counts."""
        return _dark(self.values, np.asarray(bias, float), self.swept[1])


@dataclass(frozen=True)
class BiasPoint:
    """A bias and what is expected there: efficiency relative to the plateau, dark counts per second."""

    bias: float
    efficiency: float
    dark_hz: float


def fit_bias(sweep: BiasSweep, kind: Kind) -> BiasFit:
    """Fit a sweep of at least 8 points. FitError if the counts do not determine the curve, as when the sweep
    ends before the plateau begins, or are those of another curve."""
    bias, seconds = np.asarray(sweep.bias, float), sweep.seconds
    lit, dark = np.asarray(sweep.lit, float), np.asarray(sweep.dark, float)
    if len(bias) < 8 or np.any(np.diff(bias) <= 0):
        raise FitError(f"a bias sweep takes at least 8 rising points, not {len(bias)}")
    light = np.maximum(lit - dark, 0.0) / seconds
    most, highest = float(light.max()), float(bias[-1])
    if most <= 0:
        raise FitError("no light was seen at any bias")
    span = highest - float(bias[0])
    half = float(bias[int(np.argmax(light >= most / 2))])
    of_light = [half, span / 8] if kind == "nanowire" else [max(half, span / 100) / 0.7]
    darkest = float(dark[-1]) / seconds
    floor = float(dark[: max(len(dark) // 4, 2)].mean()) / seconds
    start = np.array([most, *of_light, floor + 0.01, max(darkest - floor, 0.1), span / 10])
    positions = [bias[0] - span, 1e-3 * span] if kind == "nanowire" else [1e-3 * span]
    low = np.array([0.0, *positions, 0.0, 0.0, 5e-3 * span])
    tops = [highest, 4 * span] if kind == "nanowire" else [20 * span]
    high = np.array([10 * most, *tops, 10 * (darkest + 1), 10 * (darkest + 1), 20 * span])

    def model(values: Floats) -> Floats:
        in_the_dark = _dark(values, bias, highest)
        return seconds * np.concatenate([_light(kind, values, bias) + in_the_dark, in_the_dark])

    fit = fit_poisson(model, start, np.concatenate([lit, dark]), low, high)
    plateau = Estimate(float(fit.values[0]), float(fit.errors[0]))
    if plateau.error > 0.2 * plateau.value:
        raise FitError(
            f"the plateau is not reached: it would be at {plateau.value:.3g} +- {plateau.error:.2g}/s. "
            "Sweep to a higher bias, if the detector allows it"
        )
    off = (lit - model(fit.values)[: len(bias)]) / (seconds * plateau.value)
    if fit.deviance > STRANGE * fit.freedom and sqrt(float(np.mean(off**2))) > GROSS:
        worst = int(np.argmax(np.abs(off)))
        raise FitError(
            f"the clicks with light follow no curve of bias: at {bias[worst]:.4g} {UNITS[kind]} they are "
            f"{off[worst]:+.0%} of the plateau from it (deviance {fit.deviance:.3g} with {fit.freedom} "
            "degrees of freedom). Sweep less high, and see whether the light stays the same"
        )
    return BiasFit(kind, fit.values, (float(bias[0]), highest), plateau, fit.deviance, fit.freedom)


def latched_at(sweep: BiasSweep) -> float | None:
    """The bias at which a nanowire seems to have latched, for electronics that do not see it: with light it
    clicks less than half as often as at a lower bias, and clearly so. None if it does so nowhere."""
    most = np.maximum.accumulate(np.asarray(sweep.lit, float))
    fallen = np.asarray(sweep.lit, float) < most / 2 - 3 * np.sqrt(most)
    return float(sweep.bias[int(np.argmax(fallen))]) if fallen.any() else None


def operating_point(fit: BiasFit, plateau: float = 0.98, most_dark_hz: float | None = None) -> BiasPoint:
    """The lowest bias at which efficiency reaches this share of the plateau: more would add dark counts and
    bring the detector closer to latching, for hardly any light.

    Only biases that were swept are chosen from. FitError if the share is not reached there, or not with so
    few dark counts; it says what is possible.
    """
    bias = np.linspace(*fit.swept, 2001)
    efficiency, dark = fit.efficiency(bias), fit.dark_hz(bias)
    enough = efficiency >= plateau
    if not enough.any():
        raise FitError(
            f"at the highest bias of the sweep the efficiency is {efficiency[-1]:.3f} of the plateau, "
            f"{plateau:g} was asked for"
        )
    k = int(np.argmax(enough))
    if most_dark_hz is not None and dark[k] > most_dark_hz:
        quiet = int(np.argmax(dark > most_dark_hz)) - 1
        best = f"{efficiency[quiet]:.3f} of the plateau" if quiet >= 0 else "nothing"
        raise FitError(
            f"{plateau:g} of the plateau comes with {dark[k]:.0f} dark counts/s; with {most_dark_hz:g} at "
            f"most, {best} is possible"
        )
    return BiasPoint(float(bias[k]), float(efficiency[k]), float(dark[k]))


def _light(kind: Kind, values: Floats, bias: Floats) -> Floats:
    if kind == "nanowire":
        from scipy.special import erfc

        rate: Floats = values[0] / 2 * erfc((values[1] - bias) / values[2])
    else:
        rate = values[0] * -np.expm1(-np.maximum(bias, 0.0) / values[1])
    return rate


def _dark(values: Floats, bias: Floats, highest: float) -> Floats:
    floor, added, width = values[-3:].tolist()
    rate: Floats = floor + added * np.exp((bias - highest) / width)
    return rate
