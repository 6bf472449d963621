"""Strategies of polarization compensation by their names in an experiment file."""

from collections.abc import Mapping

from experiments.calibrations.polarization.search import Strategy
from experiments.calibrations.polarization.strategies.gradient import gradient
from experiments.calibrations.polarization.strategies.line import line
from experiments.calibrations.polarization.strategies.nelder_mead import nelder_mead
from experiments.calibrations.polarization.strategies.stokes import stokes

STRATEGIES: Mapping[str, Strategy] = {
    "stokes": stokes,
    "gradient": gradient,
    "line": line,
    "nelder_mead": nelder_mead,
}
