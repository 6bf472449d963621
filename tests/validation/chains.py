"""Chains of swaps: three sources, two Bell-state measurements."""

from itertools import product
from math import sqrt

import numpy as np

from sim_instruments.world.layout import BellStateMeasurement, Pulses
from tests.sim_instruments.light_bench import LightBench, Tags, both, counts, pairs, pulse_numbers
from tests.sim_instruments.light_bench import analyser as analyser_of
from tests.validation.counting import watched
from tests.validation.evidence import Chapter, Evidence, Figure, Finding, Line, Plot, Points, count
from tests.validation.gaussian_states import coincidences
from tests.validation.polarization import WAVE_PLATES, Complex, analyser, werner
from tests.validation.swapping import PORTS, PSI_MINUS, PSI_PLUS, SIDES
from tests.validation.wave_forms import Floats, Gaussian

CHAPTER = Chapter("Chains of swaps", [])
CHAIN_ORDER = 6.0
"""Where three photons meet at the first measurement of a chain, the light field gives partners that go on to
the second one only the state of their own photon's port: of a correlation it misses up to so many times the
pairs per pulse (seen with much light: 0.10 at 0.02)."""


@CHAPTER.check(
    "A chain of two swaps",
    r"E_{ZZ} = E_{XX} = \pm\lambda_A\lambda_B\lambda_C \quad(\mu \to 0)",
)
def two_swaps(effort: float) -> Evidence:
    """Three pulsed sources (0.02 pairs per pulse, 400 MHz, one Schmidt mode: a Gaussian amplitude twice as
    wide as the pulse) of Werner states in a row, two Bell-state measurements, and analysers at the ends:
    sixfolds, both analysers in Z and both in X. For one pair per pulse the correlation is the product of the
    three. What several pairs in a pulse make of it comes from the moments of the Gaussian state of all modes;
    the middle source's noise is put in as a factor.

    Allowed for is 6 mu: where three photons or more meet at the first measurement, the light field knows of a
    partner that goes on to the second one only the state that goes with its own photon's port. With much
    light it is seen to fall short by 5 mu; swaps at one measurement are exact in this.
    """
    mu, period_s, seconds = 0.02, 2.5e-9, 0.4 * effort
    fidelities = (0.98, 0.97, 0.98)
    lambdas = [(4 * f - 1) / 3 for f in fidelities]
    form = Gaussian(100.0).biphoton
    changes = {"pulses": Pulses(period_s, 50e-12), "biphoton": form, "pair_rate_hz": mu / period_s}
    names = ("one", "two")
    bench_ports = tuple(f"{name}_{port}" for name in names for port in PORTS)
    measurements = tuple(
        BellStateMeasurement(name, tuple(f"{name}_{port}" for port in PORTS))  # type: ignore[arg-type]
        for name in names
    )
    sources = (
        pairs("a", "alice_analyser", "one.a", state=werner(fidelities[0]), **changes),
        pairs("b", "one.b", "two.a", state=werner(fidelities[1]), **changes),
        pairs("c", "bob_analyser", "two.b", state=werner(fidelities[2]), **changes),
    )
    findings: list[Finding] = []
    for k, basis in enumerate("ZX"):
        bench = LightBench(
            sources,
            both("alice_analyser", "bob_analyser") + bench_ports,
            {
                "analysers": tuple(analyser_of(f"{name}_analyser") for name in SIDES),
                "measurements": measurements,
            },
        )
        for name in SIDES:
            for plate, angle in zip(("qwp", "hwp"), WAVE_PLATES[basis], strict=True):
                bench.ports.rotations[f"{name}_analyser_{plate}"].angle_rad = angle
        found = np.zeros((2, 2, 2, 2))
        for tags in watched(bench, seconds, 130 + k, 0.1):
            found += _sixfolds(tags, period_s)
        expected = _sixfold_moments(mu, fidelities, basis) * seconds / period_s
        for name, select in (("like heralds", [(0, 0), (1, 1)]), ("unlike heralds", [(0, 1), (1, 0)])):
            n = sum(found[h] for h in select)
            mean = sum(expected[h] for h in select)
            e, total = _contrast(mean), float(mean.sum())
            correlation = e * lambdas[1]
            product_ = lambdas[0] * lambdas[1] * lambdas[2]
            findings += [
                Figure(f"{basis}{basis}, {name}", correlation, _contrast(n), sqrt((1 - e**2) / total),
                       f"(product: {np.sign(e) * product_:.3f})", CHAIN_ORDER * mu),
                count(f"sixfolds {basis}{basis}, {name}", total, float(n.sum()), "", 0.01 * total),
            ]  # fmt: skip
    e = [f for f in findings if isinstance(f, Figure) and f.unit.startswith("(")]
    x = np.arange(len(e), dtype=float)
    return Evidence(
        tuple(findings),
        Plot(
            "ZZ and XX, for like and unlike heralds",
            "correlation",
            (Line("moments", x, np.array([f.expected for f in e])),),
            (Points("simulated", x, np.array([f.found for f in e]), np.array([f.error for f in e])),),
        ),
    )


