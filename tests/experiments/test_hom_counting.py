"""What `measure_hom` and `scan_bsm_window` count, against plain loops over a few thousand tags."""

import numpy as np
import pytest

from experiments.config.plan import MeasureHom
from experiments.config.settings import SwappingSettings
from experiments.measurements.hom import DISPLACED, HomCounts, HomSlice, HomTally
from experiments.measurements.swap_rate_scan import WindowsSlice
from timetags.block import TagBlock

HUB, SPOKES = (0, 1, 2, 3), ((4, 5), (6, 7))  # cH, cV, dH, dV; H and V of either spoke
PARAMETERS = MeasureHom.model_construct(bin=100e-12, reach=500e-12, dwell=1.0, rounds=1, tau=None)
SETTINGS = SwappingSettings.model_construct(
    spokes=("a", "b"),
    bell_state_measurement="hub",
    bsm_window=600e-12,
    spoke_window=1000e-12,
    spoke_window_centre=100e-12,
)


class Delays:
    hub, spokes = HUB, SPOKES

    def delays_at(self, time_ps: int) -> dict[int, int]:
        del time_ps
        return {4: 50, 7: -30, 2: 20}


@pytest.fixture
def tags() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(11)
    times = np.sort(random.integers(0, 400_000, 3200)).astype(np.int64)
    return times, random.integers(0, 8, 3200).astype(np.uint8)


def counted(slice_: HomSlice | WindowsSlice, tags: tuple[np.ndarray, np.ndarray]) -> None:
    times, channels = tags
    half = 200_000
    early = times < half
    slice_.add(TagBlock(times[early], channels[early], 0, half))
    slice_.add(TagBlock(times[~early], channels[~early], half, 400_000))
    slice_.finish()


def test_histograms_are_those_of_plain_loops(tags: tuple[np.ndarray, np.ndarray]) -> None:
    far = 200_000, 197_370  # of a continuous source, and 15 pulses of one at 76 MHz
    found = HomSlice(PARAMETERS, SETTINGS, far, Delays(), (0, 400_000))
    counted(found, tags)
    delays = Delays().delays_at(0)
    by_channel = {c: tags[0][tags[1] == c] + delays.get(c, 0) for c in range(8)}
    expected = np.zeros((len(DISPLACED), 2, 10), np.int64)
    # Ports that click; equal polarizations need equal signals, crossed ones unlike signals of either kind.
    for one, other, signals, kind in (
        (0, 2, ((4, 6),), 0),
        (1, 3, ((5, 7),), 0),
        (0, 3, ((4, 7), (5, 6)), 1),
        (1, 2, ((4, 7), (5, 6)), 1),
    ):
        for t1 in by_channel[one]:
            for t2 in by_channel[other]:
                if not -500 <= t1 - t2 < 500:
                    continue
                place = (t1 - t2 + 500) // 100
                for k, displaced in enumerate(DISPLACED):
                    for pair in signals:
                        both = [
                            np.count_nonzero(
                                ((apart := by_channel[channel] - (t1 + t2) / 2 - 100 - is_far * away) >= -500)
                                & (apart < 500)
                            )
                            for channel, is_far, away in zip(pair, displaced, far, strict=True)
                        ]
                        expected[k, kind, place] += both[0] * both[1]
    assert expected[0].sum() > 20
    assert np.array_equal(found.histograms, expected)


def test_wider_windows_hold_what_narrow_ones_do(tags: tuple[np.ndarray, np.ndarray]) -> None:
    found = WindowsSlice((200e-12, 600e-12, 1200e-12), SETTINGS, Delays(), (0, 400_000))
    counted(found, tags)
    narrow, middle, wide = (int(n.sum()) for n in found.fourfolds)
    assert 0 < narrow < middle < wide
    assert np.all(np.diff(found.fourfolds, axis=0) >= 0)


def test_figures_of_known_histograms() -> None:
    """In a window of 600 ps the inner six bins: 100 equal ones of 400, of which 20 and 60 are accidental."""
    tally = HomTally(["d"] * 8, PARAMETERS, 600e-12)
    histograms = np.zeros((4, 2, 10), np.int64)
    histograms[0, 0, 2:8], histograms[0, 1, 2:8] = 20, 80
    histograms[1, :, 2:8] = [[3], [8]]
    histograms[2, :, 2:8] = [[2], [6]]
    histograms[3, :, 2:8] = [[1], [2]]
    histograms[0, :, 0] = 1000  # outside of the window
    tally.take_over(HomCounts("ZZ", 10**12, np.zeros(8, np.int64), histograms), "earlier")
    raw, less = tally.visibility
    assert raw is not None
    assert less is not None
    assert raw.value == pytest.approx(1 - 20 / 80)
    assert raw.error == pytest.approx(0.25 * np.sqrt(1 / 120 + 1 / 480), rel=1e-6)
    assert less.value == pytest.approx(1 - (20 - 3 - 2 + 1) / (80 - 8 - 6 + 2))
    assert less.error > raw.error
    again = HomCounts.from_json(tally.total.to_json() | {"setting": "ZZ"}, (8, 10))
    assert np.array_equal(again.histograms, histograms)
    with pytest.raises(ValueError, match="other bins"):
        HomCounts.from_json(tally.total.to_json(), (8, 11))
