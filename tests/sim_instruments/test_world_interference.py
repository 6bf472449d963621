"""Joint routing against bosonic Fock space, computed here from creation operators alone."""

from itertools import product
from math import exp, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from sim_instruments.world.interference import pair_probability, route
from sim_instruments.world.randomness import generator
from sim_instruments.world.tables import NOBODY, Complex, Rows, Tables
from sim_instruments.world.wave_packets import TWO_SIDED, Floats, WavePacket

NO_PARTNERS = np.zeros((4, 4, 2, 2), dtype=np.complex128)


def tables(
    conditional: Complex,
    light: list[int],
    packet: WavePacket,
    *,
    mode_overlap: float = 1.0,
    carrier: float = 0.0,
    undecided: int = NOBODY,
    partner: Complex = NO_PARTNERS,
) -> Tables:
    """Rows of two lights, at inputs a and b; `carrier` is that of b, in rad/ps."""
    return Tables(
        *Rows.of(conditional),
        light=np.array(light),
        packets=np.array([packet.row(), packet.row()]),
        side=np.array([0, 1]),
        carrier=np.array([0.0, carrier]),
        mode_overlap=mode_overlap,
        undecided=undecided,
        partner=partner,
    )


def routed(
    t: Floats, x: Floats, row: NDArray[np.int64], known: Tables, reach: float, rng: np.random.Generator
) -> tuple[NDArray[np.int8], NDArray[np.int64], Complex]:
    """The port of every photon; which photons were routed jointly with their partners' states."""
    port = np.empty(len(t), dtype=np.int8)
    room = np.count_nonzero(row == known.undecided)
    joint, states = np.empty(room, dtype=np.int64), np.empty((room, 2, 2), dtype=np.complex128)
    n = route(
        t, x.astype(np.float32), row.astype(np.int32), rng.random(len(t), dtype=np.float32), known, reach,
        rng, port, joint, states,
    )  # fmt: skip
    return port, joint[:n], states[:n]


def fock_probabilities(states: list[Complex], temporal: Complex) -> NDArray[np.float64]:
    """P(p_1, ..., p_n) that n photons are found one in each time bin, at these ports.

    Photon i is created by sum_jp temporal[i, j] states[i][p] a^+(j, p). The n-photon state is expanded
    over occupation numbers of the 4n modes by applying one creation operator after the other.
    """
    n = len(states)
    state: dict[tuple[int, ...], complex] = {(0,) * (4 * n): 1.0}
    for i in range(n):
        grown: dict[tuple[int, ...], complex] = {}
        for occupation, value in state.items():
            for j, p in product(range(n), range(4)):
                amplitude = temporal[i, j] * states[i][p]
                mode = 4 * j + p
                more = tuple(n + (k == mode) for k, n in enumerate(occupation))
                grown[more] = grown.get(more, 0) + value * amplitude * sqrt(more[mode])
        state = grown
    result = np.zeros((4,) * n)
    for ports in product(range(4), repeat=n):
        occupied = {4 * j + p for j, p in enumerate(ports)}
        one_each = tuple(int(mode in occupied) for mode in range(4 * n))
        result[ports] = abs(state.get(one_each, 0.0)) ** 2
    return result


def random_state(rng: np.random.Generator) -> Complex:
    vector = rng.normal(size=4) + 1j * rng.normal(size=4)
    state: Complex = vector / np.linalg.norm(vector)
    return state


