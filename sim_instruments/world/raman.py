"""Raman noise that classical light leaves in a fibre it shares (physics.md 1, "Backgrounds"; testbeds.md 2).

Rates are photons per second at the fibre's end, within the bandwidth of the filter that the quantum channel
passes, in both polarizations together. Both channels are taken to lose as much per metre.
"""

from math import exp, expm1, log

from sim_instruments.ports import LaserPort
from sim_instruments.world.constants import BOLTZMANN, LIGHT_SPEED, PLANCK
from sim_instruments.world.layout import ClassicalChannel, Fibre

FIBRE_K = 300.0
"""Temperature of the phonons. [assumed; with it 1324 nm beside 1550 nm has the 1/197 of physics.md 1]"""


def launched_w(channel: ClassicalChannel, laser: LaserPort | None) -> float:
    """Power that enters the fibre now, in watts."""
    if laser is None:
        return channel.power_w
    if channel.laser_power_w is None:
        return channel.power_w if laser.power_w > 0.0 else 0.0
    return channel.power_w * laser.power_w / channel.laser_power_w


def interaction_m(length_m: float, loss_db: float, direction: str) -> float:
    """Length over which as much Raman light would be made without any loss.

    Forward, classical light and noise together pass the whole fibre wherever the noise is born: L exp(-a L).
    Backward, what is born at z comes back through z: integral of exp(-2 a z) from 0 to L.
    """
    nepers = loss_db * log(10) / 10
    if direction == "forward":
        return length_m * exp(-nepers)
    return length_m * (-expm1(-2 * nepers) / (2 * nepers) if nepers else 1.0)


def spectral_factor(wavelength_m: float, classical_m: float) -> float:
    """1 for noise on the Stokes side of the classical light, exp(-h dnu / k T) on the anti-Stokes side."""
    above_hz = LIGHT_SPEED / wavelength_m - LIGHT_SPEED / classical_m
    return min(1.0, exp(-PLANCK * above_hz / (BOLTZMANN * FIBRE_K)))


def noise_hz(fibre: Fibre, channel: ClassicalChannel, launched_w: float, wavelength_m: float) -> float:
    """Raman photons per second around `wavelength_m` that leave the fibre, with `launched_w` in it."""
    photons_hz = launched_w * channel.wavelength_m / (PLANCK * LIGHT_SPEED)
    efficiency_per_m = channel.raman_per_m_per_m * channel.filter_bandwidth_m
    return (
        photons_hz
        * efficiency_per_m
        * interaction_m(fibre.length_m, fibre.loss_db, channel.direction)
        * spectral_factor(wavelength_m, channel.wavelength_m)
    )
