"""A pump sweep of a pair source, and the pump power for a wanted rate or a wanted fidelity.

Pairs grow with the pump power and accidentals with its square, so a rate is had at the price of fidelity: one
power gives *one* rate and *one* fidelity, and neither is ever quoted without the other (`OperatingPoint` has
both). GothamQ's source at 5e5 pairs/s had F = 0.88, and F = 0.99 at 2e4/s (`testbeds.md` 1.3).

    singles of an arm  a0 + a1 P         coincidences  c P + (a0 + a1 P)(b0 + b1 P) w

with the full window w. Light that comes in pulses meets in the same pulse, so that by chance there are more
coincidences of a1 P and b1 P, the light that goes with the pump: k times as many, up to the period over w.
The coincidences of displaced windows tell k, and are fitted too.

Everything is as the detectors count it; dead time is not corrected for, so the sweep should stay where it
takes little.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from experiments.estimators.estimate import Estimate
from experiments.estimators.heralding import werner_fidelity
from experiments.estimators.poisson_fit import FitError, Floats, fit_poisson


@dataclass(frozen=True)
class PumpSweep:
    """Counts at each pump power (watts), `seconds` each: singles of both arms, coincidences in a full
    window. Of a pulsed source also those in `displacements` windows together, displaced by whole pulses."""

    power_w: Floats
    first: Floats
    second: Floats
    coincidences: Floats
    seconds: float
    window_s: float
    displaced: Floats | None = None
    displacements: int = 0


@dataclass(frozen=True)
class OperatingPoint:
    """A pump power and what is expected there: true coincidences per second as the detectors count them, CAR
    in the sweep's window, and the fidelity that accidentals leave."""

    power_w: float
    rate_hz: Estimate
    car: Estimate
    fidelity: Estimate


@dataclass(frozen=True)
class PumpFit:
    """The fitted source. `values` are a0, a1, b0, b1, c, per second and per second and watt, and the k of a
    pulsed source. `perfect` is the fidelity of its pairs when there are no accidentals."""

    values: Floats
    covariance: Floats
    window_s: float
    swept_w: tuple[float, float]
    perfect: float
    deviance: float
    freedom: int

    def at(self, power_w: float) -> OperatingPoint:
        """What is expected at a pump power in watts, with errors from the fit."""
        rate = self._estimate(lambda v: float(v[4] * power_w))
        car = self._estimate(lambda v: _car(v, power_w, self.window_s))
        return OperatingPoint(power_w, rate, car, werner_fidelity(car, self.perfect))

    def _estimate(self, figure: Callable[[Floats], float]) -> Estimate:
        slope = np.empty(len(self.values))
        for k, value in enumerate(self.values):
            step = np.zeros_like(self.values)
            step[k] = 1e-4 * max(abs(value), 1e-6)
            slope[k] = (figure(self.values + step) - figure(self.values - step)) / (2 * step[k])
        return Estimate(figure(self.values), sqrt(max(float(slope @ self.covariance @ slope), 0.0)))


def fit_pump(sweep: PumpSweep, perfect: float = 1.0) -> PumpFit:
    """Fit a sweep of at least 4 powers. FitError if no pairs are seen."""
    power, seconds = np.asarray(sweep.power_w, float), sweep.seconds
    if len(power) < 4 or np.ptp(power) <= 0:
        raise FitError(f"a pump sweep takes at least 4 powers, not {len(power)}")
    n = np.concatenate([sweep.first, sweep.second, sweep.coincidences]).astype(float)
    pulsed = sweep.displaced is not None
    start = np.empty(6 if pulsed else 5)
    for k, singles in enumerate((sweep.first, sweep.second)):
        slope, offset = np.polyfit(power, np.asarray(singles, float) / seconds, 1)
        start[2 * k : 2 * k + 2] = max(float(offset), 1.0), max(float(slope), 1.0)
    accidental = np.asarray(sweep.first) * np.asarray(sweep.second) * sweep.window_s / seconds
    if sweep.displaced is not None:
        n = np.concatenate([n, sweep.displaced])
        by_window = float(accidental.sum()) or 1.0
        start[5] = max(float(sweep.displaced.sum()) / sweep.displacements / by_window, 1.0)
        accidental = start[5] * accidental
    true = float(np.sum(sweep.coincidences - accidental)) / (seconds * float(power.sum()))
    if true <= 0:
        raise FitError("no more coincidences than accidentals at any power; calibrate the delays first")
    start[4] = true

    def model(values: Floats) -> Floats:
        a, b = values[0] + values[1] * power, values[2] + values[3] * power
        chance = _accidental_hz(values, power, sweep.window_s)
        displaced = [sweep.displacements * chance] if pulsed else []
        return seconds * np.concatenate([a, b, values[4] * power + chance, *displaced])

    high = 100 * start + 1e6
    fit = fit_poisson(model, start, n, np.zeros_like(start), high)
    swept = float(power.min()), float(power.max())
    return PumpFit(fit.values, fit.covariance, sweep.window_s, swept, perfect, fit.deviance, fit.freedom)


def power_for(fit: PumpFit, rate_hz: float, fidelity: float = 0.0) -> OperatingPoint:
    """The pump power for a rate of true coincidences, at this fidelity or better.

    FitError when the rate lies beyond the powers that were swept, or is not to be had at that fidelity: it
    then says which rate is, at that fidelity, and which fidelity, at that rate.
    """
    power = rate_hz / float(fit.values[4])
    low, high = fit.swept_w
    if not power <= high:
        raise FitError(
            f"{rate_hz:.3g} pairs/s would take {power:.3g} W; the sweep went up to {high:.3g} W, "
            f"{float(fit.values[4]) * high:.3g} pairs/s"
        )
    found = fit.at(power)
    if found.fidelity.value >= fidelity:
        return found
    powers = np.geomspace(low, high, 400)
    good = [p for p in powers.tolist() if fit.at(p).fidelity.value >= fidelity]
    best = f"up to {fit.at(good[-1]).rate_hz.value:.3g} pairs/s" if good else "nothing at the powers swept"
    raise FitError(
        f"{rate_hz:.3g} pairs/s come with a fidelity of {found.fidelity.value:.3f}, {fidelity:g} was asked "
        f"for; at that fidelity there is {best}"
    )


def _car(values: Floats, power_w: float, window_s: float) -> float:
    return float(values[4] * power_w / _accidental_hz(values, np.array([power_w]), window_s)[0])


def _accidental_hz(values: Floats, power_w: Floats, window_s: float) -> Floats:
    """What there is by chance in one window."""
    first, second = values[0] + values[1] * power_w, values[2] + values[3] * power_w
    chance: Floats = first * second * window_s
    if len(values) > 5:
        chance = chance + (values[5] - 1) * (values[1] * power_w) * (values[3] * power_w) * window_s
    return chance
