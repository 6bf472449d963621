"""Entanglement swapping: four-photon rates, the swapped state, and chains of swaps."""

from dataclasses import dataclass
from itertools import product
from math import pi, sqrt

import numpy as np

from sim_instruments.ports import PlatesPort
from sim_instruments.world.layout import BellStateMeasurement, Controller
from tests.sim_instruments.light_bench import LightBench, Tags, both, pairs
from tests.sim_instruments.light_bench import analyser as analyser_of
from tests.validation.counting import Floats, bins, centres, inside, watched
from tests.validation.evidence import (
    Chapter,
    ChiSquare,
    Evidence,
    Excluded,
    Figure,
    Finding,
    Line,
    Plot,
    Points,
)
from tests.validation.gaussian_states import Source, Windows, fourfolds
from tests.validation.polarization import WAVE_PLATES, Complex, H, analyser, stack, werner
from tests.validation.wave_forms import Exponential, WaveForm

CHAPTER = Chapter("Entanglement swapping", [])
PORTS = ("cH", "cV", "dH", "dV")
PATTERNS = [(p, q) for p in range(4) for q in range(p + 1, 4)]
PSI_MINUS, PSI_PLUS = ((0, 3), (1, 2)), ((0, 1), (2, 3))
SIDES = ("alice", "bob")
WINDOWS = Windows(600, -1000, 4000)


@dataclass(frozen=True)
class Swap:
    """Two sources, their signals analysed, their idlers turned by controllers on the way to a Bell-state
    measurement; everything that arrives clicks, at once."""

    rate_hz: float
    form: WaveForm
    states: tuple[Complex, Complex]
    turns: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ((), ())  # type: ignore[assignment]
    overlap: float = 0.9
    reflectivity: float = 0.5

    def bench(self, plates: tuple[tuple[float, float], tuple[float, float]]) -> LightBench:
        """With the quarter-wave and half-wave plates of both analysers at these angles."""
        sources = tuple(
            pairs(name, f"{name}_analyser", (f"{name}_paddles", f"hub.{side}"), state=state,
                  pair_rate_hz=self.rate_hz, biphoton=self.form.biphoton)
            for name, side, state in zip(SIDES, "ab", self.states, strict=True)
        )  # fmt: skip
        hub = BellStateMeasurement("hub", PORTS, mode_overlap=self.overlap, reflectivity=self.reflectivity)
        bench = LightBench(
            sources,
            both("alice_analyser", "bob_analyser") + PORTS,
            {
                "analysers": tuple(analyser_of(f"{name}_analyser") for name in SIDES),
                "controllers": tuple(Controller(f"{name}_paddles") for name in SIDES),
                "measurements": (hub,),
            },
        )
        for name, turn, (qwp, hwp) in zip(SIDES, self.turns, plates, strict=True):
            bench.ports.plates[f"{name}_paddles"] = PlatesPort(list(turn))
            bench.ports.rotations[f"{name}_analyser_qwp"].angle_rad = qwp
            bench.ports.rotations[f"{name}_analyser_hwp"].angle_rad = hwp
        return bench

    def sources(self) -> tuple[Source, Source]:
        """For the theory."""
        r = self.reflectivity
        amplitudes = (sqrt(1 - r), sqrt(r)), (sqrt(r), -sqrt(1 - r))
        a, b = (
            Source(self.rate_hz * 1e-12, state, self.form, np.vstack([x * stack(list(turn)) for x in split]))
            for state, turn, split in zip(self.states, self.turns, amplitudes, strict=True)
        )
        return a, b

    def expected_hz(
        self, Ea: Complex, Eb: Complex, windows: Windows = WINDOWS, *, overlap: float | None = None,
        thermal: bool = True, bins: Floats | None = None,
    ) -> Floats:  # fmt: skip
        """(4, 4[, bins]) fourfolds per second by port."""
        kappa = self.overlap if overlap is None else overlap
        a, b = self.sources()
        return 1e12 * fourfolds(a, b, kappa, windows, Ea, Eb, thermal=thermal, bins=bins)


