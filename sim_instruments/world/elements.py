"""What light passes: each thing of a layout with its port, and what it does to light as it stands now.

An element reads its port whenever it is asked and keeps nothing. `setting` is all that its `step` depends on
besides the light, so that whoever asks can remember the step. Wave plates and retarders act alike on all
wavelengths: their data sheets' dispersion is not modelled.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from math import pi, sqrt
from typing import NamedTuple, Protocol, TypeVar

from sim_instruments.ports import (
    AttenuatorPort,
    DelayPort,
    LaserPort,
    PlatesPort,
    Ports,
    RotationPort,
    ShutterPort,
    TemperaturePort,
)
from sim_instruments.world.constants import LIGHT_SPEED
from sim_instruments.world.fibre import DriftingFibre
from sim_instruments.world.layout import (
    Analyser,
    ClassicalChannel,
    Controller,
    DelayLine,
    Filter,
    Layout,
    Plate,
    Shutter,
)
from sim_instruments.world.polarization import IDENTITY, Matrix, polarizer, retarder
from sim_instruments.world.raman import launched_w, noise_hz

RETARDANCE = {"half": pi, "quarter": pi / 2}

Port = TypeVar("Port")


class Light(NamedTuple):
    """Light of a vacuum wavelength, its carrier so far above. Without a carrier it is broadband noise that
    fills every filter's line."""

    wavelength_m: float
    carrier_offset_hz: float | None

    @property
    def frequency_hz(self) -> float:
        return LIGHT_SPEED / self.wavelength_m + (self.carrier_offset_hz or 0.0)


class Step(NamedTuple):
    """What an element does to light: its Jones matrix, losses included, and how long it holds it."""

    matrix: Matrix
    delay_ps: float = 0.0


class Element(Protocol):
    """A thing that light passes."""

    def setting(self) -> Hashable: ...

    def step(self, light: Light, /) -> Step: ...


def transmitted(loss_db: float) -> float:
    """Power transmission, 0 to 1."""
    return float(10 ** (-loss_db / 10))


@dataclass(frozen=True)
class Span:
    """A fibre, and the laser of the classical channel in it."""

    fibre: DriftingFibre
    laser: LaserPort | None

    def setting(self) -> Hashable:
        return self.fibre.revision, self.laser.power_w if self.laser else None

    def step(self, light: Light, /) -> Step:
        return Step(self.fibre.jones(light.frequency_hz), self.fibre.delay_ps(light.frequency_hz))

    def raman_hz(self, channel: ClassicalChannel, wavelength_m: float) -> float:
        """Raman photons per second that leave it around this wavelength."""
        return noise_hz(self.fibre.fibre, channel, launched_w(channel, self.laser), wavelength_m)


@dataclass(frozen=True)
class Retarders:
    """A polarization controller."""

    controller: Controller
    port: PlatesPort

    def setting(self) -> Hashable:
        return tuple(self.port.plates), self.port.polarizer_rad

    def step(self, _light: Light, /) -> Step:
        matrix = sqrt(self.controller.transmission) * IDENTITY
        if self.port.polarizer_rad is not None:
            matrix = polarizer(self.port.polarizer_rad) @ matrix
        stretched, tilted = self.controller.retardance_errors, self.controller.axis_errors_rad
        for i, (retardance, axis) in enumerate(self.port.plates):
            stretch = stretched[i] if i < len(stretched) else 0.0
            tilt = tilted[i] if i < len(tilted) else 0.0
            matrix = retarder(retardance * (1 + stretch), axis + tilt) @ matrix
        return Step(matrix)


@dataclass(frozen=True)
class MountedPlate:
    """A wave plate in a rotation mount."""

    plate: Plate
    mount: RotationPort

    def setting(self) -> Hashable:
        return self.mount.angle_rad

    def step(self, _light: Light, /) -> Step:
        plate = self.plate
        retardance = RETARDANCE[plate.kind] + plate.retardance_error_rad
        matrix = retarder(retardance, self.mount.angle_rad - plate.zero_rad)
        return Step(sqrt(plate.transmission) * matrix)


@dataclass(frozen=True)
class AnalyserPlates:
    """The quarter-wave and then the half-wave plate in front of an analyser's polarizing beam splitter, which
    so stands in the basis that they choose. Light that is linear at an angle a leaves as H with the
    quarter-wave plate at a AND the half-wave plate at a/2 (physics.md, pitfall 3)."""

    analyser: Analyser
    qwp: RotationPort
    hwp: RotationPort

    def setting(self) -> Hashable:
        return self.qwp.angle_rad, self.hwp.angle_rad

    def step(self, _light: Light, /) -> Step:
        a = self.analyser
        qwp = retarder(RETARDANCE["quarter"] + a.qwp_error_rad, self.qwp.angle_rad - a.qwp_zero_rad)
        hwp = retarder(RETARDANCE["half"] + a.hwp_error_rad, self.hwp.angle_rad - a.hwp_zero_rad)
        return Step(sqrt(a.transmission) * (hwp @ qwp))


