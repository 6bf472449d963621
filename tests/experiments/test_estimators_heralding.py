"""Heralding efficiency, CAR and rates against closed formulas, and their error bars against a Monte Carlo."""

import numpy as np
import pytest

from experiments.estimators.estimate import Estimate
from experiments.estimators.heralding import (
    Arm,
    Coincident,
    car,
    g_si,
    heralding_efficiency,
    pair_rate,
    werner_fidelity,
)
from experiments.estimators.pair_counts import PairCounts
from tests.experiments.pulls import honest

NO_DARK = Estimate(0.0, 0.0)


def pairs(rng: np.random.Generator, true: float, accidental: float, windows: int = 10) -> Coincident:
    return Coincident(int(rng.poisson(true + accidental)), int(rng.poisson(windows * accidental)), windows)


@pytest.mark.parametrize(("true", "accidental"), [(40_000, 1000), (900, 30), (50, 500)])
def test_car_is_honest(true: float, accidental: float) -> None:
    """CAR 40, 30 and 0.1. Where the ratio's two errors come to a twentieth, a high ratio has a large error:
    the mean pull is then some -1/20."""
    honest(lambda rng: car(pairs(rng, true, accidental)), true / accidental, 400, shift=0.06, widen=0.02)


def test_car_without_any_accidental_found() -> None:
    """90 coincidences, none of 10 displaced windows: at least 900, with an error as large."""
    found = car(Coincident(90, 0, 10))
    assert found.value == pytest.approx(899)
    assert found.error == pytest.approx(900, rel=0.01)


@pytest.mark.parametrize("efficiency", [0.05, 0.4, 0.95])
def test_heralding_efficiency_is_honest(efficiency: float) -> None:
    """Singles of light of which a share has a partner, darks known from a dark run, and accidentals: at 0.95
    the binomial error is 4 times smaller than if coincidences and singles were independent."""
    light, dark = 4000.0, 300.0

    def draw(rng: np.random.Generator) -> Estimate:
        photons = int(rng.poisson(light))
        true = int(rng.binomial(photons, efficiency))
        found = pairs(rng, 0, 40)
        counted = Coincident(found.counted + true, found.displaced, found.displacements)
        darks = rng.poisson(10 * dark) / 10
        arm = Arm(photons + int(rng.poisson(dark)), Estimate(darks, float(np.sqrt(dark / 10))))
        return heralding_efficiency(counted, arm)

    honest(draw, efficiency, 400, shift=0.03, widen=0.03)


def test_heralding_is_binomial_and_darks_dilute_it_unless_taken_off() -> None:
    plain = heralding_efficiency(Coincident(900, 0, 10), Arm(1000, NO_DARK))
    assert plain.value == pytest.approx(0.9)
    assert plain.error == pytest.approx(np.sqrt(0.9 * 0.1 / 1000), rel=0.01)
    dark = heralding_efficiency(Coincident(900, 0, 10), Arm(1500, Estimate(500, 5)))
    assert dark.value == pytest.approx(0.9)
    with pytest.raises(ValueError, match="not more than 1000 dark counts"):
        heralding_efficiency(Coincident(0, 0, 10), Arm(900, Estimate(1000, 30)))


def test_g_si_is_one_and_twice_the_car() -> None:
    """`testbeds.md` 1.3, with T true pairs of Phi+ and A accidentals: HH = T/2 + A/4, HV = A/4."""
    true, accidental = 4_000_000, 800_000
    table = np.array([[1, 0], [0, 1]]) * true // 2 + accidental // 4
    g = g_si(PairCounts.without_accidentals(table).as_counted)
    blind = car(Coincident(true + accidental, 10 * accidental, 10))
    assert blind.value == pytest.approx(5.0, rel=1e-4)
    assert g.value == pytest.approx(1 + 2 * blind.value, rel=1e-4)
    # The Werner model of the note, in either figure.
    assert werner_fidelity(blind).value == pytest.approx(1 - 3 / (2 * (1 + g.value)), rel=1e-5)


def test_g_si_is_honest() -> None:
    true, accidental = 2000.0, 400.0
    means = np.array([[1, 0], [0, 1]]) * true / 2 + accidental / 4
    honest(
        lambda rng: g_si(PairCounts.without_accidentals(rng.poisson(means)).as_counted), 11.0, 400, shift=0.1
    )


def test_werner_fidelity_at_gothamqs_two_operating_points() -> None:
    """CAR times rate is 2.6e6 pairs/s (`testbeds.md` 1.3): F 0.88 at 5e5/s, 0.95 at 2e5, 0.994 at 2e4."""
    for rate, fidelity in ((5e5, 0.88), (2e5, 0.95), (2e4, 0.994)):
        assert werner_fidelity(Estimate(2.6e6 / rate, 0.0)).value == pytest.approx(fidelity, abs=0.005)
    assert werner_fidelity(Estimate(0.0, 0.0)).value == 0.25
    assert werner_fidelity(Estimate(1e9, 0.0), perfect=0.97).value == pytest.approx(0.97)
    assert werner_fidelity(Estimate(1.0, 0.1)).error == pytest.approx(0.75 / 4 * 0.1)


def test_true_pairs_are_honest() -> None:
    honest(lambda rng: pairs(rng, 100, 50).true, 100, 400)


def test_a_rate_without_time_or_efficiency() -> None:
    found = Coincident(10, 10, 10)
    with pytest.raises(ValueError, match="over 0 s"):
        pair_rate(found, 0, 1e-9)
    with pytest.raises(ValueError, match="efficiencies"):
        pair_rate(found, 1, 1e-9, (0.0, 0.9))
    assert pair_rate(found, 1, 1e-9).at_detectors is None
