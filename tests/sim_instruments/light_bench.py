"""Small benches straight from a layout, everything ideal unless said otherwise, and counting in numpy."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ports import LaserPort, Ports, RotationPort, TaggerInput, TaggerPort
from sim_instruments.world.layout import (
    Analyser,
    Biphoton,
    Clock,
    Detector,
    Layout,
    PairSource,
    Tagger,
)
from sim_instruments.world.light_field import LightField
from sim_instruments.world.polarization import Matrix, werner_state

Times = NDArray[np.int64]
Tags = dict[str, Times]

PERFECT_PAIRS = werner_state(1.0)
HH: Matrix = np.diag([1.0, 0.0, 0.0, 0.0]).astype(np.complex128)
GAUSSIAN = Biphoton("gaussian", 500e-12)


def pairs(
    name: str, signal: str | tuple[str, ...], idler: str | tuple[str, ...], **changes: object
) -> PairSource:
    """A source pumped by the laser `pump`, 1 Mcps; signal and idler have one wavelength."""
    paths = [(path,) if isinstance(path, str) else path for path in (signal, idler)]
    source = PairSource(
        name, "pump", 1e-3, 1e6, PERFECT_PAIRS, GAUSSIAN, paths[0], paths[1], signal_wavelength_m=1324e-9
    )
    return replace(source, **changes)  # type: ignore[arg-type]


@dataclass
class LightBench:
    """Lights, named detectors (all on one tagger), and whatever else a layout holds; `lasers` in watts."""

    lights: tuple[object, ...]
    detectors: tuple[str, ...]
    parts: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    lasers: dict[str, float] = field(default_factory=dict)
    efficiency: float = 1.0
    ports: Ports = field(default_factory=Ports)
    detection: dict[str, object] = field(default_factory=dict)
    """What else all detectors have, by the field of `Detector`."""
    tagging: dict[str, object] = field(default_factory=dict)
    """What the tagger has besides its name, by the field of `Tagger`."""

    def __post_init__(self) -> None:
        analysers: tuple[Analyser, ...] = self.parts.get("analysers", ())  # type: ignore[assignment]
        for analyser in analysers:
            for plate in (analyser.qwp, analyser.hwp):
                self.ports.rotations.setdefault(plate, RotationPort())
        self.ports.lasers |= {name: LaserPort(power) for name, power in self.lasers.items()}
        self.ports.lasers.setdefault("pump", LaserPort(1e-3))
        inputs = {k: TaggerInput() for k in range(1, len(self.detectors) + 1)}
        self.ports.taggers["tagger"] = TaggerPort(inputs, recording=True)

    def light(self, seed: int = 1) -> LightField:
        layout = Layout(
            lights=self.lights,  # type: ignore[arg-type]
            detectors=tuple(
                replace(Detector(name, "tagger", k, self.efficiency, 0.0, 0.0, 0.0), **self.detection)  # type: ignore[arg-type]
                for k, name in enumerate(self.detectors, start=1)
            ),
            taggers=(replace(Tagger("tagger", Clock("clock", 0.0)), **self.tagging),),  # type: ignore[arg-type]
            **self.parts,  # type: ignore[arg-type]
        )
        return LightField(layout, self.ports, seed)

    def turn(self, analyser: str, degrees: float) -> None:
        """Let an analyser tell linear polarization at this angle from that across."""
        self.ports.rotations[f"{analyser}_qwp"].angle_rad = np.deg2rad(degrees)
        self.ports.rotations[f"{analyser}_hwp"].angle_rad = np.deg2rad(degrees) / 2

    def watch(self, seconds: float, *, seed: int = 1, slice_ps: int = 10**11) -> Tags:
        """All tags of so much light."""
        light = self.light(seed)
        try:
            return self.go_on(light, seconds, slice_ps)
        finally:
            light.close()

    def go_on(self, light: LightField, seconds: float, slice_ps: int = 10**11) -> Tags:
        """The tags of more light."""
        found: list[dict[int, Times]] = []
        left_ps = round(seconds * 1e12)
        while left_ps:
            span_ps = min(slice_ps, left_ps)
            left_ps -= span_ps
            light.tune()
            clicks = light.expose(span_ps)
            light.settle(span_ps, clicks)
            found.append(clicks["tagger"].tags)
        return {
            name: np.concatenate([tags[k] for tags in found])
            for k, name in enumerate(self.detectors, start=1)
        }


def analyser(name: str) -> Analyser:
    """An analyser with detectors `<name>_h` and `<name>_v`."""
    return Analyser(name, f"{name}_qwp", f"{name}_hwp", (f"{name}_h", f"{name}_v"))


def both(*names: str) -> tuple[str, ...]:
    """The detectors of analysers."""
    return tuple(f"{name}_{letter}" for name in names for letter in "hv")


def within(a: Times, b: Times, low_ps: float, high_ps: float) -> int:
    """How many (i, j) have low <= b[j] - a[i] < high; both sorted."""
    return int((np.searchsorted(b, a + high_ps) - np.searchsorted(b, a + low_ps)).sum())


def histogram(a: Times, b: Times, edges_ps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Differences b - a in bins."""
    return np.array([within(a, b, low, high) for low, high in pairwise(edges_ps)])


def pulse_numbers(times: Times, period_ps: float) -> Times:
    """The pulse of every click, each within half a period."""
    return np.floor(times / period_ps + 0.5).astype(np.int64)


def counts(numbers: Times, chosen: Times) -> Times:
    """How many clicks, given by the sorted numbers of their pulses, the chosen pulses have."""
    return np.searchsorted(numbers, chosen, side="right") - np.searchsorted(numbers, chosen)
