"""Counting on a pair of analysers: windows and their displacements against brute force, the tally and its
books, delays that several pairs share."""

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from experiments.calibrations.delays import Delay, DelayCalibration, Wire
from experiments.calibrations.pair_delays import total_delay_ps, with_shifts
from experiments.calibrations.tracking import DelayTracker
from experiments.config.plan import MeasureTomography
from experiments.config.settings import PairSettings
from experiments.estimators.analyser import IDEAL
from experiments.measurements.characterize import SourceTally
from experiments.measurements.chsh import ChshTally
from experiments.measurements.pair_dwell import PairDwell, PairSlice, Windows
from experiments.measurements.pair_tally import CountsOfPair
from experiments.measurements.tomography import NINE, NINE_SWAPPED, StateTally
from timetags.block import TagBlock

PAIR = PairSettings.model_validate({"analysers": ["a", "b"], "window": "2 ns", "window_centre": "-300 ps"})
FIRST, SECOND = (0, 1), (2, 3)
DELAYS = {0: 0, 1: 350, 2: -40_000_000, 3: -40_000_700}
"""The second analyser behind 40 us of fibre, each detector with a cable of its own."""


def stream(seconds: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Pairs and singles of four channels, all in one stream."""
    rng, end = np.random.default_rng(5), round(seconds * 1e12)
    times, channels = [], []
    n = 4000
    born, one, other = rng.integers(0, end, n), rng.integers(0, 2, n), rng.integers(0, 2, n)
    for who, choice, later in ((FIRST, one, 0), (SECOND, other, rng.normal(-300, 400, n).astype(int))):
        for k, channel in enumerate(who):
            times.append((born + later)[choice == k] - DELAYS[channel])
            channels.append(np.full((choice == k).sum(), channel))
    for channel in (*FIRST, *SECOND):
        times.append(rng.integers(0, end, 8000))
        channels.append(np.full(8000, channel))
    t, c = np.concatenate(times), np.concatenate(channels)
    order = np.argsort(t, kind="stable")
    return t[order].astype(np.int64), c[order].astype(np.uint8)


def blocks(times: np.ndarray, channels: np.ndarray, cuts: list[int]) -> list[TagBlock]:
    ends = [-(10**12), *cuts, 10**12]
    return [
        TagBlock(times[(times >= a) & (times < b)], channels[(times >= a) & (times < b)], a, b)
        for a, b in pairwise(ends)
    ]


def brute(times: np.ndarray, channels: np.ndarray, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Coincidences with -1.3 ns <= t2 - t1 < 0.7 ns, and in the same window displaced by 100 to 600 times its
    width either way; clicks of the second from `begin` to `end` of their own time."""
    raw, beside = np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64)
    for k, one in enumerate(FIRST):
        first = np.sort(times[channels == one] + DELAYS[one])
        for l, other in enumerate(SECOND):  # noqa: E741
            t = times[(channels == other) & (times >= begin) & (times < end)] + DELAYS[other]

            def pairs(d: int, t: np.ndarray = t, first: np.ndarray = first) -> int:
                # t2 - t1 in [-1300 + d, 700 + d): t1 in (t2 - 700 - d, t2 + 1300 - d]
                last, before = (np.searchsorted(first, t + x - d, "right") for x in (1300, -700))
                return int((last - before).sum())

            raw[k, l] = pairs(0)
            beside[k, l] = sum(pairs(sign * 2000 * m) for m in range(100, 601) for sign in (-1, 1))
    return raw, beside


def tracker() -> DelayTracker:
    return DelayTracker(FIRST, [SECOND], DELAYS, time_ps=0, error_ps=1.0)


