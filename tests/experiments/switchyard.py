"""Drivers for `switchyard.yaml`, a testbed with one of everything that stands in light. Only their names and
numbers are looked at: nothing is ever opened."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

import pytest

from drivers import catalog
from drivers.capabilities import (
    Attenuator,
    ClockMonitor,
    DelayGenerator,
    DelayLine,
    Instrument,
    Laser,
    Limits,
    OpticalSwitch,
    Polarimeter,
    PolarizationController,
    PowerMeter,
    RotationMount,
    Shutter,
    SinglePhotonDetector,
    TemperatureController,
    TimeTagger,
)


async def _unused(*_: object) -> None:
    raise AssertionError("nothing is ever opened, asked or set")


def _toy(capability: type[Instrument], **says: object) -> type[Instrument]:
    """A driver that can be constructed, and says this of itself."""
    unused = dict.fromkeys(capability.__abstractmethods__, _unused)
    return type(f"Toy{capability.__name__}", (capability,), unused | {"schemes": ("tcp",)} | says)


TOYS = {
    "toy_laser": _toy(Laser),
    "toy_mount": _toy(RotationMount),
    "toy_paddles": _toy(PolarizationController),
    "toy_attenuator": _toy(Attenuator, attenuation_limits=Limits(1.0, 60.0, "dB")),
    "toy_shutter": _toy(Shutter),
    "toy_delay_line": _toy(DelayLine),
    "toy_switch": _toy(OpticalSwitch, inputs=(1, 2, 3), outputs=(1, 2, 3)),
    "toy_meter": _toy(PowerMeter),
    "toy_polarimeter": _toy(Polarimeter),
    "toy_heater": _toy(TemperatureController),
    "toy_generator": _toy(DelayGenerator, outputs=(1, 2)),
    "toy_monitor": _toy(ClockMonitor),
    "toy_unit": _toy(SinglePhotonDetector, channels=(1, 2)),
    "toy_tagger": _toy(TimeTagger, inputs=tuple(range(1, 17))),
}


@dataclass(frozen=True)
class _Point:
    name: str

    @property
    def value(self) -> str:
        return self.name

    def load(self) -> type[Instrument]:
        return TOYS[self.name]


def announce_toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the toys into the catalogue of drivers, beside the real ones."""

    def points(group: str) -> Sequence[EntryPoint | _Point]:
        return [*entry_points(group=group), *map(_Point, TOYS)]

    monkeypatch.setattr(catalog, "entry_points", points)
