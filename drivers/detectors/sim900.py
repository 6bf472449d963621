"""SRS SIM900 mainframe: questions and commands to the modules in its slots, over RS-232 or TCP.

Written from the protocol notes (`srs_sim900_sim928.md`, "Mainframe"). A module answers into a buffer of the
mainframe, from which the answer is fetched, and the buffer outlives every connection. So a question that
ended without its answer leaves that slot *out of step*: the next one to it is preceded by a question of the
module's own whose answer can be known, and everything before that answer is old. A slot counts as out of step
when a line is first opened, since somebody else may have asked before.

What holds: an answer is the answer to its question; there is one conversation with a module at a time, and
each ends soon after the deadline. The mainframe itself is asked `*IDN?` to bring its own line in step.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Protocol

from drivers.address import Address
from drivers.capabilities import Identity
from drivers.errors import DeadlineError, LineError, ProtocolError
from drivers.transports.serial import Decoder, Probe
from drivers.transports.serial_frames import SerialFrameLine
from drivers.transports.tcp_frames import TcpFrameLine

BAUD = 9600
SLOTS = range(1, 9)
"""Ports 9 and A of the mainframe are for modules outside it."""
LONGEST = 128
"""Bytes that are fetched at a time, as many as other clients fetch."""
POLL_S = 0.02
"""How often to look whether the module has answered, which takes it about 100 ms; our choice."""
MAX_LINE = 4096
"""Bytes without an end after which the beginning is dropped."""
IDENTITY = r"[^,]+(,[^,]*){3}"

Frame = str | bytes
"""What the mainframe says: a line of its own without its end, or the data of a module."""


class MainframeFrames:
    """Cuts what the mainframe sends into lines and blocks `#` + n + n digits + data + line end. Of a block
    the digits state the length of the data, which may have line ends in them."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> Sequence[Frame]:
        self._pending = (self._pending + data)[-MAX_LINE:]
        frames: list[Frame] = []
        while (found := self._first()) is not None:
            frame, size = found
            self._pending = self._pending[size:]
            if frame is not None:
                frames.append(frame)
        return frames

    def reset(self) -> None:
        self._pending = b""

    def _first(self) -> tuple[Frame | None, int] | None:
        """The first frame (None: an empty line) and its size, when it is whole."""
        pending = self._pending
        if re.match(rb"#([1-9]\d{0,8})?\Z", pending) or pending == b"":
            return None  # a header that has begun
        if re.match(rb"#[1-9]", pending):
            digits = pending[2 : 2 + pending[1] - ord("0")]
            if digits.isdigit() and len(digits) == pending[1] - ord("0"):
                begin = 2 + len(digits)
                end = begin + int(digits)
                tail = pending[end : end + 2]
                if tail == b"\r\n":
                    return pending[begin:end], end + 2
                if b"\r\n".startswith(tail) and int(digits) <= LONGEST:
                    return None
        line, end_of_line, _ = pending.partition(b"\n")
        if not end_of_line:
            return None
        return line.strip(b"\r").decode("latin-1") or None, len(line) + 1


class FrameLine(Protocol):
    """What `SerialFrameLine` and `TcpFrameLine` have in common."""

    @property
    def is_open(self) -> bool: ...
    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def send(self, data: bytes, command: str) -> None: ...
    async def ask(
        self, request: bytes, matches: "Matches", command: str, *, retry: bool = False
    ) -> Frame: ...


class Matches(Protocol):
    def __call__(self, frame: Frame, /) -> bool: ...


def is_line(form: str) -> Matches:
    """Whether a frame is a line of this form (a regular expression)."""
    return lambda frame: isinstance(frame, str) and re.fullmatch(form, frame, re.ASCII) is not None


def is_block(frame: Frame, /) -> bool:
    """Whether a frame is the data of a module."""
    return isinstance(frame, bytes)


