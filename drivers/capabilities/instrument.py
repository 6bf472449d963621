"""What every instrument can do, whatever its kind: be opened, say who it is, be made safe.

The rules that hold for every driver:

* Opening has no side effects: no homing, no output switched on, no setting changed.
* A setter returns when the instrument has *taken* the value. Whether it has *arrived* there (a motor
  at its angle, a bias at the end of its ramp) is what `is_settled()` answers; the run engine waits with
  the run's clock, drivers never wait for physics.
* Every exchange with the instrument has a deadline (seconds of wall time, `deadline`), after which
  `DeadlineError` is raised. An error or a cancellation leaves the line in step: a late answer is never
  taken for the answer to the next question.
* A set-point outside the limits raises `LimitError` before a byte is sent.
* Every setter that a capability marks passes the instrument's `gate` first (`drivers.gate`), which may refuse
  it; off and zero are never refused.
* `make_safe()` needs no state, may be called at any time and any number of times, also when the
  instrument was never opened or its line has broken.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from drivers.address import Address
from drivers.errors import LimitError
from drivers.gate import OPEN, Gate, stand_behind_gate


class Settings(BaseModel):
    """What a testbed file says about one instrument beyond its address; each driver extends it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Identity:
    """Who answers at an address, as the instrument itself says it."""

    manufacturer: str
    model: str
    serial_number: str
    firmware: str


@dataclass(frozen=True)
class Limits:
    """A closed range of set-points in one SI unit, for example `Limits(0.0, 30e-6, "A")`."""

    low: float
    high: float
    unit: str
    step: float = 0.0
    """Set-points are `low` and whole steps above it, of an instrument whose steps are too coarse to be
    rounded to in silence; 0.0: any value."""

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and (not self.step or self._is_on_a_step(value))

    def _is_on_a_step(self, value: float) -> bool:
        steps = (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-6

    def __str__(self) -> str:
        steps = f" in steps of {self.step:g} {self.unit}" if self.step else ""
        return f"{self.low:g} to {self.high:g} {self.unit}{steps}"


@dataclass(frozen=True)
class Control:
    """One thing on an instrument's front panel that can be read and perhaps set, by a person or a program."""

    name: str
    """Such as `power`, or `bias.2` for the bias of channel 2."""
    unit: str
    """SI unit (or dB) of its values; empty for a flag, which is on (True) or off."""
    read: Callable[[], Awaitable[float | bool]]
    write: Callable[[Any], Awaitable[None]] | None = None
    """None: a reading."""
    limits: Limits | None = None
    """Of what may be written, where it is a number."""
    energises: bool = False
    """Whether it switches or sets emission or bias. Such a control is never set without being asked for:
    not when a power-cycled instrument gets its settings back, and not when a paused run goes on."""


class Instrument(ABC):
    """One instrument at one address. Construction opens nothing and touches nothing."""

    model: ClassVar[str]
    """The name under which the catalogue knows this driver."""
    manufacturer: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]]
    """The address schemes this driver can use, the usual one first."""
    settings_model: ClassVar[type[Settings]] = Settings
    protocol: ClassVar[str]
    """Where the facts of the protocol are from: the protocol note and its completeness (0 to 3, the notes'
    own rank), or the manual."""
    doubts: ClassVar[tuple[str, ...]] = ()
    """What of the protocol is not certain, or was chosen where no source says; whole sentences."""
    tried_on: ClassVar[tuple[str, ...]] = ()
    """The real instruments that have passed `tests/hardware`: serial number, firmware, date."""
    gate: Gate = OPEN
    """Who is asked before something is set; open, unless a run stands in front of it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        stand_behind_gate(cls)

    def __init__(self, name: str, address: Address, settings: Settings, deadline: float = 2.0) -> None:
        self.name = name
        self.address = address
        self.settings = settings
        self.deadline = deadline

    @abstractmethod
    async def open(self) -> None:
        """Connect, without side effects. Raises ConnectError."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect; changes nothing on the instrument. Never raises; may be called twice."""

    @abstractmethod
    async def identity(self) -> Identity:
        """Ask the instrument who it is."""

    @abstractmethod
    async def is_settled(self) -> bool:
        """Whether every set-point has been reached, for instruments without inertia always True."""

    @abstractmethod
    async def make_safe(self) -> None:
        """Bring the instrument into its safe state and verify it by reading back.

        Opens a line of its own when there is none. Raises InstrumentError when safety could not be
        verified.
        """

    def controls(self) -> tuple[Control, ...]:
        """What its front panel has. Each capability states its own; a model may add to them."""
        return ()

    def check_limit(self, what: str, value: float, limits: Limits) -> None:
        """Raise LimitError unless `value` is inside `limits`."""
        if value not in limits:
            raise LimitError(
                self.name,
                str(self.address),
                f"{what} {value:g} {limits.unit} is outside {limits}",
                "Choose a value inside, or change the limit in the testbed file",
            )
