"""Happenings: what goes wrong on a bench at given times of the world, whoever is looking.

The bench cuts its slices where one begins or ends, so that it takes effect at its time to the picosecond,
as far as anything can see: a fibre that jumps does so between two photons. Everything here changes what
instruments and light *are*; nothing tells a driver.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from sim_instruments.instrument import SimInstrument
from sim_instruments.timing.whiterabbit_switch import SimWhiteRabbitSwitch
from sim_instruments.world.light_field import LightField
from sim_instruments.world.randomness import generator

RELOCK = 0.01
"""A laser is back on its line when its power has been moved by more than this fraction: the change of current
takes a diode off the mode that it hopped to, and setting it anew finds the old one. Ours; real lasers want a
search for the line."""


@dataclass
class Stage:
    """What happenings act on. `axes` draws the axes of jumps."""

    instruments: Mapping[str, SimInstrument]
    light: LightField
    axes: np.random.Generator


@dataclass
class Happening(ABC):
    """Something that begins at `at_s` seconds of the world and, unless `for_s` is inf, ends so much later."""

    at_s: float
    for_s: float = field(default=inf, kw_only=True)

    @abstractmethod
    def begin(self, stage: Stage) -> None:
        """It happens."""

    def end(self, stage: Stage) -> None:  # noqa: B027 - most have no end
        """It is over."""

    def watch(self, stage: Stage) -> None:  # noqa: B027 - most are over when somebody sees to it elsewhere
        """Called before every slice after its beginning."""


@dataclass
class Jump(Happening):
    """A fibre turns the polarization of its light by an angle more."""

    fibre: str
    angle_rad: float

    def begin(self, stage: Stage) -> None:
        stage.light.fibre(self.fibre).jump(self.angle_rad, stage.axes)


@dataclass
class MoveDelay(Happening):
    """A fibre becomes longer, or shorter."""

    fibre: str
    by_s: float

    def begin(self, stage: Stage) -> None:
        stage.light.fibre(self.fibre).move(self.by_s)


@dataclass
class Shake(Happening):
    """Somebody is at work on a fibre: its polarization diffuses by so much more, in rad^2/s, anew in every
    slice, so that even a fast search does not follow."""

    fibre: str
    diffusion: float
    _until_ps: int | None = field(default=None, init=False)
    """Shaken so far."""

    def begin(self, stage: Stage) -> None:
        self._until_ps = stage.light.now_ps

    def watch(self, stage: Stage) -> None:
        if self._until_ps is not None:
            seconds = (stage.light.now_ps - self._until_ps) * 1e-12
            stage.light.fibre(self.fibre).shake(self.diffusion * seconds, stage.axes)
            self._until_ps = stage.light.now_ps

    def end(self, stage: Stage) -> None:
        self.watch(stage)
        self._until_ps = None


@dataclass
class PowerCycle(Happening):
    """An instrument loses its power: it is silent until it comes back, in its start-up state."""

    instrument: str

    def begin(self, stage: Stage) -> None:
        instrument = stage.instruments[self.instrument]
        instrument.power_cycle()
        if self.for_s < inf:
            instrument.faults.silent = instrument.faults.refuse = True

    def end(self, stage: Stage) -> None:
        instrument = stage.instruments[self.instrument]
        instrument.faults.silent = instrument.faults.refuse = False
        instrument.power_cycle()


@dataclass
class Latch(Happening):
    """A nanowire goes normal; it comes back when its bias has been lowered."""

    unit: str
    channel: int

    def begin(self, stage: Stage) -> None:
        stage.light.ports.nanowires[self.unit, self.channel].latched = True


@dataclass
class UnlockLaser(Happening):
    """A laser falls off its line: of what it pumps a fraction is left, until its power is moved."""

    laser: str
    left: float
    _power_w: float | None = field(default=None, init=False)

    def begin(self, stage: Stage) -> None:
        port = stage.light.ports.lasers[self.laser]
        self._power_w, port.on_line = port.power_w, self.left

    def watch(self, stage: Stage) -> None:
        port = stage.light.ports.lasers[self.laser]
        if self._power_w is not None and abs(port.power_w - self._power_w) > RELOCK * self._power_w:
            self._power_w, port.on_line = None, 1.0


@dataclass
class UnlockClock(Happening):
    """Taggers lose the reference of their clock. A White Rabbit switch among `switches` loses it itself, and
    takes its time to find it again."""

    taggers: Sequence[str]
    switches: Sequence[str] = ()

    def begin(self, stage: Stage) -> None:
        self._set(stage, locked=False)

    def end(self, stage: Stage) -> None:
        self._set(stage, locked=True)

    def _set(self, stage: Stage, *, locked: bool) -> None:
        for tagger in self.taggers:
            stage.light.ports.taggers[tagger].clock_locked = locked
        for name in self.switches:
            switch = stage.instruments[name]
            if isinstance(switch, SimWhiteRabbitSwitch):
                switch.connect_reference(locked)


@dataclass
class Distinguishable(Happening):
    """Photons of different sources meet at a measurement and hardly interfere."""

    measurement: str
    overlap: float

    def begin(self, stage: Stage) -> None:
        stage.light.overlap(self.measurement, self.overlap)

    def end(self, stage: Stage) -> None:
        stage.light.overlap(self.measurement, None)


class Happenings:
    """All of one bench, carried out in the order of their times."""

    def __init__(
        self,
        happenings: Sequence[Happening],
        instruments: Mapping[str, SimInstrument],
        light: LightField,
        seed: int,
    ) -> None:
        self._stage = Stage(instruments, light, generator(seed, "happenings"))
        acts = [(_ps(h.at_s), h.begin) for h in happenings]
        acts += [(_ps(h.at_s + h.for_s), h.end) for h in happenings if h.for_s < inf]
        self._acts = sorted(acts, key=lambda act: act[0])
        self._watched = sorted(happenings, key=lambda h: h.at_s)

    def carry_out(self, now_ps: int) -> int | None:
        """Let happen what is due. Returns when the next will be, in ps; None for never."""
        for happening in self._watched:
            if _ps(happening.at_s) < now_ps:
                happening.watch(self._stage)
        while self._acts and self._acts[0][0] <= now_ps:
            self._acts.pop(0)[1](self._stage)
        return self._acts[0][0] if self._acts else None


def _ps(seconds: float) -> int:
    return round(seconds * 1e12)
