"""Figures of one source's pairs against the textbook's Bell states, and error bars against a Monte Carlo."""

from itertools import product
from math import cos, pi, sqrt

import numpy as np
import pytest

from experiments.estimators.bell import (
    CHSH_ANGLES,
    PAULI,
    SIGNS,
    BellState,
    bell_vector,
    expected_sign,
    in_frame,
    turns_over,
)
from experiments.estimators.estimate import Estimate, correlation
from experiments.estimators.pair_counts import Cells, PairCounts
from experiments.estimators.pairs import (
    binary_entropy,
    chsh,
    figures,
    key_fraction,
    qber,
    signed_correlation,
    to_json,
    two_basis_bounds,
)
from tests.experiments.pulls import check, honest, pull

STATES: tuple[BellState, ...] = ("Phi+", "Phi-", "Psi+", "Psi-")
VECTORS = {  # over HH, HV, VH, VV
    "Phi+": (1, 0, 0, 1),
    "Phi-": (1, 0, 0, -1),
    "Psi+": (0, 1, 1, 0),
    "Psi-": (0, 1, -1, 0),
}
EYE = np.eye(2)
DEG = pi / 180


def linear(angle_deg: float) -> np.ndarray:
    """The two projectors of a linear analysis, straight from its polarization."""
    a = angle_deg * DEG
    along, across = np.array([cos(a), np.sin(a)]), np.array([-np.sin(a), cos(a)])
    return np.array([np.outer(along, along), np.outer(across, across)])


BASES = {
    "Z": linear(0),
    "X": linear(45),
    "Y": np.array([(EYE + PAULI["Y"]) / 2, (EYE - PAULI["Y"]) / 2]),
}
SETTINGS = {b + b: (BASES[b], BASES[b]) for b in "ZXY"} | {
    name: (linear(a), linear(b)) for name, (a, b) in CHSH_ANGLES.items()
}


def density(state: str, fidelity: float = 1.0) -> np.ndarray:
    vector = np.array(VECTORS[state]) / sqrt(2)
    part = (4 * fidelity - 1) / 3
    return part * np.outer(vector, vector) + (1 - part) * np.eye(4) / 4


def shares(rho: np.ndarray, setting: str) -> np.ndarray:
    first, second = SETTINGS[setting]
    return np.array([[np.trace(rho @ np.kron(e, f)).real for f in second] for e in first])


def cells(table: np.ndarray) -> Cells:
    return PairCounts.without_accidentals(table).as_counted


@pytest.mark.parametrize("state", STATES)
def test_bell_states_are_what_the_textbook_says(state: BellState) -> None:
    assert abs(np.vdot(bell_vector(state), np.array(VECTORS[state])) / sqrt(2)) == pytest.approx(1)
    for name in SETTINGS:
        p = shares(density(state), name)
        e = p[0, 0] + p[1, 1] - p[0, 1] - p[1, 0]
        assert e * expected_sign(state, name) == pytest.approx(1 if name[0] != "C" else sqrt(0.5)), name


@pytest.mark.parametrize("state", STATES)
def test_s_of_each_bell_state_and_of_its_frame(state: BellState) -> None:
    settings = {name: cells(np.round(1e6 * shares(density(state), name)).astype(int)) for name in SETTINGS}
    found = figures(settings, state)
    assert found.chsh_s is not None
    assert found.fidelity_three_bases is not None
    assert found.chsh_s.value == pytest.approx(2 * sqrt(2), abs=1e-5)
    assert found.fidelity_three_bases.value == pytest.approx(1, abs=1e-5)
    for other in STATES:
        towards = figures(settings, other)
        assert towards.chsh_s is not None
        # S = sqrt 2 (ZZ + XX) with the signs of the other state.
        expected = sqrt(2) * (SIGNS[state].z * SIGNS[other].z + SIGNS[state].x * SIGNS[other].x)
        assert towards.chsh_s.value == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("found", "wanted"), list(product(STATES, STATES)))
