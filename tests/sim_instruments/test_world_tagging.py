"""A tagger behind its inputs: what comes out, when, and what is lost.

Every test is seeded; a bound of 5 standard errors alone has a false-alarm rate of 6e-7.
"""

from dataclasses import replace
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
import pytest

from sim_instruments.ports import Ports, TaggerInput, TaggerPort, Tags
from sim_instruments.world.channel import TRIGGER_NOISE_HZ
from sim_instruments.world.layout import Clock, Detector, Layout, Tagger
from sim_instruments.world.light_field import LightField
from sim_instruments.world.tagging import Clicks, TaggerLine
from tests.sim_instruments.detection_bench import SECOND_PS, Times, detector


def line(**properties: Any) -> TaggerLine:
    return TaggerLine(Tagger("t", Clock("clock", 0.0), **properties), seed=1)


def poissonian(rate_hz: float, span_ps: int, seed: int) -> Times:
    rng = np.random.default_rng(seed)
    return np.sort(rng.integers(0, span_ps, rng.poisson(rate_hz * span_ps * 1e-12)))


def feed(
    it: TaggerLine, tags: Tags, borders: list[int], inputs: dict[int, TaggerInput] | None = None
) -> list[Clicks]:
    """Clicks in slices between the borders."""
    listening = inputs or {n: TaggerInput() for n in tags}
    cuts = {n: np.searchsorted(times, borders) for n, times in tags.items()}
    return [
        it.take({n: times[cuts[n][k] : cuts[n][k + 1]].copy() for n, times in tags.items()}, high, listening)
        for k, high in enumerate(borders[1:])
    ]


def together(slices: list[Clicks], n: int = 1) -> Times:
    """All tags of an input, after checking that each slice has those up to its `until_ps` and no others."""
    since = None
    for clicks in slices:
        times = clicks.tags[n]
        assert (np.diff(times) >= 0).all()
        assert (times < clicks.until_ps).all()
        assert since is None or (times >= since).all()
        since = clicks.until_ps
    return np.concatenate([clicks.tags[n] for clicks in slices])


def every(step: int, until: int) -> list[int]:
    return list(range(0, until + 1, step))


