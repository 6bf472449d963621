"""Toptica DLC pro with a DL pro head: optical power by the diode's current, over TCP.

Written from the protocol notes (`toptica_dlcpro.md`); section names below are theirs. The command
line carries one request at a time and ends each reply with a prompt; the monitoring line, on a port of
its own, pushes the changes of a parameter (`watch`).

The controller knows currents, not powers. Power follows from the head's L-I line, which the testbed
file states: `P = slope_efficiency * (I - threshold_current)`, nothing below the threshold.
"""

import asyncio
import base64
import logging
import math
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias, TypeVar

from pydantic import Field

from drivers.address import Address
from drivers.capabilities import Identity, Laser, Limits, Settings
from drivers.errors import DeadlineError, LimitError, LineError, ProtocolError, RefusedError
from drivers.lasers.following import held_up
from drivers.transports.tcp import TcpLine
from drivers.units import Amperes, Watts, WattsPerAmpere

log = logging.getLogger(__name__)

MONITORING_PORT = 1999  # "Transport"
BANNER_END = b"DeCoF Command Line\r\n> "  # "Command line"
PROMPT = b"\n> "

# "Parameters worth having"; currents in mA.
ENABLED = "laser1:dl:cc:enabled"
EMISSION = "laser1:dl:cc:emission"
CURRENT_SET = "laser1:dl:cc:current-set"
CURRENT_ACT = "laser1:dl:cc:current-act"
CURRENT_CLIP = "laser1:dl:cc:current-clip"
FORBIDS_EMISSION = (
    ("frontkey-locked", True, "the front key is locked"),
    ("interlock-open", True, "the interlock is open"),
    ("emission-button-enabled", False, "the emission button is not pressed in"),
    ("laser1:dl:cc:forced-off", True, "the current controller is forced off"),
)
"""What keeps the light off: parameter, the value that does, in words ("Behaviour to simulate")."""

SETTLED_MA = 0.1
"""How near the measured current must come to the set one; our choice, no source gives its noise."""

Value: TypeAlias = "bool | int | float | str | bytes | tuple[Value, ...]"
"""What a parameter can hold ("Command line", value syntax)."""
T = TypeVar("T", bool, float, str)


def encode(value: Value) -> str:
    """A value as the command line reads it; reals have a dot and no exponent.

    Raises ValueError for what the syntax cannot say: infinities, line ends, text that starts with `&`.
    """
    match value:
        case bool():
            return "#t" if value else "#f"
        case int():
            return str(value)
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{value} cannot be written as a DLC pro real")
            text = f"{Decimal(repr(float(value))):f}"
            return text if "." in text else f"{text}.0"
        case str():
            if value.startswith("&") or "\n" in value:
                raise ValueError(f"{value!r} cannot be written as a DLC pro string")
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case bytes():
            return f'"&{base64.b64encode(value).decode("ascii")}"'
        case tuple():
            return f"({' '.join(encode(item) for item in value)})"


_TOKEN = re.compile(r"""\s*(?:("(?:[^"\\]|\\.)*")|('?\()|(\))|([^\s()"]+))\s*""", re.DOTALL)
_INTEGER = re.compile(r"[+-]?[0-9]+")
_REAL = re.compile(r"[+-]?[0-9]+\.[0-9]*(?:[eE][+-]?[0-9]+)?")


def decode(text: str) -> Value:
    """The value that a reply states. Raises ValueError when it is not one whole value."""
    nested: list[list[Value]] = [[]]
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"{text!r} is not a DLC pro value")
        position = match.end()
        string, opening, closing, word = match.groups()
        if opening:
            nested.append([])
        elif closing and len(nested) > 1:
            finished = tuple(nested.pop())
            nested[-1].append(finished)
        elif string:
            nested[-1].append(_unquoted(string[1:-1]))
        elif word in ("#t", "#f"):
            nested[-1].append(word == "#t")
        elif word and _INTEGER.fullmatch(word):
            nested[-1].append(int(word))
        elif word and _REAL.fullmatch(word):
            nested[-1].append(float(word))
        else:
            raise ValueError(f"{text!r} is not a DLC pro value")
    if len(nested) != 1 or len(nested[0]) != 1:
        raise ValueError(f"{text!r} is not one whole DLC pro value")
    return nested[0][0]


