"""Photons of different origin on one beam splitter: Hong, Ou and Mandel's dip, and beats."""

from dataclasses import replace
from math import cos, exp, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from sim_instruments.ports import DelayPort, LaserPort, RotationPort
from sim_instruments.world.layout import (
    Beam,
    BellStateMeasurement,
    DelayLine,
    PairSource,
    Plate,
    Pulses,
)
from tests.sim_instruments.light_bench import HH, LightBench, counts, pairs, pulse_numbers
from tests.validation.coincidences import WAVELENGTH_M, laser_w
from tests.validation.counting import Floats, bins, centres, differences, histogram, watched
from tests.validation.evidence import (
    Chapter,
    Evidence,
    Figure,
    Finding,
    Line,
    Plot,
    Points,
    counts_against,
)
from tests.validation.wave_forms import Exponential, quadrature

CHAPTER = Chapter("Interference of independent photons", [])
TAU = 1000.0
RATE_HZ = 3e6
"""Photons per second at each input. Photons that meet in threes are followed only approximately where sources
have many modes, which share nothing with each other and yet all with the other source: three in r tau of the
dip is lost (seen with more light: 5 % at r tau = 0.02)."""
LOST = 3 * RATE_HZ * TAU * 1e-12
Complex = NDArray[np.complex128]


def splitter(overlap: float = 1.0) -> BellStateMeasurement:
    """A 50:50 beam splitter with one detector for each output."""
    return BellStateMeasurement("hub", ("c", "c", "d", "d"), mode_overlap=overlap)


def two_sources(modes: float, rate: float, **changes: object) -> LightBench:
    """Idlers, all H, of two sources on a beam splitter, their signals not looked at."""
    form = Exponential(TAU).biphoton
    a, b = (
        pairs(name, (), f"hub.{side}", state=HH, biphoton=form, pair_rate_hz=rate, modes=modes)
        for name, side in (("one", "a"), ("two", "b"))
    )
    return LightBench((a, replace(b, **changes)), ("c", "d"), {"measurements": (splitter(),)})  # type: ignore[arg-type]


def averaged(f: object, edges: Floats) -> Floats:
    """Mean of a function over each bin."""
    x = edges[:-1, None] + np.diff(edges)[:, None] * np.linspace(0.0, 1.0, 41)
    return np.trapezoid(f(x), dx=1 / 40, axis=1)  # type: ignore[operator]


@CHAPTER.check(
    "Dip of unheralded photons, Poissonian sources",
    r"g^{(2)}_{cd}(d) = 1 - \tfrac12\,\kappa\,e^{-|d|/\tau}",
    5,
)
def dip_of_poissonian_sources(effort: float) -> Evidence:
    """Idlers of two Poissonian CW sources (infinitely many modes) with exponential wave packets of 1 ns, all
    H, on a 50:50 beam splitter: half of the pairs of clicks are of one source and do not interfere. Depth and
    time constant are fitted too."""
    rate, seconds = RATE_HZ, 3 * effort
    bench = two_sources(np.inf, rate)
    edges, found = _cross_counts(bench, seconds, 31)
    flat = rate**2 * 100e-12 * seconds
    expected = flat * averaged(lambda d: 1 - 0.5 * np.exp(-np.abs(d) / TAU), edges)

    def model(d: Floats, depth: float, tau: float) -> Floats:
        del d
        return flat * averaged(lambda at: 1 - depth * np.exp(-np.abs(at) / tau), edges)

    fitted, covariance = curve_fit(
        model, centres(edges), found, (0.4, 800.0), np.sqrt(expected), absolute_sigma=True
    )
    errors = np.sqrt(np.diag(covariance))
    return Evidence(
        (
            Figure("depth", 0.5, fitted[0], errors[0], allowance=LOST / 2),
            Figure("time constant", TAU, fitted[1], errors[1], "ps"),
            counts_against("histogram", expected, found),
        ),
        _dip_plot(edges, flat, [("", expected, found)]),
    )


