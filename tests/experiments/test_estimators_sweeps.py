"""Bias sweeps, pump sweeps and arm balance on drawn counts of known curves."""

from math import erfc, exp, log10

import numpy as np
import pytest

from experiments.estimators.balance import arm_balance
from experiments.estimators.bias_sweep import BiasSweep, fit_bias, latched_at, operating_point
from experiments.estimators.poisson_fit import FitError
from experiments.estimators.pump_sweep import PumpSweep, fit_pump, power_for
from tests.experiments.pulls import check, honest, pull

UA = 1e-6
CURRENTS = np.arange(4.0, 18.5, 0.75) * UA


def nanowire(current: float) -> tuple[float, float]:
    """Efficiency and dark counts: half at 11.9 uA, 95 % at 13.5 uA, 100 dark counts at 17 uA."""
    return erfc((11.9 * UA - current) / (1.4 * UA)) / 2, 5.0 + 95.0 * exp((current - 17 * UA) / (1.0 * UA))


def swept(seed: int, light_hz: float = 20_000.0, upto: float = 19 * UA) -> BiasSweep:
    currents = CURRENTS[upto > CURRENTS]
    rng = np.random.default_rng([23, seed])
    eta, dark = np.array([nanowire(i) for i in currents]).T
    return BiasSweep(currents, rng.poisson(light_hz * eta + dark), rng.poisson(dark), 1.0)


def test_nanowire_sweep_finds_plateau_and_operating_point() -> None:
    """98 % of the plateau: erfc(x)/2 = 0.98 at x = -1.4522, so at 11.9 + 1.4 * 1.4522 = 13.933 uA."""
    fits = [fit_bias(swept(k), "nanowire") for k in range(100)]
    check(pull(fit.plateau_hz, 20_000) for fit in fits)
    points = [operating_point(fit) for fit in fits]
    assert np.mean([p.bias for p in points]) == pytest.approx(13.933 * UA, abs=0.02 * UA)
    assert np.std([p.bias for p in points]) < 0.05 * UA
    assert all(p.efficiency == pytest.approx(0.98, abs=0.001) for p in points)
    expected = nanowire(13.933 * UA)[1]
    assert np.mean([p.dark_hz for p in points]) == pytest.approx(expected, rel=0.1)
    assert np.mean([fit.deviance / fit.freedom for fit in fits]) == pytest.approx(1, abs=0.13)
    assert fits[0].efficiency(np.array([11.9 * UA]))[0] == pytest.approx(0.5, abs=0.02)


def test_an_operating_point_that_is_not_to_be_had_is_refused() -> None:
    fit = fit_bias(swept(0), "nanowire")
    with pytest.raises(FitError, match=r"0\.98 of the plateau comes with .* dark counts/s; with 2 at most"):
        operating_point(fit, most_dark_hz=2.0)
    assert operating_point(fit, most_dark_hz=50.0).dark_hz < 50
    with pytest.raises(FitError, match="plateau"):
        operating_point(fit_bias(swept(0, upto=13 * UA), "nanowire"))
    with pytest.raises(FitError, match="no light"):
        fit_bias(BiasSweep(CURRENTS, np.zeros(20), np.zeros(20), 1.0), "nanowire")
    with pytest.raises(FitError, match="rising"):
        fit_bias(BiasSweep(CURRENTS[::-1], np.ones(20), np.zeros(20), 1.0), "nanowire")


@pytest.mark.parametrize("latches", [17.1 * UA, 15.6 * UA])
def test_a_wire_that_latches_unseen_is_known_by_its_clicks(latches: float) -> None:
    """It clicks no more from there on. What is below tells the same operating point as the whole curve."""
    whole = swept(3)
    clicks = whole.bias < latches
    sweep = BiasSweep(whole.bias, whole.lit * clicks, whole.dark * clicks, 1.0)
    found = latched_at(sweep)
    assert found is not None
    assert latches <= found < latches + 0.75 * UA
    assert latched_at(whole) is None
    with pytest.raises(FitError, match=r"at 1\.\d*e-05 A they are [+-]\d+% of .* Sweep less high"):
        fit_bias(sweep, "nanowire")
    below = BiasSweep(whole.bias[clicks], whole.lit[clicks], whole.dark[clicks], 1.0)
    point = operating_point(fit_bias(below, "nanowire"))
    assert nanowire(point.bias)[0] == pytest.approx(0.98, abs=0.01)


def test_errors_grow_with_what_the_curve_does_not_explain() -> None:
    """Light that wavers by 1 % between points: a million clicks see it."""
    many, wavering = swept(0, light_hz=1e6), np.random.default_rng(41).normal(1, 0.01, len(CURRENTS))
    fit = fit_bias(BiasSweep(many.bias, many.lit * wavering, many.dark, 1.0), "nanowire")
    assert fit.deviance > 10 * fit.freedom
    assert abs(fit.plateau_hz.value - 1e6) < 4 * fit.widening * fit.plateau_hz.error
    assert fit.widening == pytest.approx((fit.deviance / fit.freedom) ** 0.5)
    assert fit_bias(swept(0), "nanowire").widening < 1.3


