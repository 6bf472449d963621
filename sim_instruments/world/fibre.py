"""Deployed fibre: loss, slow random birefringence, group delay that follows the temperature.

Source: physics.md 2, "Link polarization" and "Group delay".
"""

from math import pi, sin

import numpy as np

from sim_instruments.world.layout import Fibre
from sim_instruments.world.polarization import IDENTITY, Matrix, rotation

DAY_S = 86400.0


class DriftingFibre:
    """One fibre through time. It begins aligned (identity), as a compensated link does."""

    def __init__(self, fibre: Fibre, rng: np.random.Generator) -> None:
        self.fibre = fibre
        self._rng = rng
        self.jones: Matrix = IDENTITY
        self.delay_ps = fibre.delay_s * 1e12
        self._age_s = 0.0

    @property
    def transmission(self) -> float:
        """Power transmission, 0 to 1."""
        return float(10 ** (-self.fibre.loss_db / 10))

    def advance(self, seconds: float) -> None:
        """Drift: a small random turn of the Poincare sphere, a day's temperature swing."""
        self._age_s += seconds
        if self.fibre.polarization_diffusion:
            step = self._rng.normal(0.0, np.sqrt(2 * self.fibre.polarization_diffusion * seconds), 3)
            u, _, vh = np.linalg.svd(rotation(step) @ self.jones)
            self.jones = u @ vh
        kelvin = self.fibre.temperature_swing_k * sin(2 * pi * self._age_s / DAY_S)
        self.delay_ps = (self.fibre.delay_s + self.fibre.delay_per_kelvin_s * kelvin) * 1e12
