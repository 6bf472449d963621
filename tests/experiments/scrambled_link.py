"""A polarization link on a page of numpy: random turn, plates that are not quite as said, counted photons.

Nothing of it is taken from the code that compensates: rotations are Jones matrices here, by the formulas of
physics.md 1, and Stokes vectors are counted behind an analyser, photon by photon.
"""

from dataclasses import dataclass, field
from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.calibrations.polarization.plates import Plates
from experiments.calibrations.polarization.search import Link, Look, probed

Matrix = NDArray[np.complex128]
PROBES = {"H": (1.0, 0.0), "D": (0.5**0.5, 0.5**0.5), "R": (0.5**0.5, 0.5**0.5 * 1j)}
SENT = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
ACTUATORS: dict[str, Plates] = {
    "paddles": Plates("orientation", (pi / 2, pi, pi / 2), 0.0, 17 / 18 * pi),
    "wave plates": Plates("orientation", (pi / 2, pi, pi / 2), -2 * pi, 2 * pi),
    "squeezers": Plates("retardance", (0.0, pi / 4, 0.0, pi / 4), -10 / 3 * pi, 10 / 3 * pi),
}
"""An MPC320, three K10CR1, an EPC-400 of 1.5 V per half wave."""


def retarder(retardance: float, axis: float) -> Matrix:
    """By the eigenvectors of its axes: the fast one is ahead by the retardance."""
    along = np.array([np.cos(axis), np.sin(axis)])
    across = np.array([-np.sin(axis), np.cos(axis)])
    fast, slow = np.exp(-0.5j * retardance), np.exp(0.5j * retardance)
    matrix: Matrix = fast * np.outer(along, along) + slow * np.outer(across, across)
    return matrix


def any_turn(rng: np.random.Generator) -> Matrix:
    """Haar: the unitary of the QR decomposition of a Gaussian matrix."""
    q, r = np.linalg.qr(rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)))
    turned: Matrix = q * (np.diag(r) / abs(np.diag(r)))
    return turned


@dataclass
class ScrambledLink:
    """`before` and `behind` are the fibre's turns around the plates, `stretch` and `tilt` the errors of
    those."""

    plates: Plates
    before: Matrix
    rng: np.random.Generator
    stretch: NDArray[np.float64]
    tilt: NDArray[np.float64]
    photons: float = 2e4
    behind: Matrix = field(default_factory=lambda: np.eye(2, dtype=np.complex128))
    looks: int = 0

    @classmethod
    def random(cls, plates: Plates, seed: int, model_error: float = 0.03, **more: Any) -> "ScrambledLink":
        rng = np.random.default_rng([seed, 0xC0FFEE])
        errors = model_error * rng.normal(size=(2, plates.count))
        return cls(plates, any_turn(rng), rng, errors[0], errors[1], **more)

    @property
    def reference(self) -> NDArray[np.float64]:
        """The Stokes vectors of H and D as they look behind a link that turns nothing."""
        seen = [
            [self._click(self.behind @ np.array(PROBES[p]), along) for along in PROBES.values()] for p in "HD"
        ]
        return 2 * np.array(seen) - 1

    @staticmethod
    def _click(state: Matrix, along: tuple[complex, complex]) -> float:
        return float(np.clip(abs(np.vdot(np.array(along), state)) ** 2, 0.0, 1.0))

    def jones(self, angles: NDArray[np.float64]) -> Matrix:
        assert np.all((self.plates.low_rad - 1e-9 <= angles) & (angles <= self.plates.high_rad + 1e-9))
        whole = self.before
        turns = self.plates.angle_is == "orientation"
        plates = zip(angles, self.plates.fixed_rad, self.stretch, self.tilt, strict=True)
        for angle, fixed, stretch, tilt in plates:
            retardance, axis = (fixed, angle) if turns else (angle, fixed)
            whole = retarder(retardance * (1 + stretch), axis + tilt) @ whole
        turned: Matrix = self.behind @ whole
        return turned

    def pair_fidelity(self, angles: NDArray[np.float64]) -> float:
        """Of Phi+ of which one photon has passed: |tr W|^2 / 4."""
        return float(abs(np.trace(self.behind.conj().T @ self.jones(angles))) ** 2 / 4)

    def _counted(self, state: Matrix, along: tuple[complex, complex]) -> float:
        """The contrast of the two outputs of an analyser for this polarization, of so many photons."""
        click = self._click(state, along)
        first = self.rng.poisson(self.photons * click)
        second = self.rng.poisson(self.photons * (1 - click))
        return float((first - second) / max(first + second, 1))

    def see(self, angles: NDArray[np.float64]) -> Look:
        """Two probes, H and D, three settings of an analyser each."""
        self.looks += 1
        turned = self.jones(angles)
        images = np.array(
            [
                [self._counted(turned @ np.array(PROBES[sent]), along) for along in PROBES.values()]
                for sent in ("H", "D")
            ]
        )
        return probed(images, SENT, self.reference, settings=6)

    def count(self, angles: NDArray[np.float64]) -> Look:
        """Two settings: the fraction of photons of each probe that come out wrong, as a QBER of pairs is."""
        self.looks += 1
        turned = self.jones(angles)
        wrong = [
            (1 - self._counted(self.behind.conj().T @ turned @ np.array(PROBES[sent]), PROBES[sent])) / 2
            for sent in ("H", "D")
        ]
        return Look(float(np.mean(wrong)), settings=2)

    def link(self) -> Link:
        """What is known of it: nothing but the nominal plates, which stand anywhere."""
        return Link(self.plates, self.plates.random(self.rng), SENT, self.reference)
