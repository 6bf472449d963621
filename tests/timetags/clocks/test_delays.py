"""Delays from tags: against the delay that seeded streams were made with, and against scipy's own shape.

The streams are those of the deployed link (`physics.md` 5 and 6): 1.2e6/s at the spoke, 1.14e6/s at the
hub, 7e4 pairs/s, decays of 700 and 300 ps, jitter of 149 and 38 ps. Seeds are fixed; "false alarm" is the
chance that a correct program would fail with a seed drawn at random.
"""

import numpy as np
import pytest
from scipy.stats import exponnorm

from tests.timetags.clocks.links import LOSSY, SIGMA, T1, T2, Rates, link, photon_differences
from timetags.analyses.correlate import bin_centres
from timetags.clocks.delays import DelayError, find_delay, fit_peak

ARM = Rates(hub=1.14e6, spoke=1.2e6, pairs=7e4)


@pytest.mark.parametrize(("seed", "delay_ps"), [(1, 43_100_000), (2, -9_876_543_210), (3, 9_999_000_000)])
def test_two_seconds_of_the_deployed_link_give_the_delay_to_picoseconds(seed, delay_ps):
    hub, spoke = link(np.random.default_rng(seed), 2, ARM, delay_ps=delay_ps)
    found = find_delay(hub, spoke, 10 * 10**9)
    assert found.z > 8
    assert found.error_ps < 5
    assert abs(found.delay_ps - delay_ps) < 4.5 * found.error_ps  # false alarm 7e-6 each
    assert found.rate_hz == pytest.approx(7e4, rel=0.03)
    assert found.peak.tau_signal_ps == pytest.approx(T1, rel=0.05)
    assert found.peak.tau_idler_ps == pytest.approx(T2, rel=0.08)


def test_a_weak_link_takes_more_time_and_a_short_record_finer_bins():
    # 600 pairs/s in 5e4 x 2e4/s: 30 pairs on a floor of 26 in 50 ms, less than 8 deviations (`physics.md` 6).
    hub, spoke = link(np.random.default_rng(4), 2, LOSSY, delay_ps=-123_456)
    weak = find_delay(hub, spoke, 10**9)
    assert weak.used_ps > 50 * 10**9
    assert weak.coarse_bin_ps == 256_000
    assert abs(weak.delay_ps + 123_456) < 4.5 * weak.error_ps  # false alarm 7e-6

    hub, spoke = link(np.random.default_rng(5), 0.004, ARM, delay_ps=77_777)
    short = find_delay(hub, spoke, 10**9)
    assert short.coarse_bin_ps < 256_000
    assert abs(short.delay_ps - 77_777) < 4.5 * short.error_ps


def test_a_narrow_search_finds_what_lies_within_it_only():
    hub, spoke = link(np.random.default_rng(6), 0.2, ARM, delay_ps=1_500_000)
    assert find_delay(hub, spoke, 2_000_000).delay_ps == pytest.approx(1_500_000, abs=100)
    with pytest.raises(DelayError, match="widen the search range"):
        find_delay(hub, spoke, 500_000)


def test_unrelated_streams_have_no_delay():
    # z > 8 by chance in some 1e5 lags and a few rounds: false alarm below 1e-9.
    hub, spoke = link(np.random.default_rng(7), 0.1, ARM._replace(pairs=0))
    with pytest.raises(DelayError, match=r"no correlation peak within \+-1 ms.*both detectors see the same"):
        find_delay(hub, spoke, 10**9)


def test_a_dead_detector_is_named_as_such():
    tags = np.arange(0, 10**9, 10**6)
    with pytest.raises(DelayError, match=r"1000 of the first and 0 of the second.*both detectors count"):
        find_delay(tags, tags[:0], 10**6)
    with pytest.raises(ValueError, match="search range must be positive"):
        find_delay(tags, tags, 0)


def test_a_handful_of_tags_is_no_peak():
    # Two tags at the same distance twice are a coincidence in the ordinary sense.
    with pytest.raises(DelayError, match="no correlation peak"):
        find_delay(np.array([0, 10**7]), np.array([500, 10**7 + 500]), 10**6)


