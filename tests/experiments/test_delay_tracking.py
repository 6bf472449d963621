"""Delay tracking on synthetic tags whose clock drifts."""

import itertools

import numpy as np
import pytest

from experiments.calibrations.tracking import DelayTracker
from timetags.block import TagBlock

PS = 10**12
HUB, SPOKES = (4, 5, 6, 7), ((0, 1), (2, 3))


def look(
    begin_s: float, seconds: float, offset_ps: tuple[float, float], rng: np.random.Generator
) -> TagBlock:
    """Tags of one look: 60,000 pairs/s per arm, t1, t2 = 700, 300 ps, cusp at `offset_ps` for each spoke."""
    begin, end = round(begin_s * PS), round((begin_s + seconds) * PS)
    times, channels = [], []
    for spoke, offset in zip(SPOKES, offset_ps, strict=True):
        n = round(60_000 * seconds)
        t = rng.integers(begin, end, n)
        late = rng.random(n) < 0.7
        x = np.where(late, rng.exponential(700, n), -rng.exponential(300, n)) + rng.normal(0, 150, n)
        times += [t, t + np.round(x + offset).astype(np.int64), rng.integers(begin, end, n)]
        channels += [rng.choice(HUB, n), rng.choice(spoke, n), rng.choice(spoke, n)]
    t, c = np.concatenate(times), np.concatenate(channels).astype(np.uint8)
    inside = (t >= begin) & (t < end)
    order = np.argsort(t[inside], kind="stable")
    return TagBlock(t[inside][order], c[inside][order], begin, end)


def take(tracker: DelayTracker, block: TagBlock, pieces: int = 1) -> None:
    sink = tracker.look(block.start_ps, block.end_ps)
    edges = np.linspace(0, len(block), pieces + 1).astype(int)
    for i, j in itertools.pairwise(edges):
        sink.add(TagBlock(block.times[i:j], block.channels[i:j], block.start_ps, block.end_ps))
    sink.finish()


def test_follows_a_drifting_clock() -> None:
    """Spoke 2 drifts by 30 ps/s, as two clocks off by 1.5e-11 each way: 3 ns in 100 s."""
    rng = np.random.default_rng(2)
    tracker = DelayTracker(HUB, SPOKES, {0: 11, 2: -400, 3: -400}, time_ps=0, error_ps=5.0)
    for t in np.arange(10.0, 110.0, 10.0):
        # Calibrated delays are added to the tags: the peak is at -delay when nothing drifted.
        take(tracker, look(t, 0.25, (0.0, 400 + 30 * (t + 0.125)), rng), pieces=int(t) % 7 + 1)
    steady, drifting = tracker.tracks
    assert not any(p.jumped for track in tracker.tracks for p in track.points)
    for ahead in (105.0, 115.0):
        # Errors of a look are about 10 ps; the cusp of a spoke with two delays is between them.
        assert drifting.expect(round(ahead * PS)) == pytest.approx(30 * ahead, abs=30)
        assert abs(steady.expect(round(ahead * PS))) < 30
    delays = tracker.delays_at(100 * PS)
    assert delays[3] == delays[2] == pytest.approx(-400 - 3000, abs=30)
    assert delays.get(5, 0) == 0


def test_too_few_pairs_leave_the_track_as_it_is() -> None:
    tracker = DelayTracker(HUB, SPOKES, {}, time_ps=0, error_ps=5.0)
    nothing = TagBlock(np.empty(0, np.int64), np.empty(0, np.uint8), PS, 2 * PS)
    take(tracker, nothing)
    assert [track.points for track in tracker.tracks] == [[], []]
    assert tracker.delays_at(9 * PS) == dict.fromkeys((0, 1, 2, 3), 0)
