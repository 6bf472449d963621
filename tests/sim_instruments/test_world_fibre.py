"""Fibres through time against closed forms, in short and in long steps.

Statistical bounds are 5.5 standard errors (false alarm 4e-8 each) at fixed seeds.
"""

from math import cos, exp, pi, sqrt

import numpy as np
import pytest

from sim_instruments.world.constants import LIGHT_SPEED
from sim_instruments.world.fibre import DriftingFibre
from sim_instruments.world.layout import Fibre
from sim_instruments.world.polarization import IDENTITY
from sim_instruments.world.randomness import generator

REFERENCE_HZ = LIGHT_SPEED / 1324e-9


def pair_fidelity(link: DriftingFibre) -> float:
    """Of a pair in Phi+ of which one photon has come through the link."""
    return float(abs(np.trace(link.turn) / 2) ** 2)


@pytest.mark.parametrize("steps", [1, 10])
def test_the_mean_pair_fidelity_falls_by_diffusion_and_jumps_whatever_the_steps(steps: int) -> None:
    """(1 + 3 f) / 4 with f = exp(-2 D t) (physics.md 2); jumps of an angle a at a rate r, of which each keeps
    (1 + 2 cos a) / 3, bring another factor exp(-r t (1 - (1 + 2 cos a) / 3)). 2,500 links."""
    diffusion, rate, angle, seconds, links = 0.02, 0.15, 1.1, 10.0, 2500
    fibre = Fibre(
        "f", 0.0, 0.0, 0.0, polarization_diffusion=diffusion, jump_rate_hz=rate, jump_angle_rad=angle
    )
    rng = generator(7, "links")
    seen = np.empty(links)
    for i in range(links):
        link = DriftingFibre(fibre, rng)
        for _ in range(steps):
            link.advance(seconds / steps)
        seen[i] = pair_fidelity(link)
    kept = exp(-2 * diffusion * seconds) * exp(-rate * seconds * (1 - (1 + 2 * cos(angle)) / 3))
    assert seen.mean() == pytest.approx((1 + 3 * kept) / 4, abs=5.5 * seen.std() / sqrt(links))
    assert seen.std() / sqrt(links) < 0.007


def test_a_jump_is_a_turn_by_the_stated_angle_and_is_counted() -> None:
    """1,500 steps of half an expected jump: their number is Poisson, 750 +- 27."""
    link = DriftingFibre(Fibre("f", 0.0, 0.0, 0.0, jump_rate_hz=0.05, jump_angle_rad=0.4), generator(1, "f"))
    for _ in range(1500):
        before, jumps = link.turn, link.jumps
        link.advance(10.0)
        cosine = abs(np.trace(link.turn @ before.conj().T)) / 2
        if link.jumps == jumps:
            assert cosine == pytest.approx(1.0)
        elif link.jumps == jumps + 1:
            assert cosine == pytest.approx(cos(0.2))
    assert abs(link.jumps - 750) < 5.5 * sqrt(750)


def test_a_scrambled_fibre_begins_anywhere_and_another_begins_aligned() -> None:
    """The mean pair fidelity of random turns is 1/4, its variance 1/16 (that of a semicircle's square)."""
    rng = generator(2, "links")
    seen = [pair_fidelity(DriftingFibre(Fibre("f", 0.0, 0.0, 0.0, scrambled=True), rng)) for _ in range(4000)]
    assert np.mean(seen) == pytest.approx(0.25, abs=5.5 * sqrt(1 / 16 / 4000))
    assert np.array_equal(DriftingFibre(Fibre("f", 0.0, 0.0, 0.0), rng).turn, IDENTITY)


def test_a_thousand_turns_leave_a_turn() -> None:
    link = DriftingFibre(
        Fibre("f", 0.0, 0.0, 0.0, polarization_diffusion=1e-2, jump_rate_hz=0.2), generator(3, "f")
    )
    for _ in range(1000):
        link.advance(1.0)
    assert np.allclose(link.turn @ link.turn.conj().T, IDENTITY, atol=1e-15)
    assert np.linalg.det(link.turn) == pytest.approx(1.0, abs=1e-14)


def test_delay_follows_the_temperature_of_the_day() -> None:
    fibre = Fibre("f", 0.0, 0.0, 43.1e-6, delay_per_kelvin_s=0.33e-9, temperature_swing_k=1.0)
    link = DriftingFibre(fibre, generator(1, "f"))
    assert link.delay_ps(REFERENCE_HZ) == pytest.approx(43.1e6)
    for _ in range(6):
        link.advance(3600.0)  # to a quarter of a day: the peak
    assert link.delay_ps(REFERENCE_HZ) == pytest.approx(43.1e6 + 330.0)