def test_without_limits_all_clicks_pass() -> None:
    tags = {1: poissonian(1e5, SECOND_PS, 1), 2: poissonian(1e5, SECOND_PS, 2)}
    out = feed(line(), tags, every(SECOND_PS // 4, SECOND_PS))
    assert all(np.array_equal(together(out, n), tags[n]) for n in tags)
    assert [clicks.until_ps for clicks in out] == every(SECOND_PS // 4, SECOND_PS)[1:]
    assert sum(clicks.lost for clicks in out) == 0


# -- inputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_ps", [SECOND_PS, SECOND_PS // 1000])
def test_dead_time_of_an_input(step_ps: int) -> None:
    """r / (1 + r d), 1.25 Mcps of 2 for 300 ns; the variance is that of a Poisson process / (1 + r d)^2.
    Other inputs do not matter, nor where the slices are cut."""
    clicks = poissonian(2e6, SECOND_PS, 3)
    out = feed(line(dead_time_s=300e-9), {1: clicks, 2: clicks + 5}, every(step_ps, SECOND_PS))
    for n in (1, 2):
        found = together(out, n)
        assert np.diff(found).min() >= 300_000
        assert abs(len(found) - 1.25e6) < 5 * sqrt(1.25e6) / 1.6
    expected, last = [], -(10**9)
    for time in clicks[:2000].tolist():
        if time - last >= 300_000:
            expected.append(time)
            last = time
    assert np.array_equal(together(out)[: len(expected)], expected)


def test_a_tagger_has_noise_of_its_own_with_and_without_a_detector() -> None:
    inputs = {n: TaggerInput() for n in (1, 2, 3)} | {4: TaggerInput(enabled=False)}
    clicks = poissonian(1e4, SECOND_PS, 4)
    out = feed(
        line(noise_counts_hz=2e4, resolution_ps=13), {1: clicks // 13 * 13}, every(10**9, SECOND_PS), inputs
    )
    for n, rate in ((1, 3e4), (2, 2e4), (3, 2e4)):
        found = together(out, n)
        assert abs(len(found) - rate) < 5 * sqrt(rate)
        assert (found % 13 == 0).all()
    assert len(together(out, 4)) == 0
    assert np.isin(clicks // 13 * 13, together(out, 1)).all()


@pytest.mark.parametrize(
    ("threshold_v", "rate_hz"), [(0.01, TRIGGER_NOISE_HZ), (-0.01, TRIGGER_NOISE_HZ), (0.1, 0)]
)
def test_a_threshold_in_the_electrical_noise_counts_it(threshold_v: float, rate_hz: float) -> None:
    out = feed(line(), {}, every(SECOND_PS // 2, SECOND_PS), {1: TaggerInput(threshold_v=threshold_v)})
    assert abs(len(together(out)) - rate_hz) <= 5 * sqrt(rate_hz)


@pytest.mark.parametrize(("rate_hz", "resolution_ps"), [(1e5, 1), (3e5, 1), (123_456.789, 13)])
@pytest.mark.parametrize("step_ps", [SECOND_PS // 4, 777_777_777])
def test_the_test_signal_is_periodic(rate_hz: float, resolution_ps: int, step_ps: int) -> None:
    """Whole periods of the tagger's clock, instead of the detector, without regard to slices; after ten hours
    as at the beginning."""
    start = 36_000 * SECOND_PS
    it = line(resolution_ps=resolution_ps)
    it.forget(start)
    borders = [start + k * step_ps // 13 * 13 for k in range(6)]
    entry = TaggerInput(test_signal_hz=rate_hz)
    found = together([it.take({1: np.array([low + 5])}, high, {1: entry}) for low, high in pairwise(borders)])
    first = -(-start * rate_hz // 1e12)
    assert len(found) == pytest.approx((borders[-1] - start) * rate_hz * 1e-12, abs=1)
    assert np.abs(np.diff(found) - 1e12 / rate_hz).max() < resolution_ps + 1e-6 + (
        1 if resolution_ps == 1 else 0
    )
    drift = found - found[0] - np.arange(len(found)) * (1e12 / rate_hz)
    assert np.abs(drift).max() <= resolution_ps
    assert found[0] == pytest.approx(first * 1e12 / rate_hz, abs=resolution_ps + 10)


# -- delays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("delays", [(0, 5_000), (0, -5_000), (3_000_000_000, -7), (-(10**10), 2 * 10**10)])
@pytest.mark.parametrize("step_ps", [10**9, 10**10])
def test_input_delays_shift_all_tags_also_beyond_a_slice(delays: tuple[int, int], step_ps: int) -> None:
    """Nothing is lost; with a negative delay all inputs are handed out later, so that they stay in step."""
    span, tail = 10**11, 4 * 10**10
    tags = {n: poissonian(1e6, span, 5 + n) for n in (1, 2)}
    inputs = {n: TaggerInput(delay_ps=delay) for n, delay in zip((1, 2), delays, strict=True)}
    it = line()
    out = feed(it, tags, every(step_ps, span + tail), inputs)
    for n, delay in zip((1, 2), delays, strict=True):
        shifted = tags[n] + delay
        shifted = shifted[(shifted < out[-1].until_ps)]
        early = shifted < 0  # from before anybody looked
        assert np.array_equal(together(out, n), shifted[~early])
    assert out[-1].until_ps == span + tail + min(0, *delays)
    in_all = sum(map(len, tags.values()))
    out_all = sum(len(together(out, n)) for n in (1, 2))
    assert in_all == out_all + sum(clicks.lost for clicks in out)


def test_a_delay_made_shorter_keeps_the_order_and_counts_what_comes_too_late() -> None:
    it, inputs = line(), {1: TaggerInput()}
    tags = np.arange(0, 2 * 10**7, 1000)
    first = it.take({1: tags[:10_000]}, 10**7, inputs)
    inputs[1].delay_ps = -1_000_000
    second = it.take({1: tags[10_000:]}, 2 * 10**7, inputs)
    assert second.lost == 1000
    assert second.overflows[0].missed == {1: 1000}
    found = together([first, second])
    assert len(found) == len(tags) - 1000
    inputs[1].delay_ps = 500
    third = it.take({1: np.arange(2 * 10**7, 3 * 10**7, 1000)}, 3 * 10**7, inputs)
    assert third.lost == 0
    together([first, second, third])


# -- the buffer ----------------------------------------------------------------------------------


def rates(slices: list[Clicks]) -> tuple[int, int]:
    """Tags out, and tags lost."""
    return sum(len(times) for c in slices for times in c.tags.values()), sum(c.lost for c in slices)


@pytest.mark.parametrize("step_ps", [SECOND_PS // 2, SECOND_PS // 4, 7_000_000_007])
def test_a_link_slower_than_the_tags_lets_its_rate_through_once_the_buffer_is_full(step_ps: int) -> None:
    """3e5 /s of 5e5, in a buffer for 5e4: full after 0.25 s, then 2 of 5 are lost. In = out + lost; what was
    admitted until the end is buffer + rate x time, but for what a frame of 10 ms carries."""
    tags = {1: poissonian(3e5, SECOND_PS, 10), 2: poissonian(2e5, SECOND_PS, 11)}
    arrived = sum(map(len, tags.values()))
    borders = [*range(0, SECOND_PS, step_ps), SECOND_PS]
    out = feed(line(max_rate_hz=3e5, buffer_tags=50_000), tags, borders)
    passed, lost = rates(out)
    assert passed + lost == arrived
    assert passed == pytest.approx(50_000 + 3e5, abs=3_000)
    first = next(c for c in out if c.lost).overflows[0]
    rise = 5 * sqrt(0.25 * 5e5) / 2e5  # how far from the expected moment a Poisson stream fills it
    assert first.begin_ps * 1e-12 == pytest.approx(0.25, abs=rise + 1e-2)
    by_input = {n: sum(o.missed.get(n, 0) for c in out for o in c.overflows) for n in tags}
    for n in tags:
        assert len(together(out, n)) + by_input[n] == len(tags[n])
    assert by_input[1] / lost == pytest.approx(0.6, abs=5 * sqrt(0.24 / lost))


def test_losses_do_not_depend_on_the_slices() -> None:
    tags = {1: poissonian(3e5, SECOND_PS, 12), 2: poissonian(2e5, SECOND_PS, 13)}
    limits = {"max_rate_hz": 4e5, "buffer_tags": 10_000}
    whole = feed(line(**limits), tags, [0, SECOND_PS])
    rng = np.random.default_rng(12)
    cuts = feed(line(**limits), tags, [0, *sorted(rng.integers(1, SECOND_PS, 100).tolist()), SECOND_PS])
    assert rates(whole) == rates(cuts)
    assert rates(whole)[1] > 0
    assert all(np.array_equal(together(whole, n), together(cuts, n)) for n in tags)


def test_a_burst_fits_into_the_buffer_and_drains() -> None:
    """20,000 tags in 10 ms, twenty times what the link carries, a second apart: no loss with room for them;
    with room for 10,000, each burst loses 9,000 (1,000 having gone meanwhile), but for a frame: 625 tags."""
    burst = np.arange(20_000) * 500_000
    tags = {1: np.concatenate([burst + k * SECOND_PS for k in range(3)])}
    borders = every(SECOND_PS // 4, 3 * SECOND_PS)
    assert rates(feed(line(max_rate_hz=1e5, buffer_tags=20_000), tags, borders)) == (60_000, 0)
    out = feed(line(max_rate_hz=1e5, buffer_tags=10_000), tags, borders)
    passed, lost = rates(out)
    assert passed + lost == 60_000
    assert lost == pytest.approx(27_000, abs=3 * 625)
    records = [o for c in out for o in c.overflows]
    assert len(records) == 3
    for k, record in enumerate(records):
        assert 5e9 <= record.begin_ps - k * SECOND_PS < 5.5e9
        assert 1e10 <= record.end_ps - k * SECOND_PS <= 1.63e10
        kept = together(out)
        assert np.count_nonzero((kept >= record.begin_ps) & (kept < record.end_ps)) <= 1_250


@pytest.mark.parametrize("room", [50, 1_000])
def test_a_small_buffer_does_not_slow_the_link_down(room: int) -> None:
    """Regular tags at half of the link's rate all pass, though in a millisecond there come ten times as many
    as the smaller buffer holds."""
    tags = {1: np.arange(0, SECOND_PS // 10, 2_000_000)}
    assert rates(feed(line(max_rate_hz=1e6, buffer_tags=room), tags, every(10**10, 10**11))) == (50_000, 0)


def test_looking_again_begins_with_an_empty_tagger() -> None:
    it, inputs = line(max_rate_hz=1e3, buffer_tags=100), {1: TaggerInput(delay_ps=10**9)}
    assert it.take({1: np.arange(100)}, 10**6, inputs).lost == 0
    it.forget(10**12)
    out = it.take({1: 10**12 + np.arange(100)}, 10**12 + 10**10, inputs)
    assert out.lost == 0
    assert np.array_equal(out.tags[1], 10**12 + 10**9 + np.arange(100))


# -- on a bench ----------------------------------------------------------------------------------


def bench(*detectors: Detector) -> LightField:
    """A tagger that carries 1e5 tags a second, and another at its clock, which wanders by 1 us per root
    second."""
    clock = Clock("clock", 1e-11, phase_walk=1e-6)
    taggers = (Tagger("slow", clock, max_rate_hz=1e5, buffer_tags=20_000), Tagger("other", clock))
    ports = Ports(
        taggers={
            "slow": TaggerPort({n: TaggerInput() for n in (1, 2)}, recording=True),
            "other": TaggerPort({1: TaggerInput(test_signal_hz=1e3)}),
        }
    )
    return LightField(Layout((), detectors, taggers), ports, seed=1)


def test_the_port_of_a_tagger_tells_what_was_lost() -> None:
    """2 Mcps: 1e5 and what the buffer holds come through; 5 standard errors of the sum."""
    light = bench(
        *(replace(detector(dark_counts_hz=1e6), name=f"d{n}", tagger="slow", input=n) for n in (1, 2))
    )
    passed = lost = 0
    for _ in range(10):
        light.tune()
        clicks = light.expose(10**11)
        light.settle(10**11, clicks)
        passed += sum(map(len, clicks["slow"].tags.values()))
        lost += clicks["slow"].lost
    light.close()
    assert sum(light.ports.taggers["slow"].lost.values()) == lost
    assert passed == pytest.approx(120_000, abs=1_000)
    assert abs(passed + lost - 2e6) < 5 * sqrt(2e6)
    assert light.ports.taggers["other"].lost == {}


def test_taggers_at_one_clock_are_set_adrift_together() -> None:
    """By a relative 1e-6 times a normal number, from when one of them has lost its reference."""
    shown = []
    for locked in (True, False):
        light = bench()
        light.ports.taggers["other"].clock_locked = locked
        for _ in range(10):
            light.tune()
            clicks = light.expose(10**11)
            light.settle(10**11, clicks)
            assert clicks["slow"].until_ps == clicks["other"].until_ps
        light.close()
        slow, other = (port.clock_ps for port in light.ports.taggers.values())
        assert slow == other != light.now_ps
        shown.append(slow)
    assert 1e4 < abs(shown[1] - shown[0]) < 6e6