@CHAPTER.check(
    "No dip of unheralded photons of two thermal sources",
    r"g^{(2)}_{cd}(d) = 1 + \tfrac14\left(|g_1|^2 + |g_1|^2\right) - \tfrac12\,\kappa\,|g_1|^2"
    r" = 1\quad(\kappa = 1)",
    6,
)
def no_dip_of_thermal_sources(effort: float) -> Evidence:
    """The same with single-mode, thermal sources: the bunching of each source's photons fills the dip
    exactly. With an overlap of 0.5 a bump of a quarter of |g1|^2 remains."""
    rate, seconds = 1e7, 0.5 * effort
    findings: list[Finding] = []
    series = []
    flat = rate**2 * 100e-12 * seconds
    for k, overlap in enumerate((1.0, 0.5)):
        bench = two_sources(1.0, rate)
        bench.parts = {"measurements": (splitter(overlap),)}
        edges, found = _cross_counts(bench, seconds, 32 + k)
        shape = averaged(lambda d: np.exp(-np.abs(d) / TAU), edges)
        expected = flat * (1 + (1 - overlap) / 2 * shape)
        fit = float(((found / flat - 1) * shape).sum() / (shape**2).sum())
        error = float(sqrt((expected / flat**2 * shape**2).sum()) / (shape**2).sum())
        findings += [
            # Excess and dip are of first order in r tau; what is left out is r tau times them.
            Figure(f"depth, overlap {overlap:g}", -(1 - overlap) / 2, -fit, error, allowance=0.005),
            counts_against(f"histogram, overlap {overlap:g}", expected, found),
        ]
        series.append((f", overlap {overlap:g}", expected, found))
    return Evidence(tuple(findings), _dip_plot(edges, flat, series))


def _cross_counts(bench: LightBench, seconds: float, seed: int) -> tuple[Floats, Floats]:
    edges = bins(-6000, 6000, 100)
    return edges, sum(histogram(t["c"], t["d"], edges) for t in watched(bench, seconds, seed))  # type: ignore[return-value]


def _dip_plot(edges: Floats, flat: float, series: list[tuple[str, Floats, Floats]]) -> Plot:
    d = centres(edges)
    return Plot(
        "t_d − t_c (ps)",
        "coincidences / accidentals",
        tuple(Line(f"formula{label}", d, expected / flat) for label, expected, _ in series),
        tuple(Points(f"simulated{label}", d, n / flat, np.sqrt(e) / flat) for label, e, n in series),
    )


@CHAPTER.check(
    "Depth of the dip against polarization and overlap",
    r"V = \tfrac12\,\kappa\cos^2\theta",
)
def depth_of_the_dip(effort: float) -> Evidence:
    """The dip of Poissonian sources while a half-wave plate turns the polarization at input b by an angle
    theta, and for overlaps kappa from 0 to 1. Depth by a fit of the known shape to the counts from -5 to 5
    tau."""
    rate, seconds = RATE_HZ, 0.5 * effort
    cases = [(degrees, 1.0) for degrees in (0, 15, 30, 45, 60, 75, 90)]
    cases += [(0, overlap) for overlap in (0.0, 0.25, 0.5, 0.75)]
    findings = []
    edges = bins(-5000, 5000, 100)
    flat = rate**2 * 100e-12 * seconds
    shape = averaged(lambda d: np.exp(-np.abs(d) / TAU), edges)
    for k, (degrees, overlap) in enumerate(cases):
        bench = two_sources(np.inf, rate, idler_path=("plate", "hub.b"))
        bench.parts = {"measurements": (splitter(overlap),), "plates": (Plate("plate", "mount", "half"),)}
        bench.ports.rotations["mount"] = RotationPort(np.deg2rad(degrees) / 2)
        found = sum(histogram(t["c"], t["d"], edges) for t in watched(bench, seconds, 40 + k))
        depth = -float(((found / flat - 1) * shape).sum() / (shape**2).sum())
        expected = 0.5 * overlap * cos(np.deg2rad(degrees)) ** 2
        error = float(sqrt(((1 - expected * shape) / flat * shape**2).sum()) / (shape**2).sum())
        findings.append(
            Figure(f"{degrees}°, overlap {overlap:g}", expected, depth, error, "", LOST * expected)
        )
    turned, mixed = findings[:7], [*findings[7:], findings[0]]
    angle, share = np.linspace(0, 1, 91), np.linspace(0, 1, 2)
    return Evidence(
        tuple(findings),
        Plot(
            "angle / 90°, or overlap κ",
            "depth",
            (Line("½ cos² θ", angle, 0.5 * np.cos(angle * pi / 2) ** 2), Line("½ κ", share, share / 2)),
            tuple(
                Points(
                    label,
                    np.array(x),
                    np.array([f.found for f in of]),
                    np.array([f.error for f in of]),
                )
                for label, of, x in (
                    ("polarization turned", turned, [d / 90 for d, _ in cases[:7]]),
                    ("overlap reduced", mixed, [0.0, 0.25, 0.5, 0.75, 1.0]),
                )
            ),
        ),
    )


