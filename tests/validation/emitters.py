"""Single-photon emitters."""

from math import sqrt

import numpy as np

from sim_instruments.world.layout import BellStateMeasurement, Emitter, Pulses
from tests.sim_instruments.light_bench import LightBench, counts
from tests.validation.coincidences import HALVES
from tests.validation.counting import bins, centres, histogram, watched
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
from tests.validation.interference import averaged

CHAPTER = Chapter("Single-photon emitters", [])


@CHAPTER.check(
    "Antibunching of a continuously excited emitter",
    r"g^{(2)}(d) = 1 - \rho^2 e^{-|d|(1/t_p + 1/t_e)},"
    r"\qquad \rho = \frac{r_{\mathrm{emitter}}}{r_{\mathrm{all}}}",
    17,
)
def antibunching(effort: float) -> Evidence:
    """Excited after 30 ns on average, emitting after 10 ns; of its photons 60 % pass to a 50:50 beam splitter
    with two detectors. Once alone, once with 2e6 background photons per second, which fill the dip to 1 -
    rho^2."""
    pump, life, passed, seconds = 30e-9, 10e-9, 0.6, 0.3 * effort
    edges = bins(-50_000, 50_000, 1000)
    findings: list[Finding] = []
    lines, points = [], []
    for k, background in enumerate((0.0, 2e6)):
        emitter = Emitter(
            "dot", life, (1, 0), ("half",), passed, pump_time_s=pump, background_hz=background / passed
        )
        bench = LightBench((emitter,), ("one", "two"), {"splitters": (HALVES,)})
        found, singles = np.zeros(len(edges) - 1), 0
        for tags in watched(bench, seconds, 270 + k):
            found += histogram(tags["one"], tags["two"], edges)
            singles += len(tags["one"]) + len(tags["two"])
        own = passed / (pump + life)
        total = own + background
        share = own / total
        flat = (total / 2) ** 2 * 1e-9 * seconds
        expected = flat * averaged(
            lambda d, share=share: 1 - share**2 * np.exp(-np.abs(d) * 1e-12 * (1 / pump + 1 / life)), edges
        )
        name = "with background" if background else "alone"
        # The counts of a renewal process are steadier than Poisson's.
        findings += [
            count(f"photons, {name}", total * seconds, singles),
            counts_against(f"g2, {name}", expected, found),
        ]
        d = centres(edges) / 1000
        lines.append(Line(f"formula, {name}", d, expected / flat))
        points.append(Points(f"simulated, {name}", d, found / flat, np.sqrt(expected) / flat))
    return Evidence(tuple(findings), Plot("delay d (ns)", "g²(d)", tuple(lines), tuple(points)))


