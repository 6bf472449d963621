"""Cold start of the delays: nothing known but the wiring, offsets up to 1 ms and clocks off by up to 1 ppm.

A start is a success when one calibration, on half a second of tags of a modest link, lines up all pairs
within four of its own standard errors in the middle and within 300 ps at either end. `physics.md` 6 found 12
of 12 such starts; the long test asks for 198 of 200.
"""

import numpy as np
import pytest

from experiments.calibrations.delays import CalibrationError, Wire, calibrate_delays
from tests.experiments.pulls import check
from tests.timetags.clocks.links import Rates, link

MODEST = Rates(hub=60e3, spoke=100e3, pairs=8e3)
SECONDS = 0.5


def start(number: int) -> tuple[float, float, float]:
    """The pull of the delay and of the rate, and how far pairs are apart at worst after one calibration, in
    ps. The detectors' own times come from numpy alone."""
    random = np.random.default_rng([0xC01D, number])
    offset, skew = random.uniform(-1e9, 1e9), random.uniform(-1e-6, 1e-6)
    hub, spoke = link(random, SECONDS, MODEST, delay_ps=offset, skew=skew)
    tags = {
        "hub": (hub, np.zeros(len(hub), np.uint8)),
        "spoke": (spoke, np.ones(len(spoke), np.uint8)),
    }
    wires = {"one": Wire("hub", 0), "other": Wire("spoke", 1)}
    found = calibrate_delays(tags, wires, [("other",)], ("one",), 10**10, max_skew=5e-6)
    clock, fine, rate = found.clock("spoke"), found.fine["other"], found.rates["spoke"]
    left = [
        clock.instant(round(t + offset + skew * t)) + fine.value_ps - t
        for t in (0.0, SECONDS / 2 * 1e12, SECONDS * 1e12)
    ]
    return left[1] / fine.error_ps, ((1 + skew) * (1 + rate.value) - 1) / rate.error, max(map(abs, left))


def succeeds(found: tuple[float, float, float]) -> bool:
    return abs(found[0]) < 4 and found[2] < 300


def test_delays_are_found_from_a_cold_start_by_one_calibration() -> None:
    """Beyond 5.5 standard errors a normal number is once in 3e7."""
    delay, rate, apart = start(0)
    assert max(abs(delay), abs(rate)) < 5.5
    assert apart < 300


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_hundred_cold_starts() -> None:
    found = [start(number) for number in range(200)]
    assert sum(map(succeeds, found)) >= 198
    check([delay for delay, _, _ in found])
    check([rate for _, rate, _ in found])


def test_equal_clocks_are_not_looked_for_a_rate() -> None:
    """Without `max_skew` 1 ppm smears the peak of half a second over 500 ns: nothing is found, and it says
    so."""
    random = np.random.default_rng(0xC01E)
    hub, spoke = link(random, SECONDS, MODEST, delay_ps=1e8, skew=1e-6)
    tags = {"hub": (hub, np.zeros(len(hub), np.uint8)), "spoke": (spoke, np.ones(len(spoke), np.uint8))}
    wires = {"one": Wire("hub", 0), "other": Wire("spoke", 1)}
    try:
        found = calibrate_delays(tags, wires, [("other",)], ("one",), 10**10)
    except CalibrationError:
        return
    assert not found.rates
    assert abs(found.shifts_ps["spoke"] + 1e8) > 100
