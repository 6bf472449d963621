"""What every simulated instrument is: a model of the device and a server that speaks for it.

The *model* knows set-points, limits and inertia and moves on with `advance`; the *wire* (in
`sim_instruments.wire`) carries bytes and can be told to misbehave. Time is an argument: nothing here
sleeps or looks at the wall clock.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from sim_instruments.ports import Ports, Tags
from sim_instruments.wire.faults import Faults


@dataclass(frozen=True)
class Placed:
    """An instrument to be put on the bench: its model and what its simulator needs to know of it, by the
    names and in the units of the driver's settings."""

    name: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)


class SimInstrument(ABC):
    """A simulated instrument on the bench, not yet serving after construction."""

    model: ClassVar[str]
    """The same name as the driver's."""
    resumes: ClassVar[bool] = False
    """Whether it comes back from a power-cycle running, where it ran before."""

    has_error_reply: ClassVar[bool] = True
    """Whether its protocol has an error reply; without one `Faults.own_errors` means nothing to it."""

    def __init__(self, name: str, rng: np.random.Generator) -> None:
        self.name = name
        self.rng = rng
        self.faults = Faults()

    @classmethod
    @abstractmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        """Put one on the bench: make its port into the light, enter that in `ports`, and construct."""

    @abstractmethod
    async def start(self) -> str:
        """Begin to serve; returns the address under which a driver finds it."""

    @abstractmethod
    async def stop(self) -> None:
        """Close every line and stop serving."""

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Let the device's own time pass: motors turn, temperatures settle, periods end. Called from
        the event loop after each slice; messages that fall due are queued for sending here."""

    @abstractmethod
    def power_cycle(self) -> None:
        """Lose power and come back at once: every line breaks, and the device is as after being switched
        on. What it keeps in memory that lasts is kept."""

    @property
    def moving(self) -> bool:
        """Whether something that touches the light is changing, so that slices must be short."""
        return False

    async def flush(self) -> None:  # noqa: B027 - most instruments queue nothing
        """Wait until what `advance` queued has been handed to the operating system."""

    async def take(self, tags: Tags, until_ps: int) -> None:
        """Time taggers only: accept all clicks before `until_ps` of the tagger's clock that were not
        handed over before. Returns when there is room for more (this holds the world back)."""
        raise NotImplementedError