def counted(
    tags: Tags, p: int, q: int, windows: Windows, edges: Floats | None = None
) -> tuple[Floats, Floats]:
    """(2, 2[, bins]) fourfolds of ports p and q by the outcomes of alice and bob, counted as combinations,
    and the variance of that number."""
    one, two = tags[PORTS[p]], tags[PORTS[q]]
    reach = windows.ports / 2 if edges is None else edges[-1]
    first, last = np.searchsorted(two, one - round(reach)), np.searchsorted(two, one + round(reach))
    n = last - first
    left = np.repeat(np.arange(len(one)), n)
    right = np.arange(len(left)) - np.repeat(np.cumsum(n) - n - first, n)
    at = (one[left] + two[right]) / 2
    signals = [
        [inside(tags[f"{name}_analyser_{u}"], at, windows.low, windows.high) for u in "hv"] for name in SIDES
    ]
    number = np.array([[a * b for b in signals[1]] for a in signals[0]], dtype=float)
    if edges is None:
        return number.sum(axis=2), (number**2).sum(axis=2)
    d = one[left] - two[right]
    binned = [
        [[np.histogram(d, edges, weights=row**k)[0] for row in line] for line in number] for k in (1, 2)
    ]
    return np.array(binned[0]), np.array(binned[1])


def combination_variance(expected: Floats, found: Floats, variance: Floats) -> Floats:
    """Variance of counts of combinations: that of a Poisson process of groups, whose size the data tell."""
    return expected * float(variance.sum() / found.sum())


def _random_swap(rate_hz: float) -> Swap:
    rng = np.random.default_rng(100)
    states, turns = [], []
    for _ in SIDES:
        noise = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
        noise = noise @ noise.conj().T
        states.append(0.9 * werner(1.0) + 0.1 * noise / np.trace(noise))
        turns.append([(float(rng.uniform(0, pi)), float(rng.uniform(0, pi))) for _ in range(3)])
    return Swap(rate_hz, Exponential(1000.0), (states[0], states[1]), (turns[0], turns[1]), reflectivity=0.47)


def _fourfold_evidence(
    rate_hz: float, seconds: float, seed: int, order: float, control_name: str, **control: object
) -> Evidence:
    swap = _random_swap(rate_hz)
    plates = ((0.3, 0.8), (1.1, 0.2))
    elements = [analyser(*angles) for angles in plates]
    found, variance = np.zeros((6, 2, 2)), np.zeros((6, 2, 2))
    for tags in watched(swap.bench(plates), seconds, seed, 0.1):
        for k, (p, q) in enumerate(PATTERNS):
            n, squares = counted(tags, p, q, WINDOWS)
            found[k] += n
            variance[k] += squares

    def predicted(**changes: object) -> Floats:
        hz = np.array([[swap.expected_hz(a, b, **changes) for b in elements[1]] for a in elements[0]])  # type: ignore[arg-type]
        return np.array([hz[:, :, p, q] for p, q in PATTERNS]) * seconds

    expected = predicted()
    spread = combination_variance(expected, found, variance)
    total = float(expected.sum())

    def chi2(of: Floats) -> float:
        return float(((found - of) ** 2 / spread).sum())

    findings: list[Finding] = [
        Figure("fourfolds per second", total / seconds, float(found.sum()) / seconds,
               sqrt(float(spread.sum())) / seconds, "/s", order * total / seconds),
        ChiSquare("24 patterns", chi2(expected), 24),
    ]  # fmt: skip
    wrong = chi2(predicted(**control))
    findings.append(Excluded(control_name, (wrong - 24) / sqrt(48)))
    k = np.arange(24, dtype=float)
    return Evidence(
        tuple(findings),
        Plot(
            "pattern (six pairs of ports, then outcomes of the signals)",
            "fourfolds",
            (Line("Gaussian moments", k, expected.ravel()),),
            (Points("simulated", k, found.ravel(), np.sqrt(spread).ravel()),),
        ),
    )


FOURFOLD = (
    r"\langle I_{A} I_{B} I_1 I_2\rangle = \sum_{\mathrm{pairings}}\prod\langle E^\dagger E\rangle\,"
    r"\langle E E\rangle,\qquad \mathrm{leading:}\;"
    r"A_{11}B_{22} + A_{22}B_{11} + 2\kappa\,\mathrm{Re}\,A_{12}B_{12}^*"
)


