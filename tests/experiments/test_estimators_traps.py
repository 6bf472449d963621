"""The traps of `testbeds.md` 8, each with numbers: what our figures do where a reader could be misled."""

from math import acos, cos, pi, sqrt

import numpy as np
import pytest

from experiments.calibrations.polarization.sphere import pair_fidelity, probe_fidelity
from experiments.estimators.bell import CHSH_ANGLES
from experiments.estimators.heralding import Coincident, pair_rate
from experiments.estimators.pair_counts import Cells, PairCounts
from experiments.estimators.pairs import FidelityBounds, figures, to_json
from experiments.estimators.poisson_fit import FitError
from experiments.estimators.polarization_error import most_qber_of_links
from experiments.estimators.pump_sweep import PumpSweep, fit_pump, power_for
from experiments.estimators.swapping import against_window, widest_window
from experiments.estimators.swapping import figures as swapping_figures

EXACT = 0.0


def cells(agree: float, differ: float, n: float = 1e6) -> Cells:
    table = n / 2 * np.array([[agree, differ], [differ, agree]])
    return PairCounts.without_accidentals(np.round(table).astype(np.int64)).as_counted


def test_half_a_million_pairs_and_99_percent_are_two_operating_points() -> None:
    """(b) GothamQ's source as a sweep, CAR times rate = 2.6e6/s: 5e5 pairs/s with F >= 0.99 is refused, and
    the refusal says what is to be had, F = 0.88 at that rate or 3.5e4/s at that fidelity."""
    power = np.geomspace(0.2, 10, 12) * 1e-3
    pairs = 1e8 * power  # 5e5/s at 5 mW
    singles = pairs / np.sqrt(2.6e6 * 1e-9)  # so that accidentals a^2 w are pairs^2 / 2.6e6
    together = pairs + singles**2 * 1e-9
    fit = fit_pump(PumpSweep(power, singles, singles, together, 1.0, 1e-9))
    at_rate = power_for(fit, 5e5)
    assert at_rate.fidelity.value == pytest.approx(0.88, abs=0.005)
    with pytest.raises(
        FitError, match=r"fidelity of 0\.879, 0\.99 was asked for; .* up to 3\.\de\+04 pairs/s"
    ):
        power_for(fit, 5e5, fidelity=0.99)
    assert power_for(fit, 2e4, fidelity=0.99).fidelity.value == pytest.approx(0.994, abs=0.001)


def test_bounds_are_not_error_bars() -> None:
    """(c) With 100 times the counts each bound's own error is a tenth; their distance stays (1 - p)/2."""
    part = (4 * 0.94 - 1) / 3
    found = [
        figures({b: cells((1 + part) / 2, (1 - part) / 2, n) for b in ("ZZ", "XX")}, "Phi+").fidelity_bounds
        for n in (1e4, 1e6)
    ]
    few, many = found
    assert isinstance(few, FidelityBounds)
    assert isinstance(many, FidelityBounds)
    assert few.lower.error / many.lower.error == pytest.approx(10, rel=0.01)
    for bounds in (few, many):
        assert bounds.upper.value - bounds.lower.value == pytest.approx((1 - part) / 2, abs=2e-4)
    shown = to_json(both := figures({b: cells(0.97, 0.03) for b in ("ZZ", "XX")}, "Phi+"), both)
    # Nowhere a fidelity as a value with an error: that takes a third basis.
    assert {name for name in shown if "fidelity" in name} == {"fidelity_lower", "fidelity_upper"}


def test_one_basis_proves_nothing() -> None:
    """(d) The classical mixture of HH and VV: V_Z = 1, and yet F = 1/2 exactly and S = sqrt 2."""
    settings = {"ZZ": cells(1, 0), "XX": cells(0.5, 0.5)}
    for name, (a, b) in CHSH_ANGLES.items():
        e = cos(2 * a * pi / 180) * cos(2 * b * pi / 180)
        settings[name] = cells((1 + e) / 2, (1 - e) / 2)
    found = figures(settings, "Phi+")
    assert found.visibility_zz is not None
    assert found.chsh_s is not None
    assert found.fidelity_bounds is not None
    assert found.visibility_zz.value == 1
    assert found.chsh_s.value == pytest.approx(sqrt(2), abs=1e-5)
    assert found.fidelity_bounds.lower.value == pytest.approx(0.5, abs=1e-5)
    assert found.fidelity_bounds.upper.value == pytest.approx(0.5, abs=1e-5)
    # From one basis there is no fidelity and no bound on it, and none in what is stored.
    alone = figures({"ZZ": settings["ZZ"]}, "Phi+")
    assert alone.fidelity_three_bases is None
    assert alone.fidelity_bounds is None
    assert set(to_json(alone, alone)) == {"visibility_zz", "qber_z"}


def swapped_counts(zz: float, overlap: float, n: int = 40_000) -> dict[str, np.ndarray]:
    """Four-folds of a swapped state with ZZ and XX = overlap * ZZ, equal numbers of Psi- and Psi+."""
    counts = {}
    for name in ("ZZ", "XX", *CHSH_ANGLES):
        table = np.zeros((2, 2, 2), np.int64)
        for k, x_sign in enumerate((-1, 1)):
            if name in CHSH_ANGLES:
                a, b = (angle * pi / 180 for angle in CHSH_ANGLES[name])
                e = -zz * cos(2 * a) * cos(2 * b) + x_sign * zz * overlap * np.sin(2 * a) * np.sin(2 * b)
            else:
                e = -zz if name == "ZZ" else x_sign * zz * overlap
            same, other = round(n * (1 + e) / 4), round(n * (1 - e) / 4)
            table[k] = [[same, other], [other, same]]
        counts[name] = table
    return counts


