"""Deployed fibre through time: loss, random birefringence, group delay that follows the temperature.

In distribution it does not matter in which steps a fibre is advanced: diffusion, jumps and temperature are
drawn from their exact laws for any step. Source: physics.md 2, "Link polarization" and "Group delay".
"""

from math import exp, pi, sin, sqrt

import numpy as np

from sim_instruments.world.constants import LIGHT_SPEED
from sim_instruments.world.layout import Fibre
from sim_instruments.world.polarization import (
    IDENTITY,
    Matrix,
    diffused,
    polarization_dependent_loss,
    random_axis,
    random_rotation,
    rotation,
    special_unitary,
)

DAY_S = 86400.0


class DriftingFibre:
    """One fibre. It begins aligned, or with any rotation if it is scrambled, at its mean temperature.

    `turn` is the present rotation for light at the reference wavelength, `jumps` how many jumps there were,
    `kelvin` how far the temperature is from its mean; none of them is for drivers. `revision` counts the
    changes of anything that light can see.

    In beam order, light meets the differential group delay, then `turn`, then the polarization-dependent
    loss; the axes of the first and the last are random and fixed [assumed]. The delays that differ do not
    tear a photon apart: 1 ps of PMD is nothing beside a wave packet of 100 ps.
    """

    def __init__(self, fibre: Fibre, rng: np.random.Generator) -> None:
        self.fibre = fibre
        self._rng = rng
        self.turn: Matrix = random_rotation(rng) if fibre.scrambled else IDENTITY
        self.jumps = 0
        self.kelvin = 0.0
        self.revision = 0
        self._age_s = 0.0
        self._noise_k = 0.0
        self._moved_s = 0.0
        self._pmd_axis = random_axis(rng)
        self._lossy = 10 ** (-fibre.loss_db / 20) * polarization_dependent_loss(
            fibre.pdl_db, random_axis(rng)
        )

    def advance(self, seconds: float) -> None:
        """Let time pass, any span of it.

        Diffusion and jumps commute in distribution: the axis of either prefers no direction, and so turning
        it about changes nothing. A step is therefore one of diffusion and then the jumps of its time.
        """
        fibre = self.fibre
        self._age_s += seconds
        if fibre.polarization_diffusion or fibre.jump_rate_hz:
            turn = diffused(self._rng, fibre.polarization_diffusion * seconds) @ self.turn
            jumps = int(self._rng.poisson(fibre.jump_rate_hz * seconds))
            for _ in range(jumps):
                turn = rotation(fibre.jump_angle_rad * random_axis(self._rng)) @ turn
            self.jumps += jumps
            self.turn = special_unitary(turn)
            self.revision += 1
        if fibre.temperature_noise_k:
            # Ornstein-Uhlenbeck, exact for any step (D. T. Gillespie, Phys. Rev. E 54, 2084 (1996)).
            kept = exp(-seconds / fibre.temperature_correlation_s)
            fresh = fibre.temperature_noise_k * sqrt(1 - kept * kept)
            self._noise_k = kept * self._noise_k + fresh * self._rng.normal()
        if fibre.temperature_swing_k or fibre.temperature_noise_k:
            self.kelvin = fibre.temperature_swing_k * sin(2 * pi * self._age_s / DAY_S) + self._noise_k
            self.revision += 1

    def jump(self, angle_rad: float, rng: np.random.Generator) -> None:
        """Turn by an angle on the Poincare sphere, about an axis that `rng` chooses."""
        self.turn = special_unitary(rotation(angle_rad * random_axis(rng)) @ self.turn)
        self.revision += 1

    def shake(self, spread: float, rng: np.random.Generator) -> None:
        """Let polarization diffuse by so much more at once: the product of a diffusion and a time, in rad^2,
        as `rng` chooses."""
        self.turn = special_unitary(diffused(rng, spread) @ self.turn)
        self.revision += 1

    def move(self, by_s: float) -> None:
        """Hold light so much longer from now on, as after a repair or a rerouting."""
        self._moved_s += by_s
        self.revision += 1

    def jones(self, frequency_hz: float) -> Matrix:
        """What it does to light of this optical frequency, losses included.

        Off the reference light turns by 2 pi DGD (nu_ref - nu) more about an axis that is fixed where it
        enters, to first order 2 pi DGD c dlambda / lambda^2."""
        turn = self.turn
        if self.fibre.pmd_s:
            off_hz = LIGHT_SPEED / self.fibre.wavelength_m - frequency_hz
            turn = turn @ rotation(2 * pi * self.fibre.pmd_s * off_hz * self._pmd_axis)
        matrix: Matrix = self._lossy @ turn
        return matrix

    def delay_ps(self, frequency_hz: float) -> float:
        """How long it holds light of this optical frequency: at its temperature, with chromatic dispersion
        to first order."""
        fibre = self.fibre
        off_m = LIGHT_SPEED / frequency_hz - fibre.wavelength_m
        dispersion_s = fibre.dispersion_s_per_m2 * fibre.length_m * off_m
        delay_s = fibre.delay_s + self._moved_s + fibre.delay_per_kelvin_s * self.kelvin
        return (delay_s + dispersion_s) * 1e12