def test_avalanche_diode_sweep() -> None:
    """A (1 - exp(-V/2)) over up to 12 V, dark counts growing e-fold in 3 V: 98 % at 2 ln 50 = 7.824 V."""
    volts = np.arange(0.5, 12.1, 0.5)
    dark = 400 * np.exp((volts - 12) / 3)
    fits = []
    for k in range(100):
        rng = np.random.default_rng([29, k])
        lit = rng.poisson(30_000 * (1 - np.exp(-volts / 2)) + dark)
        fits.append(fit_bias(BiasSweep(volts, lit, rng.poisson(dark), 1.0), "avalanche_diode"))
    check(pull(fit.plateau_hz, 30_000) for fit in fits)
    points = [operating_point(fit) for fit in fits]
    assert np.mean([p.bias for p in points]) == pytest.approx(7.824, abs=0.02)
    assert np.mean([p.dark_hz for p in points]) == pytest.approx(400 * exp((7.824 - 12) / 3), rel=0.05)


POWERS = np.array([1.0, 2.0, 4.0, 8.0, 16.0]) * 1e-3
TRUE = (2000.0, 4e7, 1000.0, 6e7, 4e6)
WINDOW = 1e-9


def pump_sweep(seed: int) -> PumpSweep:
    rng = np.random.default_rng([31, seed])
    a, b = TRUE[0] + TRUE[1] * POWERS, TRUE[2] + TRUE[3] * POWERS
    together = TRUE[4] * POWERS + a * b * WINDOW
    return PumpSweep(POWERS, *(rng.poisson(rates * 2.0) for rates in (a, b, together)), 2.0, WINDOW)


def test_pump_sweep_predicts_rate_and_car() -> None:
    """At 5 mW: 2e4 pairs/s, singles 2.02e5 and 3.01e5, accidentals 60.8/s, CAR 328.9; 150 seeds."""
    found = [fit_pump(pump_sweep(k)).at(5e-3) for k in range(150)]
    check(pull(point.rate_hz, 2e4) for point in found)
    check(pull(point.car, 2e4 / (2.02e5 * 3.01e5 * 1e-9)) for point in found)
    # F = 1/4 + 3/4 CAR / (1 + CAR)
    car = 2e4 / (2.02e5 * 3.01e5 * 1e-9)
    check(pull(point.fidelity, 0.25 + 0.75 * car / (1 + car)) for point in found)


def test_accidentals_of_a_pulsed_source_are_by_pulse() -> None:
    """Pulses every 12.5 ns, all of a pulse in the window of 1 ns: two photons that share no pair meet in a
    pulse, while dark counts meet everything evenly. At 5 mW that is 2e5 * 3e5 * 12.5e-9 + (2e3 * 3.01e5 +
    2e5 * 1e3) * 1e-9 = 750.8/s."""

    def swept(seed: int) -> PumpSweep:
        rng = np.random.default_rng([37, seed])
        light_a, light_b = TRUE[1] * POWERS, TRUE[3] * POWERS
        a, b = TRUE[0] + light_a, TRUE[2] + light_b
        chance = light_a * light_b * 12.5e-9 + (a * b - light_a * light_b) * WINDOW
        means = (a, b, TRUE[4] * POWERS + chance)
        counts = [rng.poisson(2.0 * mean) for mean in means]
        return PumpSweep(POWERS, *counts, 2.0, WINDOW, rng.poisson(2.0 * 20 * chance).astype(float), 20)

    fits = [fit_pump(swept(k)) for k in range(100)]
    found = [fit.at(5e-3) for fit in fits]
    check(pull(point.rate_hz, 2e4) for point in found)
    check(pull(point.car, 2e4 / 750.8) for point in found)
    assert np.mean([fit.deviance / fit.freedom for fit in fits]) == pytest.approx(1, abs=0.13)


def test_power_for_a_rate_at_a_fidelity() -> None:
    fit = fit_pump(pump_sweep(0), perfect=0.98)
    point = power_for(fit, 2e4, fidelity=0.97)
    assert point.power_w == pytest.approx(5e-3, rel=0.01)
    with pytest.raises(FitError, match=r"8\.00?e\+04|8e\+04"):
        power_for(fit, 8e4)
    with pytest.raises(
        FitError, match=r"fidelity of 0\.97\d, 0\.979 was asked for; at that fidelity there is"
    ):
        power_for(fit, 2e4, fidelity=0.979)
    with pytest.raises(FitError, match="nothing at the powers swept"):
        power_for(fit, 2e4, fidelity=0.99)


def test_a_pump_sweep_without_pairs_is_refused() -> None:
    sweep = PumpSweep(POWERS, np.full(5, 10_000), np.full(5, 10_000), np.zeros(5), 1.0, WINDOW)
    with pytest.raises(FitError, match="calibrate the delays"):
        fit_pump(sweep)
    with pytest.raises(FitError, match="at least 4"):
        fit_pump(PumpSweep(POWERS[:3], np.ones(3), np.ones(3), np.ones(3), 1.0, WINDOW))


def test_arm_balance() -> None:
    """4:1 in light is 6.02 dB; 2 * 4 / 25 of all pairs of photons come from both arms."""
    found = arm_balance(41_000, 11_000, 1000)
    assert found.excess_db.value == pytest.approx(10 * log10(4))
    assert found.attenuate == (0, pytest.approx(6.0206, abs=1e-4))
    assert found.from_both == pytest.approx(0.32)
    assert arm_balance(11_000, 41_000, 1000).attenuate[0] == 1
    honest(
        lambda rng: arm_balance(*(int(n) for n in rng.poisson([5000, 4000, 1000]))).excess_db,
        10 * log10(4 / 3),
        400,
        widen=0.02,
    )
    with pytest.raises(ValueError, match="an arm is dark"):
        arm_balance(900, 5000, 1000)