def test_two_photon_formula_is_that_of_fock_space_for_mixed_states() -> None:
    """physics.md 4, row 1: to 1e-10, for random rank-two conditional states and amplitudes."""
    rng = generator(1, "fock")
    for _ in range(20):
        ensembles = [[(w, random_state(rng)) for w in rng.dirichlet([1, 1])] for _ in range(2)]
        f11, f12, f21, f22 = rng.normal(size=4)
        temporal = np.array([[f11, f12], [f21, f22]], dtype=np.complex128)
        expected = sum(
            wa * wb * fock_probabilities([a, b], temporal) for wa, a in ensembles[0] for wb, b in ensembles[1]
        )
        g = [sum(w * np.outer(v, v.conj()) for w, v in ensemble) for ensemble in ensembles]
        ratio = f12 * f21 / (f11 * f22)
        found = [
            [(f11 * f22) ** 2 * pair_probability(*g, p, q, ratio, complex(ratio)) for q in range(4)]
            for p in range(4)
        ]
        assert np.abs(np.array(found) - expected).max() < 1e-10


@pytest.mark.parametrize("photons", [3, 4])
def test_groups_of_photons_take_ports_as_in_fock_space(photons: int) -> None:
    """Chi-square of 4^n outcomes with 40,000 draws, seeded; the bound mean + 6 sigma of the chi-square has
    a false-alarm rate below 1e-7."""
    rng = generator(2, "groups")
    pure = [random_state(rng) for _ in range(2)]
    conditional = np.array([np.outer(state, state.conj()) for state in pure])
    packet = WavePacket(TWO_SIDED, 700.0, 300.0)
    times = np.array([0.0, 130.0, 260.0, 500.0])[:photons]
    sources = np.array([0, 1, 0, 1])[:photons]
    separations = np.array([800.0, 700.0, 400.0, 300.0])[:photons]

    def phi(x: float) -> float:
        return exp(-x / 1400) if x >= 0 else exp(x / 600)

    temporal = np.array(
        [[phi(times[i] + separations[i] - times[j]) for j in range(photons)] for i in range(photons)],
        dtype=np.complex128,
    )
    expected = fock_probabilities([pure[s] for s in sources], temporal).ravel()
    expected /= expected.sum()
    draws = 40_000
    gap = 1e6  # between groups, far beyond the reach of interference
    t = (np.arange(draws)[:, None] * gap + times).ravel()
    known = tables(conditional, [0, 1], packet)
    port, _, _ = routed(t, np.tile(separations, draws), np.tile(sources, draws), known, packet.reach_ps, rng)
    index = port.reshape(draws, photons) @ (4 ** np.arange(photons - 1, -1, -1))
    counts = np.bincount(index, minlength=4**photons)
    likely = expected * draws > 5
    chi2 = ((counts - draws * expected) ** 2 / (draws * expected))[likely].sum()
    freedom = likely.sum()
    assert chi2 < freedom + 6 * sqrt(2 * freedom)


def test_identical_photons_from_both_inputs_never_leave_by_different_ports() -> None:
    """Hong, Ou and Mandel: with full overlap in time and polarization, both photons leave a 50:50 beam
    splitter together; with orthogonal polarizations half of them part."""
    rng = generator(3, "hom")
    h = np.array([[1, 0, 1, 0], [1, 0, -1, 0]]) / sqrt(2)
    v = np.array([0, 1, 0, -1]) / sqrt(2)
    conditional = np.array([np.outer(s, s) for s in (h[0], h[1], v)], dtype=np.complex128)
    packet = WavePacket(TWO_SIDED, 400.0, 150.0)
    known = tables(conditional, [0, 1, 1], packet)
    pairs = 2000
    t = np.repeat(np.arange(pairs) * 1e6, 2)
    for second, parted in ((1, 0.0), (2, 0.5)):
        row = np.tile([0, second], pairs)
        port, _, _ = routed(t, np.full(len(t), 300.0), row, known, packet.reach_ps, rng)
        sides = port.reshape(pairs, 2) // 2
        share = np.mean(sides[:, 0] != sides[:, 1])
        # 2,000 pairs: a standard error of at most 0.011; 0.06 is more than 5 of them.
        assert share == 0.0 if parted == 0.0 else abs(share - parted) < 0.06


