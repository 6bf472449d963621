"""Offset and skew from tags: the figures of `physics.md` 6 on streams made with a known clock.

"False alarm" is the chance that a correct program would fail with seeds drawn at random.
"""

import numpy as np
import pytest
from scipy.stats import exponnorm

from tests.timetags.clocks.links import LOSSY, NYC, SIGMA, T1, T2, link
from timetags.analyses.correlate import bin_centres
from timetags.clocks.peak import DelayError, Peak, locate
from timetags.clocks.skew import find_clocks

TEN_MS, FIVE_PPM = 10 * 10**9, 5e-6


def misses(rates, seed):
    """How far the found offset and skew are from the true ones, and what was found, from 2 s of tags."""
    random = np.random.default_rng(seed)
    delay, skew = random.uniform(-9e9, 9e9), random.uniform(-FIVE_PPM, FIVE_PPM)
    hub, spoke = link(random, 2, rates, delay_ps=delay, skew=skew)
    found = find_clocks(hub, spoke, TEN_MS, FIVE_PPM)
    # By plain numpy: once on the hub's time-base, the spoke's tags lie on top of the hub's.
    base = found.clock().to_base(spoke)
    together = np.searchsorted(base, hub + 4000) - np.searchsorted(base, hub - 2000)
    floor = rates.hub * rates.spoke * 6e-9 * 2
    # The template (exponentials, jitter) has 0.3 % outside -2..4 ns; 6 sigma: false alarm 2e-9.
    assert (
        abs(together.sum() - floor - 2 * rates.pairs)
        < 6 * (floor + 2 * rates.pairs) ** 0.5 + 0.01 * rates.pairs
    )
    return found.delay_ps - (delay + skew * found.at_ps), found.skew - skew, found


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


def test_the_deployed_link_is_found_in_50_ms_and_known_to_picoseconds_after_2_s():
    """The note has z = 25, 14 ps and 1.4e-11 rms for an arm like this; 700,000 pairs/s of 1 ns allow 3 ps.
    Bounds are 5 times what they allow, for the rms of three: false alarm below 1e-9."""
    offsets, skews, found = zip(*(misses(NYC, seed) for seed in range(3)), strict=True)
    assert all(f.used_ps == 50 * 10**9 and 18 < f.z < 32 for f in found)
    assert rms(offsets) < 14
    assert rms(skews) < 1.4e-11
    for offset, skew, f in zip(offsets, skews, found, strict=True):
        assert f.error_ps < 4
        assert f.skew_error < 5e-12
        assert abs(offset) < 6 * f.error_ps
        assert abs(skew) < 6 * f.skew_error
        assert f.rate_hz == pytest.approx(70e3, rel=0.02)


def test_a_lossy_link_is_found_by_scanning_skews():
    """600 pairs/s in 5e4 x 2e4/s: no single histogram shows them (`physics.md` 6: 39 ps, 3.5e-11 rms). Bounds
    for the rms of two are four times that: false alarm 1e-8."""
    offsets, skews, found = zip(*(misses(LOSSY, seed) for seed in range(2)), strict=True)
    assert all(50 * 10**9 < f.used_ps <= 800 * 10**9 for f in found)
    assert rms(offsets) < 4 * 39
    assert rms(skews) < 4 * 3.5e-11
    assert all(f.error_ps < 45 and f.skew_error < 5e-11 for f in found)


def test_unrelated_streams_have_no_clocks():
    # z > 8 in some 1e6 lags: false alarm 1e-9.
    hub, spoke = link(np.random.default_rng(7), 0.05, NYC._replace(pairs=0))
    with pytest.raises(DelayError, match=r"no correlation peak within \+-0\.1 ms"):
        find_clocks(hub, spoke, 10**8, 1e-7)


def test_a_skew_must_be_possible():
    tags = np.arange(0, 10**9, 10**6)
    for skew in (0.0, -1e-6, 2e-3):
        with pytest.raises(ValueError, match="skew to search must lie between"):
            find_clocks(tags, tags, 10**6, skew)


def test_pairs_in_one_short_burst_say_nothing_of_rates():
    """Both nodes were dark but for 20 ms in the middle."""
    random = np.random.default_rng(11)
    hub, spoke = link(random, 0.02, NYC, delay_ps=5_000)
    ends = np.array([-(10**12), 10**12])
    hub, spoke = np.sort(np.append(hub, ends)), np.sort(np.append(spoke, ends + 10**8))
    with pytest.raises(DelayError, match=r"in 1 of 16 parts.*without gaps"):
        find_clocks(hub, spoke, 10**7, 1e-8)


def shape(pairs, background):
    return Peak(0.0, 0.0, T1, T2, float(SIGMA), pairs, background)


def test_a_known_shape_is_located_in_a_histogram_of_expected_counts():
    """Expected counts by scipy.stats.exponnorm; the error is that of Fisher's information."""
    edges = np.arange(-15_000, 15_001, 20) - 0.5 + 2345.6
    late, early = (
        exponnorm.cdf(edges, T1 / SIGMA, scale=SIGMA),
        exponnorm.cdf(-edges, T2 / SIGMA, scale=SIGMA),
    )
    expected = 1e7 * np.diff(T1 * late + T2 * (1 - early)) / (T1 + T2) + 40
    counts, centres = np.rint(expected).astype(np.int64), bin_centres(20, (-15_000, 15_000))
    place = locate(counts, centres, 20, shape(1e7, 40))
    assert place is not None
    assert place[0] == pytest.approx(-2345.6, abs=0.5)
    slope = np.gradient(expected, 20)
    assert place[1] == pytest.approx(np.sum(slope**2 / expected) ** -0.5, rel=0.01)


@pytest.mark.parametrize(("pairs", "floor"), [(60, 0.05), (200, 2), (2_000, 20)])
def test_few_pairs_are_located_with_honest_errors_and_noise_is_not(pairs, floor):
    """Mean pull of 100 is 0 +- 0.1, the sum of squares chi-squared with 100 degrees: bounds at 6 sigma, and
    at 45 to 180, each side below 1e-6. (Six deviations for noise: 1e-9 for each of 1,500 places.)"""
    centres, edges = bin_centres(20, (-15_000, 15_000)), np.arange(-15_000, 15_001, 20) - 0.5
    pulls = []
    for seed in range(100):
        random = np.random.default_rng([12, seed])
        noise = random.poisson(floor, len(centres))
        if seed % 10 == 0:
            assert locate(noise, centres, 20, shape(pairs, floor)) is None
        position = random.uniform(-3_000, 3_000)
        number = random.poisson(pairs)
        late = random.random(number) < T1 / (T1 + T2)
        x = np.where(late, random.exponential(T1, number), -random.exponential(T2, number))
        counts = noise + np.histogram(position + x + random.normal(0, SIGMA, number), edges)[0]
        place = locate(counts, centres, 20, shape(pairs, floor))
        if place is None:
            continue
        pulls.append((place[0] - position) / place[1])
    assert len(pulls) > 80
    assert abs(np.mean(pulls)) < 0.6
    assert 45 < np.sum(np.square(pulls)) * 100 / len(pulls) < 180
