"""Single Quantum nanowire detectors with EOS or Atlas electronics, over the WebSQ interface (TCP).

Written from the protocol notes (`singlequantum_websq.md`). On the control port JSON objects without
any terminator go out, and JSON objects that end in ETB come in: answers, and broadcasts to every client
whenever a value changes. Nothing ties an answer to its question but the label, so this driver waits for
the label it asked for, and after a command for the broadcast of its label with the value it asked for.
The counts port pushes one line per counting period; it is connected when a count rate is first asked.
"""

import json
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import Field

from drivers.address import Address
from drivers.capabilities import ClickCounter, Identity, LatchSensor, Limits, NanowireBias, Settings
from drivers.detectors.latching import looks_latched
from drivers.errors import ConnectError, ProtocolError, RefusedError
from drivers.making_safe import insist
from drivers.transports.tcp import Peer, TcpLine, shown
from drivers.units import Amperes

log = logging.getLogger(__name__)
T = TypeVar("T")

COUNTS_PORT = 12345  # "Transport"
ETB = b"\x17"

MAX_BIAS_A = 90.9e-6
"""What the electronics can drive, "about +-90.9" uA ("Control")."""
SAME_UA = 0.05
"""Bias currents nearer than this are the same; our choice: the notes do not state the resolution."""


def number(value: object) -> float:
    """The number that a label's value is. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")
    return float(value)


def period(value: object) -> float:
    """The counting period in seconds that a label's value, in ms, is. Raises ValueError."""
    if number(value) <= 0:
        raise ValueError("not a period")
    return 1e-3 * number(value)


def numbers(value: object) -> list[float]:
    """The list of numbers that a label's value is, one per detector. Raises ValueError."""
    if not isinstance(value, list):
        raise ValueError("not a list")
    return [number(item) for item in value]


def switch(value: object) -> bool:
    """The switch that a label's value is. Raises ValueError."""
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def same_currents(some: list[float], others: list[float]) -> bool:
    return len(some) == len(others) and all(abs(a - b) <= SAME_UA for a, b in zip(some, others, strict=True))


class Dialogue:
    """One exchange on the control port. Raises RefusedError on a label with `Error` in its name, and
    ProtocolError on what is no message or has a value of the wrong kind."""

    def __init__(self, name: str, address: Address, command: str, peer: Peer) -> None:
        self._name, self._address, self._command, self._peer = name, str(address), command, peer
        for raw in peer.read_waiting(ETB):  # what was broadcast since the last exchange
            label, value = self._message(raw)
            if "Error" in label:
                log.warning("%s (%s): unasked, the unit says %s: %s", name, address, label, value)

    def send(self, **message: object) -> None:
        self._peer.send(json.dumps(message).encode())

    async def ask(self, label: str, read: Callable[[object], T]) -> T:
        self.send(request=label)
        return await self.hear(label, read)

    async def hear(
        self,
        label: str,
        read: Callable[[object], T],
        wanted: Callable[[T], bool] = lambda _: True,
        *,
        properties: bool = False,
    ) -> T:
        """The next value of `label` that is `wanted`; other messages are passed over.

        Answers to `labelProps` wrap each value into an object with its bounds and unit; only such are
        heard with `properties`, and never without.
        """
        while True:
            raw = await self._peer.read_until(ETB)
            told, value = self._message(raw)
            if "Error" in told:
                raise RefusedError(self._name, self._address, f"{self._command} was refused: {told}: {value}")
            if told != label or isinstance(value, dict) is not properties:
                continue
            try:
                result = read(value.get("value") if isinstance(value, dict) else value)
            except ValueError as error:
                raise self._garbled(raw, str(error)) from error
            if wanted(result):
                return result

    def _message(self, raw: bytes) -> tuple[str, Any]:
        try:
            message = json.loads(raw)
        except ValueError as error:
            raise self._garbled(raw, "not JSON") from error
        if not isinstance(message, dict) or not isinstance(message.get("label"), str):
            raise self._garbled(raw, "no label")
        return message["label"], message.get("value")

    def _garbled(self, raw: bytes, why: str) -> ProtocolError:
        return ProtocolError(
            self._name, self._address, f"{self._command} was answered by {shown(raw)}: {why}"
        )