@pytest.mark.parametrize("bin_ps", [20, 100])
def test_the_fit_finds_the_cusp_of_an_exact_shape(bin_ps):
    # Expected counts from scipy.stats.exponnorm: the same shape, programmed by others.
    edges = np.arange(-15_000, 15_001, bin_ps) - 0.5 - 1234.5
    late = exponnorm.cdf(edges, T1 / SIGMA, scale=SIGMA)
    early = 1 - exponnorm.cdf(-edges, T2 / SIGMA, scale=SIGMA)
    expected = 1e7 * np.diff(T1 * late + T2 * early) / (T1 + T2) + 3 * bin_ps
    peak = fit_peak(np.rint(expected).astype(np.int64), bin_centres(bin_ps, (-15_000, 15_000)), bin_ps)
    assert peak.position_ps == pytest.approx(1234.5, abs=1)  # and not the centroid, 400 ps later
    assert peak.tau_signal_ps == pytest.approx(T1, rel=2e-3)
    assert peak.tau_idler_ps == pytest.approx(T2, rel=2e-3)
    assert peak.sigma_ps == pytest.approx(SIGMA, rel=1e-2)
    assert peak.pairs == pytest.approx(1e7, rel=1e-3)
    assert peak.background == pytest.approx(3 * bin_ps, rel=1e-2)


@pytest.mark.parametrize(("pairs", "floor"), [(140_000, 55), (300, 0.2)])
def test_the_stated_error_is_the_true_scatter_and_there_is_no_bias(pairs, floor):
    # 40 fits each of 2 s and of 4 ms of the deployed link. The mean pull is 0 +- 1/sqrt(40), the sum of its
    # squares is chi-squared with 40 degrees. Bounds: 4.5 sigma, and 10 to 95, each side below 1e-5. False
    # alarm 3e-5 for each of the two.
    centres = bin_centres(20, (-15_000, 15_000))
    pulls = []
    for seed in range(40):
        random = np.random.default_rng([8, seed])
        position = random.uniform(-2_000, 2_000)
        number = random.poisson(pairs)
        x = position + photon_differences(random, number) + random.normal(0, SIGMA, number)
        counts = np.histogram(x, np.append(centres - 10, centres[-1] + 10))[0]
        peak = fit_peak(counts + random.poisson(floor, len(counts)), centres, 20)
        pulls.append((peak.position_ps - position) / peak.position_error_ps)
    assert abs(np.mean(pulls)) < 4.5 / 40**0.5
    assert 10 < np.sum(np.square(pulls)) < 95


@pytest.mark.parametrize("floor", [0.05, 1, 50])
def test_a_flat_histogram_has_no_peak(floor):
    # 6 standard deviations by chance: 1e-9 for each of some 4,500 places, so 1e-4 in all 3 x 20 histograms.
    centres = bin_centres(20, (-15_000, 15_000))
    for seed in range(20):
        counts = np.random.default_rng([9, seed]).poisson(floor, len(centres))
        with pytest.raises(DelayError, match=r"no correlation peak.*take more data"):
            fit_peak(counts, centres, 20)


def test_an_empty_histogram_has_no_peak():
    with pytest.raises(DelayError, match="no correlation peak"):
        fit_peak(np.zeros(1500, np.int64), bin_centres(20, (-15_000, 15_000)), 20)


def test_a_peak_cut_by_the_histograms_edge_is_refused():
    # Its missing flank would look sharp, and the fit be confident and a nanosecond off.
    random = np.random.default_rng(10)
    x = photon_differences(random, 20_000) + random.normal(0, SIGMA, 20_000)
    centres = bin_centres(20, (1_000, 16_000))
    counts = np.histogram(x, np.append(centres - 10, centres[-1] + 10))[0] + random.poisson(5, len(centres))
    with pytest.raises(DelayError, match=r"too close to the edge.*Centre the histogram on the peak"):
        fit_peak(counts, centres, 20)
