"""Laser beams, single-photon emitters and pulsed pair sources against closed formulas.

Every test is seeded. Bounds are 5.5 standard errors (false alarm below 4e-8 each) unless said otherwise.
"""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import exp, pi, sqrt

import numpy as np
import pytest
from scipy.special import ndtr

from sim_instruments.ports import MeterPort, PolarimeterPort, ShutterPort
from sim_instruments.world.constants import LIGHT_SPEED, PLANCK
from sim_instruments.world.emitter_light import second_photon
from sim_instruments.world.layout import (
    Beam,
    BellStateMeasurement,
    Biphoton,
    Emitter,
    Fibre,
    Pulses,
    Shutter,
    Splitter,
)
from sim_instruments.world.quantiles import random_bits
from sim_instruments.world.wave_packets import GAUSSIAN, TWO_SIDED, WavePacket, Window, accepted
from tests.sim_instruments.light_bench import (
    HH,
    LightBench,
    counts,
    histogram,
    pairs,
    pulse_numbers,
    within,
)

Z = 5.5
H, V, D = (1.0 + 0j, 0j), (0j, 1.0 + 0j), (sqrt(0.5) + 0j, sqrt(0.5) + 0j)
WAVELENGTH = 1324e-9
PHOTON_J = PLANCK * LIGHT_SPEED / WAVELENGTH
HOM = {"measurements": (BellStateMeasurement("hub", ("c", "c", "d", "d")),)}


def beam(name: str, path: str, rate_hz: float, **changes: object) -> Beam:
    """So many photons per second at 1 mW of the laser of its name."""
    values = {"polarization": H, "fraction": rate_hz * PHOTON_J / 1e-3} | changes
    return Beam(name, name, WAVELENGTH, path=(path,), **values)  # type: ignore[arg-type]


# -- beams -----------------------------------------------------------------------------------------


def test_weak_laser_light_makes_poisson_counts_and_readings() -> None:
    """A detector sees P / h nu times its efficiency; shared with a power meter and a polarimeter over beam
    splitters, everything in proportion. Counts in 1 ms have the dispersion of Poisson's."""
    laser = Beam("probe", "laser", WAVELENGTH, D, ("one",))
    splitters = (
        Splitter("one", "plain", ("meter",), ("two",)),
        Splitter("two", "plain", ("polarimeter",), ("weak",)),
        Splitter("weak", "plain", (), ("d",), reflectivity=1e-6),
    )
    bench = LightBench((laser,), ("d",), {"splitters": splitters}, {"laser": 4e-13 * 1e6}, efficiency=0.5)
    bench.ports.meters["meter"] = MeterPort()
    bench.ports.polarimeters["polarimeter"] = PolarimeterPort()
    tags = bench.watch(1.0)["d"]
    expected = 1e-13 / PHOTON_J * 0.5
    assert abs(len(tags) - expected) < Z * sqrt(expected)
    n, _ = np.histogram(tags, bins=1000, range=(0, 1e12))
    assert n.var() / n.mean() == pytest.approx(1.0, abs=Z * sqrt(2 / 1000))
    meter, polarimeter = bench.ports.meters["meter"], bench.ports.polarimeters["polarimeter"]
    assert meter.power_w == pytest.approx(2e-7)
    assert meter.wavelength_m == WAVELENGTH
    assert polarimeter.power_w == pytest.approx(1e-7)
    assert polarimeter.stokes == pytest.approx((0.0, 1.0, 0.0), abs=1e-12)


