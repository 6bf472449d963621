"""Two photons at a Bell-state measurement: the light field's tables and formula, nothing drawn."""

from itertools import product
from math import sqrt

import numpy as np

from sim_instruments.world.arm import Statistics
from sim_instruments.world.interference import pair_probability
from sim_instruments.world.wave_packets import TWO_SIDED, WavePacket
from tests.validation.evidence import Chapter, Equal, Evidence, Line, Plot, Points
from tests.validation.fock import two_photon_probabilities
from tests.validation.polarization import PAULI, Complex, werner
from tests.validation.swapping import PSI_MINUS, PSI_PLUS
from tests.validation.wave_forms import Floats

CHAPTER = Chapter("Two photons at a Bell-state measurement", [])


@CHAPTER.check(
    "Joint outcomes of two photons at a Bell-state measurement against Fock space",
    r"P(u, v; p, q) \propto"
    r"\left\|\langle p_{t_1} q_{t_2}|\,\hat a^\dagger_{A}\,\hat a^\dagger_{B}|0\rangle\right\|^2",
    1,
)
def joint_probabilities(effort: float) -> Evidence:
    """The 144 probabilities that the partners of two idlers are found H, V or lost (u, v) while the idlers
    are found at ports p and q at t1 and t2: from the light field's tables and its formula, and from creation
    operators applied one after the other to the vacuum of 16 modes (four ports, two times, for each of two
    modes that the sources do not share). Mixed random states, fibres with polarization-dependent loss, a beam
    splitter of 45 %, overlap 0.9, partners' analysers with 1 % of the wrong polarization; 5 random draws."""
    rng = np.random.default_rng(30)
    worst, shown = 0.0, (np.empty(0), np.empty(0))
    for _ in range(5):
        rho = [_random_state(rng) for _ in range(2)]
        fibres = [_lossy_fibre(rng) for _ in range(2)]
        r, overlap = 0.45, 0.9
        split = [(sqrt(1 - r), sqrt(r)), (sqrt(r), -sqrt(1 - r))]
        ports = [np.vstack([b * J for b in split[side]]) for side, J in enumerate(fibres)]
        elements = [_analyser(rng) for _ in range(2)]
        f = rng.normal(size=4)  # phi(s1 - t1), phi(s2 - t2), phi(s1 - t2), phi(s2 - t1)
        tables = [
            Statistics.of(
                1e-6, WavePacket(TWO_SIDED, 400.0, 150.0), rho[k], elements[k], ports[k]
            ).conditional
            for k in range(2)
        ]
        found, expected = np.empty((3, 3, 16)), np.empty((3, 3, 16))
        direct, exchanged = f[0] * f[1], f[2] * f[3]
        ratio = exchanged / direct
        for u, v in product(range(3), repeat=2):
            for p, q in product(range(4), repeat=2):
                found[u, v, 4 * p + q] = direct**2 * pair_probability(
                    tables[0][u], tables[1][v], p, q, ratio, complex(overlap * ratio)
                )
            states = [_conditional(rho[k], [*elements[k], np.eye(2) - sum(elements[k])][w])
                      for k, w in ((0, u), (1, v))]  # fmt: skip
            expected[u, v] = two_photon_probabilities(
                states, ports, np.array([[f[0], f[2]], [f[3], f[1]]]), overlap
            ).ravel()
        worst = max(worst, float(np.abs(found - expected).max()))
        shown = expected.ravel(), found.ravel()
    order = np.argsort(shown[0])
    x = shown[0][order]
    return Evidence(
        (Equal("largest difference of 720 probabilities", worst, 1e-10),),
        Plot(
            "probability in Fock space",
            "probability in the light field",
            (Line("equal", x, x),),
            (Points("144 outcomes", x, shown[1][order], np.zeros(len(x))),),
        ),
    )


def _random_state(rng: np.random.Generator) -> Complex:
    m = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
    return m @ m.conj().T / np.trace(m @ m.conj().T)


