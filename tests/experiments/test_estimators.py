"""Figures against the closed formulas of `physics.md` 5 and 6, and error bars against a Monte Carlo."""

from math import cos, pi, sqrt

import numpy as np
import pytest

from experiments.estimators.estimate import correlation, rate
from experiments.estimators.swapping import CHSH, SIGNS, chsh, figures, signed_correlation, swapped_fidelity

DEG = pi / 180
ANGLES = {
    "ZZ": (0, 0),
    "XX": (45, 45),
    "CHSH 00": (0, 22.5),
    "CHSH 01": (0, 67.5),
    "CHSH 10": (45, 22.5),
    "CHSH 11": (45, 67.5),
}


def e_of(name: str, state: int, v: float = 1.0) -> float:
    a, b = (angle * DEG for angle in ANGLES[name])
    return -v * cos(2 * (a - b) if state == 0 else 2 * (a + b))


def counts(name: str, n: tuple[int, int], v: float = 1.0) -> np.ndarray:
    """Expected four-folds for n[0] of Psi- and n[1] of Psi+."""
    table = np.zeros((2, 2, 2), np.int64)
    for state in (0, 1):
        same = round(n[state] * (1 + e_of(name, state, v)) / 4)
        other = round(n[state] * (1 - e_of(name, state, v)) / 4)
        table[state] = [[same, other], [other, same]]
    return table


def test_signs_are_those_of_the_expected_correlations() -> None:
    for name in ANGLES:
        assert SIGNS[name] == tuple(np.sign(e_of(name, state)) for state in (0, 1)), name
    # Psi-: <YY> = -1, Psi+: <YY> = +1 (singlet and triplet).
    assert SIGNS["YY"] == (-1, 1)


def test_chsh_of_perfect_states_is_tsirelsons_bound() -> None:
    for n in ((4000, 4000), (8000, 0), (0, 8000), (6000, 2000)):
        s = chsh({name: counts(name, n) for name in CHSH})
        assert s is not None
        assert s.value == pytest.approx(2 * sqrt(2), abs=2e-3)


def test_chsh_is_the_two_sums_of_the_note() -> None:
    table = {name: np.random.default_rng(5).poisson(200, (2, 2, 2)) for name in CHSH}
    for state, signs in ((0, (-1, 1, -1, -1)), (1, (-1, 1, 1, 1))):
        expected = 0.0
        for name, sign in zip(CHSH, signs, strict=True):
            n = table[name][state]
            expected += sign * (n[0, 0] + n[1, 1] - n[0, 1] - n[1, 0]) / n.sum()
        found = chsh(table, only=state)
        assert found is not None
        assert found.value == pytest.approx(expected, abs=1e-12)


def test_states_are_added_with_weights_by_counts() -> None:
    n = counts("XX", (3000, 1000), 0.6)
    n[1] = counts("XX", (3000, 1000), 0.2)[1]
    assert signed_correlation("XX", n).value == pytest.approx((3000 * 0.6 + 1000 * 0.2) / 4000, abs=1e-3)


def test_a_wrong_state_gives_a_negative_visibility() -> None:
    n = counts("ZZ", (1000, 1000))[:, ::-1, :].copy()
    assert signed_correlation("ZZ", n).value == pytest.approx(-1.0)


def test_fidelity_with_and_without_yy() -> None:
    zz, xx, yy = correlation(930, 70), correlation(850, 150), correlation(800, 200)
    f, takes = swapped_fidelity(zz, xx, None)
    assert f is not None
    assert f.value == pytest.approx((1 + 0.86 + 2 * 0.7) / 4)
    assert f.error == pytest.approx(sqrt((1 - 0.86**2) / 1000 + 4 * (1 - 0.7**2) / 1000) / 4, rel=2e-3)
    assert "takes |YY| = |XX|" in takes
    f, takes = swapped_fidelity(zz, xx, yy)
    assert f is not None
    assert f.value == pytest.approx((1 + 0.86 + 0.7 + 0.6) / 4)
    assert "takes" not in takes
    assert swapped_fidelity(None, xx, None)[0] is None


def test_only_what_was_measured_is_there() -> None:
    found = figures({"ZZ": counts("ZZ", (100, 100))}, 10.0)
    assert found.visibility_zz is not None
    assert found.swap_rate_hz is not None
    assert found.swap_rate_hz.value == pytest.approx(20.0)
    assert found.chsh_s is None
    assert found.fidelity is None
    assert found.visibility_xx is None


def test_errors_for_many_few_and_no_counts() -> None:
    assert correlation(60_000, 40_000).error == pytest.approx(sqrt((1 - 0.2**2) / 100_000), rel=1e-4)
    none = correlation(0, 0)
    assert (none.value, none.error) == (0.0, 1.0)
    for n in (1, 5, 50):
        alike = correlation(n, 0)
        assert alike.value == 1.0
        assert alike.error == pytest.approx(sqrt(2 * n + 1) / (n + 1) ** 1.5)
    assert rate(10_000, 100.0).error == pytest.approx(1.0, rel=1e-3)
    assert (rate(0, 50.0).value, rate(0, 50.0).error) == (0.0, 0.02)
    with pytest.raises(ValueError, match="over 0 s"):
        rate(1, 0)


@pytest.mark.parametrize("n", [40, 400, 20_000])
def test_pulls_of_s_are_normal(n: int) -> None:
    """(S - true) / error over seeded Monte Carlo runs: mean 0, width 1.

    With 2,000 runs the mean scatters by 0.022 and the width by 0.016; limits at 5 of these (and 3 % for the
    widening by Agresti and Coull at n = 40) are passed by chance once in 10^6.
    """
    rng, v, runs = np.random.default_rng(n), 0.79, 2000
    true = v * 2 * sqrt(2)
    pulls = []
    for _ in range(runs):
        table = {}
        for name in CHSH:
            p = np.concatenate([counts(name, (10**6, 10**6), v)[state].ravel() for state in (0, 1)]) / (
                2 * 10**6
            )
            table[name] = rng.multinomial(n, p / p.sum()).reshape(2, 2, 2)
        s = chsh(table)
        assert s is not None
        pulls.append((s.value - true) / s.error)
    assert abs(np.mean(pulls)) < 5 / sqrt(runs)
    assert abs(np.std(pulls) - 1) < 5 / sqrt(2 * runs) + (0.03 if n < 100 else 0.0)
