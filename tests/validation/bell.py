"""Polarization entanglement of one source: correlations, the Bell test, tomography."""

from itertools import product
from math import cos, pi, sqrt

import numpy as np

from tests.sim_instruments.light_bench import LightBench, Tags, both, pairs
from tests.sim_instruments.light_bench import analyser as analyser_of
from tests.validation.counting import Floats, differences, watched
from tests.validation.evidence import (
    Chapter,
    Evidence,
    Figure,
    Finding,
    Line,
    Plot,
    Points,
    count,
    counts_against,
)
from tests.validation.polarization import WAVE_PLATES, Complex, analyser, werner
from tests.validation.wave_forms import Exponential

CHAPTER = Chapter("Entangled pairs at two analysers", [])
FORM = Exponential(400.0, 150.0)
LOW, HIGH, ASIDE = -5000, 10_000, 100_000
EFFICIENCY = 0.6


def bench(rate_hz: float, state: Complex) -> LightBench:
    """Poissonian pairs, so that accidentals are exactly r1 r2 w."""
    source = pairs(
        "s", "alice", "bob", state=state, pair_rate_hz=rate_hz, biphoton=FORM.biphoton, modes=np.inf
    )
    parts = {"analysers": (analyser_of("alice"), analyser_of("bob"))}
    return LightBench((source,), both("alice", "bob"), parts, efficiency=EFFICIENCY)


def outcomes(tags: Tags) -> tuple[Floats, Floats]:
    """(2, 2) coincidences, and accidentals in a window of the same width beside it."""
    found, beside = np.empty((2, 2)), np.empty((2, 2))
    for (i, u), (j, v) in product(enumerate("hv"), repeat=2):
        a, b = tags[f"bob_{v}"], tags[f"alice_{u}"]
        found[i, j] = len(differences(a, b, LOW, HIGH))
        beside[i, j] = len(differences(a, b, LOW + ASIDE, HIGH + ASIDE))
    return found, beside


def correlation(
    light: LightBench, angles: tuple[float, float], seconds: float, seed: int
) -> tuple[float, float, float]:
    """E at linear angles (degrees), accidentals subtracted; its standard error; and the number of pairs."""
    for name, angle in zip(("alice", "bob"), angles, strict=True):
        light.turn(name, angle)
    n, beside = np.zeros((2, 2)), np.zeros((2, 2))
    for tags in watched(light, seconds, seed):
        found, chance = outcomes(tags)
        n += found - chance
        beside += chance
    sign = np.array([[1, -1], [-1, 1]])
    total = float(n.sum())
    e = float((n * sign).sum() / total)
    variance = (((sign - e) / total) ** 2 * (n + 2 * beside)).sum()
    return e, sqrt(float(variance)), total


@CHAPTER.check(
    "The Bell test at its best angles",
    r"S = 2\sqrt2\,\lambda,\qquad E(a, b) = \lambda\cos 2(a - b),\qquad \lambda = \tfrac{4F - 1}{3},"
    r"\qquad N = R\,\eta^2\,T",
    10,
)
def chsh(effort: float) -> Evidence:
    """A Werner state of F = 0.97 at 1.6e6 pairs per second, efficiency 0.6, analysers at 0, 45 and 22.5, 67.5
    degrees: S and the number of coincidences, less accidentals."""
    rate, seconds, visibility = 1.6e6, 0.4 * effort, (4 * 0.97 - 1) / 3
    light = bench(rate, werner(0.97))
    findings: list[Finding] = []
    s = variance = total = 0.0
    x, shown = [], []
    for k, (a, b) in enumerate(product((0.0, 45.0), (22.5, 67.5))):
        e, error, n = correlation(light, (a, b), seconds, 200 + k)
        expected = visibility * cos(2 * (a - b) * pi / 180)
        findings.append(Figure(f"E({a:g}°, {b:g}°)", expected, e, error))
        s += e if k != 1 else -e
        variance += error**2
        total += n
        x.append(expected)
        shown.append((e, error))
    pairs_ = 4 * rate * EFFICIENCY**2 * seconds
    # Accidentals are subtracted, with the error of both numbers; beyond 10 ns there is nothing of 400 ps.
    singles = rate / 2 * EFFICIENCY
    chance = 4 * 4 * singles**2 * (HIGH - LOW) * 1e-12 * seconds
    findings += [
        Figure("S", 2 * sqrt(2) * visibility, s, sqrt(variance)),
        Figure("coincidences", pairs_, total, sqrt(pairs_ + 2 * chance)),
    ]
    k = np.arange(4, dtype=float)
    return Evidence(
        tuple(findings),
        Plot(
            "setting",
            "E",
            (Line("formula", k, np.array(x)),),
            (Points("simulated", k, np.array([e for e, _ in shown]), np.array([d for _, d in shown])),),
        ),
    )