@CHAPTER.check(
    "Beat of two sources of different frequency",
    r"g^{(2)}_{cd}(d) = 1 - \tfrac12\cos(2\pi\,\delta\!\nu\,d)\,e^{-|d|/\tau}",
    16,
)
def beat_of_sources(effort: float) -> Evidence:
    """Idlers of two Poissonian sources 0.5 GHz apart."""
    rate, seconds, beat = RATE_HZ, 3 * effort, 0.5e-3
    bench = two_sources(np.inf, rate, carrier_offset_hz=beat * 1e12)
    edges, found = _cross_counts(bench, seconds, 60)
    flat = rate**2 * 100e-12 * seconds
    expected = flat * averaged(
        lambda d: 1 - 0.5 * np.cos(2 * pi * beat * d) * np.exp(-np.abs(d) / TAU), edges
    )
    return Evidence(
        (counts_against("histogram", expected, found), _beat(edges, found / flat, beat, expected / flat**2)),
        _dip_plot(edges, flat, [("", expected, found)]),
    )


def _beat(edges: Floats, ratio: Floats, beat: float, variance: Floats) -> Figure:
    def model(_: Floats, f: float) -> Floats:
        return averaged(lambda d: 1 - 0.5 * np.cos(2 * pi * f * d) * np.exp(-np.abs(d) / TAU), edges)

    fitted, covariance = curve_fit(
        model, centres(edges), ratio, (beat * 1.02,), np.sqrt(variance), absolute_sigma=True
    )
    return Figure("frequency", beat * 1e3, fitted[0] * 1e3, sqrt(covariance[0, 0]) * 1e3, "GHz")


@CHAPTER.check(
    "Beat of two lasers",
    r"g^{(2)}_{cd}(d) = 1 - \tfrac12\cos(2\pi\,\delta\!\nu\,d)\,e^{-\pi(\Delta\nu_a + \Delta\nu_b)|d|}",
)
def beat_of_lasers(effort: float) -> Evidence:
    """Weak light of two lasers at 2e6 photons per second each, 300 MHz apart as their ports say, with
    Lorentzian lines of 30 and 50 MHz. Chance meetings of three photons and more take part."""
    rate, seconds, beat, widths = 2e6, 2 * effort, 0.3e-3, (30e6, 50e6)
    beams = tuple(
        Beam(f"beam_{s}", f"laser_{s}", WAVELENGTH_M, (1, 0), (f"hub.{s}",), linewidth_hz=w)
        for s, w in zip("ab", widths, strict=True)
    )
    bench = LightBench(beams, ("c", "d"), {"measurements": (splitter(),)})
    bench.ports.lasers |= {
        "laser_a": LaserPort(laser_w(rate)),
        "laser_b": LaserPort(laser_w(rate), beat * 1e12),
    }
    edges, found = _cross_counts(bench, seconds, 61)
    flat, decay = rate**2 * 100e-12 * seconds, pi * sum(widths) * 1e-12
    expected = flat * averaged(
        lambda d: 1 - 0.5 * np.cos(2 * pi * beat * d) * np.exp(-decay * np.abs(d)), edges
    )
    return Evidence(
        (counts_against("histogram", expected, found),), _dip_plot(edges, flat, [("", expected, found)])
    )