def test_swapped_state_of_ideal_photons_is_a_bell_state_for_every_herald() -> None:
    """The four kept port patterns leave the signals in Psi- or Psi+, here in the amplitudes: with |Phi+>
    pairs, u = H or V of a signal leaves its idler in H or V."""
    idler = {0: np.array([1, 0]), 1: np.array([0, 1])}
    split = {0: np.array([1, 1]) / sqrt(2), 1: np.array([1, -1]) / sqrt(2)}

    def amplitude(ua: int, ub: int, p: int, q: int) -> complex:
        a = np.kron(split[0], idler[ua])
        b = np.kron(split[1], idler[ub])
        return complex(a[p] * b[q] + a[q] * b[p])

    for p, q, sign in ((0, 3, -1), (2, 1, -1), (0, 1, 1), (2, 3, 1)):
        hh, hv, vh, vv = (amplitude(ua, ub, p, q) for ua, ub in product((0, 1), repeat=2))
        assert hh == vv == 0
        assert hv * sign == pytest.approx(vh)


@pytest.mark.parametrize("mine", [0, 1], ids=["first", "second"])
def test_state_of_a_partner_when_its_photon_was_routed_with_another(mine: int) -> None:
    """Of two photons one has a partner still on its way, in a pure entangled state: the amplitudes of
    (p at t1, q at t2, partner), symmetrised here by hand, leave it in a state for each (p, q)."""
    rng = generator(4, "partners")
    ports = rng.normal(size=(4, 2)) + 1j * rng.normal(size=(4, 2))
    psi = rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2))  # photon, partner
    with_partner = ports @ psi / 10  # port, partner
    other = random_state(rng)
    operators = np.einsum("pv,qw->pqvw", with_partner, with_partner.conj())
    conditional = np.array([np.einsum("pqvv->pq", operators), np.outer(other, other.conj())])
    packet = WavePacket(TWO_SIDED, 700.0, 300.0)
    carrier = 2e-3
    known = tables(conditional, [0, 1], packet, carrier=carrier, undecided=0, partner=operators)
    pairs = 3000
    t = (np.arange(pairs)[:, None] * 1e6 + [0.0, 220.0]).ravel()
    x = np.tile([500.0, 400.0], pairs)
    row = np.tile([0, 1] if mine == 0 else [1, 0], pairs)
    port, joint, states = routed(t, x, row, known, packet.reach_ps, rng)
    assert joint.tolist() == list(range(mine, 2 * pairs, 2))

    def phi(s: float, at: float) -> float:
        return exp(-(s - at) / 1400) if s >= at else exp((s - at) / 600)

    photon_t, other_t = (0.0, 220.0) if mine == 0 else (220.0, 0.0)
    photon_s, other_s = (500.0, 620.0) if mine == 0 else (620.0, 500.0)
    direct = phi(photon_s, photon_t) * phi(other_s, other_t) * np.exp(-1j * carrier * other_t)
    exchanged = phi(photon_s, other_t) * phi(other_s, photon_t) * np.exp(-1j * carrier * photon_t)
    drawn = np.zeros((4, 4), dtype=int)
    for (p1, q1), state in zip(port.reshape(-1, 2), states, strict=True):
        here, there = (p1, q1) if mine == 0 else (q1, p1)
        amplitude = direct * with_partner[here] * other[there] + exchanged * with_partner[there] * other[here]
        expected = np.outer(amplitude, amplitude.conj())
        assert np.allclose(state / np.trace(state), expected / np.trace(expected), atol=1e-5)
        drawn[here, there] += 1
    grid = direct * with_partner[:, None] * other[None, :, None]
    grid = grid + exchanged * with_partner[None, :] * other[:, None, None]
    likely = (np.abs(grid) ** 2).sum(axis=2)
    expected_counts = pairs * likely / likely.sum()
    chi2 = ((drawn - expected_counts) ** 2 / expected_counts).sum()
    assert chi2 < 15 + 7.5 * sqrt(30)  # false alarm 1e-7