@CHAPTER.check(
    "S against the angle between analysers",
    r"S(\theta) = 3E(\theta) - E(3\theta) = \lambda\,(3\cos 2\theta - \cos 6\theta)",
)
def chsh_curve(effort: float) -> Evidence:
    """The same bench with angles 0, 2 theta for the signal and theta, 3 theta for the idler; S exceeds 2
    around 22.5 degrees and falls to -2.7 at 67.5."""
    seconds, visibility = 0.08 * effort, (4 * 0.97 - 1) / 3
    light = bench(1e6, werner(0.97))
    findings = []
    angles = np.linspace(0, 90, 9)
    for i, theta in enumerate(angles):
        s = variance = 0.0
        for k, (a, b) in enumerate(product((0.0, 2 * theta), (theta, 3 * theta))):
            e, error, _ = correlation(light, (a, b), seconds, 210 + 4 * i + k)
            s += e if k != 1 else -e
            variance += error**2
        t = theta * pi / 180
        # A perfect correlation has no spread of its own; a count of none has still one of one.
        findings.append(
            Figure(f"S({theta:g}°)", visibility * (3 * cos(2 * t) - cos(6 * t)), s, sqrt(variance))
        )
    theta = np.linspace(0, 90, 181)
    t = theta * pi / 180
    return Evidence(
        tuple(findings),
        Plot(
            "θ (degrees)",
            "S",
            (
                Line("formula", theta, visibility * (3 * np.cos(2 * t) - np.cos(6 * t))),
                Line("local realism", theta, np.full(181, 2.0)),
            ),
            (
                Points(
                    "simulated",
                    angles,
                    np.array([f.found for f in findings]),
                    np.array([f.error for f in findings]),
                ),
            ),
        ),
    )


@CHAPTER.check(
    "36 projections of an arbitrary state",
    r"C_{uv} = R\,T\,\eta^2\,\mathrm{Tr}\,\rho\,(E_u\otimes E_v) + r_u r_v w T",
)
def projections(effort: float) -> Evidence:
    """A random mixed state, both analysers in each of Z, X and Y: all 36 coincidence counts, accidentals
    included, against the POVM elements of the analysers' wave plates."""
    rng = np.random.default_rng(230)
    noise = rng.normal(size=(4, 2)) + 1j * rng.normal(size=(4, 2))
    rho = noise @ noise.conj().T / np.trace(noise @ noise.conj().T)
    rate, seconds = 1e6, 0.06 * effort
    light = bench(rate, rho)
    parts = np.einsum("aibi->ab", rho.reshape(2, 2, 2, 2)), np.einsum("aiaj->ij", rho.reshape(2, 2, 2, 2))
    expected, found = [], []
    for k, bases in enumerate(product("ZXY", repeat=2)):
        for name, basis in zip(("alice", "bob"), bases, strict=True):
            qwp, hwp = WAVE_PLATES[basis]
            light.ports.rotations[f"{name}_qwp"].angle_rad = qwp
            light.ports.rotations[f"{name}_hwp"].angle_rad = hwp
        elements = [analyser(*WAVE_PLATES[basis]) for basis in bases]
        n = sum(outcomes(tags)[0] for tags in watched(light, seconds, 230 + k))
        for u, v in product((0, 1), repeat=2):
            a, b = elements[0][u], elements[1][v]
            singles = [
                rate * EFFICIENCY * float(np.trace(part @ e).real)
                for part, e in zip(parts, (a, b), strict=True)
            ]
            hz = rate * EFFICIENCY**2 * float(np.trace(rho @ np.kron(a, b)).real)
            expected.append((hz + singles[0] * singles[1] * (HIGH - LOW) * 1e-12) * seconds)
            found.append(n[u, v])
    mean, counted = np.array(expected), np.array(found)
    k = np.arange(36, dtype=float)
    return Evidence(
        (
            count("coincidences", float(mean.sum()), float(counted.sum())),
            counts_against("36 projections", mean, counted),
        ),
        Plot(
            "projection",
            "coincidences",
            (Line("formula", k, mean),),
            (Points("simulated", k, counted, np.sqrt(mean)),),
        ),
    )