@dataclass(frozen=True)
class Attenuation:
    """A variable attenuator; nothing passes its shutter."""

    port: AttenuatorPort

    def setting(self) -> Hashable:
        return self.port.attenuation_db, self.port.open

    def step(self, _light: Light, /) -> Step:
        return Step(sqrt(transmitted(self.port.attenuation_db) if self.port.open else 0.0) * IDENTITY)


@dataclass(frozen=True)
class Blade:
    """A shutter."""

    shutter: Shutter
    port: ShutterPort

    def setting(self) -> Hashable:
        return self.port.open

    def step(self, _light: Light, /) -> Step:
        loss_db = self.shutter.insertion_loss_db + (0.0 if self.port.open else self.shutter.extinction_db)
        return Step(sqrt(transmitted(loss_db)) * IDENTITY)


@dataclass(frozen=True)
class Detour:
    """A delay line."""

    line: DelayLine
    port: DelayPort

    def setting(self) -> Hashable:
        return self.port.delay_s

    def step(self, _light: Light, /) -> Step:
        return Step(sqrt(transmitted(self.line.insertion_loss_db)) * IDENTITY, self.port.delay_s * 1e12)


@dataclass(frozen=True)
class Line:
    """A filter: the transmission of its line at the light's carrier."""

    filter: Filter
    heater: TemperaturePort | None

    def setting(self) -> Hashable:
        return self.heater.temperature_k if self.heater else None

    def step(self, light: Light, /) -> Step:
        return Step(sqrt(self.transmission(light.carrier_offset_hz)) * IDENTITY)

    def transmission(self, carrier_offset_hz: float | None) -> float:
        """Power transmission. Broadband light passes with that of the peak: how much of it fits in the line
        is counted in the bandwidth for which it is stated."""
        line = self.filter
        if carrier_offset_hz is None:
            return line.peak_transmission
        warmer_k = self.heater.temperature_k - line.reference_k if self.heater else 0.0
        centre_hz = line.centre_offset_hz + line.hz_per_kelvin * warmer_k
        widths_off = (carrier_offset_hz - centre_hz) / line.bandwidth_hz
        if line.shape == "lorentzian":
            return line.peak_transmission / (1 + 4 * widths_off**2)
        return line.peak_transmission * float(2.0 ** (-4 * widths_off**2))


def elements(layout: Layout, ports: Ports, fibres: Mapping[str, DriftingFibre]) -> dict[str, Element]:
    """All that light passes, by name; an analyser's name stands for its plates. ValueError where the layout
    names an instrument that is not there."""

    def port(of: Mapping[str, Port], instrument: str, user: str, kind: str) -> Port:
        if instrument not in of:
            raise ValueError(f"{user}: there is no {kind} called {instrument!r}")
        return of[instrument]

    passed: dict[str, Element] = {}
    for fibre in layout.fibres:
        laser = fibre.classical.laser if fibre.classical else None
        passed[fibre.name] = Span(
            port(fibres, fibre.name, fibre.name, "drifting fibre"),
            None if laser is None else port(ports.lasers, laser, fibre.name, "laser"),
        )
    for c in layout.controllers:
        passed[c.name] = Retarders(c, port(ports.plates, c.name, c.name, "polarization controller"))
    for p in layout.plates:
        passed[p.name] = MountedPlate(p, port(ports.rotations, p.mount, p.name, "rotation mount"))
    for v in layout.attenuators:
        passed[v.name] = Attenuation(port(ports.attenuators, v.name, v.name, "attenuator"))
    for s in layout.shutters:
        passed[s.name] = Blade(s, port(ports.shutters, s.name, s.name, "shutter"))
    for d in layout.delay_lines:
        passed[d.name] = Detour(d, port(ports.delays, d.name, d.name, "delay line"))
    for f in layout.filters:
        heater = (
            None if f.heater is None else port(ports.temperatures, f.heater, f.name, "temperature controller")
        )
        passed[f.name] = Line(f, heater)
    for a in layout.analysers:
        qwp, hwp = (port(ports.rotations, mount, a.name, "rotation mount") for mount in (a.qwp, a.hwp))
        passed[a.name] = AnalyserPlates(a, qwp, hwp)
    return passed