def frame_line(name: str, address: Address, deadline: float) -> FrameLine:
    """The line that the scheme of the address asks for, `tcp` or `serial`."""
    probe = Probe[Frame](b"*IDN?\n", is_line(IDENTITY))
    decoder: type[Decoder[Frame]] = MainframeFrames
    if address.scheme == "serial":
        return SerialFrameLine(name, address, BAUD, deadline, decoder=decoder, probe=probe)
    return TcpFrameLine(name, address, deadline, decoder=decoder, probe=probe)


class Sim900:
    """The mainframe at `address`, for the instrument called `name`. `probe` is a question to a module, and a
    regular expression that its answer matches and no other answer does."""

    def __init__(self, name: str, address: Address, deadline: float, *, probe: tuple[str, str]) -> None:
        self.name, self.address, self.deadline, self._probe = name, str(address), deadline, probe
        self._line = frame_line(name, address, deadline)
        self._turn = asyncio.Lock()
        self._in_step: set[int] = set()
        self._closed = False

    @property
    def is_open(self) -> bool:
        return self._line.is_open

    async def open(self) -> None:
        """Open the line, unless open. Raises ConnectError."""
        await self._line.open()

    async def close(self) -> None:
        """Close the line. Never raises; may be called twice."""
        self._closed = True
        self._in_step.clear()
        await self._line.close()

    async def identity(self) -> Identity:
        """Who the mainframe says it is."""
        answer = await self._own("*IDN?", IDENTITY)
        return Identity(*(field.strip() for field in answer.split(",")))

    async def occupied(self) -> tuple[int, ...]:
        """The slots in which a module is connected."""
        bits = int(await self._own("CTCR?", r"\d{1,5}"))
        return tuple(slot for slot in SLOTS if bits >> slot & 1)

    async def tell(self, slot: int, command: str) -> None:
        """Send a command to a module. Nothing says whether it was taken, or whether anybody is there."""
        await self._line.send(f'SNDT {slot},"{command}"\n'.encode(), f"{command!r} to slot {slot}")

    async def ask(self, slot: int, question: str, form: str) -> str:
        """The answer of a module to a question that changes nothing, if the regular expression `form`
        matches it; asked once more over a new line when the line breaks.

        Raises ConnectError, DeadlineError, LineError, ProtocolError.
        """
        self._closed = False
        try:
            return await self._in_turn(slot, question, form)
        except LineError:
            if self._closed:
                raise
        return await self._in_turn(slot, question, form)

    async def _own(self, question: str, form: str) -> str:
        """The mainframe's own answer."""
        frame = await self._line.ask(f"{question}\n".encode(), is_line(form), question, retry=True)
        assert isinstance(frame, str)
        return frame

    async def _in_turn(self, slot: int, question: str, form: str) -> str:
        async with self._turn:
            if slot not in self._in_step:
                await self._converse(slot, *self._probe, passing=".*")
            self._in_step.discard(slot)
            # An answer to a probe that was given up may still come.
            answer = await self._converse(slot, question, form, passing=self._probe[1])
            self._in_step.add(slot)
            return answer

    async def _converse(self, slot: int, question: str, form: str, *, passing: str) -> str:
        """Ask, and fetch until an answer of this form has come; lines that match `passing` are none."""
        command = f"{question!r} to slot {slot}"
        end = time.monotonic() + self.deadline
        await self.tell(slot, question)
        heard = rest = b""
        while True:
            block = await self._line.ask(f"GETN? {slot},{LONGEST}\n".encode(), is_block, command)
            assert isinstance(block, bytes)
            heard += block
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                text = line.decode("latin-1").strip()
                if re.fullmatch(form, text, re.ASCII):
                    return text
                if text and not re.fullmatch(passing, text):
                    await self._line.close()  # nobody knows what comes next
                    raise ProtocolError(self.name, self.address, f"{command} was answered by {text!r}")
            if time.monotonic() > end:
                raise DeadlineError(
                    self.name, self.address,
                    f"{command} was not answered within {self.deadline:g} s; "
                    f"what came: {heard[-200:]!r}" if heard else
                    f"{command} was not answered within {self.deadline:g} s, nothing came back",
                    "See that the module in this slot is the one of the testbed file",
                )  # fmt: skip
            await asyncio.sleep(POLL_S)
