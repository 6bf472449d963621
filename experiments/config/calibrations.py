"""The section `calibrations` of an experiment: how old a calibration of an earlier run may be.

    calibrations:
      delays: {valid_for: 1 h, when_old: renew}

A step that needs a calibration which no step before it makes takes the one in force from the history, if that
is younger than `valid_for` and the run that made it did not say less. If it is not, the run is refused, or,
with `when_old: renew`, the step that makes it comes first.
"""

from typing import Annotated, Literal

from drivers.units import Seconds
from experiments.config.model import Part, Positive


class CalibrationPolicy(Part):
    """How old a calibration of an earlier run may be, and what happens when it is older."""

    valid_for: Annotated[Seconds, Positive]
    """Also what calibrations of this name that the run itself makes are said to hold for."""
    when_old: Literal["refuse", "renew"] = "refuse"
    """Refuse the run, or let the step that makes the calibration come first."""