@pytest.mark.parametrize("step", [0.2, 1.5])
def test_temperature_noise_is_an_ornstein_uhlenbeck_process_whatever_the_steps(step: float) -> None:
    """Of a record of n steps of `step` correlation times: variance s^2 with relative variance
    (2/n) coth(step), lag-1 autocorrelation exp(-step) with variance (1 - exp(-2 step))/n (Bartlett)."""
    deviation, n = 0.3, 12_000
    fibre = Fibre("f", 0.0, 0.0, 0.0, temperature_noise_k=deviation, temperature_correlation_s=600.0)
    link = DriftingFibre(fibre, generator(4, "f"))
    record = np.empty(n)
    for i in range(n):
        link.advance(600.0 * step)
        record[i] = link.kelvin
    variance = np.mean(record**2)
    assert variance / deviation**2 == pytest.approx(1.0, abs=5.5 * sqrt(2 / n / np.tanh(step)))
    lag = np.mean(record[1:] * record[:-1]) / variance
    assert lag == pytest.approx(exp(-step), abs=5.5 * sqrt((1 - exp(-2 * step)) / n))


def test_temperature_noise_begins_at_nothing_and_grows() -> None:
    """After a time t the variance is s^2 (1 - exp(-2 t / tau)); 4,000 fibres, t = tau / 10."""
    fibre = Fibre("f", 0.0, 0.0, 0.0, temperature_noise_k=1.0, temperature_correlation_s=600.0)
    rng = generator(5, "links")
    kelvin = []
    for _ in range(4000):
        link = DriftingFibre(fibre, rng)
        link.advance(60.0)
        kelvin.append(link.kelvin)
    expected = 1 - exp(-0.2)
    assert np.var(kelvin) == pytest.approx(expected, abs=5.5 * expected * sqrt(2 / 4000))


def test_dispersion_delays_by_d_times_length_times_wavelength() -> None:
    """17 ps/(nm km) over 10 km: 170 ps for a nanometre."""
    fibre = Fibre("f", 10e3, 0.0, 49e-6, dispersion_s_per_m2=17e-6, wavelength_m=1550e-9)
    link = DriftingFibre(fibre, generator(1, "f"))
    assert link.delay_ps(LIGHT_SPEED / 1550e-9) == pytest.approx(49e6, abs=1e-6)
    assert link.delay_ps(LIGHT_SPEED / 1551e-9) == pytest.approx(49e6 + 170.0, abs=1e-6)


def test_light_off_the_reference_turns_more_about_an_axis_that_stays() -> None:
    """physics.md 2: by (2 pi DGD c / lambda^2) dlambda; 0.5 ps and 0.2 nm at 1324 nm: 0.107 rad."""
    link = DriftingFibre(Fibre("f", 0.0, 0.0, 0.0, scrambled=True, pmd_s=0.5e-12), generator(6, "f"))
    centre = link.jones(REFERENCE_HZ)
    assert np.allclose(centre, link.turn)
    shift_hz = LIGHT_SPEED / 1324e-9 - LIGHT_SPEED / 1324.2e-9
    once, twice = (centre.conj().T @ link.jones(REFERENCE_HZ - n * shift_hz) for n in (1, 2))
    angle = 2 * np.arccos(np.trace(once).real / 2)
    assert angle == pytest.approx(2 * pi * 0.5e-12 * LIGHT_SPEED / 1324e-9**2 * 0.2e-9, rel=2e-4)
    assert np.allclose(once @ once, twice)
    turn = link.turn
    link.turn = IDENTITY  # the axis does not follow the drift
    assert np.allclose(link.jones(REFERENCE_HZ - shift_hz), once)
    assert not np.allclose(turn, IDENTITY)


def test_loss_and_polarization_dependent_loss_are_what_the_singular_values_say() -> None:
    link = DriftingFibre(Fibre("f", 0.0, 3.74, 0.0, scrambled=True, pdl_db=0.5), generator(7, "f"))
    best, worst = np.linalg.svd(link.jones(REFERENCE_HZ), compute_uv=False)
    assert -20 * np.log10(best) == pytest.approx(3.74)
    assert -20 * np.log10(worst) == pytest.approx(4.24)


def test_only_what_changes_is_a_new_revision() -> None:
    still = DriftingFibre(Fibre("f", 1e4, 3.0, 49e-6), generator(1, "f"))
    still.advance(100.0)
    assert still.revision == 0
    drifting = DriftingFibre(Fibre("f", 1e4, 3.0, 49e-6, polarization_diffusion=1e-5), generator(1, "f"))
    drifting.advance(1.0)
    drifting.advance(1.0)
    assert drifting.revision == 2
