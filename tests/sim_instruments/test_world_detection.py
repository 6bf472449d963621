"""From light at a detector to tags, against closed formulas.

Every test is seeded; a bound of 5 standard errors alone has a false-alarm rate of 6e-7.
"""

from math import exp, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erf
from scipy.stats import chi2

from sim_instruments.ports import NanowirePort
from sim_instruments.world.channel import TRIGGER_NOISE_HZ, Channel
from sim_instruments.world.detection import response, update_latch
from sim_instruments.world.layout import Detector, Tagger

SECOND_PS = 10**12
GUARD_PS = 50_000
"""A slice hands out its clicks up to 50 ns before its end (physics.md 3, step 5)."""
Times = NDArray[np.int64]


def detector(
    *,
    dark_counts_hz: float = 0.0,
    jitter_s: float = 0.0,
    dead_time_s: float = 0.0,
    afterpulsing: float = 0.0,
    afterpulse_time_s: float = 0.0,
) -> Detector:
    return Detector("d", "t", 1, 0.9, dark_counts_hz, jitter_s, dead_time_s, afterpulsing, afterpulse_time_s)


def channel(
    detector: Detector, *, seed: int, skew: float = 0.0, resolution_ps: int = 1, noise_hz: float = 0.0
) -> Channel:
    it = Channel(detector, Tagger("t", 0.0, noise_hz, resolution_ps), skew, seed)
    it.look(None, 0.1)
    return it


def run(it: Channel, span_ps: int, slices: int) -> Times:
    """Tags of so many slices in a row, without light."""
    return np.concatenate([it.expose(i * span_ps, span_ps, []) for i in range(slices)])


# -- rates ---------------------------------------------------------------------------------------


