"""One link, kept free of polarization rotations: looked at, compensated when it is bad, with books of both.

Everything is done in a gap of the measurement (`Maintenance`). The photons are out for as long as it takes,
which the record has as a time that the link was down, with the reason and the fidelity before and after.
"""

from dataclasses import dataclass, field
from math import inf
from typing import Literal

import numpy as np

from experiments.calibrations.polarization.actuators import Actuator, actuator_of
from experiments.calibrations.polarization.lighting import Lighting
from experiments.calibrations.polarization.search import Found, Goal, Link, Look, search
from experiments.calibrations.polarization.sensors import Sensor, sensor_of
from experiments.calibrations.polarization.sphere import Floats, probe_fidelity
from experiments.calibrations.polarization.strategies import STRATEGIES
from experiments.config.compensation import Compensation
from experiments.config.experiment import Experiment
from experiments.engine.bench import Bench
from experiments.engine.events import Happened, PolarizationSeen, Uptime
from experiments.engine.record import utc_now
from experiments.engine.step import Context

_SEARCH = 0x901A
"""Tells the random numbers of searches from others made of the same seed."""
GONE = "compensation failed"
"""The event of a search that did not reach its goal; for whoever watches."""


@dataclass
class Books:
    """What keeping one link has cost and brought since it was good for the first time. Times in seconds of
    run clock."""

    since_s: float
    looks: int = 0
    compensated: int = 0
    failed: int = 0
    settings: int = 0
    down_s: float = 0.0
    last: Found | None = None

    def uptime(self, now: float) -> float:
        """Share of the time in which the photons were not kept out, 0 to 1."""
        return 1.0 - self.down_s / max(now - self.since_s, 1e-9)

    def to_json(self, now: float) -> dict[str, object]:
        fidelities = {}
        if self.last is not None:
            for phase, look in (("before", self.last.before), ("after", self.last.after)):
                fidelities[f"probe_fidelity_{phase}"] = look.probe_fidelity
                fidelities[f"pair_fidelity_{phase}"] = look.pair_fidelity
        return {
            "looks": self.looks,
            "compensated": self.compensated,
            "failed": self.failed,
            "settings": self.settings,
            "down_s": self.down_s,
            "uptime": self.uptime(now),
            **fidelities,
        }


