"""Teleportation of the polarization of weak laser light."""

from itertools import product
from math import sqrt

import numpy as np

from sim_instruments.ports import LaserPort
from sim_instruments.world.layout import Beam, BellStateMeasurement
from tests.sim_instruments.light_bench import LightBench, both, pairs
from tests.sim_instruments.light_bench import analyser as analyser_of
from tests.validation.coincidences import WAVELENGTH_M, laser_w
from tests.validation.counting import inside, watched
from tests.validation.evidence import (
    Chapter,
    ChiSquare,
    Evidence,
    Figure,
    Finding,
    Line,
    Plot,
    Points,
)
from tests.validation.gaussian_states import Source, Windows, threefolds
from tests.validation.polarization import PAULI, WAVE_PLATES, analyser, werner
from tests.validation.swapping import PORTS, PSI_MINUS, PSI_PLUS, combination_variance
from tests.validation.wave_forms import Exponential, Floats

CHAPTER = Chapter("Teleportation", [])
WINDOWS = Windows(600, -1000, 4000)
INPUTS = {
    "H": ("Z", np.array([1, 0]) + 0j),
    "V": ("Z", np.array([0, 1]) + 0j),
    "D": ("X", np.array([1, 1]) / sqrt(2) + 0j),
    "A": ("X", np.array([1, -1]) / sqrt(2) + 0j),
    "R": ("Y", np.array([1, 1j]) / sqrt(2)),
    "L": ("Y", np.array([1, -1j]) / sqrt(2)),
}


@CHAPTER.check(
    "Teleportation of weak laser light",
    r"\langle I_s I_1 I_2\rangle = A_{11}L_{22} + A_{22}L_{11}"
    r" + 2\kappa\,\mathrm{Re}\,A_{12}L_{12}^* + \ldots"
    r",\qquad F = \frac{N_{\mathrm{right}}}{N_{\mathrm{right}} + N_{\mathrm{wrong}}}",
)
def teleportation(effort: float) -> Evidence:
    """Laser light of 3e6 photons per second in six polarizations meets idlers of Phi+ pairs (Werner, F =
    0.98, 1e6 per second, amplitudes of 1 ns) at a Bell-state measurement with overlap 0.9; signals are
    analysed in the basis of the input. Threefolds for Psi- and Psi+ and both outcomes, absolutely, by moments
    of Gaussian and coherent light, accidentals included (the dots); and the mean fidelity, which a
    measurement and a new preparation cannot bring above 2/3 (S. Massar and S. Popescu, PRL 74, 1259
    (1995))."""
    rate, laser_hz, overlap, seconds = 1e6, 3e6, 0.9, 0.6 * effort
    state, form = werner(0.98), Exponential(1000.0)
    split = np.array([1, 1]) / sqrt(2), np.array([1, -1]) / sqrt(2)
    source = Source(rate * 1e-12, state, form, np.vstack([x * np.eye(2) for x in split[0]]) + 0j)
    expected, found, squares = np.zeros((3, 6, 2, 2))
    for k, (basis, vector) in enumerate(INPUTS.values()):
        beam = Beam("beam", "laser", WAVELENGTH_M, (vector[0], vector[1]), ("hub.b",))
        bench = LightBench(
            (pairs("s", "alice", "hub.a", state=state, pair_rate_hz=rate, biphoton=form.biphoton), beam),
            both("alice") + PORTS,
            {
                "analysers": (analyser_of("alice"),),
                "measurements": (BellStateMeasurement("hub", PORTS, mode_overlap=overlap),),
            },
        )
        bench.ports.lasers["laser"] = LaserPort(laser_w(laser_hz))
        qwp, hwp = WAVE_PLATES[basis]
        bench.ports.rotations["alice_qwp"].angle_rad = qwp
        bench.ports.rotations["alice_hwp"].angle_rad = hwp
        for tags in watched(bench, seconds, 700 + k):
            for herald, patterns in enumerate((PSI_MINUS, PSI_PLUS)):
                for p, q in patterns:
                    one, two = tags[PORTS[p]], tags[PORTS[q]]
                    first, last = np.searchsorted(two, one - 300), np.searchsorted(two, one + 300)
                    n = last - first
                    left = np.repeat(np.arange(len(one)), n)
                    right = np.arange(len(left)) - np.repeat(np.cumsum(n) - n - first, n)
                    at = (one[left] + two[right]) / 2
                    for u in range(2):
                        clicks = tags[f"alice_{'hv'[u]}"]
                        number = inside(clicks, at, WINDOWS.low, WINDOWS.high)
                        found[k, herald, u] += int(number.sum())
                        squares[k, herald, u] += int((number**2).sum())
        ports = np.concatenate([x * vector for x in split[1]])
        laser = laser_hz * 1e-12 * np.outer(ports, ports.conj())
        for u, element in enumerate(analyser(qwp, hwp)):
            hz = 1e12 * threefolds(source, laser, overlap, WINDOWS, element)
            for herald, patterns in enumerate((PSI_MINUS, PSI_PLUS)):
                expected[k, herald, u] = seconds * sum(hz[p, q] for p, q in patterns)
    right = _right_outcomes()
    spread = combination_variance(expected, found, squares)
    clumps = float((spread / expected).mean())
    findings: list[Finding] = [
        ChiSquare("24 rates of threefolds", float(((found - expected) ** 2 / spread).sum()), 24)
    ]
    shown = []
    for herald, name in enumerate(("Psi-", "Psi+")):
        mean, measured = (_fidelity(n[:, herald], right[herald]) for n in (expected, found))
        total = float(expected[:, herald].sum()) / clumps
        findings.append(Figure(f"mean fidelity, {name}", mean, measured, sqrt(mean * (1 - mean) / total)))
    for k in range(6):
        n, m = found[k, 0, right[0, k]], expected[k, 0, right[0, k]]
        shown.append((m / expected[k, 0].sum(), n / found[k, 0].sum(), sqrt(0.25 / expected[k, 0].sum())))
    theory, seen, errors = (np.array(column) for column in zip(*shown, strict=True))
    x = np.arange(6.0)
    return Evidence(
        tuple(findings),
        Plot(
            "input: H, V, D, A, R, L",
            "fidelity, heralded as Psi-",
            (Line("moments", x, theory), Line("classical limit of the mean", x, np.full(6, 2 / 3))),
            (Points("simulated", x, seen, errors),),
        ),
    )


def _right_outcomes() -> Floats:
    """(2, 6) the outcome that stands for the input, for Psi- and Psi+: <Bell| on idler and input leaves the
    signal of Phi+ in the conjugate of the Bell state's amplitudes times the conjugate input."""
    bells = (1j * PAULI["Y"], PAULI["X"])  # HV - VH and HV + VH
    found = np.empty((2, 6), dtype=int)
    for (herald, bell), (k, (basis, vector)) in product(enumerate(bells), enumerate(INPUTS.values())):
        # Phi+ and <bell|: signal amplitudes = sum_j bell*[s, j] input[j].
        signal = bell.conj() @ vector
        chances = [float((signal.conj() @ e @ signal).real) for e in analyser(*WAVE_PLATES[basis])]
        found[herald, k] = int(np.argmax(chances))
    return found


def _fidelity(n: Floats, right: Floats) -> float:
    return float(n[np.arange(6), right].sum() / n.sum())