def test_pulses_of_a_laser_at_a_detector() -> None:
    """Poisson photons per pulse, spread about its time by its width, pulses at multiples of the period."""
    period, width, mean = 12_345.678, 200.0, 0.1
    seconds = 0.05
    pulses = round(seconds * 1e12 / period)
    weak = beam("laser", "d", mean / (period * 1e-12), pulses=Pulses(period * 1e-12, width * 1e-12))
    tags = LightBench((weak,), ("d",), lasers={"laser": 1e-3}).watch(seconds, slice_ps=7_777_777_777)["d"]
    numbers = pulse_numbers(tags, period)
    n = counts(numbers, np.arange(pulses))
    assert abs(len(tags) - mean * pulses) < Z * sqrt(mean * pulses)
    assert np.mean(n * (n - 1)) / mean**2 == pytest.approx(1.0, abs=Z * sqrt(2 / pulses) / mean)
    offsets = tags - numbers * period
    assert offsets.mean() == pytest.approx(-0.5, abs=Z * width / sqrt(len(tags)))  # tags round down
    assert offsets.std() == pytest.approx(width, rel=Z / sqrt(2 * len(tags)))
    assert np.mean(offsets < 100.0) == pytest.approx(ndtr(0.5), abs=0.01)


@pytest.mark.parametrize(("second", "visibility"), [(H, 0.5), (D, 0.25), (V, 0.0)])
def test_two_laser_beams_at_a_beam_splitter(second: tuple[complex, complex], visibility: float) -> None:
    """Independent coherent light: g2(d) = 1 - v cos(2 pi f d) exp(-2 pi dnu |d|), v = cos^2 of the angle
    between polarizations over 2, f the detuning and dnu each linewidth. 20 bins over +-2 ns."""
    rate, seconds, linewidth, detuning = 4e6, 0.1, 1e8, 4e8
    lights = (
        beam("a", "hub.a", rate, linewidth_hz=linewidth),
        beam("b", "hub.b", rate, linewidth_hz=linewidth, polarization=second),
    )
    bench = LightBench(lights, ("c", "d"), HOM, {"a": 1e-3, "b": 1e-3})
    bench.ports.lasers["b"].detuning_hz = detuning
    tags = bench.watch(seconds, seed=2)
    edges = np.linspace(-2000, 2000, 21)
    found = histogram(tags["c"], tags["d"], edges)
    d = edges[:-1, None] + np.linspace(1, 199, 100)
    coherence = np.cos(2 * pi * detuning * d * 1e-12) * np.exp(-2 * pi * linewidth * np.abs(d) * 1e-12)
    expected = rate**2 * 200e-12 * seconds * (1 - visibility * coherence).mean(axis=1)
    assert ((found - expected) ** 2 / expected).sum() < 20 + 6.5 * sqrt(40)


def test_pulses_of_two_lasers_dip_by_a_half() -> None:
    """Coherent pulses of one shape at both inputs: coincidences between the outputs fall from n^2 to n^2 / 2
    per pulse, for a mean of n photons at each detector."""
    period, mean, seconds = 10_000.0, 0.05, 0.1
    train = Pulses(period * 1e-12, 100e-12)
    counted = {}
    for second in (H, V):
        lights = (
            beam("a", "hub.a", mean / (period * 1e-12), pulses=train),
            beam("b", "hub.b", mean / (period * 1e-12), pulses=train, polarization=second),
        )
        tags = LightBench(lights, ("c", "d"), HOM, {"a": 1e-3, "b": 1e-3}).watch(seconds, seed=3)
        counted[second] = within(tags["c"], tags["d"], -2000, 2000)
    expected = mean**2 * seconds * 1e12 / period
    assert abs(counted[V] - expected) < Z * sqrt(expected * 1.2)
    assert abs(counted[H] - expected / 2) < Z * sqrt(expected / 2 * 1.2)


def test_a_bright_probe_at_a_hub_is_noise_that_a_shutter_stops() -> None:
    """A microwatt: 6.7e12 photons per second, which no computer draws one by one."""
    probe = Beam("probe", "probe", WAVELENGTH, D, ("shutter", "hub.a"))
    bench = LightBench(
        (probe,), ("c", "d"), HOM | {"shutters": (Shutter("shutter", extinction_db=60.0),)}, {"probe": 1e-6}
    )
    bench.ports.shutters["shutter"] = ShutterPort(open=True)
    light = bench.light()
    light.tune()
    assert light.singles_hz["c"] == pytest.approx(1e-6 / PHOTON_J / 2)
    bench.ports.shutters["shutter"].open = False
    tags = bench.go_on(light, 0.01)
    light.close()
    expected = 1e-12 / PHOTON_J / 2 * 0.01
    assert abs(len(tags["c"]) - expected) < Z * sqrt(expected)


