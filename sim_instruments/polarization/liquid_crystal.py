"""Liquid-crystal cells: retarders whose retardance follows the rms voltage on them, slowly.

Sources: sfifteen_lcr.md and thorlabs_lcc25.md of the protocol notes. A cell at rest has several waves, most
of which are gone within the first volts, and it takes 10 to 100 ms to follow.
"""

import math
from collections.abc import Sequence

import numpy as np

FOLLOWING_S = 0.02
"""Time constant of a cell, which has followed to 1 % after 92 ms; within "10-100 ms", else invented."""
THERE_RAD = 1e-4
"""A cell so near to where it goes is there."""


class Cell:
    """One cell. `curve` is its pairs of volts and radians, the voltages rising; beyond them it stays at the
    end's retardance."""

    def __init__(self, curve: Sequence[tuple[float, float]], axis_rad: float) -> None:
        self.axis_rad = axis_rad
        self._volts, self._radians = np.array(curve).T
        self.voltage_v = 0.0
        self.retardance_rad = self.goal_rad

    @property
    def goal_rad(self) -> float:
        """Where the voltage on it leads."""
        return float(np.interp(self.voltage_v, self._volts, self._radians))

    @property
    def moving(self) -> bool:
        return abs(self.retardance_rad - self.goal_rad) > THERE_RAD

    def advance(self, seconds: float) -> None:
        """Follow the voltage that is on it now."""
        goal = self.goal_rad
        self.retardance_rad = goal + (self.retardance_rad - goal) * math.exp(-seconds / FOLLOWING_S)
        if not self.moving:
            self.retardance_rad = goal

    @property
    def plate(self) -> tuple[float, float]:
        """As a `PlatesPort` has it."""
        return self.retardance_rad, self.axis_rad
