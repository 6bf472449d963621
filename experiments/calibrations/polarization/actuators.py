"""What turns the polarization of a link, through drivers: a polarization controller, or wave plates in
rotation mounts. Both bring their plates to angles in radians, wait until they stand there, and know what
plates they are.
"""

# Abstract capabilities are handed to isinstance, never called (python/mypy#4717).

from dataclasses import dataclass
from math import pi
from typing import Protocol

import numpy as np

from drivers.capabilities import PolarizationController, RotationMount
from drivers.errors import RefusedError
from experiments.calibrations.polarization.plates import Plates, usual
from experiments.calibrations.polarization.sphere import Floats
from experiments.config.compensation import Compensation
from experiments.engine.bench import Bench
from experiments.engine.clock import RunClock
from experiments.engine.motion import settle, turn

TURNING_S = 30.0
"""Deadline for the plates of a controller, in seconds of run clock; paddles take some seconds."""
POLL_S = 0.02
"""How often they are asked whether they have arrived: the photons wait meanwhile."""
RETARDANCE = {"half": pi, "quarter": pi / 2}


class Actuator(Protocol):
    """Plates that can be turned."""

    @property
    def plates(self) -> Plates:
        """As far as they are known before anything is measured."""
        ...

    @property
    def instruments(self) -> set[str]: ...

    async def angles(self) -> Floats | None:
        """Where they stand, in radians, within the limits; None when they stand nowhere (a scrambler)."""
        ...

    async def turn(self, angles_rad: Floats, clock: RunClock) -> None:
        """Bring them there and wait until they have arrived."""
        ...


@dataclass(frozen=True)
class ControllerPlates:
    """The plates of a polarization controller."""

    controller: PolarizationController
    plates: Plates

    @property
    def instruments(self) -> set[str]:
        return {self.controller.name}

    async def angles(self) -> Floats | None:
        try:
            found = await self.controller.angles()
        except RefusedError:
            return None
        return self.plates.within(np.array(found))

    async def turn(self, angles_rad: Floats, clock: RunClock) -> None:
        await self.controller.set_angles(angles_rad.tolist())
        await settle([self.controller], clock, TURNING_S, POLL_S)


@dataclass(frozen=True)
class MountedPlates:
    """Wave plates, each in a rotation mount, in beam order."""

    mounts: tuple[RotationMount, ...]
    plates: Plates

    @property
    def instruments(self) -> set[str]:
        return {mount.name for mount in self.mounts}

    async def angles(self) -> Floats | None:
        found = np.array([await mount.angle() for mount in self.mounts])
        return self.plates.within(found)

    async def turn(self, angles_rad: Floats, clock: RunClock) -> None:
        await turn(dict(zip(self.mounts, angles_rad.tolist(), strict=True)), clock)


def actuator_of(settings: Compensation, bench: Bench) -> Actuator:
    """What the section `compensation` names for a link."""
    if settings.controller is not None:
        controller = bench.get(settings.controller, PolarizationController)
        limits = controller.angle_limits
        fixed = settings.retardances or settings.fast_axes or usual(controller.angle_is, controller.actuators)
        return ControllerPlates(controller, Plates(controller.angle_is, fixed, limits.low, limits.high))
    standing = [bench.testbed.wave_plates[name] for name in settings.plates]
    mounts = tuple(bench.get(plate.mount, RotationMount) for plate in standing)
    plates = Plates(
        "orientation",
        tuple(RETARDANCE[plate.kind] for plate in standing),
        max(mount.angle_limits.low for mount in mounts),
        min(mount.angle_limits.high for mount in mounts),
    )
    return MountedPlates(mounts, plates)