def test_counts_in_equal_times_are_poissonian() -> None:
    """Index of dispersion of 20,000 windows: (n - 1) var / mean is a chi-square; two-sided 1e-7."""
    windows, window_ps = 20_000, 100_000_000
    tags = run(channel(detector(dark_counts_hz=1e6), seed=1), SECOND_PS, 3)
    counts = np.bincount(tags // window_ps, minlength=windows)[:windows]
    dispersion = counts.var(ddof=1) / counts.mean() * (windows - 1)
    assert chi2.isf(1 - 5e-8, windows - 1) < dispersion < chi2.isf(5e-8, windows - 1)
    assert abs(counts.sum() - 2e6) < 5 * sqrt(2e6)


def test_dead_time_slows_and_steadies_the_clicks() -> None:
    """50 ns at 5 Mcps (physics.md 4, row 12): r / (1 + r d) = 4 Mcps, variance by mean 1 / (1 + r d)^2 =
    0.64; the standard error of a variance of n windows is sqrt(2 / n) of it."""
    windows, window_ps = 30_000, 100_000_000
    tags = run(channel(detector(dark_counts_hz=5e6, dead_time_s=50e-9), seed=2), SECOND_PS // 2, 7)
    assert np.diff(tags).min() >= 50_000 - 1  # tags are floored to 1 ps
    counts = np.bincount(tags // window_ps, minlength=windows)[:windows]
    clicks = 4e6 * windows * window_ps * 1e-12
    assert abs(counts.sum() - clicks) < 5 * sqrt(0.64 * clicks)
    assert counts.var() / counts.mean() == pytest.approx(0.64, abs=5 * 0.64 * sqrt(2 / windows))


def test_dead_time_holds_across_the_borders_of_slices() -> None:
    """1 us at 1 Mcps in slices of 100 us (physics.md 4, row 13): 500 kcps with 1/4 of the Poisson variance.
    Without the carry, one click in 200 would come too early."""
    tags = run(channel(detector(dark_counts_hz=1e6, dead_time_s=1e-6), seed=3), 100_000_000, 20_000)
    assert np.diff(tags).min() >= 1_000_000 - 1
    assert abs(len(tags) - 1e6) < 5 * sqrt(1e6 / 4)


@pytest.mark.parametrize("slices", [1, 10, 1000])
@pytest.mark.parametrize(("resolution_ps", "skew"), [(1, 0.0), (13, 1e-6), (10_000, -1e-6)])
def test_slices_only_cut_the_stream(slices: int, resolution_ps: int, skew: float) -> None:
    """Regular photons, no noise: whatever the slices, the same tags come, each once and in order, and the
    watermark parts those of one slice from those of the next."""
    photons = np.arange(0.0, 1e9, 34_567.0)
    exact = np.floor(photons * (1 + skew)).astype(np.int64)
    it = channel(detector(dead_time_s=20e-9), seed=4, resolution_ps=resolution_ps, skew=skew)
    span, since = 1_000_000_000 // slices, 0
    pieces = []
    for i in range(slices + 1):
        light = photons[(photons >= i * span) & (photons < (i + 1) * span)] - i * span
        pieces.append(it.expose(i * span, span, [light]))
        until = it.watermark((i + 1) * span)
        assert (pieces[-1] >= since).all()
        assert (pieces[-1] < until).all()
        assert until > (i + 1) * span * (1 + skew) - GUARD_PS - resolution_ps - 1
        since = until
    assert np.array_equal(np.concatenate(pieces), exact // resolution_ps * resolution_ps)


@pytest.mark.parametrize(("rate_hz", "dead_s"), [(1e6, 25e-9), (4e6, 25e-9), (1e6, 0.2e-6)])
def test_afterpulses_raise_the_rate(rate_hz: float, dead_s: float) -> None:
    """p = 2 %, tau = 50 ns (physics.md 4, row 14: about +2.0 % where r d, r tau << 1).

    To first order in p, with l = r / (1 + r d): a click's afterpulse, due at d + e with e exponential, finds
    the detector live with probability q = 1 / (1 + r tau (1 - exp(-d / tau))), the Laplace transform of
    an alternating renewal process; a click that it makes costs l d others. So the rate is
    l (1 + p q / (1 + r d)). Higher orders come to about p^2.
    """
    p, tau_s, seconds = 0.02, 50e-9, 8
    it = channel(
        detector(dark_counts_hz=rate_hz, dead_time_s=dead_s, afterpulsing=p, afterpulse_time_s=tau_s), seed=5
    )
    found = len(run(it, SECOND_PS // 4, 4 * seconds)) / seconds
    plain = rate_hz / (1 + rate_hz * dead_s)
    live = 1 / (1 + rate_hz * tau_s * (1 - exp(-dead_s / tau_s)))
    gain = p * live / (1 + rate_hz * dead_s)
    assert found / plain - 1 == pytest.approx(gain, abs=2 * p * p + 5 / sqrt(plain * seconds))


@pytest.mark.parametrize("slices", [1, 1000])
def test_afterpulses_come_after_the_dead_time_and_fade(slices: int) -> None:
    """Clicks of lone photons, 10 us apart: one in p^-1 is followed by another, at dead time + exponential,
    and that one by a third: p / (1 - p) in all. p = 20 % makes more clicks than photons, by a quarter.
    The thousand slices end 60 ns after a photon, 10 ns of it seen: every afterpulse of their last click
    comes in the next slice."""
    p, dead_ps, tau_ps, photons = 0.2, 25_000, 50_000, 100_000
    it = channel(
        detector(dead_time_s=dead_ps * 1e-12, afterpulsing=p, afterpulse_time_s=tau_ps * 1e-12), seed=6
    )
    light = np.arange(1e7 - 60_000, photons // slices * 1e7, 1e7)
    span = photons // slices * 10**7
    tags = np.concatenate([it.expose(i * span, span, [light]) for i in range(slices)])
    extra = len(tags) - photons
    # Each photon's clicks are geometric: variance p / (1 - p)^2.
    assert abs(extra - photons * p / (1 - p)) < 5 * sqrt(photons * p) / (1 - p)
    first = (tags + 60_000) % 10**7 == 0
    waits = np.diff(tags)[~first[1:]] - dead_ps
    assert waits.min() >= -1
    assert waits.mean() == pytest.approx(tau_ps, rel=5 / sqrt(extra))


# -- times ---------------------------------------------------------------------------------------


def test_jitter_is_gaussian_with_its_sigma() -> None:
    """100,000 photons on the microsecond: mean, deviation, and the counts between the points of the normal
    distribution by chi-square (1e-7)."""
    n, sigma_ps = 100_000, 149.0
    it = channel(detector(jitter_s=149e-12), seed=7)
    light = np.arange(5e5, n * 1e6, 1e6)
    tags = it.expose(0, n * 10**6, [light])
    late = tags + 0.5 - light  # a tag is the floor of its time
    assert len(tags) == n
    assert abs(late.mean()) < 5 * sigma_ps / sqrt(n)
    assert late.std() == pytest.approx(sqrt(sigma_ps**2 + 1 / 12), rel=5 / sqrt(2 * n))
    edges = np.arange(-500.0, 501.0, 50.0)  # whole picoseconds, as the tags
    cdf = np.concatenate([[0.0], 0.5 * (1 + erf(edges / sigma_ps / sqrt(2))), [1.0]])
    counts = np.bincount(np.searchsorted(edges, late), minlength=len(cdf) - 1)
    expected = n * np.diff(cdf)
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-7, len(expected) - 1)


@pytest.mark.parametrize("resolution_ps", [1, 13, 100])
def test_tags_are_whole_steps_of_the_tagger(resolution_ps: int) -> None:
    light = np.sort(np.random.default_rng(8).uniform(0.0, 1e9, 10_000))
    tags = channel(detector(), seed=8, resolution_ps=resolution_ps).expose(0, 2 * 10**9, [light])
    assert np.array_equal(tags, np.floor(light / resolution_ps).astype(np.int64) * resolution_ps)


@pytest.mark.parametrize("skew", [3e-6, -3e-6])
def test_a_fast_clock_stretches_time_without_steps_between_slices(skew: float) -> None:
    """After an hour 3 ppm are 10.8 ms; a tag is floor(T + y T), to the picosecond that y as a float64 next
    to 1 leaves."""
    hour, span, slices = 3600 * SECOND_PS, 1_000_000_000, 50
    it = channel(detector(), seed=9, skew=skew)
    light = np.arange(1_000.0, span, 777_777.0)
    tags = np.concatenate([it.expose(hour + i * span, span, [light]) for i in range(slices)])
    true = (light + (np.arange(slices) * float(span))[:, None]).ravel()  # since the hour
    parts_per_million = round(skew * 1e6)
    at_hour = hour + 3600 * parts_per_million * 10**6
    late = tags - at_hour - np.floor(true * (1 + skew)).astype(np.int64)[: len(tags)]
    assert len(tags) >= len(true) - 1
    assert np.abs(late).max() <= 1
    assert it.clock(hour) == pytest.approx(at_hour, abs=1)


# -- what the tagger's threshold and the wire's bias do ------------------------------------------


@pytest.mark.parametrize(
    ("threshold_v", "photons_seen", "rate_hz"),
    [
        (0.1, True, 2e3),  # between noise and pulses (0.02 V and 0.4 V): everything is as it should be
        (0.5, False, 2e3),  # above the pulses: only the tagger's own noise
        (0.01, False, 2e3 + TRIGGER_NOISE_HZ),  # in the electrical noise
        (-0.01, False, 2e3 + TRIGGER_NOISE_HZ),
        (-0.5, False, 2e3),
    ],
)
def test_threshold_of_the_input(threshold_v: float, photons_seen: bool, rate_hz: float) -> None:
    it = channel(detector(dark_counts_hz=1e4), seed=10, noise_hz=2e3)
    it.look(None, threshold_v)
    assert it.seen == photons_seen
    expected = rate_hz + (1e4 if photons_seen else 0.0)
    assert abs(len(run(it, SECOND_PS, 1)) - expected) < 5 * sqrt(expected)


WIRE = Detector(
    "d", "t", 1, 0.9, 100.0, 0.0, 0.0,
    nanowire=("unit", 1), operating_bias_a=17e-6, switching_current_a=19e-6,
)  # fmt: skip


def test_efficiency_of_a_nanowire_is_a_sigmoid_of_its_bias() -> None:
    """physics.md 2, "Detectors": saturated to 1e-4 at the operating point, nothing without bias."""
    bias = np.linspace(0.0, 18.9e-6, 190)
    efficiency, dark = np.array([response(WIRE, NanowirePort(bias_a=b)) for b in bias]).T
    assert efficiency[0] == dark[0] == 0.0
    assert (np.diff(efficiency) >= 0).all()
    assert (np.diff(dark) > 0).all()
    turn = np.argmax(np.diff(efficiency))  # steepest once: rising steps before, falling ones after
    assert (np.diff(efficiency, 2)[:turn] >= 0).all()
    assert (np.diff(efficiency, 2)[turn:] <= 1e-12).all()
    assert efficiency[turn : turn + 2].mean() == pytest.approx(0.45, abs=0.03)
    at_work, dark_at_work = response(WIRE, NanowirePort(bias_a=17e-6))
    assert at_work == pytest.approx(0.9, rel=1e-4)
    assert dark_at_work == pytest.approx(100.0)
    assert response(WIRE, NanowirePort(bias_a=18e-6))[1] == pytest.approx(100.0 * exp(1.0), rel=1e-9)


def test_a_module_without_bias_is_always_ready() -> None:
    assert response(detector(dark_counts_hz=500.0), None) == (0.9, 500.0)


def test_a_nanowire_latches_above_its_switching_current_until_the_bias_is_lowered() -> None:
    """singlequantum_websq.md, "Behaviour": about 1 MOhm behind 100 kOhm while normal: V = I 0.0909 MOhm."""
    wire = NanowirePort(bias_a=17e-6)

    def bias(amperes: float) -> tuple[bool, bool]:
        wire.bias_a = amperes
        update_latch(wire, WIRE.switching_current_a)
        return wire.latched, response(WIRE, wire)[0] > 0

    assert bias(17e-6) == (False, True)
    assert abs(wire.voltage_v) < 2e-3
    assert bias(19.5e-6) == (True, False)
    assert response(WIRE, wire) == (0.0, 0.0)
    assert wire.voltage_v == pytest.approx(19.5e-6 / (1 / 100e3 + 1 / 1e6))
    assert bias(17e-6) == (True, False)
    assert wire.voltage_v == pytest.approx(17e-6 / (1 / 100e3 + 1 / 1e6))
    assert bias(0.0) == (False, False)
    assert wire.voltage_v == 0.0
    assert bias(17e-6) == (False, True)


def test_without_bias_the_taggers_own_noise_remains() -> None:
    it = Channel(WIRE, Tagger("t", 0.0, 1e4, 1), 0.0, 11)
    it.look(NanowirePort(bias_a=0.0), 0.1)
    assert abs(len(run(it, SECOND_PS, 1)) - 1e4) < 5 * sqrt(1e4)


@pytest.mark.parametrize(
    ("trigger_v", "threshold_v", "counts"),
    [
        (0.1, 0.1, 777),  # the clicks that the tagger has seen
        (0.5, 0.1, 0),  # its own trigger level is above the pulses
        (0.0, 0.1, TRIGGER_NOISE_HZ),  # or in the noise
        (0.1, 0.5, 40e3 / (1 + 40e3 * WIRE.dead_time_s)),  # the tagger is blind, the nanowire is not
    ],
)
def test_a_nanowires_own_counter_has_its_own_trigger_level(
    trigger_v: float, threshold_v: float, counts: float
) -> None:
    """singlequantum_websq.md, "Behaviour": too low a trigger level counts noise, too high a one nothing."""
    wire = NanowirePort(bias_a=17e-6, trigger_v=trigger_v)
    it = Channel(WIRE, Tagger("t", 0.0, 1.0, 1), 0.0, 12)
    it.look(wire, threshold_v)
    it.shine(0.0, 40e3 - it.dark_hz)
    found = it.read_out(wire, SECOND_PS, 777)
    assert abs(found - counts) <= (5 * sqrt(counts) if counts > 1000 else 0)