def test_light_of_another_wavelength_does_not_interfere() -> None:
    """Two lasers 1 nm apart at one beam splitter beat at 171 GHz: no dip is left within 100 ps, where lasers
    of one wavelength, with lines of 1 GHz, lose more than a third of their coincidences. False alarm 4e-8."""
    rate, seconds, reach = 5e6, 0.4, 100
    lines = [beam(n, f"hub.{n}", rate, linewidth_hz=1e9) for n in "ab"]
    found = {}
    for wavelength_m in (1323e-9, 1324e-9):
        lights = (lines[0], replace(lines[1], wavelength_m=wavelength_m))
        tags = LightBench(lights, ("c", "d"), HOM, {"a": 1e-3, "b": 1e-3}).watch(seconds, seed=4)
        found[wavelength_m] = within(tags["c"], tags["d"], -reach, reach)
    expected = rate**2 * 2 * reach * 1e-12 * seconds
    assert abs(found[1323e-9] - expected) < Z * sqrt(expected) + 1e-3 * expected
    assert found[1324e-9] < 0.7 * expected


def test_what_instruments_set_while_a_slice_is_in_the_making_counts_from_the_next_one() -> None:
    bench = LightBench((beam("a", "c", 1e6),), ("c",), {}, {"a": 1e-3})
    light = bench.light()
    seen = []
    for _ in range(2):
        light.tune()
        bench.ports.taggers["tagger"].inputs[1].enabled = False
        clicks = light.expose(10**10)
        light.settle(10**10, clicks)
        seen.append(len(clicks["tagger"].tags[1]))
    light.close()
    assert seen[0] > 9_000  # of 10,000 on average
    assert seen[1] == 0


# -- emitters --------------------------------------------------------------------------------------


