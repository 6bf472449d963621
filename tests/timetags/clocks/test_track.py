"""The track of a delay: its filter on made-up looks, and a whole stream followed through drift and jump."""

import numpy as np
import pytest

from tests.timetags.clocks.links import Rates, link
from timetags.block import TagBlock
from timetags.clocks.track import Follow, Look, Track
from timetags.merge import merge_channels

PS = 10**12


def test_a_jump_is_told_and_followed() -> None:
    track = Track(0, 5.0)
    for second in range(10, 100, 10):
        track.update(second * PS, 2.0 * second, 10.0)
    track.update(100 * PS, 1500.0, 10.0)
    assert [p.jumped for p in track.points] == [False] * 9 + [True]
    assert track.expect(100 * PS) == pytest.approx(1500, abs=1)


@pytest.mark.parametrize("rate", [100, 250, 300, 400, -600, 700])
def test_a_rate_that_is_taken_up_all_at_once_is_followed(rate: float) -> None:
    """A clock loses its reference between two looks, ten seconds apart. The third look after that is expected
    where it is; before, each one was a jump, and no rate was ever learned."""
    track = Track(0, 10.0)
    for second in range(10, 60, 10):
        track.update(second * PS, 0.0, 10.0)
    misses = []
    for second in range(60, 160, 10):
        offset = rate * (second - 50.0)
        misses.append(abs(track.expect(second * PS) - offset))
        track.update(second * PS, offset, 10.0)
    assert max(misses) < 8000  # else no look would find it
    assert max(misses[4:]) < 60
    assert track.points[-1].rate_ps_per_s == pytest.approx(rate, abs=5)
    assert not any(point.jumped for point in track.points[7:])


def test_two_jumps_that_are_no_rate_are_got_over() -> None:
    """3 ns, and 2 ns more at the next look, where it stays."""
    track = Track(0, 10.0)
    for second, offset in ((10, 0.0), (20, 3000.0), (30, 5000.0), (40, 5000.0), (50, 5000.0), (60, 5000.0)):
        track.update(second * PS, offset, 10.0)
    assert track.expect(70 * PS) == pytest.approx(5000, abs=20)


def test_a_delay_that_was_moved_on_purpose_is_no_rate() -> None:
    """A jump, a move by 5 ns, another jump by 4 ns: that is 400 ps/s, not 900."""
    track = Track(0, 10.0)
    track.update(10 * PS, 4000.0, 10.0)
    track.shift(5000.0)
    assert track.update(20 * PS, 13_000.0, 10.0).rate_ps_per_s == pytest.approx(400)


def test_errors_of_the_track_are_honest() -> None:
    """Looks with a Gaussian error of 10 ps on a straight line, 20 of them: what is expected 10 s ahead is
    right on average, and misses by no more than twice the error of a single look."""
    rng = np.random.default_rng(8)
    misses = []
    for _ in range(200):
        track = Track(0, 5.0)
        rate = rng.normal(0, 20)
        for second in range(10, 210, 10):
            track.update(second * PS, rate * second + rng.normal(0, 10), 10.0)
        misses.append(track.expect(210 * PS) - rate * 210)
    assert np.std(misses) < 20
    assert abs(np.mean(misses)) < 5 * 20 / np.sqrt(200)


def test_the_alarm_is_raised_beyond_three_standard_deviations() -> None:
    """After looks without error nothing but the look's own 10 ps and a second's wander of 2 ps is left:
    sqrt(104) = 10.2 ps, so 30 ps are none and 33 ps are one (and no jump yet: those begin at 51 ps)."""

    def after(offset_ps: float) -> tuple[bool, bool]:
        track = Track(0, 0.0, rate_sigma=0.0)
        point = track.update(PS, offset_ps, 10.0)
        return point.alarming, point.jumped

    assert [after(x) for x in (30.0, -33.0, 50.0, 52.0)] == [
        (False, False),
        (True, False),
        (True, False),
        (True, True),
    ]


ARM = Rates(hub=2e5, spoke=2e5, pairs=3e4)


def merged(random: np.random.Generator, seconds: int, jump_ps: int) -> TagBlock:
    """A link whose spoke (channel 3, hub channel 8) drifts by 40 ps/s and jumps after half of the time."""
    hub, spoke = link(random, seconds, ARM, delay_ps=-7_000, skew=40e-12)
    spoke = np.sort(spoke + jump_ps * (spoke > seconds * PS // 2))
    times, channels = merge_channels([hub, spoke], [8, 3])
    inside = (times >= 0) & (times < seconds * PS)
    return TagBlock(times[inside], channels[inside], 0, seconds * PS)


def follow(stream: TagBlock, edges: list[int], every_ps: int = PS // 2) -> Follow:
    following = Follow([8], [3], {3: 7_000}, look_ps=PS // 4, every_ps=every_ps, error_ps=20.0)
    for begin, end in zip([0, *edges], [*edges, stream.end_ps], strict=True):
        following.add(stream.between(begin, end))
    following.finish()
    return following


def test_a_stream_is_followed_through_drift_and_jump_however_it_is_cut() -> None:
    stream = merged(np.random.default_rng(3), 6, 600)
    following = follow(stream, [])
    points = following.points
    assert [p.time_ps for p in points] == [k * PS // 2 + PS // 8 for k in range(12)]
    # 7,500 pairs of 1 ns width fix the cusp to some 10 ps: 6 sigma.
    for p in points:
        seconds = p.time_ps / PS
        assert p.error_ps < 15
        assert abs(p.offset_ps - 40 * seconds - 600 * (seconds > 3)) < 6 * p.error_ps
    assert [p.jumped for p in points] == [k == 6 for k in range(12)]
    assert points[6] in following.alarms
    assert following.delays_at(6 * PS)[3] == pytest.approx(7_000 - 840, abs=60)
    assert 8 not in following.delays_at(6 * PS)

    again = follow(stream, sorted(np.random.default_rng(4).integers(0, 6 * PS, 40).tolist()))
    assert again.points == points


def test_looks_without_a_peak_are_counted_and_the_track_stays() -> None:
    stream = merged(np.random.default_rng(5), 4, 50_000)
    following = follow(stream, [PS, 2 * PS, 3 * PS])
    assert following.missed == 4
    assert len(following.points) == 4
    with pytest.raises(ValueError, match="cannot be"):
        follow(stream, [], every_ps=PS // 8)


def test_a_look_at_ten_pairs_never_moves_the_track_to_where_there_are_none() -> None:
    """Fifteen looks at ten pairs of 110 ps and two accidentals: before, every tenth went astray by a
    nanosecond. A look that says nothing is fine, and one that says something says it of the pairs."""
    rng = np.random.default_rng(6)
    for _ in range(15):
        first = np.sort(rng.choice(np.arange(1, 400), 12, replace=False)) * 10**8
        second = first + np.round(rng.normal(0, 110, 12)).astype(np.int64)
        second[:2] = first[:2] + rng.integers(-8000, 8000, 2)
        times = np.concatenate([first, second])
        channels = np.repeat(np.array([1, 2], np.uint8), 12)
        order = np.argsort(times, kind="stable")
        track = Track(0, 100.0)
        look = Look(track, [1], [2], {}, 0, 10**11)
        look.add(TagBlock(times[order], channels[order], 0, 10**11))
        look.finish()
        assert abs(track.expect(10**11)) < 300
