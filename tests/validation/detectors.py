"""What detectors, clocks and taggers make of light."""

from math import erfc, exp, sqrt

import numpy as np
from scipy.stats import exponnorm, norm

from sim_instruments.ports import DiodePort, NanowirePort, Ports, TaggerPort
from sim_instruments.world.layout import Beam, Clock, Gate, Layout, Pulses, Tagger
from sim_instruments.world.light_field import LightField
from tests.sim_instruments.light_bench import LightBench, pairs
from tests.validation.coincidences import WAVELENGTH_M, laser_w
from tests.validation.counting import Floats, bins, centres, histogram, watched
from tests.validation.evidence import (
    Chapter,
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

CHAPTER = Chapter("Detectors, clocks and taggers", [])


def lit(rate_hz: float, *, pulses: Pulses | None = None, **detection: object) -> LightBench:
    """One detector in laser light of so many photons per second."""
    beam = Beam("beam", "laser", WAVELENGTH_M, (1, 0), ("d",), pulses=pulses)
    return LightBench((beam,), ("d",), lasers={"laser": laser_w(rate_hz)}, detection=dict(detection))


@CHAPTER.check(
    "Dead time: rates and spread of counts",
    r"r' = \frac{r}{1 + r d},\qquad F = \frac{\mathrm{Var}\,n}{\bar n} = \frac{1}{(1 + r d)^2}",
    12,
)
def dead_time(effort: float) -> Evidence:
    """A dead time of 50 ns, not prolonged by lost photons, in Poissonian light of 0.5 to 20 million photons
    per second: rate, and Fano factor of the counts in intervals of 50 us. Laser light (drawn as noise) and
    photons of pairs (drawn one by one) are treated differently in the light field and have to agree. (W.
    Feller, in Studies and Essays Presented to R. Courant, 1948; J. W. Mueller, Nucl. Instrum. Methods 112, 47
    (1973).)"""
    dead, interval_s, seconds = 50e-9, 50e-6, 0.4 * effort
    rates = np.array([5e5, 2e6, 5e6, 1e7, 2e7])
    findings: list[Finding] = []
    shown: dict[str, list[Figure]] = {}
    for k, rate in enumerate(rates):
        laser = lit(rate, dead_time_s=dead)
        source = pairs("s", "d", "other", pair_rate_hz=rate, modes=np.inf)
        single = LightBench((source,), ("d", "other"), detection={"dead_time_s": dead})
        for name, bench in (("laser", laser), ("pairs", single)):
            if name == "pairs" and rate > 1e7:
                continue
            clicks, spread, means, n = 0, 0.0, 0.0, 0
            for tags in watched(bench, seconds, 300 + k):
                inside = np.bincount(tags["d"] // round(interval_s * 1e12))[1:-2]
                spread += float(inside.var(ddof=1)) * len(inside)
                means += float(inside.sum())
                clicks, n = clicks + int(inside.sum()), n + len(inside)
            expected, fano = rate / (1 + rate * dead), 1 / (1 + rate * dead) ** 2
            time_s = n * interval_s
            findings.append(
                Figure(
                    f"rate, {name}, {rate / 1e6:g} Mcps",
                    expected,
                    clicks / time_s,
                    sqrt(expected * fano / time_s),
                    "/s",
                )
            )
            # Of an interval's end effects, d / interval = 0.001 is left.
            figure = Figure(
                f"Fano factor, {name}, {rate / 1e6:g} Mcps",
                fano,
                spread / means,
                fano * sqrt(2 / n),
                "",
                0.002,
            )
            findings.append(figure)
            shown.setdefault(name, []).append(figure)
    r = np.linspace(0, 2e7, 101)
    return Evidence(
        tuple(findings),
        Plot(
            "light (photons/s)",
            "Fano factor",
            (Line("1 / (1 + r d)²", r, 1 / (1 + r * dead) ** 2),),
            tuple(
                Points(name, rates[: len(f)], np.array([x.found for x in f]), np.array([x.error for x in f]))
                for name, f in shown.items()
            ),
        ),
    )


@CHAPTER.check(
    "Afterpulses",
    r"r' = \frac{r}{1 - p},\qquad C(t) = r'\left(r' + p f(t) + p^2 f^{*2}(t) + \ldots\right),\qquad"
    r"f(t) = \frac{1}{\tau}e^{-(t - d)/\tau}",
    14,
)
def afterpulses(effort: float) -> Evidence:
    """After 2 % of the clicks, afterpulses too, one follows, d = 25 ns (the dead time) and an exponential
    time of 50 ns later; light of 2e4 photons per second. The rate, and all later clicks after a click within
    500 ns."""
    p, dead, tau, rate, seconds = 0.02, 25e3, 50e3, 2e4, 40.0 * effort
    bench = lit(rate, dead_time_s=dead * 1e-12, afterpulsing=p, afterpulse_time_s=tau * 1e-12)
    edges = bins(5000, 505_000, 5000)
    clicks, found = 0, np.zeros(len(edges) - 1)
    for tags in watched(bench, seconds, 310, 10.0):
        clicks += len(tags["d"])
        found += histogram(tags["d"], tags["d"], edges)
    # Photons in a dead time, and afterpulses behind a photon that came first: r d and r (d + tau).
    real = rate / (1 - p) / (1 + rate * dead * 1e-12)
    mean = real * seconds
    after = np.maximum(edges - dead, 0.0)
    again = np.maximum(edges - 2 * dead, 0.0)
    once, twice = 1 - np.exp(-after / tau), 1 - np.exp(-again / tau) * (1 + again / tau)
    expected = real * seconds * np.diff(p * once + p * p * twice + real * 1e-12 * np.maximum(edges, dead))
    return Evidence(
        (
            Figure("clicks", mean, clicks, sqrt(mean * (1 + 2 * p)), "", 2e-5 * mean),
            Figure("more clicks than light", p / (1 - p), clicks / (rate * seconds) - 1,
                   sqrt(1.04 / (rate * seconds)), "", 2 * rate * dead * 1e-12),
            counts_against("histogram", expected, found),
        ),
        Plot(
            "time since a click (ns)",
            "clicks per 5 ns",
            (Line("formula", centres(edges) / 1000, expected),),
            (Points("simulated", centres(edges) / 1000, found, np.sqrt(expected)),),
            log_y=True,
        ),
    )  # fmt: skip


@CHAPTER.check(
    "Timing jitter with a tail",
    r"h(t) = (1 - f)\,\mathcal N_\sigma(t) + f\,(\mathcal N_\sigma * \mathrm{Exp}_\tau)(t)",
)
def jitter(effort: float) -> Evidence:
    """Laser pulses (2 ps) every 10 ns on a detector of sigma = 40 ps, of whose clicks 15 % are later by an
    exponential time of 120 ps on average: times since the pulse."""
    sigma, fraction, tau, seconds = 40.0, 0.15, 120.0, 0.3 * effort
    bench = lit(
        5e6,
        pulses=Pulses(1e-8, 2e-12),
        jitter_s=sigma * 1e-12,
        jitter_tail=fraction,
        jitter_tail_s=tau * 1e-12,
    )
    edges = bins(-300, 1500, 20)
    found, clicks = np.zeros(len(edges) - 1), 0
    for tags in watched(bench, seconds, 320):
        since = (tags["d"] + 5000) % 10_000 - 5000
        found += np.histogram(since, edges)[0]
        clicks += len(since)
    width = sqrt(sigma**2 + 2.0**2)
    # Tags are rounded down: on average half a picosecond early.
    at = edges + 0.5
    below = (1 - fraction) * norm.cdf(at, scale=width) + fraction * exponnorm.cdf(
        at, tau / width, scale=width
    )
    expected = 5e6 * seconds * np.diff(below)
    return Evidence(
        (count("clicks", 5e6 * seconds, clicks), counts_against("histogram", expected, found)),
        Plot(
            "time since the pulse (ps)",
            "clicks per 20 ps",
            (Line("formula", centres(edges), expected),),
            (Points("simulated", centres(edges), found, np.sqrt(np.maximum(expected, 1))),),
            log_y=True,
        ),
    )


@CHAPTER.check("A gated detector", r"r' = \frac{w}{T}\,(r\eta + d)")
def gated(effort: float) -> Evidence:
    """Gates of 4 ns every 50 ns on a detector of 25 % efficiency and 2e4 dark counts per second, in laser
    light of 8e6 photons per second: the rate, and clicks against the time since a gate's opening."""
    width, period, phase, seconds = 4e-9, 50e-9, 7e-9, 2.0 * effort
    bench = lit(8e6, dark_counts_hz=2e4, gate=Gate(period, width, phase))
    bench.efficiency = 0.25
    edges = bins(-2000, 8000, 250)
    found, clicks = np.zeros(len(edges) - 1), 0
    for tags in watched(bench, seconds, 330, 2.0):
        clicks += len(tags["d"])
        since = (tags["d"] - round(phase * 1e12) + 10_000) % round(period * 1e12) - 10_000
        found += np.histogram(since, edges)[0]
    rate = (8e6 * 0.25 + 2e4) * width / period
    open_ = np.clip(edges + 0.5, 0, width * 1e12)
    expected = rate * seconds * np.diff(open_) / (width * 1e12)
    outside = float(found[expected == 0].sum())
    return Evidence(
        (
            count("clicks", rate * seconds, clicks),
            Equal("clicks outside of gates", outside, 0.5),
            counts_against("histogram", expected, found),
        ),
        Plot(
            "time since a gate's opening (ps)",
            "clicks per 250 ps",
            (Line("formula", centres(edges), expected),),
            (Points("simulated", centres(edges), found, np.sqrt(np.maximum(expected, 1))),),
        ),
    )


@CHAPTER.check(
    "Efficiency and dark counts against bias and temperature",
    r"\eta(I) = \tfrac12\eta_0\,\mathrm{erfc}\tfrac{0.7 I_0 - I}{I_0/12},"
    r"\quad d(I) = d_0 e^{17(I - I_0)/I_0};\qquad"
    r"\eta(V) = \eta_0\frac{1 - e^{-3V/V_0}}{1 - e^{-3}},"
    r"\quad d = d_0 e^{4(V - V_0)/V_0}\,2^{\Delta T/8\,\mathrm K}",
)
def operating_points(effort: float) -> Evidence:
    """A nanowire (operating bias 17 uA) and an avalanche diode (operating excess bias 5 V, at 233 K) in the
    dark and in laser light of 2e6 photons per second, dark counts of 2e6 per second at the operating point.
    The laws are those of the design note; the widths are assumptions of the light field
    (`sim_instruments/world/detection.py`) and repeated in the formula above. Above its switching current a
    nanowire latches and clicks no more."""
    seconds, light = 0.3 * effort, 2e6
    findings: list[Finding] = []
    shown = []
    for k, part in enumerate((0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.05)):
        efficiency = 0.9 / 2 * erfc((0.7 - part) * 12)
        dark = 2e6 * exp(17 * (part - 1))
        for name, hz in (("light", light), ("dark", 0.0)):
            n = _biased(NanowirePort(17e-6 * part), hz, seconds, 340 + k)
            expected = (hz * efficiency + dark) * seconds
            findings.append(count(f"nanowire, {name}, {part:g} of its bias", expected, n))
            if hz:
                shown.append((part, expected / seconds / light, n / seconds / light))
    findings.append(
        Equal(
            "nanowire, above its switching current", _biased(NanowirePort(19.5e-6), light, seconds, 349), 0.5
        )
    )
    for k, (part, warmer) in enumerate(((0.5, 0.0), (1.0, 0.0), (1.2, 0.0), (1.0, 16.0))):
        efficiency = 0.6 * (1 - exp(-3 * part)) / (1 - exp(-3))
        dark = 2e6 * exp(4 * (part - 1)) * 2 ** (warmer / 8)
        for name, hz in (("light", light), ("dark", 0.0)):
            port = DiodePort(excess_v=5.0 * part, temperature_k=233.15 + warmer)
            n = _biased(port, hz, seconds, 350 + k)
            what = f"{part:g} of its bias" + (f", {warmer:g} K warmer" if warmer else "")
            findings.append(count(f"diode, {name}, {what}", (hz * efficiency + dark) * seconds, n))
    x, theory, found = (np.array(column) for column in zip(*shown, strict=True))
    return Evidence(
        tuple(findings),
        Plot(
            "bias of the nanowire / operating bias",
            "clicks per photon",
            (Line("formula", x, theory),),
            (Points("simulated", x, found, np.sqrt(theory / light / seconds)),),
        ),
    )


def _biased(port: NanowirePort | DiodePort, light_hz: float, seconds: float, seed: int) -> int:
    wire = isinstance(port, NanowirePort)
    bench = lit(
        light_hz,
        dark_counts_hz=2e6,
        kind="nanowire" if wire else "avalanche_diode",
        control=("bias", 1),
        operating_bias_a=17e-6,
        switching_current_a=19e-6,
        operating_excess_v=5.0,
    )
    bench.efficiency = 0.9 if wire else 0.6
    (bench.ports.nanowires if wire else bench.ports.diodes)["bias", 1] = port  # type: ignore[assignment,index]
    return sum(len(tags["d"]) for tags in watched(bench, seconds, seed, 1.0))


@CHAPTER.check(
    "A tagger's link and buffer",
    r"n_{\mathrm{out}} = \min\left(n_{\mathrm{in}},\,L\,T + B\right)",
)
def overflow(effort: float) -> Evidence:
    """Light of 3e6 photons per second, which a link of 2e6 tags per second and a buffer of 1e5 tags cannot
    carry away: tags that come out and tags that the tagger reports as lost, against the same light at a
    tagger without limits."""
    link, room, seconds = 2e6, 100_000, 0.5 * effort
    limited, free = lit(3e6), lit(3e6)
    limited.tagging = {"max_rate_hz": link, "buffer_tags": room}
    out, all_ = len(limited.watch(seconds, seed=360)["d"]), len(free.watch(seconds, seed=360)["d"])
    lost = sum(limited.ports.taggers["tagger"].lost.values())
    times = limited.watch(seconds, seed=360)["d"]
    t = np.linspace(0, seconds, 51)
    found = np.searchsorted(times, t * 1e12)
    expected = np.minimum(3e6 * t, room + link * t)
    return Evidence(
        (
            Equal("in = out + lost", float(all_ - out - lost), 0.5),
            # The link takes tags in frames of 10 ms or less, of which one may be under way.
            Figure("tags out", link * seconds + room, out, 1.0, "", link * 10e-3),
        ),
        Plot(
            "time (s)",
            "tags out until then",
            (Line("formula", t, expected),),
            (Points("simulated", t, found.astype(float), np.sqrt(expected)),),
        ),
    )


@CHAPTER.check(
    "Allan deviation of a node's clock",
    r"\sigma_y^2(\tau) = \frac{q^2}{\tau} + \frac{w^2\tau}{3}",
)
def allan_deviation(effort: float) -> Evidence:
    """Twelve clocks with white frequency noise (q = 1 ns after a second) and a random walk of the frequency
    (w = 1e-8 per root second), read through the counters of their taggers every 10 ms; second differences
    that do not overlap and so are independent. (IEEE Std 1139; D. W. Allan, Proc. IEEE 54, 221 (1966).)"""
    q, w, step, clocks, n = 1e-9, 1e-8, 0.01, 12, round(1500 * effort)
    taggers = tuple(Tagger(f"t{k}", Clock(f"c{k}", 1e-7, q, w)) for k in range(clocks))
    ports = Ports(taggers={tagger.name: TaggerPort({}) for tagger in taggers})
    light = LightField(Layout((), (), taggers), ports, 370)
    shown = np.empty((n, clocks))
    for i in range(n):
        light.tune()
        light.settle(10**10, light.expose(10**10))
        shown[i] = [ports.taggers[tagger.name].clock_ps - light.now_ps for tagger in taggers]
    light.close()
    phase = shown * 1e-12
    findings = []
    spans = np.array([1, 2, 4, 8, 16, 32, 64, 128])
    for span in spans:
        second = (
            phase[2 * span :: 2 * span] - 2 * phase[span : -span : 2 * span] + phase[: -2 * span : 2 * span]
        )
        tau = span * step
        found = float((second**2).mean()) / (2 * tau**2)
        expected = q**2 / tau + w**2 * tau / 3
        findings.append(
            Figure(
                f"σ² at {tau:g} s, in 1e-18",
                expected * 1e18,
                found * 1e18,
                expected * 1e18 * sqrt(2 / second.size),
            )
        )
    tau = np.geomspace(0.008, 1.6, 60)
    ratio: Floats = np.array([f.error / f.expected for f in findings])
    deviation = np.sqrt(np.array([f.found for f in findings]) * 1e-18)
    return Evidence(
        tuple(findings),
        Plot(
            "τ (s)",
            "Allan deviation",
            (Line("formula", tau, np.sqrt(q**2 / tau + w**2 * tau / 3)),),
            (Points("simulated", spans * step, deviation, deviation * ratio / 2),),
            log_x=True,
            log_y=True,
        ),
    )