def test_windows_are_displaced_beyond_everything_true() -> None:
    found = Windows.of(PAIR, None)
    assert (found.width_ps, found.centre_ps, found.nearest, found.most) == (2000, -300, 100, 600)
    assert found.displacements == 1002
    [(start, stop)] = found.ranges_ps
    assert start + found.most * 2000 == -1300  # the middle bin is the window
    assert stop - start == 1201 * 2000
    wide = Windows.of(PairSettings.model_validate({"analysers": ["a", "b"], "window": "300 ns"}), None)
    assert wide.nearest == 2
    assert wide.displacements >= 10


@pytest.mark.parametrize("cuts", [[], [3_000_000_000, 3_000_000_777, 9_999_999_999]])
def test_a_slice_counts_what_brute_force_counts(cuts: list[int]) -> None:
    times, channels = stream()
    window = 2_000_000_000, 12_000_000_000
    piece = PairSlice(Windows.of(PAIR, None), tracker(), window)
    for block in blocks(times, channels, sorted([*cuts, window[0], window[1]])):
        piece.add(block)
    piece.finish()
    raw, beside = brute(times, channels, *window)
    assert piece.raw.tolist() == raw.tolist()
    assert piece.displaced.tolist() == beside.tolist()
    assert raw.sum() > 1500
    assert piece.peak.sum() > raw.sum()


def test_slices_meet_without_gap_or_overlap() -> None:
    """Two slices count what one over both does; every click of the second belongs to one of them."""
    times, channels = stream()
    borders = (2_000_000_000, 7_000_000_123, 12_000_000_000)
    parts = [PairSlice(Windows.of(PAIR, None), tracker(), window) for window in pairwise(borders)]
    whole = PairSlice(Windows.of(PAIR, None), tracker(), (borders[0], borders[2]))
    for piece in (*parts, whole):
        for block in blocks(times, channels, list(borders)):
            piece.add(block)
        piece.finish()
    assert (parts[0].raw + parts[1].raw).tolist() == whole.raw.tolist()
    assert (parts[0].displaced + parts[1].displaced).tolist() == whole.displaced.tolist()


@pytest.mark.parametrize("period_ps", [12_500.0, 1e12 / 76e6])
def test_accidentals_of_pulses_are_those_of_whole_pulses(period_ps: float) -> None:
    """Either side sees 4 % of the pulses, a twentieth of that together with the other: of 2 million pulses
    there are 0.04^2 by chance in the same one. Beside whole pulses there would be a fifth of that."""
    rng, pulses = np.random.default_rng(3), 2_000_000
    pairs = np.flatnonzero(rng.random(pulses) < 0.002)
    times, channels = [], []
    for who in (FIRST, SECOND):
        clicked = np.concatenate([pairs, np.flatnonzero(rng.random(pulses) < 0.038)])
        jitter = rng.normal(0, 60, len(clicked))
        times.append(np.round(clicked * period_ps + jitter).astype(np.int64) + 10**9)
        channels.append(rng.choice(who, len(clicked)))
    found = PairSettings.model_validate({"analysers": ["a", "b"], "window": "2500 ps"})
    windows = Windows.of(found, period_ps * 1e-12)
    end = 2 * 10**9 + round(pulses * period_ps)
    piece = PairSlice(windows, DelayTracker(FIRST, [SECOND], {}, time_ps=0, error_ps=1e-3), (0, end))
    t, c = np.concatenate(times), np.concatenate(channels).astype(np.uint8)
    order = np.argsort(t, kind="stable")
    piece.add(TagBlock(t[order], c[order], 0, end))
    piece.finish()
    expected = len(times[0]) * len(times[1]) / pulses
    assert windows.displacements >= 10
    # Each of the windows has a Poisson number.
    accidental = piece.displaced.sum() / windows.displacements
    assert accidental == pytest.approx(expected, abs=4 * np.sqrt(expected / windows.displacements))
    assert piece.raw.sum() - accidental == pytest.approx(len(pairs), abs=4 * np.sqrt(expected))