@CHAPTER.check("Fourfold rates against Gaussian moments", FOURFOLD, 2, 4)
def fourfold_rates(effort: float) -> Evidence:
    """Two thermal sources of 5e6 pairs per second with exponential amplitudes of 1 ns (R J = 0.01) in random
    mixed states, idlers turned at random, a beam splitter of 47 %, overlap 0.9, analysers at arbitrary
    angles; t1 - t2 within 600 ps, signals from -1 to 4 ns after (t1 + t2)/2, which holds all accidentals of
    that time. All 24 patterns of outcomes and pairs of ports are predicted absolutely by Wick's theorem.

    As a control, the same theory without interference between the sources must not fit.
    """
    return _fourfold_evidence(
        5e6, 0.5 * effort, 101, 0.002, "without interference between the sources", overlap=0.0
    )


@CHAPTER.check("Fourfold rates at high gain", FOURFOLD, 3, 4)
def fourfold_rates_at_high_gain(effort: float) -> Evidence:
    """The same at 2e7 pairs per second (R J = 0.04), where a good part of the fourfolds are accidentals.
    Allowed is 1 % of the rate: the light field leaves out terms of order (R J)^2 and clusters of three
    bunched pairs.

    As a control, the same theory without the bunching of each source's photons must not fit.
    """
    return _fourfold_evidence(
        2e7, 0.15 * effort, 102, 0.01, "without the bunching of thermal sources", thermal=False
    )


@CHAPTER.check(
    "Heralded dip: both signals found H",
    r"C(d) \propto 1 - V(d),\qquad V(d) = \kappa\,e^{-|d|/\tau} \quad\text{(less accidentals)}",
)
def heralded_dip(effort: float) -> Evidence:
    """Fourfolds with clicks of cH and dH, against the difference of their times: with both signals H the
    idlers are alike and avoid leaving by different outputs; with one signal H and one V only accidentals are
    there. R = 1e7 pairs per second of Phi+, exponential amplitudes of 1 ns, overlap 0.9, all by Gaussian
    moments."""
    seconds = 0.3 * effort
    swap = Swap(1e7, Exponential(1000.0), (werner(1.0), werner(1.0)))
    windows = Windows(0, -1000, 4000)
    edges = bins(-3000, 3000, 200)
    found, variance = np.zeros((2, 2, len(edges) - 1)), np.zeros((2, 2, len(edges) - 1))
    for tags in watched(swap.bench(((0.0, 0.0), (0.0, 0.0))), seconds, 110, 0.1):
        n, squares = counted(tags, 0, 2, windows, edges)
        found += n
        variance += squares
    expected = swap.expected_hz(H, H, windows, bins=edges)[0, 2] * seconds
    spread = combination_variance(expected, found[0, 0], variance[0, 0])
    d = centres(edges)
    flat = swap.expected_hz(H, H, windows, overlap=0.0, bins=edges)[0, 2] * seconds
    shape = np.exp(-np.abs(d) / 1000)
    weight = shape / float((flat * shape**2).sum())

    def depth(of: Floats) -> float:
        """Of a dip of the known shape that is missing from what comes without interference."""
        return float(((flat - of) * weight).sum())

    return Evidence(
        (
            Figure(
                "depth",
                depth(expected),
                depth(found[0, 0]),
                sqrt(float((spread * weight**2).sum())),
                allowance=0.005,
            ),
            ChiSquare("histogram", float(((found[0, 0] - expected) ** 2 / spread).sum()), len(expected)),
        ),
        Plot(
            "t_cH − t_dH (ps)",
            "fourfolds per 200 ps",
            (
                Line("Gaussian moments, κ = 0.9", d, expected),
                Line("κ = 0", d, flat),
            ),
            (Points("simulated", d, found[0, 0], np.sqrt(spread)),),
        ),
    )


