"""A node's clock against closed formulas of its noise.

Every test is seeded; bounds are 5.5 standard errors (4e-8) unless said otherwise.
"""

from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2

from sim_instruments.world.clock import FREE_ERROR, STEP_PS, NodeClock, crossing, read
from sim_instruments.world.layout import Clock
from tests.sim_instruments.detection_bench import SECOND_PS, clock_off_by


def noisy(seed: int, error: float = 0.0, phase_walk: float = 0.0, frequency_walk: float = 0.0) -> NodeClock:
    return NodeClock(Clock("clock", error, phase_walk, frequency_walk), np.random.default_rng(seed))


def ahead(
    clock: NodeClock, seconds: int, every_ps: int = 10**11, *, locked: bool = True
) -> NDArray[np.int64]:
    """By how much the clock is ahead of the world at equal intervals from 0 on, in ps."""
    deviations = []
    for now in range(0, seconds * SECOND_PS + 1, every_ps):
        clock.advance(now, locked=locked)
        deviations.append(clock.to_ps(now) - now)
    return np.array(deviations)


@pytest.mark.parametrize(("hours", "error"), [(1, 0.0), (1, 1e-11), (1, 3e-6), (1, -3e-6), (24, 3e-6)])
def test_readings_are_exact_to_the_picosecond_over_a_day(hours: int, error: float) -> None:
    """floor(t + y t), of which y t comes from a decimal product: y is known to 1e-16, 9 ps after a day."""
    clock = clock_off_by(error, seed=1)
    start = hours * 3600 * SECOND_PS
    clock.advance(start, locked=True)
    clock.advance(start + SECOND_PS, locked=True)
    for since in (0, 1, 10**9 + 7, STEP_PS, 123_456_789_012):
        now = start + since
        expected = now + round(error * 1e12) * now // 10**12
        assert abs(clock.to_ps(now) - expected) <= 1 + 1e-16 * now
        # Within the second, to the picosecond.
        gained = clock.to_ps(now) - clock.to_ps(start) - since
        assert abs(gained - error * since) <= 1


