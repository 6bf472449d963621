"""Raman noise against numerical quadrature and the figures of the notes."""

from math import exp, log

import numpy as np
import pytest

from sim_instruments.ports import LaserPort
from sim_instruments.world.layout import ClassicalChannel, Fibre
from sim_instruments.world.raman import interaction_m, launched_w, noise_hz, spectral_factor

LENGTH_M, LOSS_DB = 30.2e3, 7.0


def channel(**changes: object) -> ClassicalChannel:
    values: dict[str, object] = {
        "power_w": 1e-3,
        "wavelength_m": 1550e-9,
        "raman_per_m_per_m": 1e-4,
        "filter_bandwidth_m": 0.1e-9,
    }
    return ClassicalChannel(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("loss_db", [0.0, 1e-9, LOSS_DB, 60.0])
def test_interaction_lengths_are_the_integrals_over_the_fibre(loss_db: float) -> None:
    """Of classical light that came to z, times what comes from z to the end where the noise leaves."""
    nepers_per_m = loss_db * log(10) / 10 / LENGTH_M
    z = (np.arange(200_000) + 0.5) * LENGTH_M / 200_000  # midpoints; relative error (a dz)^2 / 6 = 1e-9
    there = np.exp(-nepers_per_m * z)
    for direction, back in (("forward", np.exp(-nepers_per_m * (LENGTH_M - z))), ("backward", there)):
        integral = (there * back).sum() * LENGTH_M / 200_000
        assert interaction_m(LENGTH_M, loss_db, direction) == pytest.approx(integral, rel=1e-7)


def test_anti_stokes_light_is_less_by_the_phonons_boltzmann_factor() -> None:
    """physics.md 1: 1/197 at 1324 nm beside 1550 nm."""
    assert 1 / spectral_factor(1324e-9, 1550e-9) == pytest.approx(197, abs=0.5)
    assert spectral_factor(1610e-9, 1550e-9) == 1.0


def test_the_rate_is_that_of_a_classical_milliwatt() -> None:
    """testbeds.md 2: 1 mW at 1550 nm is 7.8e15 photons/s; rho = 1e-10 /(km nm), 0.1 nm, over 30.2 km of which
    7 dB are lost: 7.8e15 * 1e-10 * 0.1 * 30.2 * 10^-0.7, on the anti-Stokes side 197 times less."""
    fibre = Fibre("f", LENGTH_M, LOSS_DB, 0.0)
    stokes_hz = 7.803e15 * 1e-10 * 0.1 * 30.2 * 10**-0.7
    assert noise_hz(fibre, channel(), 1e-3, 1610e-9) == pytest.approx(stokes_hz, rel=1e-3)
    assert noise_hz(fibre, channel(), 1e-3, 1324e-9) == pytest.approx(stokes_hz / 197, rel=4e-3)
    backward_hz = 7.803e15 * 1e-10 * 0.1 * (1 - exp(-1.4 * log(10))) / (1.4 * log(10) / 30.2)
    assert noise_hz(fibre, channel(direction="backward"), 1e-3, 1610e-9) == pytest.approx(
        backward_hz, rel=1e-3
    )


def test_the_launch_power_is_the_lasers_if_it_has_one() -> None:
    laser = LaserPort(0.0)
    assert launched_w(channel(), None) == 1e-3
    assert launched_w(channel(laser="transponder"), laser) == 0.0
    laser.power_w = 5e-3
    assert launched_w(channel(laser="transponder"), laser) == 1e-3
    assert launched_w(channel(laser="transponder", laser_power_w=20e-3), laser) == pytest.approx(0.25e-3)