def test_pauli_frame_makes_one_state_of_another(found: BellState, wanted: BellState) -> None:
    counts = np.array([np.round(1e6 * shares(density(found, 0.9), b + b)) for b in "ZXY"]).astype(int)
    framed = in_frame(counts, ("Z", "X", "Y"), found, wanted)
    for k, b in enumerate("ZXY"):
        assert framed[k] == pytest.approx(1e6 * shares(density(wanted, 0.9), b + b), abs=1)
    turned = [turns_over(b, found, wanted) for b in ("Z", "X", "Y")]
    assert sum(turned) in (0, 2)  # a Pauli operation turns two of the three over


def test_correlation_of_raw_cells_is_the_correlation_of_counts() -> None:
    for table in ([[40, 3], [5, 52]], [[7, 0], [0, 9]], [[0, 0], [0, 0]]):
        n = np.array(table)
        a, b = cells(n).correlation, correlation(int(np.trace(n)), int(n[0, 1] + n[1, 0]))
        assert (a.value, a.error) == pytest.approx((b.value, b.error))


def with_accidentals(
    rng: np.random.Generator, true: np.ndarray, level: float, windows: int = 10
) -> PairCounts:
    """Counts of means `true` plus unpolarised accidentals of mean `level` per outcome."""
    raw = rng.poisson(true + level)
    return PairCounts(raw, rng.poisson(windows * level, (2, 2)), windows)


def test_subtraction_takes_accidentals_off_with_their_error() -> None:
    """E of a state with V = 0.9 under accidentals as many as pairs: raw 0.45, subtracted 0.9."""
    raw, less = [], []
    for k in range(400):
        n = with_accidentals(np.random.default_rng([3, k]), 500 * np.array([[0.95, 0.05], [0.05, 0.95]]), 250)
        raw.append(pull(n.as_counted.correlation, 0.45))
        less.append(pull(n.subtracted.correlation, 0.9))
    check(raw)
    check(less)


def test_accidentals_of_different_windows_are_not_added() -> None:
    one, other = (PairCounts(np.ones((2, 2), int), np.ones((2, 2), int), n) for n in (10, 12))
    assert (one + one).accidentals == pytest.approx(np.full((2, 2), 0.2))
    with pytest.raises(ValueError, match="10 and of 12"):
        one + other


@pytest.mark.parametrize("per_setting", [50, 500, 20_000])
def test_s_is_honest(per_setting: int) -> None:
    """S of a Werner state of F = 0.9, 2.451, over 300 seeds, raw and with accidentals subtracted."""
    rho, raw, less = density("Phi+", 0.9), [], []
    for k in range(300):
        rng = np.random.default_rng([per_setting, k])
        n = {c: with_accidentals(rng, per_setting * shares(rho, c), 0.02 * per_setting) for c in CHSH_ANGLES}
        s = chsh({c: m.as_counted for c, m in n.items()}, "Phi+")
        net = chsh({c: m.subtracted for c, m in n.items()}, "Phi+")
        assert s is not None
        assert net is not None
        raw.append(pull(s, 2 * sqrt(2) * 2.6 / 3 / 1.08))
        less.append(pull(net, 2 * sqrt(2) * 2.6 / 3))
    # Half a count of caution on either side widens errors by 2 % at 50 counts.
    check(raw, widen=0.03)
    check(less, widen=0.05)


@pytest.mark.parametrize("state", STATES)
def test_bounds_hold_the_fidelity_and_meet_for_a_perfect_state(state: BellState) -> None:
    """For Werner states Re<HV|rho|VH> = 0 and P_HV = P_VH = (1 - p)/4, so the bounds are F -+ (1 - p)/4."""
    for f in (1.0, 0.94, 0.7):
        z, x = (cells(np.round(4e8 * shares(density(state, f), b)).astype(int)) for b in ("ZZ", "XX"))
        bounds, part = two_basis_bounds(z, x, state), (4 * f - 1) / 3
        assert bounds.lower.value == pytest.approx(f - (1 - part) / 4, abs=1e-5)
        assert bounds.upper.value == pytest.approx(f + (1 - part) / 4, abs=1e-5)


def test_bounds_hold_the_fidelity_of_any_state() -> None:
    """Exact shares of 200 random states: the fidelity always lies between."""
    for k in range(200):
        rng = np.random.default_rng([5, k])
        a = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
        noisy = a @ a.conj().T
        rho = rng.uniform(0, 1) * noisy / np.trace(noisy).real
        rho += (1 - np.trace(rho).real) * density("Phi+")
        z, x = (cells(np.round(1e9 * shares(rho, b)).astype(int)) for b in ("ZZ", "XX"))
        bounds = two_basis_bounds(z, x, "Phi+")
        true = float((bell_vector("Phi+").conj() @ rho @ bell_vector("Phi+")).real)
        assert bounds.lower.value - 1e-6 <= true <= bounds.upper.value + 1e-6