def test_windows_of_pulses_are_whole_pulses_away() -> None:
    """At 80 MHz, from 16 pulses on; those that take up two pulses, by two, four, ... pulses."""
    for width, pulses in (("2 ns", 1), ("15 ns", 2)):
        pair = PairSettings.model_validate({"analysers": ["a", "b"], "window": width})
        windows = Windows.of(pair, 12.5e-9)
        apart = np.diff([start for start, _ in windows.ranges_ps])
        assert np.unique(apart % (pulses * 12_500)).tolist() == [0]
        starts = np.array(windows.ranges_ps)[:, 0] - windows.ranges_ps[len(windows.ranges_ps) // 2][0]
        assert np.abs(starts[starts != 0]).min() == 200_000
        assert len(starts) == windows.displacements + 1


def counted(setting: str, raw: Any, displaced: Any, singles: tuple[int, ...] = (0, 0, 0, 0)) -> CountsOfPair:
    counts = CountsOfPair.none(setting, 4)
    counts.live_ps = 2 * 10**12
    counts.raw, counts.displaced = np.array(raw), np.array(displaced)
    counts.singles = np.array(singles)
    return counts


def test_books_of_a_pair_are_read_as_they_were_written() -> None:
    counts = counted("CHSH 00", [[90, 10], [12, 88]], [[1000, 900], [950, 1050]], (5, 6, 7, 8))
    entry: Mapping[str, object] = json.loads(json.dumps(counts.to_json()))
    again = CountsOfPair.from_json(entry, 4)
    assert again.to_json() == counts.to_json()
    assert again.events == 200
    with pytest.raises(ValueError, match="other detectors"):
        CountsOfPair.from_json(entry, 6)
    with pytest.raises(ValueError, match="no counts"):
        CountsOfPair.from_json({"setting": "CHSH 00"}, 4)


def test_chsh_of_a_tally_and_of_what_it_took_over() -> None:
    """E = 0.75 with the sign that Phi+ has in each setting: S = 3; with the accidentals off, E = 0.75 /
    0.9."""
    tally = ChshTally(("a_h", "a_v", "b_h", "b_v"), PAIR, None, "Phi+")
    for name in ("CHSH 00", "CHSH 01", "CHSH 10"):
        agree, differ = (875, 125) if name != "CHSH 01" else (125, 875)
        table = [[agree / 2, differ / 2], [differ / 2, agree / 2]]
        tally.take_over(counted(name, np.array(table).astype(int), np.full((2, 2), 25_050)), "earlier")
        assert tally.to_results()["chsh_s"] == {"value": None, "error": None}
    tally.take_over(counted("CHSH 11", [[437, 62], [62, 437]], np.full((2, 2), 25_050)), "earlier")
    found: Any = tally.to_results()
    assert found["chsh_s"]["value"] == pytest.approx(3, abs=0.02)
    assert found["chsh_s"]["subtracted"]["value"] == pytest.approx(3 / 0.9, abs=0.03)
    assert found["pair_rate_hz"]["value"] == pytest.approx(499.1, abs=0.5)
    assert found["counted_in"]["earlier_runs"]["earlier"]["live_time_s"] == 8.0
    assert list(found["settings"]) == sorted(found["settings"])


def test_a_dark_arm_has_no_heralding_efficiency() -> None:
    tally = SourceTally(("a_h", "a_v", "b_h", "b_v"), PAIR, None, (FIRST, SECOND), (None, None, 500.0, 500.0))
    tally.take_over(counted("ZZ", [[40, 1], [1, 38]], np.full((2, 2), 100), (400, 400, 900, 900)), "r")
    found: Any = tally.to_results()
    # 80 coincidences less 0.4; 800 singles of the first, of which nobody knows the dark counts; of the
    # second 1800, of which 2 s of 1000/s are dark: no light at all.
    assert found["heralding_second"]["value"] == pytest.approx(79.6 / 800, abs=1e-4)
    assert "not known" in found["heralding_second"]["takes"]
    assert found["heralding_first"] == {"value": None, "error": None}
    assert found["correlation_width_ps"] == {"value": None, "error": None}


def test_swapped_outputs_tell_relative_efficiencies() -> None:
    """Detectors of 0.8, 0.4 and 0.5, 0.6 behind a state that prefers H: the ratios come out, and the
    state."""
    rho = 0.9 * np.outer(v := np.array([0.8, 0, 0, 0.6]), v) + 0.1 * np.eye(4) / 4
    efficiencies = np.array([[0.8, 0.4], [0.5, 0.6]])
    parameters = MeasureTomography.model_validate({"dwell": "1 s", "swap_outputs": True, "resamples": 100})
    tally = StateTally(("a_h", "a_v", "b_h", "b_v"), PAIR, None, parameters, (FIRST, SECOND), (IDEAL, IDEAL))
    for setting in (*NINE, *NINE_SWAPPED):
        one, other = (IDEAL.elements(a.qwp_rad, a.hwp_rad) for a in setting.analyses)
        parts = rho.reshape(2, 2, 2, 2)
        seen = 1e6 * np.einsum("aij,bkl,jlik->ab", one, other, parts).real
        seen *= np.multiply.outer(*efficiencies)
        alone = [
            np.einsum("aij,jkik->a", one, parts).real,
            np.einsum("aij,kjki->a", other, parts).real,
        ]
        singles = tuple(int(n) for n in (3e6 * efficiencies * np.array(alone)).ravel())
        none = np.zeros((2, 2), int)
        tally.take_over(counted(setting.name, np.round(seen).astype(int), none, singles), "r")
    found: Any = tally.to_results()["density_matrix"]
    assert found["takes"] == "relative efficiencies divided out"
    state = np.array(found["real"]) + 1j * np.array(found["imaginary"])
    assert state == pytest.approx(rho, abs=1e-3)


def test_vetoed_dwells_do_not_count() -> None:
    tally = ChshTally(("a_h", "a_v", "b_h", "b_v"), PAIR, None, "Phi+")

    class Growing(PairDwell):
        def __init__(self) -> None:
            self.setting = "CHSH 00"

        live_ps = 10**12  # type: ignore[assignment]
        singles = np.ones(4, np.int64)  # type: ignore[assignment]
        raw = displaced = np.ones((2, 2), np.int64)  # type: ignore[assignment]
        peak = np.zeros(240, np.int64)  # type: ignore[assignment]

    one, other = Growing(), Growing()
    tally.add(one)
    tally.add(other)
    assert tally.to_results()["coincidences"] == 8
    tally.veto(one)
    assert tally.close(other).events == 4
    assert tally.to_results()["coincidences"] == 4
    assert tally.live_s == 1.0


def test_pairs_that_share_taggers_share_their_shifts() -> None:
    """A second pair found its taggers 1,000 ps further: it keeps the shifts of the first, and its detectors
    make up for it. Delays between them stay what was found."""
    wires = {name: Wire(tagger, k) for k, (name, tagger) in enumerate({"a": "one", "b": "two"}.items())}
    fine = {"a": Delay(0.0, 0.0), "b": Delay(-250.0, 3.0)}
    found = DelayCalibration({"one": 0, "two": -43_000}, fine, (), 1.0)
    assert with_shifts(found, wires, ("a", "b"), {}) == found
    for known in ({"one": 500, "two": -42_000}, {"two": -42_000}, {"one": 500}, {"three": 7}):
        again = with_shifts(found, wires, ("a", "b"), known)
        assert {t: s for t, s in again.shifts_ps.items() if t in known} == {
            t: s for t, s in known.items() if t in again.shifts_ps
        }
        apart = [total_delay_ps(c, wires, "b") - total_delay_ps(c, wires, "a") for c in (found, again)]
        assert apart == [-43_250, -43_250]
        assert again.fine["b"].error_ps == 3.0