@CHAPTER.check(
    "Tomography of the swapped state",
    r"T = \tfrac12\,\|\rho_{\mathrm{found}} - \rho_{\mathrm{predicted}}\|_1,\qquad"
    r"\rho = \arg\min\sum_{k}\left(f_k - \mathrm{Tr}\,\Pi_k\rho\right)^2",
)
def swapped_tomography(effort: float) -> Evidence:
    """Nine settings of the two analysers (ZZ, ZX, ..., YY), 36 projections, of swapped pairs heralded as Psi-
    and as Psi+: Werner sources of F = 0.97 at 5e6 pairs per second, amplitudes of 1 ns, overlap 0.9, windows
    as above. The density matrix is found by linear inversion of the frequencies. The predicted one comes by
    the same inversion from Gaussian moments, accidentals and finite windows included. How far counting
    statistics take the two apart is found by drawing the counts 400 times from the prediction."""
    seconds = 0.22 * effort
    swap = Swap(5e6, Exponential(1000.0), (werner(0.97), werner(0.97)))
    settings = list(product("ZXY", repeat=2))
    found, expected = np.zeros((2, 9, 2, 2)), np.zeros((2, 9, 2, 2))
    squares = np.zeros((2, 9, 2, 2))
    for k, (x, y) in enumerate(settings):
        plates = WAVE_PLATES[x], WAVE_PLATES[y]
        elements = [analyser(*angles) for angles in plates]
        for tags in watched(swap.bench(plates), seconds, 120 + k, 0.25):
            for herald, patterns in enumerate((PSI_MINUS, PSI_PLUS)):
                for p, q in patterns:
                    number, square = counted(tags, p, q, WINDOWS)
                    found[herald, k] += number
                    squares[herald, k] += square
        for u, v in product((0, 1), repeat=2):
            hz = swap.expected_hz(elements[0][u], elements[1][v])
            for herald, patterns in enumerate((PSI_MINUS, PSI_PLUS)):
                expected[herald, k, u, v] = seconds * sum(hz[p, q] for p, q in patterns)
    spread = combination_variance(expected, found, squares)
    projectors = np.array(
        [
            [np.kron(a, b) for a, b in product(analyser(*WAVE_PLATES[x]), analyser(*WAVE_PLATES[y]))]
            for x, y in settings
        ]
    )
    findings: list[Finding] = [
        ChiSquare("72 rates of 36 projections", float(((found - expected) ** 2 / spread).sum()), 72)
    ]
    rng = np.random.default_rng(121)
    elements_shown = []
    for name, n, mean, width in zip(("Psi-", "Psi+"), found, expected, spread, strict=True):
        predicted, measured = _inverted(mean, projectors), _inverted(n, projectors)
        scatter = [
            _trace_distance(_inverted(rng.normal(mean, np.sqrt(width)), projectors), predicted)
            for _ in range(400)
        ]
        findings += [
            Figure(f"trace distance, {name}", float(np.mean(scatter)), _trace_distance(measured, predicted),
                   float(np.std(scatter))),
            Excluded(f"white noise in place of the state, {name}",
                     _trace_distance(np.eye(4) / 4, measured) / float(np.mean(scatter))),
        ]  # fmt: skip
        elements_shown.append((predicted, measured, float(np.mean(scatter))))
    predicted, measured, typical = elements_shown[0]
    k = np.arange(16, dtype=float)
    return Evidence(
        tuple(findings),
        Plot(
            "element of the density matrix heralded as Psi-, row by row",
            "real part",
            (Line("predicted", k, predicted.real.ravel()),),
            (Points("found", k, measured.real.ravel(), np.full(16, typical / 2)),),
        ),
    )


def _inverted(n: Floats, projectors: Complex) -> Complex:
    """The Hermitian matrix of trace 1 that fits the frequencies (9, 2, 2) best."""
    frequencies = (n / n.sum(axis=(1, 2), keepdims=True)).reshape(-1)
    rows = projectors.reshape(36, 16).conj()
    weight = 1e3  # of the condition that the trace is 1
    rows = np.vstack([rows, weight * np.eye(4).reshape(1, 16)])
    solution = np.linalg.lstsq(rows, np.append(frequencies, weight), rcond=None)[0].reshape(4, 4)
    return (solution + solution.conj().T) / 2


def _trace_distance(a: Complex, b: Complex) -> float:
    return float(np.abs(np.linalg.eigvalsh(a - b)).sum() / 2)