def test_the_herald_rate_is_blind_to_lost_indistinguishability() -> None:
    """(e) NYC set, kappa 0.6 for 1.0 (`physics.md` 5): rate and ZZ stay, S falls from 2.36 to 1.90, and the
    interference, XX/ZZ, says why."""
    s, rates, overlaps = [], [], []
    for overlap in (0.948, 0.568):  # so that S = sqrt 2 ZZ (1 + overlap) is 2.36 and 1.90
        found = swapping_figures(swapped_counts(0.857, overlap), 1000.0)
        assert found.chsh_s is not None
        assert found.swap_rate_hz is not None
        assert found.visibility_zz is not None
        assert found.visibility_xx is not None
        s.append(found.chsh_s.value)
        rates.append(found.swap_rate_hz.value)
        overlaps.append(found.visibility_xx.value / found.visibility_zz.value)
    assert s == [pytest.approx(2.36, abs=0.01), pytest.approx(1.90, abs=0.01)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-4)
    assert overlaps == [pytest.approx(0.948, abs=1e-3), pytest.approx(0.568, abs=1e-3)]


def test_three_rates_of_pairs_have_three_names() -> None:
    """(f) GothamQ's long run: raw 1.2e5/s are 2e5/s with detectors of 0.90 and 0.68 divided out."""
    pairs = Coincident(counted=1_250_000, displaced=280_000, displacements=10)
    found = pair_rate(pairs, 10.0, window_s=1e-9, efficiencies=(0.90, 0.68))
    assert found.raw.value == pytest.approx(1.250e5)
    assert found.subtracted.value == pytest.approx(1.222e5)
    assert found.at_detectors is not None
    assert found.at_detectors.value == pytest.approx(2.0e5, rel=0.002)
    shown = found.to_json()
    assert shown["value"] == found.raw.value
    assert set(shown) == {"value", "error", "subtracted", "at_detectors", "window_s"}


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - cos(angle)) * k @ k


def test_a_probe_fidelity_is_not_a_pair_fidelity() -> None:
    """(a), (g) For 50 random rotations: overlaps (1 + R_ii)/2 of three probes have by Rodrigues' formula a
    mean of (2 + cos theta)/3, and pairs (1 + cos theta)/2, always lower: 0.990 is 0.985 on pairs."""
    rng = np.random.default_rng(3)
    for angle in (acos(0.97), *rng.uniform(0, pi, 50)):
        axis = rng.normal(size=3)
        r = rotation(axis / np.linalg.norm(axis), angle)
        probes, pairs = probe_fidelity(r @ np.eye(3), np.eye(3)), pair_fidelity(r)
        assert probes == pytest.approx((2 + cos(angle)) / 3)
        assert pairs == pytest.approx((1 + cos(angle)) / 2)
        assert probes >= pairs
        if angle == acos(0.97):
            assert (probes, pairs) == (pytest.approx(0.990), pytest.approx(0.985))


def test_drift_looks_like_an_eavesdropper() -> None:
    """(h) A link turned by 20 deg about Y and an intercept-resend attack on 12.6 % of the photons raise the
    QBER from 2 % to the same 4.9 %; only the link tells them apart: it explains 3.0 %, or nothing."""
    turned = 20 * pi / 180
    by_drift = (1 - 0.96 * cos(turned)) / 2
    share = (by_drift - 0.02) / (0.25 - 0.02)
    by_attack = (1 - share) * 0.02 + share / 4  # testbeds.md 4.4
    assert by_drift == pytest.approx(by_attack)
    assert share == pytest.approx(0.126, abs=0.001)
    fidelity = pair_fidelity(rotation(np.array([0.0, 1.0, 0.0]), turned))
    assert by_drift - most_qber_of_links([fidelity]) == pytest.approx(0.0187, abs=1e-4)
    assert by_attack - most_qber_of_links([1.0]) == pytest.approx(0.0489, abs=1e-4)


def test_links_turn_a_basis_by_no_more_than_all_their_angles() -> None:
    """Of two links one after the other, and of a basis along any axis."""
    rng = np.random.default_rng(7)
    for _ in range(50):
        links = []
        for angle in rng.uniform(0, pi / 3, 2):
            axis = rng.normal(size=3)
            links.append(rotation(axis / np.linalg.norm(axis), angle))
        most = most_qber_of_links(pair_fidelity(link) for link in links)
        assert np.all((1 - np.diag(links[0] @ links[1])) / 2 <= most + 1e-12)
    assert most_qber_of_links([0.5, 0.4]) == 1.0
    assert most_qber_of_links([]) == 0.0


def test_the_widest_window_that_still_violates() -> None:
    """Local set's scan (`physics.md` 5): S 2.25 at 400 ps, 2.10 at 1 ns, 1.97 at 1.5 ns; the rate grows."""
    scan = {400e-12: (2.25, 4), 1000e-12: (2.10, 10), 1500e-12: (1.97, 15)}
    counts = {
        window: swapped_counts(0.86, s / sqrt(2) / 0.86 - 1, n=2000 * folds)
        for window, (s, folds) in scan.items()
    }
    points = against_window(counts, 60.0)
    assert [p.window_s for p in points] == [400e-12, 1000e-12, 1500e-12]
    found = [p.figures.chsh_s.value for p in points if p.figures.chsh_s]
    assert found == [pytest.approx(s, abs=0.005) for s, _ in scan.values()]
    best = widest_window(points)
    assert best is not None
    assert best.window_s == 1000e-12
    assert widest_window(points, sigmas=100) is None
