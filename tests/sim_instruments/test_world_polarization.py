"""Polarization optics against closed forms."""

import numpy as np
import pytest

from sim_instruments.world.fibre import DriftingFibre
from sim_instruments.world.layout import Fibre
from sim_instruments.world.polarization import (
    PROJECT_H,
    half_wave_plate,
    paddles,
    quarter_wave_plate,
    rotation,
    werner_state,
)
from sim_instruments.world.randomness import generator


@pytest.mark.parametrize("angle", np.deg2rad([0.0, 22.5, 45.0, 67.5, 110.0]))
def test_quarter_wave_plate_at_a_and_half_wave_plate_at_half_a_analyse_linear_light_at_a(
    angle: float,
) -> None:
    chain = half_wave_plate(angle / 2) @ quarter_wave_plate(angle)
    passed = chain @ np.array([np.cos(angle), np.sin(angle)])
    blocked = chain @ np.array([-np.sin(angle), np.cos(angle)])
    assert abs(passed[0]) == pytest.approx(1.0, abs=1e-12)
    assert abs(blocked[0]) == pytest.approx(0.0, abs=1e-12)


def test_a_quarter_wave_plate_at_45_degrees_makes_linear_light_circular() -> None:
    out = quarter_wave_plate(np.pi / 4) @ np.array([1.0, 0.0])
    assert abs(out[0]) == pytest.approx(np.sqrt(0.5))
    assert abs((out[1] / out[0]).real) < 1e-12


def test_paddles_at_one_angle_do_nothing_and_turn_light_otherwise() -> None:
    together = paddles([1.48, 1.48, 1.48])
    assert np.allclose(together / together[0, 0], np.eye(2))
    # The middle paddle is a half-wave plate between two quarter-wave plates at 0: turned by a it moves
    # H to a state with |<H|out>|^2 = cos^2(2a).
    a = 0.3
    out = paddles([0.0, a, 0.0]) @ np.array([1.0, 0.0])
    assert abs(out[0]) ** 2 == pytest.approx(np.cos(2 * a) ** 2)


def test_a_turn_of_the_sphere_by_the_angle_of_its_vector() -> None:
    out = rotation(np.array([0.0, 0.0, 0.7])) @ np.array([1.0, 1.0]) / np.sqrt(2)
    stokes_x = 2 * (out[0].conj() * out[1]).real
    stokes_y = 2 * (out[0].conj() * out[1]).imag
    assert stokes_x == pytest.approx(np.cos(0.7))
    assert stokes_y == pytest.approx(np.sin(0.7))


def test_werner_state_has_its_fidelity_and_no_polarization_of_its_own() -> None:
    rho = werner_state(0.93)
    bell = np.array([1, 0, 0, 1]) / np.sqrt(2)
    assert (bell @ rho @ bell).real == pytest.approx(0.93)
    assert np.trace(rho).real == pytest.approx(1.0)
    signal = np.einsum("aibi->ab", rho.reshape(2, 2, 2, 2))
    assert np.allclose(signal, np.eye(2) / 2)


def test_drift_lowers_the_mean_pair_fidelity_as_diffusion_does() -> None:
    """physics.md 2: (1 + 3 exp(-2 D t)) / 4. 2,000 links for 2 D t = 0.6; the mean has a standard error
    of at most 0.5 / sqrt(2000) = 0.011, the bound is 5 of them (false alarm 6e-7)."""
    diffusion, seconds, links = 3e-3, 100.0, 2000
    rng = generator(7, "links")
    fidelity = 0.0
    for _ in range(links):
        link = DriftingFibre(Fibre("f", 0.0, 0.0, diffusion, 0.0, 0.0), rng)
        for _ in range(50):
            link.advance(seconds / 50)
        fidelity += abs(np.trace(link.jones) / 2) ** 2 / links
    assert fidelity == pytest.approx((1 + 3 * np.exp(-2 * diffusion * seconds)) / 4, abs=0.055)


def test_delay_follows_the_temperature_of_the_day() -> None:
    link = DriftingFibre(Fibre("f", 0.0, 43.1e-6, 0.0, 0.33e-9, 1.0), generator(1, "f"))
    link.advance(6 * 3600.0)  # a quarter of a day: the peak
    assert link.delay_ps == pytest.approx(43.1e6 + 330.0)


def test_projector_is_what_its_name_says() -> None:
    assert np.allclose(PROJECT_H @ np.array([1.0, 1.0]), [1.0, 0.0])