@dataclass
class LinkUpkeep:
    """A link of the section `compensation`. A `Maintenance` once `due_at` is set."""

    comes_last = False
    name: str
    settings: Compensation
    actuator: Actuator
    sensor: Sensor
    lighting: Lighting
    rng: np.random.Generator
    due_at: float = inf
    books: Books = field(default_factory=lambda: Books(0.0))
    _link: Link | None = None
    """What was learned of it so far."""

    @classmethod
    def of(cls, name: str, experiment: Experiment, bench: Bench, seed: int = 0) -> "LinkUpkeep":
        """That of a link of the section `compensation`."""
        settings = experiment.compensation[name]
        lighting = Lighting(settings, bench)
        sensor = sensor_of(settings, experiment, bench, lighting)
        rng = np.random.default_rng([seed, _SEARCH, *name.encode()])
        return cls(name, settings, actuator_of(settings, bench), sensor, lighting, rng)

    @property
    def changes(self) -> set[str]:
        return {*self.actuator.instruments, *self.sensor.instruments, *self.lighting.instruments}

    async def carry_out(self, context: Context) -> None:
        """Look, and compensate when the link is worse than `trigger`."""
        await self.keep(context, trigger=self.settings.trigger)

    async def keep(self, context: Context, trigger: float) -> Found:
        """Look, and compensate when the fidelity is below `trigger`, until `stop`. Comes due again after the
        cadence."""
        context.progress(f"polarization of {self.name}")
        await self.sensor.get_ready(context)
        began = context.clock.now()
        context.announce(Uptime("down", f"polarization of {self.name}"))
        try:
            found = await self._search(context, trigger, began)
            await self.lighting.to_photons(context)
        except BaseException:
            await self.lighting.shut_probes(context)
            raise
        now = context.clock.now()
        context.announce(Uptime("up"))
        self._enter(context, found, now - began)
        self.due_at = now + self.settings.cadence if self.settings.cadence else inf
        return found

    async def look(self, context: Context) -> Look:
        """Look at the link as it stands, and change nothing."""
        await self.sensor.get_ready(context)
        context.announce(Uptime("down", f"polarization of {self.name}"))
        try:
            seen = await self.sensor.look(context)
            await self.lighting.to_photons(context)
        except BaseException:
            await self.lighting.shut_probes(context)
            raise
        context.announce(Uptime("up"))
        return seen

    def refer_to(self, reference: Floats) -> None:
        """From now on, take these Stokes vectors of the probes, (n, 3), for those of a link that turns
        nothing."""
        self.sensor.reference = reference

    async def _search(self, context: Context, trigger: float, began: float) -> Found:
        link = self._link or Link(self.actuator.plates, self.actuator.plates.random(self.rng))
        link.sent, link.reference = self.sensor.sent, self.sensor.reference
        stand = await self.actuator.angles()
        if stand is not None:
            link.angles_rad = stand

        async def measure(angles_rad: Floats) -> Look:
            nonlocal stand
            if stand is None or not np.array_equal(stand, angles_rad):
                await self.actuator.turn(angles_rad, context.clock)
                stand = angles_rad
            return await self.sensor.look(context)

        settings = self.settings
        goal = Goal(
            1 - trigger,
            1 - settings.stop,
            settings.tries,
            lambda: context.clock.now() - began > settings.timeout,
        )
        found = await search(link, STRATEGIES[settings.strategy], measure, goal, self.rng)
        self._link = link
        return found

    def _enter(self, context: Context, found: Found, took_s: float) -> None:
        books, settings = self.books, self.settings
        if not books.looks:
            books.since_s = context.clock.now()  # before, there was nothing to keep up
        else:
            books.down_s += took_s
        books.looks += 1
        books.settings += found.settings
        books.last = found
        if not found.moved:
            self._show(context, found.before, "check")
            return
        self._show(context, found.before, "before")
        self._show(context, found.after, "after")
        reached = found.reason == "compensated"
        books.compensated += reached
        books.failed += not reached
        figure = f"{1 - found.before.error:.4f} to {1 - found.after.error:.4f}"
        how = f"{figure} in {found.settings} settings, {took_s:.1f} s"
        details = {
            "link": self.name,
            "strategy": settings.strategy,
            "reason": found.reason,
            "settings": found.settings,
            "took_s": took_s,
            **books.to_json(context.clock.now()),
        }
        if reached:
            context.announce(Happened("compensated", f"polarization of {self.name}: {how}", details))
        else:
            message = f"polarization of {self.name}: {found.reason}, {how}; {settings.stop:g} was wanted"
            context.announce(Happened(GONE, message, details, "warning"))
        context.store_calibration(f"polarization of {self.name}", self._record(context, found))

    def _show(self, context: Context, look: Look, phase: Literal["check", "before", "after"]) -> None:
        if look.images is None:
            return
        for image, wanted in zip(look.images, self.sensor.reference, strict=True):
            s1, s2, s3 = image.tolist()
            fidelity = probe_fidelity(image[None], wanted[None])
            strategy = "" if phase == "check" else self.settings.strategy
            context.announce(PolarizationSeen(self.name, s1, s2, s3, fidelity, phase, strategy))

    def _record(self, context: Context, found: Found) -> dict[str, object]:
        plates = (self._link or Link(self.actuator.plates, found.angles_rad)).plates
        return {
            "utc": utc_now(),
            "run": context.folder.name,
            "strategy": self.settings.strategy,
            "angles": [{"value": angle, "unit": "rad"} for angle in found.angles_rad.tolist()],
            "plates": {
                "stretch": [{"value": each, "unit": "1"} for each in plates.stretch],
                "tilt": [{"value": each, "unit": "rad"} for each in plates.tilt_rad],
            },
            **self.books.to_json(context.clock.now()),
        }
