"""Small optical benches for tests: parts, their ports, and light that is traced through them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ports import Ports
from sim_instruments.world.ends import AtDetector, End
from sim_instruments.world.fibre import DriftingFibre
from sim_instruments.world.layout import Detector, Layout
from sim_instruments.world.optics import Leaf, Optics
from sim_instruments.world.randomness import generator

WAVELENGTH_M = 1324e-9


def detector(name: str) -> Detector:
    return Detector(name, "tagger", 1, 0.9, 100.0, 38e-12, 20e-9)


class Bench:
    """Parts of a layout with detectors of these names. `path` is traced unless a test says another."""

    def __init__(self, path: tuple[str, ...], ports: Ports, detectors: str = "d", **parts: Any) -> None:
        parts = {"lights": (), "taggers": ()} | parts
        self.layout = Layout(detectors=tuple(detector(name) for name in detectors.split()), **parts)
        self.fibres = {f.name: DriftingFibre(f, generator(1, f.name)) for f in self.layout.fibres}
        self.path, self.ports = path, ports
        self.optics = Optics(self.layout, ports, self.fibres)

    def leaves(
        self, path: tuple[str, ...] | None = None, offset_hz: float = 0.0, wavelength_m: float = WAVELENGTH_M
    ) -> tuple[Leaf, ...]:
        """What light reaches, with the ports as they are now."""
        self.optics.begin()
        return self.optics.trace(self.path if path is None else path, wavelength_m, offset_hz).leaves

    def leaf(self, offset_hz: float = 0.0, wavelength_m: float = WAVELENGTH_M) -> Leaf:
        """The only one."""
        (leaf,) = self.leaves(None, offset_hz, wavelength_m)
        return leaf

    def transmission(self, offset_hz: float = 0.0) -> float:
        """Of unpolarised light to the only leaf."""
        return weight(self.leaf(offset_hz).matrix)

    def clicks(self, light: Iterable[complex]) -> dict[str, float]:
        """Probability to arrive at each detector for a Jones vector."""
        jones = np.array(tuple(light), dtype=np.complex128)
        seen: dict[str, float] = {}
        for leaf in self.leaves():
            assert isinstance(leaf.end, AtDetector)
            arrives = leaf.matrix @ jones
            seen[leaf.end.name] = seen.get(leaf.end.name, 0.0) + float(np.vdot(arrives, arrives).real)
        return seen


def weight(matrix: NDArray[np.complex128]) -> float:
    """Transmission of unpolarised light."""
    return float(np.vdot(matrix, matrix).real / 2)


def weights(leaves: Iterable[Leaf]) -> dict[End, float]:
    """Transmission of unpolarised light to every end."""
    seen: dict[End, float] = {}
    for leaf in leaves:
        seen[leaf.end] = seen.get(leaf.end, 0.0) + weight(leaf.matrix)
    return seen
