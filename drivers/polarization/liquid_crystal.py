"""What a liquid-crystal cell does to the light at which voltage, by its maker's curve in the testbed file.

The retardance of a cell falls with the rms voltage on it, steeply at first (`sfifteen_lcr.md`, Physics). The
curve is a table, and straight between its entries.
"""

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

from drivers.capabilities import Limits, Settings
from drivers.units import Radians, Volts


def _falling(curve: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    for (low_v, more_rad), (high_v, less_rad) in pairwise(curve):
        if not (0.0 <= low_v < high_v and more_rad > less_rad):
            raise ValueError("voltages must rise from 0 V or more, and retardances fall")
    return curve


Curve = Annotated[
    tuple[tuple[Volts, Radians], ...],
    Field(min_length=2, examples=[[["1 V", "360 deg"], ["10 V", "10 deg"]]]),
    AfterValidator(_falling),
]


class LiquidCrystalSettings(Settings):
    """The cell behind the controller, which knows of volts alone."""

    retardance: Curve
    """Pairs of voltage and retardance, at the wavelength and temperature of use; voltages rise, retardances
    fall. What lies outside the table is not used."""

    @property
    def retardance_limits(self) -> Limits:
        return Limits(self.retardance[-1][1], self.retardance[0][1], "rad")

    def voltage_for(self, retardance_rad: float) -> float:
        """Volts for a retardance within the limits, in radians."""
        for (low_v, more), (high_v, less) in pairwise(self.retardance):
            if retardance_rad >= less:
                return low_v + (high_v - low_v) * (more - retardance_rad) / (more - less)
        return self.retardance[-1][0]

    def retardance_at(self, voltage_v: float) -> float:
        """Radians at a voltage; beyond the table, those at its end."""
        for (low_v, more), (high_v, less) in pairwise(self.retardance):
            if voltage_v <= high_v:
                return more + (less - more) * max(0.0, voltage_v - low_v) / (high_v - low_v)
        return self.retardance[-1][1]