def test_each_bound_is_honest() -> None:
    """A state whose Z bounds are the tighter ones by far: HV never occurs, VH with 10 %. 300 seeds each."""
    rho = 0.9 * density("Phi+") + 0.1 * np.diag([0.0, 0.0, 1.0, 0.0])
    # V_Z = 0.8, V_X = 0.9, P_HV = 0: both bounds of this pair are (1 + 0.8 + 1.8)/4.
    for n, allowed in ((300, 0.5), (20_000, 0.2)):
        lower, upper = [], []
        for k in range(300):
            rng = np.random.default_rng([n, k])
            z, x = (cells(rng.poisson(n * shares(rho, b))) for b in ("ZZ", "XX"))
            bounds = two_basis_bounds(z, x, "Phi+")
            lower.append(pull(bounds.lower, 0.9))
            upper.append(pull(bounds.upper, 0.9))
        # With a P of zero the root is known to be small only as well as the other P allows.
        check(lower, shift=allowed, widen=0.2)
        check(upper, shift=allowed, widen=0.2)


def test_qber_and_key_of_the_notes() -> None:
    """Visibility 0.78 is QBER 11 %, where the key ends for f = 1; 2.5 % leaves 0.637 of a bit."""
    assert qber(Estimate(0.78, 0.02)) == Estimate(pytest.approx(0.11), pytest.approx(0.01))
    e = Estimate(0.11, 0.001)
    assert key_fraction(e, e, 1.0).value == pytest.approx(0.0, abs=2e-3)
    assert binary_entropy(0.11) == pytest.approx(0.49992, abs=1e-5)
    low = Estimate(0.025, 0.001)
    found = key_fraction(low, low)
    assert found.value == pytest.approx(1 - 2.15 * 0.168661, abs=1e-5)
    # h'(0.025) = log2(39) = 5.285
    assert found.error == pytest.approx(sqrt(1.15**2 + 1) * 5.2854 * 0.001, rel=1e-4)
    assert key_fraction(Estimate(0.5, 0.1), Estimate(0.5, 0.1)).value == pytest.approx(-1.15)


def test_visibility_is_signed() -> None:
    rho = density("Psi-", 0.97)
    z = cells(np.round(1e5 * shares(rho, "ZZ")).astype(int))
    assert signed_correlation("ZZ", z, "Psi-").value == pytest.approx(0.96, abs=1e-4)
    assert signed_correlation("ZZ", z, "Phi+").value == pytest.approx(-0.96, abs=1e-4)


def test_results_say_raw_and_subtracted() -> None:
    n = {"ZZ": PairCounts(np.array([[90, 10], [10, 90]]), np.full((2, 2), 100), 10)}
    raw, less = (
        figures({k: way(v) for k, v in n.items()}, "Phi+")
        for way in (lambda c: c.as_counted, lambda c: c.subtracted)
    )
    found = to_json(raw, less)
    assert set(found) == {"visibility_zz", "qber_z"}
    zz = found["visibility_zz"]
    assert isinstance(zz, dict)
    assert zz["value"] == pytest.approx(0.8)
    assert zz["subtracted"]["value"] == pytest.approx(1.0)


def test_correlation_of_nothing_and_of_less_than_nothing() -> None:
    assert cells(np.zeros((2, 2), int)).correlation == Estimate(0.0, 1.0)
    fewer = PairCounts(np.ones((2, 2), int), np.full((2, 2), 30), 10)
    assert fewer.subtracted.correlation == Estimate(0.0, 1.0)


def test_qber_is_honest() -> None:
    def draw(rng: np.random.Generator) -> Estimate:
        n = cells(rng.poisson(400 * shares(density("Phi+", 0.95), "ZZ")))
        return qber(signed_correlation("ZZ", n, "Phi+"))

    honest(draw, (1 - 0.9333333) / 2, 400, widen=0.02)
