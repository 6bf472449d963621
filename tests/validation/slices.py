"""Cutting time into slices changes nothing: statistics are the same, and what is under way carries over."""

from math import sqrt

import numpy as np

from sim_instruments.world.layout import BellStateMeasurement, Fibre
from tests.sim_instruments.light_bench import HH, LightBench, Tags, pairs
from tests.validation.counting import Floats, centres, differences
from tests.validation.detectors import lit
from tests.validation.evidence import (
    Chapter,
    ChiSquare,
    Equal,
    Evidence,
    Figure,
    Finding,
    Line,
    Plot,
    Points,
    count,
    counts_against,
)
from tests.validation.wave_forms import Exponential

CHAPTER = Chapter("Slices of time", [])


@CHAPTER.check(
    "Dead time holds across the borders of slices",
    r"r' = \frac{r}{1 + r d},\qquad t_{k+1} - t_k \ge d",
    13,
)
def dead_time_across_slices(effort: float) -> Evidence:
    """A dead time of 1 us in light of 1e6 photons per second, in slices of 100 us: the rate, the shortest gap
    between clicks, and clicks against their phase in the slice, which must not show the borders."""
    dead, rate, slice_ps, seconds = 1e-6, 1e6, 10**8, 0.25 * effort
    bench = lit(rate, dead_time_s=dead)
    times = bench.watch(seconds, seed=500, slice_ps=slice_ps)["d"]
    expected = rate / (1 + rate * dead) * seconds
    phase = np.histogram(times % slice_ps, np.linspace(0, slice_ps, 51))[0]
    mean = np.full(50, expected / 50)
    return Evidence(
        (
            # Counts of a renewal process: the Fano factor is 1/(1 + r d)^2 = 1/4.
            Figure("clicks", expected, len(times), sqrt(expected / 4)),
            # Tags are rounded down to a picosecond.
            Equal("gaps shorter than the dead time", float((np.diff(times) < dead * 1e12 - 1).sum()), 0.5),
            counts_against("clicks by phase in the slice", mean, phase),
        ),
        Plot(
            "time since the beginning of the slice (µs)",
            "clicks per 2 µs",
            (Line("flat", np.linspace(1, 99, 50), mean),),
            (Points("simulated", np.linspace(1, 99, 50), phase.astype(float), np.sqrt(mean)),),
        ),
    )


def busy_bench() -> LightBench:
    """All that carries over: fibres of unequal length to a beam splitter, pairs with a partner at hand, dead
    time, afterpulses, late clicks."""
    form = Exponential(500.0, 200.0)
    sources = tuple(
        pairs(
            name,
            f"s_{name}",
            (f"fibre_{name}", f"hub.{side}"),
            state=HH,
            pair_rate_hz=1.5e6,
            biphoton=form.biphoton,
        )
        for name, side in (("one", "a"), ("two", "b"))
    )
    fibres = Fibre("fibre_one", 8800.0, 0.0, 43.1e-6), Fibre("fibre_two", 17_600.0, 0.0, 87.6e-6)
    return LightBench(
        sources,
        ("s_one", "s_two", "c", "d"),
        {"fibres": fibres, "measurements": (BellStateMeasurement("hub", ("c", "c", "d", "d")),)},
        efficiency=0.8,
        detection={
            "dead_time_s": 30e-9, "afterpulsing": 0.03, "afterpulse_time_s": 60e-9, "jitter_s": 50e-12,
            "jitter_tail": 0.1, "jitter_tail_s": 100e-12, "dark_counts_hz": 1e4,
        },
    )  # fmt: skip


def numbers(tags: Tags) -> dict[str, float]:
    """What is compared."""
    found = {f"singles of {name}": float(len(times)) for name, times in tags.items()}
    for name, delay in (("one", 43_100_000), ("two", 87_600_000)):
        found[f"pairs of {name}"] = float(
            sum(len(differences(tags[f"s_{name}"], tags[port], delay - 4000, delay + 3000)) for port in "cd")
        )
    found["c with d within 300 ps"] = float(len(differences(tags["c"], tags["d"], -300, 300)))
    found["s_one again within 200 ns"] = float(len(differences(tags["s_one"], tags["s_one"], 1, 200_000)))
    return found