def _lossy_fibre(rng: np.random.Generator) -> Complex:
    """A rotation and polarization-dependent loss: singular values 0.9 and 0.6."""
    m = rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2))
    u, _, v = np.linalg.svd(m)
    return u @ np.diag([0.9, 0.6]) @ v


def _analyser(rng: np.random.Generator) -> list[Complex]:
    """POVM elements of two detectors of different efficiency behind an imperfect analyser."""
    m = rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2))
    u = np.linalg.svd(m)[0]
    return [u @ np.diag(d).astype(complex) @ u.conj().T for d in ([0.7 * 0.99, 0.7 * 0.01], [0.005, 0.495])]


def _conditional(rho: Complex, element: Complex) -> Complex:
    """The idler's unnormalised state when the signal gave this outcome."""
    return np.einsum("ba,aibj->ij", element, rho.reshape(2, 2, 2, 2))


@CHAPTER.check(
    "Fidelity of the swapped state of two Werner states",
    r"F = \tfrac14\left(1 + \lambda_A\lambda_B(1 + 2V)\right),\qquad \lambda = \tfrac{4F - 1}{3}",
    8,
)
def swapped_fidelity(effort: float) -> Evidence:
    """Correlations ZZ, XX and YY of the signals for each of the four kept patterns of ports, from the light
    field's tables and its joint probability, without any drawing: for fidelities from 0.7 to 1 and
    visibilities from 0 to 1."""
    visibilities = np.linspace(0, 1, 11)
    ports = [np.vstack([a * np.eye(2) for a in s]) / sqrt(2) + 0j for s in ((1, 1), (1, -1))]
    worst = 0.0
    shown: dict[float, Floats] = {}
    for fa, fb in ((1.0, 1.0), (0.98, 0.98), (0.95, 0.85), (0.7, 0.9)):
        found = []
        for visibility in visibilities:
            for p, q in (*PSI_MINUS, *PSI_PLUS):
                expectation = {
                    axis: _correlation(werner(fa), werner(fb), ports, axis, p, q, visibility)
                    for axis in "XYZ"
                }
                fidelity = (1 + sum(abs(e) for e in expectation.values())) / 4
                lambdas = (4 * fa - 1) / 3 * (4 * fb - 1) / 3
                worst = max(worst, abs(fidelity - (1 + lambdas * (1 + 2 * visibility)) / 4))
            found.append(fidelity)
        shown[fa] = np.array(found)
    return Evidence(
        (Equal("largest difference of 176 fidelities", worst, 1e-12),),
        Plot(
            "visibility V",
            "fidelity",
            tuple(
                Line(f"F = {fa:g} and {fb:g}", visibilities,
                     (1 + (4 * fa - 1) * (4 * fb - 1) / 9 * (1 + 2 * visibilities)) / 4)
                for fa, fb in ((1.0, 1.0), (0.98, 0.98), (0.95, 0.85), (0.7, 0.9))
            ),
            tuple(Points("", visibilities, f, np.zeros(11)) for f in shown.values()),
        ),
    )  # fmt: skip


def _correlation(
    rho_a: Complex, rho_b: Complex, ports: list[Complex], axis: str, p: int, q: int, visibility: float
) -> float:
    elements = [(np.eye(2) + sign * PAULI[axis]) / 2 for sign in (1, -1)]
    packet = WavePacket(TWO_SIDED, 400.0, 150.0)
    a, b = (
        Statistics.of(1e-6, packet, rho, elements, of).conditional
        for rho, of in zip((rho_a, rho_b), ports, strict=True)
    )
    n = np.array(
        [[pair_probability(a[u], b[v], p, q, 1.0, complex(visibility)) for v in (0, 1)] for u in (0, 1)]
    )
    return float((n[0, 0] + n[1, 1] - n[0, 1] - n[1, 0]) / n.sum())
