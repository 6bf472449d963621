"""What the two outcomes of a polarization analyser project on, for its wave plates as they are.

An analyser is a quarter-wave plate, a half-wave plate and a polarizing beam splitter, in beam order
(`experiments.measurements.analysers` says how they are turned). Calibrated imperfections are put in here, so
that tomography takes what was measured and not what was meant.

A retarder delays light along its slow axis: diag(exp(-i d/2), exp(i d/2)) in its fast and slow axes, after
M. Born and E. Wolf, Principles of Optics. The other sign would turn both circular polarizations over, for
both analysers alike; no figure of a pair depends on it.
"""

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from experiments.estimators.bell import Complex


@dataclass(frozen=True)
class AnalyserOptics:
    """How an analyser differs from the ideal one: where its plates' fast axes stand at angle zero, how much
    their retardances are off (all in radians), and which share of light leaves its beam splitter by the wrong
    output (`extinction`, from 0 to 1/2)."""

    qwp_zero_rad: float = 0.0
    hwp_zero_rad: float = 0.0
    qwp_error_rad: float = 0.0
    hwp_error_rad: float = 0.0
    extinction: float = 0.0

    def elements(self, qwp_rad: float, hwp_rad: float) -> Complex:
        """The POVM of outcomes H and V with the mounts at these angles: (2, 2, 2), adding up to one."""
        quarter = _retarder(pi / 2 + self.qwp_error_rad, qwp_rad + self.qwp_zero_rad)
        half = _retarder(pi + self.hwp_error_rad, hwp_rad + self.hwp_zero_rad)
        through = half @ quarter
        e = self.extinction
        splitter = np.array([np.diag([1 - e, e]), np.diag([e, 1 - e])], dtype=np.complex128)
        found: Complex = through.conj().T @ splitter @ through
        return found


IDEAL = AnalyserOptics()


def _retarder(retardance_rad: float, axis_rad: float) -> Complex:
    turn = np.array([[cos(axis_rad), -sin(axis_rad)], [sin(axis_rad), cos(axis_rad)]])
    delay = np.diag(np.exp([-0.5j * retardance_rad, 0.5j * retardance_rad]))
    found: Complex = turn @ delay @ turn.T
    return found


def pair_elements(first: Complex, second: Complex) -> Complex:
    """The POVM of two analysers together from that of each: (2, 2, 4, 4), the first's outcome first."""
    both: Complex = np.einsum("aij,bkl->abikjl", first, second).reshape(2, 2, 4, 4)
    return both