@CHAPTER.check(
    "Slices of 1 s, 10 ms and 0.1 ms",
    r"\langle n\rangle_{1\,\mathrm s}"
    r" = \langle n\rangle_{10\,\mathrm{ms}} = \langle n\rangle_{0.1\,\mathrm{ms}}",
)
def slices_of_any_length(effort: float) -> Evidence:
    """Two sources, whose idlers pass fibres of 43.1 and 87.6 us to one beam splitter, detectors with dead
    time, afterpulses, jitter with a tail: singles, pairs, coincidences behind the beam splitter and clicks
    soon after clicks in equal times cut in three ways. Each is compared with the mean of all."""
    seconds = 0.3 * effort
    cuts = {"1 s": 10**12, "10 ms": 10**10, "0.1 ms": 10**8}
    results = {}
    for k, (name, slice_ps) in enumerate(cuts.items()):
        found: dict[str, float] = {}
        runs = max(1, round(seconds / 0.3))
        for run in range(runs):
            tags = busy_bench().watch(seconds / runs, seed=510 + 10 * run + k, slice_ps=slice_ps)
            for what, n in numbers(tags).items():
                found[what] = found.get(what, 0.0) + n
        results[name] = found
    findings: list[Finding] = []
    pulls: dict[str, list[float]] = {}
    whats = list(results["1 s"])
    for what in whats:
        mean = sum(found[what] for found in results.values()) / 3
        # Afterpulses and bunching widen, dead time narrows: at most 1.2 of Poisson's variance.
        error = sqrt(1.2 * mean * 2 / 3)
        for name, found in results.items():
            figure = Figure(f"{what}, {name}", mean, found[what], error)
            findings.append(figure)
            pulls.setdefault(name, []).append(figure.pull)
    k = np.arange(len(whats), dtype=float)
    return Evidence(
        tuple(findings),
        Plot(
            "quantity, as in the table",
            "difference from the mean (standard errors)",
            (Line("mean", k, np.zeros(len(k))),),
            tuple(Points(name, k, np.array(p), np.ones(len(k))) for name, p in pulls.items()),
        ),
    )


@CHAPTER.check(
    "Photons that are under way when a slice ends",
    r"C(\text{phase}) = \mathrm{const}",
)
def photons_under_way(effort: float) -> Evidence:
    """The same bench in slices of 0.2 ms, of which the idlers' fibres hold 43 and 88 us: pairs of each
    source, and coincidences behind the beam splitter, against the phase of the hub's click in the slice. A
    photon lost, doubled or not routed with its neighbour at a cut would show there."""
    slice_ps, seconds = 2 * 10**8, 0.3 * effort
    edges = np.linspace(0, slice_ps, 41)
    found: dict[str, Floats] = {name: np.zeros(40) for name in ("pairs of one", "pairs of two", "c with d")}
    runs = max(1, round(seconds / 0.3))
    for run in range(runs):
        tags = busy_bench().watch(seconds / runs + 4e-4, seed=540 + run, slice_ps=slice_ps)
        # The first slice, before light has come through the fibres, and the last, not all out, do not count.
        begin, end = slice_ps, tags["c"][-1] // slice_ps * slice_ps
        for name, delay in (("one", 43_100_000), ("two", 87_600_000)):
            for port in "cd":
                at = tags[port][(tags[port] >= begin) & (tags[port] < end)]
                partners = np.searchsorted(tags[f"s_{name}"], at - delay + 4000) - np.searchsorted(
                    tags[f"s_{name}"], at - delay - 3000
                )
                found[f"pairs of {name}"] += np.histogram(at % slice_ps, edges, weights=partners)[0]
        at = tags["c"][(tags["c"] >= begin) & (tags["c"] < end)]
        met = np.searchsorted(tags["d"], at + 1000) - np.searchsorted(tags["d"], at - 1000)
        found["c with d"] += np.histogram(at % slice_ps, edges, weights=met)[0]
    findings: list[Finding] = []
    points = []
    x = centres(edges) / 1e6
    for name, n in found.items():
        mean = float(n.mean())
        findings += [
            # The mean is from the data: a freedom less. A few per cent come in twos.
            ChiSquare(f"{name} by phase", float(((n - mean) ** 2 / mean).sum()) / 1.05, 39),
            count(f"{name} in the first and last 5 µs of slices", 2 * mean, float(n[0] + n[-1])),
        ]
        points.append(Points(name, x, n / mean, np.sqrt(n) / mean))
    return Evidence(
        tuple(findings),
        Plot(
            "time since the beginning of the slice (µs)",
            "found / mean",
            (Line("flat", x, np.ones(len(x))),),
            tuple(points),
        ),
    )