@CHAPTER.check(
    "A triggered emitter: the missing peak",
    r"\frac{C_0}{C_{k\neq0}} = g^{(2)}(0),\qquad C(x) \propto e^{-|x|/t_e}\ \text{around each pulse}",
)
def triggered(effort: float) -> Evidence:
    """Excited every 25 ns, lifetime 1 ns, brightness 0.6, g2(0) = 0.05, seen through 40 % on both detectors
    of a Hanbury Brown-Twiss set-up: coincidences of the same pulse and of different pulses, and their
    histogram."""
    period, life, bright, g2, passed, seconds = 25e-9, 1e-9, 0.6, 0.05, 0.4, 0.5 * effort
    emitter = Emitter("dot", life, (1, 0), ("half",), passed, Pulses(period, 0.0), bright, g2)
    bench = LightBench((emitter,), ("one", "two"), {"splitters": (HALVES,)})
    edges = bins(-62_500, 62_500, 500)
    found, same, other = np.zeros(len(edges) - 1), 0, 0
    for tags in watched(bench, seconds, 280):
        found += histogram(tags["one"], tags["two"], edges)
        # Times of pulse n lie from n periods on: floor.
        one, two = (np.floor(tags[n] / (period * 1e12)).astype(np.int64) for n in ("one", "two"))
        same += int(counts(two, one).sum())
        other += sum(int(counts(two, one + k).sum()) for k in (1, 2, 3, 4))
    # Second photons: q b of a pulse with 2 q / (b (1 + q)^2) = g2; the mean number of photons is b (1 + q).
    k = g2 * bright / 2
    q = (1 - 2 * k - sqrt(1 - 4 * k)) / (2 * k)
    mean = bright * (1 + q) * passed / 2
    pulses = seconds / period
    side = mean**2 * pulses
    x = edges / (life * 1e12)
    share = np.zeros(len(edges) - 1)
    for n in range(-3, 4):
        at = x - n * period / life
        below = np.where(at < 0, 0.5 * np.exp(np.minimum(at, 0)), 1 - 0.5 * np.exp(-np.maximum(at, 0)))
        share += np.diff(below) * (g2 if n == 0 else 1.0)
    return Evidence(
        (
            count("coincidences of one pulse", g2 * side, same),
            count("coincidences of different pulses", 4 * side, other),
            Figure("g2(0)", g2, 4 * same / other, g2 / sqrt(g2 * side)),
            counts_against("histogram", side * share, found),
        ),
        Plot(
            "delay (ns)",
            "coincidences per 0.5 ns",
            (Line("formula", centres(edges) / 1000, side * share),),
            (Points("simulated", centres(edges) / 1000, found, np.sqrt(side * share)),),
        ),
    )


@CHAPTER.check(
    "Photons of two emitters on a beam splitter",
    r"P_{cd}(d) = \frac{p_a p_b}{2}\,\frac{e^{-|d|/t_e}}{2t_e}\left(1 - \kappa\cos 2\pi\delta\!\nu d\right)",
)
def two_emitters(effort: float) -> Evidence:
    """Two emitters (lifetime 0.8 ns, one photon per pulse with probability 0.5, never two) triggered
    together, carriers 1 GHz apart, overlap 0.9: coincidences of the two outputs against the difference of
    their times (T. Legero et al., Appl. Phys. B 77, 797 (2003))."""
    period, life, bright, overlap, beat, seconds = 12.5e-9, 800.0, 0.5, 0.9, 1e-3, 0.1 * effort
    emitters = tuple(
        Emitter(
            f"dot_{s}",
            life * 1e-12,
            (1, 0),
            (f"hub.{s}",),
            1.0,
            Pulses(period, 0.0),
            bright,
            carrier_offset_hz=f,
        )
        for s, f in (("a", 0.0), ("b", beat * 1e12))
    )
    hub = BellStateMeasurement("hub", ("c", "c", "d", "d"), mode_overlap=overlap)
    bench = LightBench(emitters, ("c", "d"), {"measurements": (hub,)})
    edges = bins(-4000, 4000, 100)
    found = sum(histogram(t["c"], t["d"], edges) for t in watched(bench, seconds, 290))

    def density(d: object) -> object:
        fall = np.exp(-np.abs(d) / life) / (2 * life)  # type: ignore[arg-type]
        return fall * (1 - overlap * np.cos(2 * np.pi * beat * d))  # type: ignore[operator]

    # Photons of neighbouring pulses, 12.5 ns away, reach into the last bins with exp(-(12.5 - 4)/0.8) = 2e-5.
    expected = seconds / period * bright**2 / 2 * 100 * averaged(density, edges)
    expected = expected + seconds / period * (bright**2) * np.diff(
        sum(np.sign(edges + s * 12500) * (1 - np.exp(-np.abs(edges + s * 12500) / life)) / 2 for s in (-1, 1))
    )
    d = centres(edges)
    return Evidence(
        (
            count("coincidences", float(expected.sum()), float(found.sum())),
            counts_against("histogram", expected, found),
        ),
        Plot(
            "t_d − t_c (ps)",
            "coincidences per 100 ps",
            (Line("formula", d, expected),),
            (Points("simulated", d, found, np.sqrt(expected)),),
        ),
    )
