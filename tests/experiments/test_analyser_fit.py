"""The fit of an analyser's wave plates against counts drawn from Jones calculus.

What is counted is drawn from |<H| HWP QWP |light>|^2 with the retarders of `scrambled_link`, which share
nothing with the fit. How well zeros must be found is the table of physics.md 6, "Analyser".
"""

from dataclasses import dataclass

import numpy as np
import pytest

from drivers.capabilities import RotationMount
from experiments.calibrations.analyser import AnalyserFit, FitError, fit, settings
from experiments.engine.bench import Bench
from experiments.measurements.analysers import Setting, circular, linear
from tests.experiments.fakes import FakeMount
from tests.experiments.fakes import testbed as nyc
from tests.experiments.scrambled_link import PROBES, retarder

TABLE = {1e4: (1.4e-3, 2.4e-3), 1e5: (6e-4, 9e-4), 1e6: (1.8e-4, 2.8e-4)}
"""Counts per setting: rms error of the zeros of the half-wave and the quarter-wave plate, in radians."""


@dataclass(frozen=True)
class Truth:
    qwp_zero_rad: float
    hwp_zero_rad: float
    qwp_error_rad: float
    hwp_error_rad: float
    extinction: float
    balance: float

    def counts(self, light: str, total: float, rng: np.random.Generator) -> np.ndarray:
        counted = []
        for qwp, hwp in settings():
            through = retarder(np.pi + self.hwp_error_rad, hwp + self.hwp_zero_rad) @ retarder(
                np.pi / 2 + self.qwp_error_rad, qwp + self.qwp_zero_rad
            )
            clean = abs((through @ np.array(PROBES[light]))[0]) ** 2
            h = clean * (1 - self.extinction) + (1 - clean) * self.extinction
            shares = np.array([self.balance * h, 1 - h])
            counted.append(rng.poisson(total * shares / shares.sum()))
        return np.array(counted)


def random_truth(rng: np.random.Generator) -> Truth:
    zeros, errors = rng.uniform(-0.4, 0.4, 2), 0.04 * rng.normal(size=2)
    return Truth(*zeros, *errors, 0.01 * rng.random(), 1 + 0.1 * rng.normal())


def fits(total: float, trials: int, light: str = "H") -> list[tuple[Truth, AnalyserFit]]:
    rng = np.random.default_rng([round(total), trials])
    found = []
    for _ in range(trials):
        truth = random_truth(rng)
        sent = {"H": (1.0, 0.0, 0.0), "D": (0.0, 1.0, 0.0)}[light]
        found.append((truth, fit(settings(), truth.counts(light, total, rng), sent)))
    return found


def rms(found: list[tuple[Truth, AnalyserFit]], name: str) -> float:
    return float(np.sqrt(np.mean([(f.values[name] - getattr(t, name)) ** 2 for t, f in found])))


@pytest.mark.parametrize("total", TABLE)
def test_zeros_are_found_as_well_as_the_table_says(total: float) -> None:
    """Of 8 trials the rms is within a factor of 2.4 of its expectation but for 1 in 10^6 (chi-square of
    8)."""
    found = fits(total, 8)
    hwp, qwp = TABLE[total]
    assert rms(found, "hwp_zero_rad") < 2.4 * hwp
    assert rms(found, "qwp_zero_rad") < 2.4 * qwp


def test_error_bars_are_right() -> None:
    """Pulls of six parameters in 12 trials: chi-square of 72 degrees of freedom, outside of these bounds by
    less than 1e-6 were they independent; they are not quite, so the bounds are wider."""
    pulls = [
        (f.values[name] - getattr(t, name)) / f.errors[name]
        for t, f in fits(3e5, 12, light="D")
        for name in f.values
        if name != "extinction"  # bounded by 0, where errors are not symmetric
    ]
    assert 0.45 < np.mean(np.square(pulls)) < 2.0


@pytest.mark.long
@pytest.mark.parametrize("total", TABLE)
def test_zeros_over_a_hundred_analysers(total: float) -> None:
    found = fits(total, 100)
    hwp, qwp = TABLE[total]
    assert rms(found, "hwp_zero_rad") < 1.6 * hwp
    assert rms(found, "qwp_zero_rad") < 1.6 * qwp
    for name in ("qwp_zero_rad", "hwp_zero_rad", "qwp_error_rad", "hwp_error_rad"):
        pulls = [(f.values[name] - getattr(t, name)) / f.errors[name] for t, f in found]
        assert abs(np.mean(pulls)) < 0.5
        assert 0.65 < np.std(pulls) < 1.35


def test_light_that_is_not_linear_does_not_fit() -> None:
    rng = np.random.default_rng(5)
    counts = random_truth(rng).counts("R", 1e5, rng)
    with pytest.raises(FitError, match="do not fit an analyser in this light"):
        fit(settings(), counts, (1.0, 0.0, 0.0))


def test_darkness_does_not_fit() -> None:
    with pytest.raises(FitError, match="without a single count"):
        fit(settings(), np.zeros((24, 2), np.int64), (1.0, 0.0, 0.0))


def test_mounts_stand_less_by_the_zeros() -> None:
    names = ("alice_qwp", "alice_hwp", "bob_qwp", "bob_hwp")
    bench = Bench(nyc(), {name: FakeMount(name) for name in names})
    setting = Setting("test", (linear(45), circular()))
    before = setting.angles(bench, ("alice_analyser", "bob_analyser"))
    bench.zeros_rad.update(alice_qwp=0.1, bob_hwp=-0.2)
    after = setting.angles(bench, ("alice_analyser", "bob_analyser"))

    def shift(name: str) -> float:
        mount = bench.get(name, RotationMount)
        return after[mount] - before[mount]

    assert [shift(name) for name in names] == pytest.approx([-0.1, 0.0, 0.0, 0.2])
