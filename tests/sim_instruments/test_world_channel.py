"""A detector's channel through slices of time, and what bias, threshold and guard do to it.

Every test is seeded; a bound of 5 standard errors alone has a false-alarm rate of 6e-7.
"""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from scipy.stats import chi2

from sim_instruments.ports import DiodePort, NanowirePort, TaggerInput
from sim_instruments.world.channel import TRIGGER_NOISE_HZ, guard_ps
from sim_instruments.world.detection import update_latch
from sim_instruments.world.layout import Biphoton, Layout, PairSource, Pulses
from tests.sim_instruments.detection_bench import GUARD_PS, SECOND_PS, OneDetector, Times, detector

WIRE = detector(dark_counts_hz=100.0, operating_bias_a=17e-6, switching_current_a=19e-6, max_rate_hz=1e8)


# -- slices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", [1, 10, 1000])
@pytest.mark.parametrize(("resolution_ps", "skew"), [(1, 0.0), (13, 1e-6), (10_000, -1e-6)])
def test_slices_only_cut_the_stream(slices: int, resolution_ps: int, skew: float) -> None:
    """Regular photons, no noise: whatever the slices, the same tags come, each once and in order, and the
    watermark parts those of one slice from those of the next."""
    photons = np.arange(0.0, 1e9, 34_567.0)
    exact = np.floor(photons * (1 + skew)).astype(np.int64)
    it = OneDetector(detector(dead_time_s=20e-9), seed=4, resolution_ps=resolution_ps, skew=skew)
    span, since = 1_000_000_000 // slices, 0
    pieces = []
    for i in range(slices + 1):
        light = photons[(photons >= i * span) & (photons < (i + 1) * span)] - i * span
        pieces.append(it.expose(i * span, span, light))
        until = it.channel.watermark((i + 1) * span)
        assert (pieces[-1] >= since).all()
        assert (pieces[-1] < until).all()
        assert until > (i + 1) * span * (1 + skew) - GUARD_PS - resolution_ps - 1
        since = until
    assert np.array_equal(np.concatenate(pieces), exact // resolution_ps * resolution_ps)


def everything(span_ps: int, seed: int) -> Times:
    """A second of a detector that has all there is, in slices of `span_ps`."""
    it = OneDetector(
        detector(
            dark_counts_hz=1e5, jitter_s=150e-12, dead_time_s=50e-9, jitter_tail=0.2, jitter_tail_s=20e-9,
            afterpulsing=0.05, afterpulse_time_s=100e-9,
        ),
        seed=seed,
    )  # fmt: skip
    it.channel.shine(5e4, 5e4)
    rng = np.random.default_rng(seed)
    photons = np.sort(rng.uniform(0.0, 1e12, rng.poisson(1e5)))
    pieces = []
    for start in range(0, SECOND_PS, span_ps):
        low, high = np.searchsorted(photons, (start, start + span_ps))
        pieces.append(it.expose(start, span_ps, photons[low:high] - start))
    return np.concatenate(pieces)


def test_statistics_do_not_depend_on_the_slices() -> None:
    """Waiting times between clicks in slices of 1 s, 10 ms and 1 ms: two-sample chi-square over 25 bins, 3e-7
    each."""
    edges = np.concatenate([np.linspace(50e3, 400e3, 15), np.geomspace(500e3, 2e7, 10)])
    whole = np.bincount(np.searchsorted(edges, np.diff(everything(SECOND_PS, seed=18))))
    for seed, span_ps in ((19, 10**10), (20, 10**9)):
        cut = np.bincount(np.searchsorted(edges, np.diff(everything(span_ps, seed=seed))))
        assert cut[0] == whole[0] == 0
        n, m = whole.sum(), cut.sum()
        differ = (whole[1:] * sqrt(m / n) - cut[1:] * sqrt(n / m)) ** 2 / (whole[1:] + cut[1:])
        assert differ.sum() < chi2.isf(3e-7, len(edges) - 1)
        assert abs(n - m) < 5 * sqrt(n + m) * 1.1  # afterpulses bunch the counts


def test_photons_of_several_sources_come_in_one_order() -> None:
    light = [np.arange(first, 1e9, step) for first, step in ((5.0, 7e3), (50.0, 11e3), (17.0, 13e3))]
    it = OneDetector(detector(), seed=21)
    found = [it.expose(i * 10**9, 10**9, *light) for i in range(3)]
    expected = np.sort(np.concatenate([x + i * 1e9 for x in light for i in range(3)])).astype(np.int64)
    assert np.array_equal(np.concatenate(found), expected[: sum(map(len, found))])
    assert len(expected) - sum(map(len, found)) == (expected >= 3 * 10**9 - GUARD_PS).sum()


def test_a_way_that_becomes_shorter_brings_photons_among_those_before() -> None:
    """2 us less of delay between two slices: all tags come, in order."""
    it = OneDetector(detector(), seed=22)
    light = np.arange(0.0, 1e7, 1e3)
    found = np.concatenate(
        [it.expose(0, 10**7, light + 2e6), it.expose(10**7, 10**7, light), it.expose(2 * 10**7, 10**7)]
    )
    assert np.array_equal(found, np.sort(np.concatenate([light + 2e6, light + 1e7])).astype(np.int64))


def test_photons_that_come_far_too_early_are_late_and_not_lost() -> None:
    """What the guard does not allow for must not break the order of the tags."""
    it = OneDetector(detector(), seed=23)
    it.expose(0, 10**7, np.array([5e6]))
    before = it.channel.watermark(10**7)
    found = it.expose(10**7, 10**7, np.array([-9e5, -8e5, 3.0]))
    assert np.array_equal(found, [before, before, 10**7 + 3])


def test_slices_shorter_than_the_guard_lose_nothing() -> None:
    """Slices of 20 ns, the guard being 50 ns: regular photons all come; noise has its rate."""
    it = OneDetector(detector(), seed=24)
    light = np.array([7_000.0])
    found = np.concatenate([it.expose(i * 20_000, 20_000, light) for i in range(2000)])
    assert np.array_equal(found, np.arange(2000 - 2) * 20_000 + 7_000)
    noisy = OneDetector(detector(dark_counts_hz=1e9), seed=25)
    assert abs(len(noisy.run(20_000, 5_000)) - 1e4) < 5 * sqrt(1e4)  # at most 1e8 /s


def test_nothing_comes_from_before_one_looks_again() -> None:
    it = OneDetector(detector(dark_counts_hz=1e6, jitter_s=1e-9), seed=26)
    it.expose(0, 10**9)
    it.expose(10**9, 10**9, np.full(50, 1e9 + 7.0))
    it.channel.forget()
    tags = it.expose(2 * 10**9, 10**9, np.full(50, 0.0))
    assert tags.min() >= 2 * 10**9
    assert np.count_nonzero(tags < 2 * 10**9 + 10_000) == 50


# -- times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution_ps", [1, 13, 100])
def test_tags_are_whole_steps_of_the_tagger(resolution_ps: int) -> None:
    light = np.sort(np.random.default_rng(8).uniform(0.0, 1e9, 10_000))
    tags = OneDetector(detector(), seed=8, resolution_ps=resolution_ps).expose(0, 2 * 10**9, light)
    assert np.array_equal(tags, np.floor(light / resolution_ps).astype(np.int64) * resolution_ps)


@pytest.mark.parametrize("skew", [3e-6, -3e-6])
def test_a_fast_clock_stretches_time_without_steps_between_slices(skew: float) -> None:
    """After an hour 3 ppm are 10.8 ms; a tag is floor(T + y T), to the picosecond that y as a float64 next
    to 1 leaves."""
    hour, span, slices = 3600 * SECOND_PS, 1_000_000_000, 50
    it = OneDetector(detector(), seed=9, skew=skew)
    it.clock.advance(hour, locked=True)
    light = np.arange(1_000.0, span, 777_777.0)
    tags = np.concatenate([it.expose(hour + i * span, span, light) for i in range(slices)])
    true = (light + (np.arange(slices) * float(span))[:, None]).ravel()  # since the hour
    parts_per_million = round(skew * 1e6)
    at_hour = hour + 3600 * parts_per_million * 10**6
    late = tags - at_hour - np.floor(true * (1 + skew)).astype(np.int64)[: len(tags)]
    assert len(tags) >= len(true) - 1
    assert np.abs(late).max() <= 1


# -- what the tagger's threshold and the wire's bias do ------------------------------------------


@pytest.mark.parametrize(
    ("entry", "seen"),
    [
        (TaggerInput(threshold_v=0.1), True),  # between noise and pulses (0.02 V and 0.4 V)
        (TaggerInput(threshold_v=0.5), False),  # above the pulses
        (TaggerInput(threshold_v=0.01), False),  # in the electrical noise, which drowns them
        (TaggerInput(threshold_v=-0.5), False),
        (TaggerInput(enabled=False), False),
        (TaggerInput(test_signal_hz=1e3), False),
    ],
)
def test_clicks_are_seen_when_the_input_listens_to_them(entry: TaggerInput, seen: bool) -> None:
    it = OneDetector(detector(dark_counts_hz=1e4), seed=10, entry=entry)
    assert it.channel.seen == seen
    expected = 1e4 if seen else 0.0
    assert abs(len(it.run(SECOND_PS, 1)) - expected) <= 5 * sqrt(expected)


def test_without_bias_there_are_no_clicks() -> None:
    assert len(OneDetector(WIRE, seed=11, control=NanowirePort()).run(SECOND_PS, 1)) == 0


def test_a_nanowire_stays_normal_after_too_much_light_until_its_bias_is_lowered() -> None:
    """`max_rate_hz` is 1e8: 2e8 absorbed photons a second are too many, 5e7 are not."""
    wire = NanowirePort(bias_a=17e-6)
    it = OneDetector(WIRE, seed=12, control=wire)

    def shine(rate_hz: float, bias_a: float) -> tuple[bool, bool, float]:
        """As the light field does: whether the light drove it normal, whether it is, its efficiency then."""
        wire.bias_a = bias_a
        update_latch(wire, WIRE.switching_current_a)
        it.channel.look(wire, None, TaggerInput())
        it.channel.darken()
        rate_hz *= it.channel.relative_efficiency
        it.channel.shine(rate_hz, rate_hz)
        driven = it.channel.overload(wire)
        it.channel.look(wire, None, TaggerInput())
        return driven, wire.latched, round(it.channel.efficiency, 3)

    assert shine(5e7, 17e-6) == (False, False, 0.9)
    assert shine(2e8, 17e-6) == (True, True, 0.0)
    assert shine(0.0, 17e-6) == (False, True, 0.0)
    assert shine(0.0, 5e-6)[:2] == (False, False)
    assert shine(5e7, 17e-6) == (False, False, 0.9)


@pytest.mark.parametrize(
    ("trigger_v", "threshold_v", "counts"),
    [
        (0.1, 0.1, None),  # the clicks that the tagger has seen
        (0.5, 0.1, 0),  # its own trigger level is above the pulses
        (0.0, 0.1, TRIGGER_NOISE_HZ),  # or in the noise
        (0.1, 0.5, 40e3),  # the tagger is blind, the nanowire is not
    ],
)
def test_a_nanowires_own_counter_has_its_own_trigger_level(
    trigger_v: float, threshold_v: float, counts: float | None
) -> None:
    """singlequantum_websq.md, "Behaviour": too low a trigger level counts noise, too high a one nothing."""
    wire = NanowirePort(bias_a=17e-6, trigger_v=trigger_v)
    it = OneDetector(WIRE, seed=12, control=wire, entry=TaggerInput(threshold_v=threshold_v))
    light = 40e3 - it.channel.dark_hz
    it.channel.shine(light, light)
    tags = it.expose(0, SECOND_PS)
    found = it.channel.read_out(wire, SECOND_PS, exposed=True)
    if counts is None:
        assert found == len(tags) > 0
    else:
        assert abs(found - counts) <= 5 * sqrt(counts)


def test_a_diodes_own_counter_goes_on_while_nobody_looks() -> None:
    """r / (1 + r d) of 1e6 with 100 ns."""
    diode = detector(kind="avalanche_diode", dark_counts_hz=1e6, dead_time_s=100e-9, operating_excess_v=5.0)
    it = OneDetector(diode, seed=13, control=DiodePort())
    tags = it.expose(0, SECOND_PS)
    assert it.channel.read_out(DiodePort(), SECOND_PS, exposed=True) == len(tags)
    expected = 1e6 / 1.1
    assert abs(it.channel.read_out(DiodePort(), SECOND_PS, exposed=False) - expected) < 5 * sqrt(expected)


# -- the guard -----------------------------------------------------------------------------------


def bench(jitter_s: float, tau_s: float, pulses: Pulses | None = None) -> Layout:
    source = PairSource(
        "source", "pump", 1e-3, 1e6, np.eye(4, dtype=np.complex128) / 4,
        Biphoton("two_sided_exponential", tau_s, tau_s / 2), (), (), pulses=pulses,
    )  # fmt: skip
    return Layout((source,), (replace(WIRE, jitter_s=jitter_s),), ())


def test_the_guard_follows_from_what_is_on_the_bench() -> None:
    """At least 5 sigma of the jitter and 30 decay times of a biphoton: exp(-30) = 1e-13."""
    small, large = guard_ps(bench(100e-12, 0.0)), guard_ps(bench(100e-12, 100e-9))
    assert 500 <= small < 1_000
    assert large >= 500 + 30 * 100_000
    assert guard_ps(bench(100e-12, 0.0, Pulses(1e-6, 10e-9))) >= 500 + 8 * 10_000


def test_light_that_cannot_be_brought_into_order_is_refused() -> None:
    with pytest.raises(ValueError, match="out of order"):
        guard_ps(bench(0.0, 1e-3))
