"""What `scan_hom_delay` counts, against plain loops; what it makes of the counts; what it refuses."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.calibrations.hom_delay import HomScan, Point
from experiments.calibrations.hom_delay_dwell import HomDelaySlice, signs
from experiments.config.files import load_experiment
from experiments.config.plan import ScanHomDelay
from experiments.config.problems import ConfigError
from experiments.config.settings import SwappingSettings
from experiments.estimators.dip_scan import DipScan
from experiments.estimators.poisson_fit import FitError
from tests.experiments.pulls import check, pull
from timetags.block import TagBlock

CONFIGS = Path(__file__).parents[2] / "configs"
HUB, SPOKES = (0, 1, 2, 3), ((4, 5), (6, 7))  # cH, cV, dH, dV; H and V of either spoke
SETTINGS = SwappingSettings.model_construct(
    spokes=("a", "b"),
    bell_state_measurement="hub",
    bsm_window=600e-12,
    spoke_window=1000e-12,
    spoke_window_centre=100e-12,
)
PERIOD_PS, WINDOW_PS = 13_158, 1000  # 76 MHz: 200 ns are no whole number of pulses


class Delays:
    hub, spokes = HUB, SPOKES

    def delays_at(self, time_ps: int) -> dict[int, int]:
        del time_ps
        return {4: 50, 7: -30, 2: 20}


@pytest.mark.parametrize("heralds", [(), (1,), (0, 1)])
def test_coincidences_are_those_of_plain_loops(heralds: tuple[int, ...]) -> None:
    random, end = np.random.default_rng(12), 100 * PERIOD_PS
    times = random.integers(0, 100, 4000) * PERIOD_PS + random.integers(0, 900, 4000) + 500
    times = np.sort(times).astype(np.int64)
    channels = random.integers(0, 8, 4000).astype(np.uint8)
    found = HomDelaySlice(SETTINGS, heralds, WINDOW_PS * 1e-12, PERIOD_PS * 1e-12, Delays(), (0, end))
    early = times < end // 2
    found.add(TagBlock(times[early], channels[early], 0, end // 2))
    found.add(TagBlock(times[~early], channels[~early], end // 2, end))
    found.finish()

    delays = Delays().delays_at(0)
    by_channel = {c: times[channels == c] + delays.get(c, 0) for c in range(8)}
    away = 16 * PERIOD_PS  # the first whole pulse at 200 ns or later
    expected = []
    for displaced in product((0, away), repeat=len(heralds)):
        total = 0
        for polarization in (0, 1):
            for t1 in by_channel[polarization]:
                near = by_channel[2 + polarization]
                for t2 in near[(t1 - near >= -WINDOW_PS // 2) & (t1 - near < WINDOW_PS // 2)]:
                    number = 1
                    for spoke, shift in zip(heralds, displaced, strict=True):
                        apart = by_channel[SPOKES[spoke][polarization]] - (t1 + t2) / 2 - 100 - shift
                        number *= np.count_nonzero((apart >= -WINDOW_PS / 2) & (apart < WINDOW_PS / 2))
                    total += number
        expected.append(total)
    assert min(expected) > 100
    assert found.counts.tolist() == expected


def test_signs_leave_what_has_both_partners() -> None:
    """Of four-folds with signals that come by chance n1 and n2 per herald: (s1 + n1)(s2 + n2), displaced
    n1 (s2 + n2), (s1 + n1) n2, n1 n2."""
    s1, s2, n1, n2 = 50, 30, 7, 11
    second, first = n2 * (s1 + n1), n1 * (s2 + n2)
    assert signs(2) @ np.array([(s1 + n1) * (s2 + n2), second, first, n1 * n2]) == s1 * s2
    assert signs(1) @ np.array([s1 + n1, n1]) == s1
    assert signs(0) @ np.array([5]) == 5


def parameters(**changes: Any) -> ScanHomDelay:
    return ScanHomDelay.model_validate(
        {
            "delay_line": "line", "start": "0 ps", "stop": "600 ps", "points": 21, "dwell": "1 s",
            "window": "5 ns", **changes,
        }
    )  # fmt: skip


POSITIONS = np.array(parameters().delays) * 1e12
DIP = np.exp(-((POSITIONS - 330) ** 2) / (2 * 100**2))


def drawn(seed: int, level: float, visibility: float, accidental: float, its: float) -> DipScan:
    """A scan with true coincidences and accidentals that dip too; displaced counts are as many."""
    random = np.random.default_rng([31, seed])
    exposures = random.uniform(0.8, 1.2, len(POSITIONS))
    chance = exposures * accidental * (1 - its * DIP)
    counts = random.poisson(exposures * level * (1 - visibility * DIP) + chance).astype(float)
    displaced = random.poisson(chance).astype(float)
    return DipScan(POSITIONS, counts, exposures, displaced, displaced)


def test_accidentals_are_taken_off_with_honest_errors() -> None:
    """100 seeds, with a fifth of accidentals that dip by 30 %: pulls of what is left have mean 0, width 1."""
    found = []
    for seed in range(100):
        scan = drawn(seed, 400, 0.8, 100, 0.3)
        found.append(scan.fit_without_accidentals(scan.fit("gaussian"), "gaussian"))
    check((pull(dip.visibility, 0.8) for dip in found), shift=0.1)
    check(pull(dip.centre, 330) for dip in found)
    check(pull(dip.tau, 100) for dip in found)


def points(level: float, depth: float, heralds: int = 2) -> list[Point]:
    """As they would come without noise; light fades by a third meanwhile, which singles tell."""
    counts = np.zeros(2**heralds, np.int64)
    found = []
    for k, (position, dip) in enumerate(zip(POSITIONS, DIP, strict=True)):
        light = 1 - k / 60
        counts[0] = round(level * light * (1 - depth * dip))
        singles = np.round(1e6 * np.sqrt(light) * np.ones(4)).astype(np.int64)
        found.append(Point(position * 1e-12, counts.copy(), singles, 1.0))
    return found


def test_figures_come_from_counts_in_relation_to_singles() -> None:
    scan = HomScan(parameters(), 2)
    assert scan.to_results() == {}
    scan.points = points(1000, 0.7)[::-1]
    assert scan.to_results()["hom_scan_visibility"] == {"value": None, "error": None}
    scan.fit()
    found: Mapping[str, Any] = scan.to_results()
    assert found["hom_scan_visibility"]["value"] == pytest.approx(0.7, abs=0.005)
    assert found["hom_scan_visibility"]["subtracted"]["value"] == pytest.approx(0.7, abs=0.005)
    assert found["hom_scan_centre_ps"]["value"] == pytest.approx(330, abs=1)
    assert found["hom_scan_width_ps"]["value"] == pytest.approx(100, abs=1)
    curve = scan.scan()
    assert curve.x == pytest.approx(sorted(curve.x))
    assert max(abs(np.array(curve.y) - np.array(curve.fit))) < 0.01


def test_two_folds_have_no_accidentals_to_take_off() -> None:
    scan = HomScan(parameters(heralds=[]), 0)
    scan.points = points(20_000, 0.3, heralds=0)
    scan.fit()
    found: Mapping[str, Any] = scan.to_results()
    assert found["hom_scan_visibility"]["value"] == pytest.approx(0.3, abs=0.005)
    assert found["hom_scan_visibility"]["subtracted"] is None
    assert found["hom_scan_visibility"]["folds"] == 2


def test_where_no_dip_is_the_line_has_nowhere_to_go() -> None:
    scan = HomScan(parameters(), 2)
    random = np.random.default_rng(5)
    singles = np.full(4, 10**6)
    for delay in parameters().delays:
        scan.points.append(Point(delay, np.array([random.poisson(300), 0, 0, 0]), singles, 1.0))
    with pytest.raises(FitError, match="no dip stands out between 0 and 600 ps"):
        scan.fit()
    assert scan.to_results()["hom_scan_centre_ps"] == {"value": None, "error": None}


WRONG = [
    ("stop: 660 ps", "stop: 700 ps", "outside the limits of alice_delay"),
    ("start: 0 ps", "start: 660 ps", "make stop greater"),
    ("points: 23", "points: 3", "points"),
    ("window: 5 ns", "window: 1 ns", "photons would leave it"),
    ("window: 5 ns", "window: 13 ns", "it reaches the next pulse; make it less than 12.5 ns"),
    ("window: 5 ns", "window: 5 ns\n      heralds: [alice]", "is no spoke of settings"),
    (
        "window: 5 ns",
        "window: 5 ns\n      heralds: [bob_analyser, bob_analyser]",
        "stands there already",
    ),
    ("delay_line: alice_delay", "delay_line: alice_hwp", "here stands a DelayLine"),
    ("testbed: testbeds/local_pulsed.yaml", "testbed: mine.yaml", "no idler of"),
    ("testbed: testbeds/local_pulsed.yaml", "testbed: steady.yaml", "take measure_hom"),
    ("testbed: testbeds/local_pulsed.yaml", "testbed: apart.yaml", "repetition_rate differs"),
    ("record:", "limits: {alice_delay.delay: {below: 500 ps}}\nrecord:", "alice_delay.delay"),
]
BEDS = {
    "mine.yaml": "sources: {alice_source: {idler: [alice_paddles, hub_bsm.a]}}",
    "steady.yaml": "sources: {alice_source: {idler: [alice_paddles, alice_delay, hub_bsm.a]}}\n"
    "instruments: {alice_delay: {node: lab, model: ozoptics_650ml, address: sim}}",
    "apart.yaml": "sources: {alice_source: {repetition_rate: 81 MHz}}",
}


@pytest.mark.parametrize(("old", "new", "problem"), WRONG)
def test_what_cannot_be_scanned_is_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    (tmp_path / "testbeds").mkdir()
    for name in ("local.yaml", "local_pulsed.yaml"):
        (tmp_path / "testbeds" / name).write_text((CONFIGS / "testbeds" / name).read_text())
    for name, text in BEDS.items():
        below = "local" if name == "steady.yaml" else "local_pulsed"
        (tmp_path / name).write_text(f"include: [testbeds/{below}.yaml]\ntestbed: other\n{text}\n")
    text = (CONFIGS / "hom_delay_scan.yaml").read_text()
    assert old in text
    (tmp_path / "scan.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=problem):
        load_experiment(tmp_path / "scan.yaml")