def test_the_path_of_a_slice_is_what_the_clock_shows() -> None:
    """Readings at random times of a slice that begins after hours, from path and clock."""
    clock = noisy(2, 1e-6, 1e-9, 1e-9)
    start, span = 4 * 3600 * SECOND_PS + 123_456_789, SECOND_PS // 4
    clock.advance(start, locked=True)
    clock.advance(start + span, locked=True)
    path = clock.path(start, start + span)
    for time in np.random.default_rng(2).integers(-STEP_PS // 2, span, 200).tolist():
        assert abs(read(path, float(time)) - clock.to_ps(start + time)) <= 1


@pytest.mark.parametrize("pace", [0.0, 1e-6, -1e-6])
def test_the_crossing_of_a_reading_is_its_first_moment(pace: float) -> None:
    clock = noisy(3, pace, 1e-10)
    for start in (0, 77 * SECOND_PS + 5):
        clock.advance(start, locked=True)
        clock.advance(start + SECOND_PS, locked=True)
        path = clock.path(start, start + SECOND_PS)
        for shown in (
            np.linspace(clock.to_ps(start) + 1, clock.to_ps(start + SECOND_PS), 300).astype(int).tolist()
        ):
            time = crossing(path, shown)
            assert read(path, time) >= shown
            assert read(path, np.nextafter(time, -np.inf)) < shown


def test_white_fm_has_its_allan_deviation() -> None:
    """Phase noise of s per root second: sigma_y(tau) = s / sqrt(tau). M independent second differences of a
    white frequency have a relative variance of the Allan variance of at most 3 / M."""
    phase_walk = 2e-9
    x = ahead(noisy(4, phase_walk=phase_walk), 200, STEP_PS) * 1e-12
    for n in (1, 10, 100):
        tau = n * STEP_PS * 1e-12
        y = np.diff(x[::n]) / tau
        allan = sqrt((np.diff(y) ** 2).mean() / 2)
        assert allan == pytest.approx(phase_walk / sqrt(tau), rel=5.5 / 2 * sqrt(3 / len(y)))


def test_a_wandering_frequency_has_its_allan_deviation() -> None:
    """Random-walk FM of f per root second: sigma_y(tau) = f sqrt(tau / 3); second differences of its phase
    are correlated by 1/4 with their neighbours alone, which makes a variance of 2 (1 + 2/16) / M."""
    walk = 3e-6
    x = ahead(noisy(5, frequency_walk=walk), 200, STEP_PS) * 1e-12
    for n in (1, 10, 100):
        tau = n * STEP_PS * 1e-12
        y = np.diff(x[::n]) / tau
        allan = sqrt((np.diff(y) ** 2).mean() / 2)
        assert allan == pytest.approx(walk * sqrt(tau / 3), rel=5.5 / 2 * sqrt(2.25 / len(y)))


def test_the_slices_do_not_matter() -> None:
    """Bit for bit, whatever parts a minute is asked for in."""
    everything = (6, 1e-6, 1e-9, 1e-9)
    whole, parts = noisy(*everything), noisy(*everything)
    whole.advance(60 * SECOND_PS, locked=True)
    rng = np.random.default_rng(6)
    now = 0
    while now < 60 * SECOND_PS:
        now = min(now + int(rng.choice([10**6, 10**9, 10**10, 10**12])), 60 * SECOND_PS)
        parts.advance(now, locked=True)
        assert parts.to_ps(now) >= now - 10**9
    for back in (0, 1, STEP_PS):
        assert whole.to_ps(now - back) == parts.to_ps(now - back)


def test_a_clock_never_runs_backwards() -> None:
    """Noise that would turn it round (1 s per root second) slows it down at most."""
    clock = noisy(7, phase_walk=1.0)
    readings = []
    for now in range(0, SECOND_PS, 10**9):
        clock.advance(now, locked=True)
        readings.append(clock.to_ps(now))
    assert np.diff(readings).min() > 0


def test_without_its_reference_a_clock_goes_on_as_a_free_oscillator() -> None:
    """1e-6 (physics.md 2), from where it is: no step of the phase, before nor after."""
    free = []
    for seed in range(200):
        clock = noisy(seed, error=1e-11)
        before = ahead(clock, 1, SECOND_PS)[-1]
        clock.advance(2 * SECOND_PS, locked=False)
        assert abs(clock.to_ps(SECOND_PS + STEP_PS) - SECOND_PS - STEP_PS - before) <= 1 + 6e-6 * STEP_PS
        adrift = clock.to_ps(2 * SECOND_PS) - 2 * SECOND_PS
        free.append((adrift - before) / (SECOND_PS - STEP_PS))
        clock.advance(3 * SECOND_PS, locked=True)
        after = clock.to_ps(3 * SECOND_PS) - 3 * SECOND_PS
        assert abs(after - adrift) <= 1 + 6e-6 * STEP_PS  # noticed at the next step of the grid
    spread = (np.array(free) ** 2).sum() / FREE_ERROR**2
    assert FREE_ERROR == 1e-6
    assert chi2.isf(1 - 1e-7, 200) < spread < chi2.isf(1e-7, 200)


def test_a_clock_without_any_reference_is_no_worse_off_without_one() -> None:
    locked, unlocked = noisy(8, error=5e-6), noisy(8, error=5e-6)
    assert np.array_equal(ahead(locked, 3), ahead(unlocked, 3, locked=False))


def test_resolution_rounds_down() -> None:
    clock = clock_off_by(0.0, seed=9)
    clock.advance(10**9, locked=True)
    assert clock.to_ps(1299, 13) == 1287
    assert clock.to_ps(1300, 13) == 1300


def test_what_is_long_past_is_forgotten() -> None:
    """So memory stays flat; a step before the last slice is still known."""
    clock = noisy(10, phase_walk=1e-9)
    for now in range(0, 100 * SECOND_PS, SECOND_PS // 4):
        clock.advance(now, locked=True)
    assert clock.to_ps(now - SECOND_PS // 4 - STEP_PS)
    with pytest.raises(ValueError, match="forgotten"):
        clock.to_ps(now - SECOND_PS)
    with pytest.raises(ValueError, match="forgotten"):
        clock.path(now - SECOND_PS, now)