@CHAPTER.check(
    "Dip of pulses of two lasers against their delay",
    r"P_{cd} = \bar n^2\left(1 - \tfrac12\,\kappa\,e^{-\delta^2/4\sigma^2}\right)",
)
def dip_of_pulses(effort: float) -> Evidence:
    """Weak coherent pulses (Gaussian, standard deviation 200 ps, 0.05 photons per detector, 100 MHz, phases
    unrelated) at both inputs; one input's delay line is scanned. Clicks per pulse are averages over the
    phase, so they hold for any brightness."""
    period_s, sigma, seconds, overlap, mean = 1e-8, 200.0, 0.06 * effort, 0.9, 0.05
    train = Pulses(period_s, sigma * 1e-12)
    findings = []
    delays = np.array([-800.0, -500.0, -300.0, -150.0, 0.0, 150.0, 300.0, 500.0, 800.0])
    for k, delay in enumerate(delays):
        beams = (
            Beam("beam_a", "laser_a", WAVELENGTH_M, (1, 0), ("hub.a",), pulses=train),
            Beam("beam_b", "laser_b", WAVELENGTH_M, (1, 0), ("line", "hub.b"), pulses=train),
        )
        bench = LightBench(
            beams,
            ("c", "d"),
            {"measurements": (splitter(overlap),), "delay_lines": (DelayLine("line"),)},
            dict.fromkeys(("laser_a", "laser_b"), laser_w(mean / period_s)),
        )
        # The line's zero is a nanosecond, so that it can be moved both ways; pulse a follows 1 ns earlier.
        bench.ports.delays["line"] = DelayPort((delay + 1000) * 1e-12)
        bench.lights = (replace(beams[0], path=("fixed", "hub.a")), beams[1])
        bench.parts = {**bench.parts, "delay_lines": (DelayLine("line"), DelayLine("fixed"))}
        bench.ports.delays["fixed"] = DelayPort(1e-9)
        both_ = 0
        for tags in watched(bench, seconds, 70 + k):
            c, d = (pulse_numbers(tags[name] - 1000, period_s * 1e12) for name in "cd")
            both_ += int(counts(d, c).sum())
        expected = mean**2 * (1 - 0.5 * overlap * exp(-(delay**2) / (4 * sigma**2)))
        pulses = seconds / period_s
        findings.append(
            # Three photons or more of one pulse are routed in groups, cut at four: a part of mean^2 / 10.
            Figure(f"{delay:+.0f} ps", expected, both_ / pulses, sqrt(expected * (1 + 4 * mean) / pulses),
                   "per pulse", allowance=0.002 * mean**2)
        )  # fmt: skip
    x = np.linspace(-1000, 1000, 201)
    return Evidence(
        tuple(findings),
        Plot(
            "delay δ (ps)",
            "coincidences per pulse",
            (Line("formula", x, mean**2 * (1 - 0.5 * overlap * np.exp(-(x**2) / (4 * sigma**2)))),),
            (
                Points(
                    "simulated",
                    delays,
                    np.array([f.found for f in findings]),
                    np.array([f.error for f in findings]),
                ),
            ),
        ),
    )


@CHAPTER.check(
    "Dip of the two photons of one pair",
    r"P_{cd}(\delta) = \tfrac12\left(1 - \kappa\int\phi(x)\,\phi(-x - 2\delta)\,dx\right)",
)
def dip_of_one_pair(effort: float) -> Evidence:
    """Signal and idler, both H, of one CW source on one beam splitter, the signal delayed by delta; two-sided
    exponential amplitude of 400 and 150 ps, so the dip is not symmetric and lies off zero; the overlap
    integral by quadrature."""
    form, rate, seconds, overlap = Exponential(400.0, 150.0), 4e5, 0.5 * effort, 0.95
    delays = np.array([-1200.0, -800.0, -500.0, -300.0, -150.0, 0.0, 200.0, 500.0, 900.0])

    def share(delay: float) -> float:
        both_ = quadrature(
            lambda x: form.amplitude(x) * form.amplitude(-x - 2 * delay), [-9000, 9000, 0, -2 * delay]
        )
        return (1 - overlap * both_) / 2

    findings = []
    for k, delay in enumerate(delays):
        source: PairSource = pairs(
            "s", ("signal_line", "hub.a"), ("idler_line", "hub.b"), state=HH, pair_rate_hz=rate,
            biphoton=form.biphoton, modes=np.inf,
        )  # fmt: skip
        lines = (DelayLine("signal_line"), DelayLine("idler_line"))
        bench = LightBench(
            (source,), ("c", "d"), {"measurements": (splitter(overlap),), "delay_lines": lines}
        )
        bench.ports.delays["signal_line"] = DelayPort((delay + 2000) * 1e-12)
        bench.ports.delays["idler_line"] = DelayPort(2e-9)
        reach = 6000.0 + 2 * abs(delay)
        n = sum(len(differences(t["c"], t["d"], -reach, reach)) for t in watched(bench, seconds, 90 + k))
        total = rate * seconds
        chance = rate**2 * 2 * reach * 1e-12 * seconds
        expected = share(delay)
        error = sqrt(expected * (1 - expected) * total + 2 * chance) / total
        # Pairs further apart than the window: exp(-15).
        findings.append(Figure(f"{delay:+.0f} ps", expected, (n - chance) / total, error, "of all pairs"))
    x = np.linspace(-1300, 1000, 231)
    return Evidence(
        tuple(findings),
        Plot(
            "delay of the signal δ (ps)",
            "share of pairs with both outputs clicking",
            (Line("formula", x, np.array([share(float(d)) for d in x])),),
            (
                Points(
                    "simulated",
                    delays,
                    np.array([f.found for f in findings]),
                    np.array([f.error for f in findings]),
                ),
            ),
        ),
    )
