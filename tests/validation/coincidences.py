"""Counts, coincidences and intensity correlations of laser light and of pair sources."""

from math import sqrt

import numpy as np
from scipy.constants import Planck, speed_of_light
from scipy.stats import poisson

from sim_instruments.ports import DelayPort
from sim_instruments.world.layout import Beam, DelayLine, Splitter
from tests.sim_instruments.light_bench import HH, LightBench, analyser, both, pairs
from tests.validation.counting import Floats, bins, centres, differences, histogram, watched
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
from tests.validation.wave_forms import Exponential, Gaussian, WaveForm

CHAPTER = Chapter("Counts and coincidences", [])
HALVES = Splitter("half", "plain", ("one",), ("two",))
WAVELENGTH_M = 1324e-9


def laser_w(photons_hz: float) -> float:
    """Power of so many photons per second."""
    return photons_hz * Planck * speed_of_light / WAVELENGTH_M


@CHAPTER.check(
    "Counts of laser light in equal times",
    r"P(n) = \frac{\bar n^n e^{-\bar n}}{n!},\qquad \frac{\mathrm{Var}\,n}{\bar n} = 1,\qquad"
    r"\bar n = \frac{P\lambda}{hc}\,\eta T",
    15,
)
def poisson_dispersion(effort: float) -> Evidence:
    """Laser light of 1e6 photons per second and a detector of 80 % efficiency without dead time, counted in
    10,000 intervals of 0.1 ms: mean, dispersion, and the distribution of the counts."""
    rate, interval_s, n = 1e6, 1e-4, round(1e4 * effort)
    beam = Beam("beam", "laser", WAVELENGTH_M, (1, 0), ("d",))
    bench = LightBench((beam,), ("d",), lasers={"laser": laser_w(rate)}, efficiency=0.8)
    # The last slice's end is not out yet: one interval more than are counted.
    tags = bench.watch((n + 1) * interval_s, seed=1)["d"]
    counts = np.bincount(tags // round(interval_s * 1e12), minlength=n)[:n]
    mean = 0.8 * rate * interval_s
    values = np.arange(round(mean + 8 * sqrt(mean)))
    expected = n * poisson.pmf(values, mean)
    found = np.bincount(counts, minlength=len(values))[: len(values)]
    return Evidence(
        (
            Figure("mean", mean, float(counts.mean()), sqrt(mean / n), "per interval"),
            Figure("dispersion", 1.0, float(counts.var(ddof=1) / counts.mean()), sqrt(2 / (n - 1))),
            counts_against("distribution", expected, found),
        ),
        Plot(
            "counts in an interval",
            "intervals",
            (Line("Poisson", values[40:130], expected[40:130]),),
            (Points("simulated", values[40:130], found[40:130], np.sqrt(expected[40:130])),),
        ),
    )


@CHAPTER.check(
    "Two-folds and accidentals of a pair source",
    r"C(x)\,dx = R\,\eta_s\eta_i\,\phi^2(x - \Delta)\,dx + r_s r_i\,dx,\qquad A = r_s r_i w",
    11,
)
def two_folds(effort: float) -> Evidence:
    """A source of 2e6 pairs per second, Poissonian, with the two-sided exponential amplitude of the deployed
    set (700 and 300 ps), transmissions 0.5 and 0.4, the signal delayed by 40 ns, and unpaired photons
    besides. The histogram of t_signal - t_idler is predicted bin by bin without anything fitted; accidentals
    are counted in a window of 1 ns far from the peak."""
    form = Exponential(700.0, 300.0)
    rate, signal, idler, unpaired, delay, seconds = 2e6, 0.5, 0.4, 3e5, 40_000.0, 1.0 * effort
    source = pairs(
        "s", ("line", "s_det"), "i_det", biphoton=form.biphoton, pair_rate_hz=rate, modes=np.inf,
        signal_transmission=signal, idler_transmission=idler, unpaired_signal_hz=unpaired,
    )  # fmt: skip
    bench = LightBench((source,), ("s_det", "i_det"), {"delay_lines": (DelayLine("line"),)})
    bench.ports.delays["line"] = DelayPort(delay * 1e-12)
    rs, ri = (rate + unpaired) * signal, rate * idler
    edges = bins(delay - 3000, delay + 6000, 100)
    found = np.zeros(len(edges) - 1)
    singles = accidentals = 0
    for tags in watched(bench, seconds, 2):
        found += histogram(tags["i_det"], tags["s_det"], edges)
        accidentals += len(differences(tags["i_det"], tags["s_det"], -200_000, -100_000))
        singles += len(tags["s_det"])
    flat = rs * ri * 1e-12 * seconds
    expected = rate * signal * idler * seconds * form.density(edges - delay) + flat * np.diff(edges)
    x = centres(edges) - delay
    return Evidence(
        (
            count("signal singles", rs * seconds, singles),
            count("pairs from -3 to 6 ns", float(expected.sum()), float(found.sum())),
            count("accidentals in 100 ns", flat * 1e5, accidentals),
            Figure(
                "accidentals in 1 ns, per second",
                rs * ri * 1e-9,
                accidentals / 100 / seconds,
                sqrt(flat * 1e5) / 100 / seconds,
                "/s",
            ),
            counts_against("histogram", expected, found),
        ),
        Plot(
            "t_signal − t_idler − Δ (ps)",
            "coincidences per 100 ps",
            (Line("formula", x, expected),),
            (Points("simulated", x, found, np.sqrt(expected)),),
            log_y=True,
        ),
    )


@CHAPTER.check("Laser light behind a beam splitter", r"g^{(2)}(d) = 1")
def laser_g2(effort: float) -> Evidence:
    """Laser light of 2e7 photons per second divided at 50:50 between two detectors (Hanbury Brown and
    Twiss)."""
    rate, seconds = 2e7, 0.3 * effort
    beam = Beam("beam", "laser", WAVELENGTH_M, (1, 0), ("half",))
    bench = LightBench((beam,), ("one", "two"), {"splitters": (HALVES,)}, {"laser": laser_w(rate)})
    edges = bins(-3000, 3000, 100)
    found = sum(histogram(tags["one"], tags["two"], edges) for tags in watched(bench, seconds, 3))
    flat = np.full(len(edges) - 1, (rate / 2) ** 2 * 100e-12 * seconds)
    total = float(flat.sum())
    return Evidence(
        (
            Figure("g2 from -3 to 3 ns", 1.0, float(found.sum()) / total, 1 / sqrt(total)),
            counts_against("histogram", flat, found),
        ),
        _g2_plot(edges, flat, [("formula", np.ones(len(flat)), "simulated", found)]),
    )


@CHAPTER.check(
    "Thermal light: one side of a pair source behind a beam splitter",
    r"g^{(2)}(d) = 1 + \mathrm{Tr}\rho_i^2\,|g_1(d)|^2 / m,\qquad g_1(d) = \int \phi(x)\,\phi(x + d)\,dx",
    7,
)
def thermal_g2(effort: float) -> Evidence:
    """Idlers of one CW source divided at 50:50 between two detectors: polarized (the state HH) with the
    two-sided exponential of the local set and with a Gaussian; unpolarised (half of Phi+), where the
    polarization's purity of 1/2 halves the bump; and of a source of four modes. g1 in closed form for each
    amplitude; the height is 1 + Tr rho^2 / modes (L. Mandel and E. Wolf, Optical Coherence and Quantum
    Optics, ch. 8)."""
    rate, seconds = 2e7, 0.2 * effort
    two_sided, gaussian = Exponential(400.0, 150.0), Gaussian(500.0)
    unpolarised = np.diag([0.5, 0.0, 0.0, 0.5]) + 0j
    cases: list[tuple[str, WaveForm, object, float, float]] = [
        ("two-sided exponential, polarized", two_sided, HH, 1.0, 1.0),
        ("Gaussian, polarized", gaussian, HH, 1.0, 1.0),
        ("two-sided exponential, unpolarised", two_sided, unpolarised, 1.0, 0.5),
        ("Gaussian, four modes", gaussian, HH, 4.0, 0.25),
    ]
    edges = bins(-3000, 3000, 100)
    flat = np.full(len(edges) - 1, (rate / 2) ** 2 * 100e-12 * seconds)
    findings: list[Finding] = []
    series = []
    for k, (name, form, state, modes, height) in enumerate(cases):
        source = pairs(
            "s", "lone", "half", biphoton=form.biphoton, pair_rate_hz=rate, state=state, modes=modes
        )
        bench = LightBench((source,), ("one", "two", "lone"), {"splitters": (HALVES,)})
        found = sum(histogram(t["one"], t["two"], edges) for t in watched(bench, seconds, 10 + k))
        x = edges[:-1, None] + np.linspace(0.0, 100.0, 21)
        g2 = 1 + height * np.trapezoid(form.coherence(x) ** 2, dx=5.0, axis=1) / 100
        excess = float((found - flat).sum() / (flat * (g2 - 1)).sum())
        error = sqrt(float((flat * g2).sum())) / float((flat * (g2 - 1)).sum())
        findings += [
            Figure(f"excess, {name}", 1.0, excess, error, "of the formula"),
            counts_against(f"histogram, {name}", flat * g2, found),
        ]
        series.append((f"formula, {name}", g2, f"simulated, {name}", found))
    return Evidence(tuple(findings), _g2_plot(edges, flat, series))


def _g2_plot(edges: Floats, flat: Floats, series: list[tuple[str, Floats, str, Floats]]) -> Plot:
    x = centres(edges)
    return Plot(
        "delay d (ps)",
        "g²(d)",
        tuple(Line(label, x, g2) for label, g2, _, _ in series),
        tuple(Points(label, x, found / flat, np.sqrt(g2 / flat)) for _, g2, label, found in series),
    )


@CHAPTER.check(
    "Two-folds of all kinds at high gain",
    r"C_{uv} = r_u r_v W + \int |M_{uv}|^2,\qquad"
    r"M = \sqrt{R}\,(\phi\,c + \tfrac{R}{2}\,\phi_3\,c\,c^\dagger c),"
    r"\qquad \tilde M^\dagger\tilde M = \tilde N(1 + \tilde N)",
    7,
)
def two_folds_at_high_gain(effort: float) -> Evidence:
    """A thermal source of Phi+ pairs at R = 2e7 per second with an exponential amplitude of 1 ns, so that R J
    = 0.04, both photons analysed, everything detected. From the Gaussian state: signal with idler includes
    stimulated emission (the term with phi3, the convolution of phi with g1: 2 % more pairs), like and unlike
    polarizations of one side bunch and do not.

    The formula and the light field are both of first order in R J; terms of order (R J)^2 = 0.0016 are
    allowed.
    """
    form = Exponential(1000.0)
    rate, seconds, low, high = 2e7, 0.2 * effort, -5000, 15_000
    bench = LightBench(
        (pairs("s", "alice", "bob", biphoton=form.biphoton, pair_rate_hz=rate),),
        both("alice", "bob"),
        {"analysers": (analyser("alice"), analyser("bob"))},
    )
    width = (high - low) * 1e-12
    chance = (rate / 2) ** 2 * width
    J, mu = 2000e-12, rate * 2000e-12
    # Each polarization is a source of R/2 of its own: R/2 phi^2 and the gain (R/2)^2 times the integral of
    # 2 phi phi3 / 2 = that of g1^2, which is J, less what lies outside of the window.
    pairs_hz = rate / 2 * (1 - np.exp(-high / 1000)) + (rate / 2) ** 2 * J
    bunching = (rate / 2) ** 2 * J / 2 * (2 - np.exp(low / 1000) - np.exp(-high / 1000))
    expected = {
        ("alice_h", "alice_v"): chance, ("bob_h", "bob_v"): chance,
        ("bob_h", "alice_h"): chance + pairs_hz, ("bob_v", "alice_v"): chance + pairs_hz,
        ("bob_h", "alice_v"): chance, ("bob_v", "alice_h"): chance,
    }  # fmt: skip
    found = dict.fromkeys(expected, 0)
    own = dict.fromkeys(both("alice", "bob"), 0)
    for tags in watched(bench, seconds, 20, 0.1):
        for a, b in expected:
            found[a, b] += len(differences(tags[a], tags[b], low, high))
        for a in own:
            own[a] += len(differences(tags[a], tags[a], 1, high))
    findings: list[Finding] = []
    for (a, b), hz in expected.items():
        # Pairs of one click with several others make the count of pairs vary more than a Poisson number.
        spread = sqrt(hz * seconds * (1 + 2 * rate * width))
        more = mu**2 * (hz - chance) * seconds
        findings.append(Figure(f"{a} with {b}", hz * seconds, found[a, b], spread, allowance=more))
    own_hz = (rate / 2) ** 2 * high * 1e-12 + bunching / 2
    for a, n in own.items():
        spread = sqrt(own_hz * seconds * (1 + 2 * rate * high * 1e-12))
        findings.append(
            Figure(f"{a} with itself", own_hz * seconds, n, spread, allowance=mu * bunching * seconds)
        )
    names = [f.name for f in findings]
    ratio = np.array([f.found / f.expected for f in findings if isinstance(f, Figure)])
    error = np.array([f.error / f.expected for f in findings if isinstance(f, Figure)])
    k = np.arange(len(names), dtype=float)
    return Evidence(
        tuple(findings),
        Plot(
            "kind of two-fold, as in the table",
            "simulated / expected",
            (Line("1", k, np.ones(len(k))),),
            (Points("simulated", k, ratio, error),),
        ),
    )