class WebSqSettings(Settings):
    """How many channels the unit has, and how far its nanowires may be biased."""

    channels: int = Field(ge=1)
    max_bias: Amperes = Field(gt=0, le=MAX_BIAS_A)


class SingleQuantumWebSq(NanowireBias, ClickCounter, LatchSensor):
    """Address `tcp://HOST:12000`; `?counts=PORT` names another counts port than 12345."""

    model = "singlequantum_websq"
    manufacturer = "Single Quantum"
    schemes = ("tcp",)
    protocol = "singlequantum_websq.md, completeness 3"
    doubts = (
        "BiasVoltage is taken for the voltage across the wire; were it measured before the bias resistor, "
        "every wire would look latched.",
        "The resolution of bias currents is not stated: within 0.05 uA they count as the same.",
        "No label is known for serial number and firmware; both stay empty.",
    )
    settings_model = WebSqSettings
    settings: WebSqSettings

    def __init__(self, name: str, address: Address, settings: WebSqSettings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = TcpLine(name, address, deadline, talks=True)
        counts_port = int(address.options.get("counts", COUNTS_PORT))
        self._counts = TcpLine(name, address, deadline, port=counts_port, talks=True)
        self._newest_counts = (-math.inf, b"")  # when it came, and the line

    async def open(self) -> None:
        """Connect, and see that the unit has as many detectors as the settings say."""
        await self._line.open()
        detectors = await self._detectors()
        if detectors != self.settings.channels:
            await self.close()
            raise ConnectError(
                self.name, str(self.address),
                f"the unit has {detectors} detectors, the testbed file states {self.settings.channels}",
                "Correct the address or the number of channels in the testbed file",
            )  # fmt: skip

    async def close(self) -> None:
        await self._line.close()
        await self._counts.close()

    async def identity(self) -> Identity:
        """The notes know no label for serial number and firmware; they stay empty."""
        return Identity(self.manufacturer, f"WebSQ, {await self._detectors()} detectors", "", "")

    @property
    def channels(self) -> tuple[int, ...]:
        return tuple(range(1, self.settings.channels + 1))

    @property
    def bias_limits(self) -> Limits:
        return Limits(0.0, self.settings.max_bias, "A")

    async def set_bias(self, channel: int, current_a: float) -> None:
        """Set the bias current of one channel in amperes. Raises LimitError.

        The unit takes only whole lists, so the others' values are asked for and sent back to it.
        """
        index = self._index(channel)
        self.check_limit(f"bias of channel {channel}", current_a, self.bias_limits)

        async def set_one(unit: Dialogue) -> None:
            present = await unit.ask("BiasCurrent", self._per_channel)
            wanted = [*present[:index], round(current_a * 1e6, 6), *present[channel:]]
            await self._set_all(unit, present, wanted)

        await self._exchange(f"set bias of channel {channel}", set_one)

    async def bias(self, channel: int) -> float:
        index = self._index(channel)
        if not await self.is_enabled():
            return 0.0
        return 1e-6 * (await self._query("BiasCurrent", self._per_channel))[index]

    async def set_enabled(self, on: bool) -> None:
        await self._exchange(f"DetectorEnable {on}", lambda unit: self._enable(unit, on))

    async def is_enabled(self) -> bool:
        return await self._query("DetectorEnable", switch)

    async def count_rate(self, channel: int) -> float:
        """The count rate of one channel in 1/s over the last whole counting period.

        Waits for a line when none has come yet, or none within a period and the deadline.
        """
        index = self._index(channel)
        period_s = await self._query("InptMeasurementPeriod", period)
        patience = period_s + self.deadline
        async with self._counts.exchange("waiting for counts", patience) as peer:
            lines = peer.read_waiting(b"\n")
            if not lines and time.monotonic() - self._newest_counts[0] > patience:
                lines = [await peer.read_until(b"\n"), *peer.read_waiting(b"\n")]
            heard_at, newest = (peer.heard_at, lines[-1]) if lines else self._newest_counts
            counts = newest.split(b",")[1:]  # "Counts": <unix time>,<c1>,...,<cN>
            if len(counts) != self.settings.channels or not counts[index].isdigit():
                raise ProtocolError(self.name, str(self.address), f"the counts port sent {shown(newest)}")
            self._newest_counts = heard_at, newest
        return int(counts[index]) / period_s

    async def is_latched(self, channel: int) -> bool:
        index = self._index(channel)
        current_a = 1e-6 * (await self._query("BiasCurrent", self._per_channel))[index]
        voltage_v = (await self._query("BiasVoltage", self._per_channel))[index]
        return looks_latched(voltage_v, current_a)

    async def is_settled(self) -> bool:
        """Always True: a bias setter returns when the unit itself has told the new value."""
        return True

    async def make_safe(self) -> None:
        """Set every bias to zero, disconnect, and see that both are so. What refuses the first is still
        disconnected."""

        async def all_to_zero(unit: Dialogue) -> None:
            # However many there are, also when the settings state another number.
            present = await unit.ask("BiasCurrent", numbers)
            zeros = [0.0] * len(present)
            await self._set_all(unit, present, zeros)
            left = await unit.ask("BiasCurrent", numbers)
            if not same_currents(left, zeros):
                raise RefusedError(
                    self.name, str(self.address),
                    f"bias currents stay at {left} uA after they were set to zero",
                    "Switch the bias off at the unit",
                )  # fmt: skip

        async def darken() -> None:
            try:
                await self._exchange("set all biases to zero", all_to_zero)
            finally:
                await self.set_enabled(False)

        await insist(self, darken, was_open=self._line.is_open)

    async def _enable(self, unit: Dialogue, on: bool) -> None:
        present = await unit.ask("DetectorEnable", switch)
        unit.send(command="DetectorEnable", label="DetectorEnable", value=on)
        if present is not on:  # "on change": what stays as it was is not broadcast
            await unit.hear("DetectorEnable", switch, lambda told: told is on)

    async def _set_all(self, unit: Dialogue, present: list[float], wanted: list[float]) -> None:
        """Set all bias currents, in uA, and wait until the unit tells so. What does not change is not
        broadcast ("on change"), so there is nothing to wait for when it has these already."""
        unit.send(command="SetAllBiasCurrents", label="BiasCurrent", value=wanted)
        if not same_currents(present, wanted):
            await unit.hear("BiasCurrent", numbers, lambda told: same_currents(told, wanted))

    async def _detectors(self) -> int:
        """How many detectors the unit has, from `labelProps`, as the vendor's own clients learn it."""

        async def ask(unit: Dialogue) -> int:
            unit.send(request="labelProps", value="None")
            return round(await unit.hear("NumberOfDetectors", number, properties=True))

        return await self._exchange("labelProps", ask, retry=True)

    async def _query(self, label: str, read: Callable[[object], T]) -> T:
        return await self._exchange(label, lambda unit: unit.ask(label, read), retry=True)

    async def _exchange(
        self, command: str, dialogue: Callable[[Dialogue], Awaitable[T]], *, retry: bool = False
    ) -> T:
        return await self._line.converse(
            command, lambda peer: dialogue(Dialogue(self.name, self.address, command, peer)), retry=retry
        )

    def _per_channel(self, value: object) -> list[float]:
        per_channel = numbers(value)
        if len(per_channel) != self.settings.channels:
            raise ValueError(f"not one number for each of {self.settings.channels} channels")
        return per_channel

    def _index(self, channel: int) -> int:
        self.check_channel(channel)
        return channel - 1