def test_a_triggered_emitter() -> None:
    """One photon per pulse with the probability stated, an exponential time after it; g2(0) over pulses as
    stated, 1 between pulses."""
    period, lifetime, brightness, g2, eta = 20_000.0, 900.0, 0.6, 0.1, 0.5
    pulses = 10_000_000
    emitter = Emitter("dot", lifetime * 1e-12, H, ("half",), eta, Pulses(period * 1e-12, 0.0), brightness, g2)
    halves = Splitter("half", "plain", ("one",), ("two",))
    bench = LightBench((emitter,), ("one", "two"), {"splitters": (halves,)})
    tags = bench.watch(pulses * period * 1e-12, seed=4, slice_ps=33_333_333_333)
    mean = brightness * (1 + second_photon(brightness, g2)) * eta / 2
    assert 2 * second_photon(brightness, g2) / brightness / (1 + second_photon(brightness, g2)) ** 2 == (
        pytest.approx(g2)
    )
    # Photons come up to 20 lifetimes after the pulse: its number is that of the period they fall into.
    numbers = {name: (times // period).astype(np.int64) for name, times in tags.items()}
    for times in tags.values():
        assert abs(len(times) - mean * pulses) < Z * sqrt(mean * pulses)
        assert np.mean(times % period) == pytest.approx(lifetime - 0.5, abs=Z * lifetime / sqrt(len(times)))
    for lag, expected in ((0, g2), (1, 1.0), (7, 1.0)):
        n = int(counts(numbers["two"], numbers["one"] + lag).sum())
        level = mean**2 * pulses
        assert abs(n - expected * level) < Z * sqrt(expected * level)


def test_no_emitter_makes_more_than_two_photons() -> None:
    with pytest.raises(ValueError, match=r"brightness 1 has a g2 of 0\.5 at most"):
        second_photon(1.0, 0.6)


def test_antibunching_of_a_continuous_emitter() -> None:
    """physics.md 4, row 17: g2 = 1 - exp(-t (1/tp + 1/te)), whatever is lost on the way; rate 1/(tp + te)."""
    pump, lifetime, eta, seconds = 8000.0, 4000.0, 0.2, 0.05
    emitter = Emitter("nv", lifetime * 1e-12, D, ("half",), eta, pump_time_s=pump * 1e-12)
    halves = Splitter("half", "plain", ("one",), ("two",))
    bench = LightBench((emitter,), ("one", "two"), {"splitters": (halves,)})
    tags = bench.watch(seconds, seed=5, slice_ps=30_000_000_000)
    rate = eta / 2 / ((pump + lifetime) * 1e-12)
    for times in tags.values():
        assert abs(len(times) - rate * seconds) < Z * sqrt(rate * seconds)
    edges = np.linspace(-15_000, 15_000, 61)
    found = histogram(tags["one"], tags["two"], edges)
    t = np.abs(edges[:-1, None] + np.linspace(2.5, 497.5, 100))
    expected = rate**2 * 500e-12 * seconds * (1 - np.exp(-t * (1 / pump + 1 / lifetime))).mean(axis=1)
    assert ((found - expected) ** 2 / expected).sum() < 60 + 6.5 * sqrt(120)


def test_less_excitation_makes_an_emitter_dimmer() -> None:
    """Brightness and 1/pump_time in proportion to the laser; dark without it, but for the background."""
    train = Pulses(10e-9, 0.0)
    lights = (
        Emitter("dot", 1e-9, H, ("d1",), pulses=train, brightness=0.8, laser="green", laser_power_w=1e-3),
        Emitter(
            "nv", 1e-9, H, ("d2",), pump_time_s=9e-9, laser="green", laser_power_w=1e-3, background_hz=1e5
        ),
    )
    bench = LightBench(lights, ("d1", "d2"), lasers={"green": 0.5e-3})
    light = bench.light()
    light.tune()
    assert light.singles_hz == pytest.approx({"d1": 0.4 * 1e8, "d2": 1 / 19e-9 + 1e5})
    bench.ports.lasers["green"].power_w = 0.0
    tags = bench.go_on(light, 0.1)
    light.close()
    assert len(tags["d1"]) == 0
    assert abs(len(tags["d2"]) - 1e4) < Z * 100


@pytest.mark.parametrize(("detuning", "delay"), [(0.0, 0.0), (3e8, 0.0), (0.0, 600.0)])
def test_photons_of_two_emitters_interfere(detuning: float, delay: float) -> None:
    """Two pulses' photons in one-sided exponentials of lifetime T at a beam splitter: they part in a share
    (1 - V) / 2 of the cases, V = exp(-|delay| / T) / (1 + (2 pi f T)^2)."""
    period, lifetime, pulses = 20_000.0, 1000.0, 400_000
    train = Pulses(period * 1e-12, 0.0)
    a = Emitter("a", lifetime * 1e-12, H, ("hub.a",), pulses=train)
    b = Emitter("b", lifetime * 1e-12, H, ("line", "hub.b"), pulses=train, carrier_offset_hz=detuning)
    parts = HOM | {"fibres": (fibre("line", delay),)}
    tags = LightBench((a, b), ("c", "d"), parts).watch(pulses * period * 1e-12, seed=6)
    n = within(tags["c"], tags["d"], -period / 2, period / 2)
    overlap = exp(-delay / lifetime) / (1 + (2 * pi * detuning * lifetime * 1e-12) ** 2)
    share = (1 - overlap) / 2
    # Photons whose exchange matters by less than 1 % are not looked at, see MAX_LOG_RATIO.
    assert abs(n / pulses - share) < Z * sqrt(share / pulses) + 0.006


def fibre(name: str, delay_ps: float) -> Fibre:
    return Fibre(name, 0.0, 0.0, delay_ps * 1e-12)


# -- pulsed pairs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("tau", "expected"), [(400.0, 0.8), (1000.0, 0.3846)])
def test_purity_of_pulsed_pairs(tau: float, expected: float) -> None:
    """physics.md 4, row 9: the mean acceptance <2 f1 f2 / (f1^2 + f2^2)> is the Schmidt purity, in closed
    form 2 / (r + 1/r) with r = tau / 2 width for Gaussians; 0.003 is 6 standard errors at the least."""
    packet = WavePacket(GAUSSIAN, tau, period_s=1e-8, width=100.0)
    assert packet.purity() == pytest.approx(expected, abs=5e-5)
    rng = np.random.Generator(np.random.SFC64(1))
    exponential = WavePacket(TWO_SIDED, tau, tau / 2, period_s=1e-8, width=100.0)
    assert exponential.purity() == pytest.approx(schmidt_purity(tau, tau / 2, 100.0), abs=0.003)
    assert 0.0 < accepted(exponential.row(), exponential.law, random_bits(rng, 4000)) < 1.0


def schmidt_purity(after: float, before: float, width: float) -> float:
    """Singular values of psi(s, t) on a grid."""
    t = np.arange(-7 * after, 7 * after, after / 40)
    x, c = t[:, None] - t, (t[:, None] + t) / 2
    decay = np.where(x >= 0, np.exp(-np.maximum(x, 0) / (2 * after)), np.exp(np.minimum(x, 0) / (2 * before)))
    squares = np.linalg.svd(decay * np.exp(-(c**2) / (4 * width**2)), compute_uv=False) ** 2
    return float((squares**2).sum() / squares.sum() ** 2)


@pytest.mark.parametrize("modes", [1.0, float("inf")])
@pytest.mark.parametrize("at", ["detectors", "hub"])
def test_pulsed_pairs(at: str, modes: float) -> None:
    """Mean mu per pulse; idlers of HH pairs have g2(0) = 1 + P / modes over pulses, P the purity, 0.8 here; a
    photon comes at its pulse, with a variance of width^2 + tau^2 / 4."""
    period, mu, pulses, tau, width = 10_000.0, 0.05, 3_000_000, 400.0, 100.0
    end = "half" if at == "detectors" else "hub.a"
    source = pairs(
        "s", (), end, state=HH, modes=modes, pair_rate_hz=mu / (period * 1e-12),
        pulses=Pulses(period * 1e-12, width * 1e-12), biphoton=Biphoton("gaussian", tau * 1e-12),
    )  # fmt: skip
    parts = HOM if at == "hub" else {"splitters": (Splitter("half", "plain", ("c",), ("d",)),)}
    tags = LightBench((source,), ("c", "d"), parts).watch(pulses * period * 1e-12, seed=7)
    numbers = {name: pulse_numbers(times, period) for name, times in tags.items()}
    for name, times in tags.items():
        expected = mu / 2 * pulses
        assert abs(len(times) - expected) < Z * sqrt(1.05 * expected)
        offsets = times - numbers[name] * period
        assert offsets.std() == pytest.approx(sqrt(width**2 + tau**2 / 4), rel=Z / sqrt(2 * len(times)))
    level = (mu / 2) ** 2 * pulses
    for lag, g2 in ((0, 1 + 0.8 / modes), (3, 1.0)):
        n = int(counts(numbers["d"], numbers["c"] + lag).sum())
        # Triples of pairs, of order mu, are not among the clusters.
        assert abs(n - g2 * level) < Z * sqrt(1.2 * g2 * level) + 0.01 * level


def test_pulse_trains_keep_their_pace_over_a_day() -> None:
    """A period that no float holds: the pulses of a slice after a day are those of exact arithmetic."""
    period_s = 1 / 76.142e6
    period = Fraction(period_s) * 10**12
    start_ps = 86_400 * 10**12 + 123
    first, n = Window(start_ps, 10**9).pulses(period_s)
    k = -(-start_ps // period)
    assert first == pytest.approx(float(k * period - start_ps), abs=1e-6)
    assert n == -(-(start_ps + 10**9) // period) - k


def test_neighbouring_windows_share_all_pulses_of_a_train() -> None:
    cuts = [0, 5, 10_000, 10_001, 20_000, 123_456, 1_000_000]
    found = sum(Window(a, b - a).pulses(1e-8)[1] for a, b in pairwise(cuts))
    assert found == Window(0, 1_000_000).pulses(1e-8)[1] == 100