def _contrast(n: Floats) -> float:
    return float((n[0, 0] + n[1, 1] - n[0, 1] - n[1, 0]) / n.sum())


def _sixfolds(tags: Tags, period_s: float) -> Floats:
    """(2, 2, 2, 2) sixfolds of one pulse by the heralds (Psi-, Psi+) of both measurements and the
    outcomes."""
    numbers = {name: pulse_numbers(times, period_s * 1e12) for name, times in tags.items()}
    found = np.zeros((2, 2, 2, 2))
    for one, two in product(range(2), repeat=2):
        for (p, q), (r, s) in product((PSI_MINUS, PSI_PLUS)[one], (PSI_MINUS, PSI_PLUS)[two]):
            at = numbers[f"one_{PORTS[p]}"]
            weight = np.ones(len(at), dtype=np.int64)
            for name in (f"one_{PORTS[q]}", f"two_{PORTS[r]}", f"two_{PORTS[s]}"):
                more = counts(numbers[name], at)
                at, weight = at[more > 0], (weight * more)[more > 0]
            for u, v in product(range(2), repeat=2):
                ends = [
                    counts(numbers[f"{n}_analyser_{'hv'[w]}"], at) for n, w in zip(SIDES, (u, v), strict=True)
                ]
                found[one, two, u, v] += int((weight * ends[0] * ends[1]).sum())
    return found


def _sixfold_moments(mu: float, fidelities: tuple[float, float, float], basis: str) -> Floats:
    """The same per pulse from the Gaussian state: signals of a and c carry what makes their states mixed in
    four modes of their own; b is in Phi+."""
    projectors = analyser(*WAVE_PLATES[basis])
    outcome = [np.linalg.eigh(p)[1][:, -1].conj() for p in projectors]  # <u|
    split = {0: np.array([1, 1]) / sqrt(2), 1: np.array([1, -1]) / sqrt(2)}
    amplitudes = []
    for fidelity in (fidelities[0], fidelities[2]):
        values, vectors = np.linalg.eigh(werner(fidelity))
        amplitudes.append((np.sqrt(np.maximum(values, 0.0)) * vectors).T.reshape(4, 2, 2))
    A, C = amplitudes  # ancilla, signal, idler
    B = np.eye(2)[None] / sqrt(2) + 0j
    light = [_squeezed(mu, amplitude) for amplitude in (A, B, C)]
    found = np.zeros((2, 2, 2, 2))
    for one, two in product(range(2), repeat=2):
        for ports_one, ports_two in product((PSI_MINUS, PSI_PLUS)[one], (PSI_MINUS, PSI_PLUS)[two]):
            N, M = [], []
            for u, v, j, k in product(range(2), range(2), range(4), range(4)):
                # Rows of six detection modes over the modes of a's, b's and c's light (signals, then idlers).
                rows = [np.zeros((6, len(n))) + 0j for n, _ in light]
                rows[0][0, 2 * j : 2 * j + 2] = outcome[u]
                rows[2][5, 2 * k : 2 * k + 2] = outcome[v]
                for i, (p, q) in enumerate(zip(ports_one, ports_two, strict=True)):
                    rows[0][1 + i, 8 + p % 2] = split[0][p // 2]
                    rows[1][1 + i, p % 2] = split[1][p // 2]
                    rows[1][3 + i, 2 + q % 2] = split[0][q // 2]
                    rows[2][3 + i, 8 + q % 2] = split[1][q // 2]
                N.append(sum(r.conj() @ n @ r.T for r, (n, _) in zip(rows, light, strict=True)))
                M.append(sum(r @ m @ r.T for r, (_, m) in zip(rows, light, strict=True)))
            moments = coincidences(np.array(N), np.array(M)).reshape(2, 2, 16).sum(axis=2)
            found[one, two] += moments
    return found


def _squeezed(mu: float, amplitude: Complex) -> tuple[Complex, Complex]:
    """N and M over signals (ancilla x polarization) and idlers (polarization) of a source whose mean number
    of pairs is mu, its pair amplitude (ancilla, 2, 2) being normalised."""
    c = sqrt(mu) * amplitude.reshape(-1, 2)  # signals, idlers
    u, s, vh = np.linalg.svd(c, full_matrices=False)
    m = (u * (s * np.sqrt(1 + s**2))) @ vh
    signals = len(c)
    N, M = (np.zeros((signals + 2, signals + 2)) + 0j for _ in range(2))
    N[:signals, :signals] = ((u * s**2) @ u.conj().T).conj()  # <a+_i a_j>
    N[signals:, signals:] = ((vh.T * s**2) @ vh.conj()).conj()
    M[:signals, signals:] = m
    M[signals:, :signals] = m.T
    return N, M