def _unquoted(text: str) -> str | bytes:
    if text.startswith("&"):
        return base64.b64decode(text[1:], validate=True)
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


@dataclass(frozen=True)
class Change:
    """A parameter's value as the monitoring line pushed it, with the controller's own time."""

    time: datetime
    name: str
    value: Value

    @classmethod
    def parse(cls, push: str) -> "Change":
        """Read `(2026-01-31T12:00:00.000Z 'laser1:dl:tc:temp-act 25.001300)`. Raises ValueError."""
        match = re.fullmatch(r"\((\S+) '(\S+) (.*)\)", push, re.DOTALL)
        if match is None:
            raise ValueError(f"{push!r} is not a push of a DLC pro")
        return cls(datetime.fromisoformat(match[1]), match[2], decode(match[3]))


class TopticaSettings(Settings):
    """The head behind the controller: its L-I line, and how far it may be driven."""

    threshold_current: Amperes = Field(ge=0)
    slope_efficiency: WattsPerAmpere = Field(gt=0)
    max_power: Watts = Field(gt=0)


class TopticaDlcPro(Laser):
    """Address `tcp://HOST:1998`; `?monitor=PORT` names another monitoring port than 1999."""

    model = "toptica_dlcpro"
    manufacturer = "TOPTICA Photonics"
    schemes = ("tcp",)
    protocol = "toptica_dlcpro.md, completeness 3"
    doubts = (
        "That a refused setting is answered by a negative status is certain, what its numbers mean is not.",
        "No source gives the noise of the measured current: within 0.1 mA of the set one it counts as "
        "arrived.",
    )
    settings_model = TopticaSettings
    settings: TopticaSettings

    def __init__(self, name: str, address: Address, settings: TopticaSettings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = TcpLine(name, address, deadline, greeting=BANNER_END)
        self._monitoring_port = int(address.options.get("monitor", MONITORING_PORT))

    async def open(self) -> None:
        await self._line.open()

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        return Identity(
            self.manufacturer,
            await self._read("system-type", str),
            await self._read("serial-number", str),
            await self._read("fw-ver", str),
        )

    @property
    def power_limits(self) -> Limits:
        return Limits(0.0, self.settings.max_power, "W")

    async def set_power(self, power_w: float) -> None:
        """Set the diode current that gives this power in watts; 0.0 sets the threshold current.

        Raises LimitError above `max_power`, before a byte is sent, or when the current would exceed
        the controller's own `current-clip`.
        """
        self.check_limit("power", power_w, self.power_limits)
        current_ma = round(1e3 * self._current(power_w), 6)
        clip_ma = await self._read(CURRENT_CLIP, float)
        if current_ma > clip_ma:
            raise LimitError(
                self.name, str(self.address),
                f"power {power_w:g} W needs {current_ma:g} mA, above the current clip of {clip_ma:g} mA",
                "Raise current-clip at the controller, if the diode allows it, or choose a lower power",
            )  # fmt: skip
        await self._write(CURRENT_SET, current_ma)

    async def power(self) -> float:
        if not await self.emission():
            return 0.0
        current_a = 1e-3 * await self._read(CURRENT_ACT, float)
        return max(0.0, self.settings.slope_efficiency * (current_a - self.settings.threshold_current))

    async def set_emission(self, on: bool) -> None:
        """Switch emission and see that it follows within the deadline.

        Raises RefusedError when it does not; the current controller is then left switched off, so
        that the light does not come on by itself when somebody closes the interlock.
        """
        await self._write(ENABLED, on)
        reasons = await held_up(self.emission, on, self.deadline, self._what_forbids_emission)
        if reasons is None:
            return
        if on:
            await self._write(ENABLED, False)
        status = await self._read("laser1:dl:cc:status-txt", str)
        raise RefusedError(
            self.name, str(self.address),
            f"emission did not go {'on' if on else 'off'} after {ENABLED} was set: "
            f"{' and '.join(reasons) or 'no reason given'} (status {status!r})",
            "See to key, interlock and button at the controller" if on else "Turn the front key",
        )  # fmt: skip

    async def emission(self) -> bool:
        return await self._read(EMISSION, bool)

    async def is_settled(self) -> bool:
        """Whether the measured current is at its set-point; True while the current is switched off."""
        if not await self._read(ENABLED, bool):
            return True
        current_set = await self._read(CURRENT_SET, float)
        return abs(await self._read(CURRENT_ACT, float) - current_set) <= SETTLED_MA

    async def make_safe(self) -> None:
        was_open = self._line.is_open
        try:
            try:
                await self.set_emission(False)
            except (DeadlineError, LineError, ProtocolError) as error:
                # The line may have died unseen, with the controller well: once more on a fresh one.
                log.warning("%s; trying once more to switch the emission off", error)
                await self.set_emission(False)
        finally:
            if not was_open:
                await self.close()

    async def watch(self, parameter: str, interval_s: float = 0.2) -> AsyncGenerator[Change, None]:
        """The present value of a parameter and then each change, no faster than every `interval_s`.

        Uses a connection of its own, which lives as long as the iteration: leave it with
        `contextlib.aclosing`. Raises RefusedError for an unknown parameter, and DeadlineError when the
        present value does not come.
        """
        request = f"(add '{parameter} {round(1e3 * interval_s)})"
        line = TcpLine(self.name, self.address, self.deadline, port=self._monitoring_port, talks=True)
        try:
            async with line.exchange(request, deadline=math.inf) as peer:
                peer.send(f"{request}\n".encode())
                async with asyncio.timeout(self.deadline):
                    push = await peer.read_until(b"\r\n")
                while True:
                    yield self._change(request, push.decode(errors="replace"))
                    push = await peer.read_until(b"\r\n")
        finally:
            await line.close()

    def _change(self, request: str, push: str) -> Change:
        if push.startswith("(Error:"):
            raise RefusedError(self.name, str(self.address), f"{request} was refused: {push}")
        try:
            return Change.parse(push)
        except ValueError as error:
            raise ProtocolError(self.name, str(self.address), f"after {request} came: {error}") from error

    def _current(self, power_w: float) -> float:
        """The diode current in amperes for an optical power in watts, by the L-I line."""
        return self.settings.threshold_current + power_w / self.settings.slope_efficiency

    async def _what_forbids_emission(self) -> list[str]:
        reasons = [words for name, bad, words in FORBIDS_EMISSION if await self._read(name, bool) is bad]
        current_ma = await self._read(CURRENT_SET, float)
        if current_ma < 1e3 * self.settings.threshold_current:
            reasons.append(f"the current set-point of {current_ma:g} mA is below the threshold")
        return reasons

    async def _read(self, parameter: str, kind: type[T]) -> T:
        request = f"(param-ref '{parameter})"
        value = await self._ask(request, retry=True)
        if type(value) is int and kind is float:
            value = float(value)
        if type(value) is not kind:
            raise await self._garbled(request, f"{value!r}, not a {kind.__name__}")
        return value

    async def _write(self, parameter: str, value: Value) -> None:
        request = f"(param-set! '{parameter} {encode(value)})"
        status = await self._ask(request)
        if type(status) is not int:
            raise await self._garbled(request, f"{status!r}, not a status")
        if status < 0:
            raise RefusedError(self.name, str(self.address), f"{request} was refused with status {status}")
        if status > 0:
            log.warning("%s (%s): %s was accepted with warning %d", self.name, self.address, request, status)

    async def _ask(self, request: str, *, retry: bool = False) -> Value:
        raw = await self._line.query(f"{request}\n".encode(), PROMPT, retry=retry)
        reply = raw.decode(errors="replace")
        if reply.startswith("Error:"):
            raise RefusedError(self.name, str(self.address), f"{request} was refused: {reply}")
        try:
            return decode(reply)
        except ValueError as error:
            raise await self._garbled(request, str(error)) from error

    async def _garbled(self, request: str, what: str) -> ProtocolError:
        """The error for an answer that makes no sense; after one, nobody knows what comes next."""
        await self._line.close()
        return ProtocolError(self.name, str(self.address), f"{request} was answered by {what}")
