"""What light passes between a source and the detectors, as it stands now: fibres, paddles, analysers."""

from collections.abc import Mapping

import numpy as np

from sim_instruments.ports import PaddlesPort, RotationPort
from sim_instruments.world.fibre import DriftingFibre
from sim_instruments.world.layout import Analyser
from sim_instruments.world.polarization import (
    IDENTITY,
    PROJECT_H,
    PROJECT_V,
    Matrix,
    half_wave_plate,
    paddles,
    quarter_wave_plate,
)


class Optics:
    """All optics of a bench by name."""

    def __init__(
        self,
        fibres: Mapping[str, DriftingFibre],
        controllers: Mapping[str, PaddlesPort],
        mounts: Mapping[str, RotationPort],
    ) -> None:
        self._fibres, self._controllers, self._mounts = fibres, controllers, mounts

    def jones(self, path: tuple[str, ...]) -> Matrix:
        """The Jones matrix of fibres and paddles in beam order, with their losses."""
        matrix = IDENTITY
        for name in path:
            if name in self._fibres:
                fibre = self._fibres[name]
                matrix = np.sqrt(fibre.transmission) * fibre.jones @ matrix
            else:
                matrix = paddles(self._controllers[name].angles_rad) @ matrix
        return matrix

    def delay_ps(self, path: tuple[str, ...]) -> float:
        """How long the fibres of a path hold a photon."""
        return sum(self._fibres[name].delay_ps for name in path if name in self._fibres)

    def clicks(
        self,
        analyser: Analyser,
        path: tuple[str, ...],
        transmission: float,
        efficiencies: tuple[float, float],
    ) -> tuple[Matrix, Matrix]:
        """POVM elements (2x2) of a click behind H and V for a photon that sets out on this path, with
        all losses: the path's own, `transmission`, the analyser's, the detectors'."""
        plates = half_wave_plate(self._mounts[analyser.hwp].angle_rad) @ quarter_wave_plate(
            self._mounts[analyser.qwp].angle_rad
        )
        matrix = plates @ self.jones(path)
        wrong = analyser.extinction
        h = (1 - wrong) * PROJECT_H + wrong * PROJECT_V
        v = (1 - wrong) * PROJECT_V + wrong * PROJECT_H
        through = transmission * analyser.transmission
        return (
            efficiencies[0] * through * (matrix.conj().T @ h @ matrix),
            efficiencies[1] * through * (matrix.conj().T @ v @ matrix),
        )
