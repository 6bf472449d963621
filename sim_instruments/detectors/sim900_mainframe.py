"""A simulated SRS SIM900 mainframe at a TCP port, as behind a terminal server: carries text to the modules in
its slots and keeps what they answer until somebody fetches it.

Commands are those of srs_sim900_sim928.md of the protocol notes; "invented" marks what no source gives. What
it does not understand it does not answer (invented). The answers of modules, for which the real ones need
about 100 ms, wait at once unless `answer_delay_s` says otherwise: nobody in a simulated run should wait for
them by the clock on the wall.
"""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import NanowirePort, Ports
from sim_instruments.wire.tcp import LONGEST_REQUEST, Line, TcpServer

IDENTITY = "Stanford_Research_Systems,SIM900,s/n152741,ver3.6"
BUFFER = 4096  # bytes kept of what a module says; invented
SLOTS = {**{str(n): n for n in range(1, 10)}, "A": 10}
TERMINATORS = {"D": b"\r\n", "LF": b"\n", "CR": b"\r", "CRLF": b"\r\n"}


class Module(ABC):
    """What is in a slot."""

    def __init__(self) -> None:
        self.say: Callable[[bytes], None] = lambda _: None
        """Set by the mainframe."""

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Take what the mainframe sends, any bytes cut anywhere; must not raise."""

    @abstractmethod
    def reset_interface(self) -> None:
        """A break on its line: input is forgotten, the interface is as after switching on."""

    @abstractmethod
    def switch_on(self) -> None:
        """As after power has come."""

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Let time pass."""

    @property
    def moving(self) -> bool:
        """Whether it changes a bias by itself."""
        return False


M = TypeVar("M", bound=Module)


def wires(placed: Placed, ports: Ports) -> dict[int, NanowirePort]:
    """A new wire for every slot of the settings, entered in `ports`."""
    fed = {int(slot): NanowirePort() for slot in placed.settings["slots"]}
    ports.nanowires.update({(placed.name, slot): wire for slot, wire in fed.items()})
    return fed


class SimMainframe(SimInstrument, Generic[M]):
    """A mainframe with modules of one kind."""

    def __init__(self, name: str, rng: np.random.Generator) -> None:
        super().__init__(name, rng)
        self.modules: dict[int, M] = {}
        self.waiting: dict[int, bytearray] = {}
        """What the modules have said and nobody has fetched."""
        self.terminator = TERMINATORS["D"]
        self.answer_delay_s = 0.0
        """Wall time from a question to a module until its answer waits."""
        self.linked: dict[int, Link] = {}
        """Slots that somebody has a transparent link to."""
        self.server = TcpServer(self.faults, lambda line: Link(line, self))
        self._late: list[asyncio.TimerHandle] = []

    def insert(self, slot: int, module: M) -> None:
        """Put a module into a slot."""
        self.modules[slot], self.waiting[slot] = module, bytearray()
        module.say = lambda data: self._said(slot, data)

    async def start(self) -> str:
        """Returns `tcp://127.0.0.1:PORT`."""
        return f"tcp://127.0.0.1:{await self.server.start()}"

    async def stop(self) -> None:
        self._drop_late()
        await self.server.stop()

    def advance(self, seconds: float) -> None:
        for module in self.modules.values():
            module.advance(seconds)

    def power_cycle(self) -> None:
        self._drop_late()
        self.linked.clear()
        self.terminator = TERMINATORS["D"]
        for slot, module in self.modules.items():
            self.waiting[slot].clear()
            module.switch_on()
        self.server.hang_up()

    @property
    def moving(self) -> bool:
        return any(module.moving for module in self.modules.values())

    def occupied(self) -> int:
        """Bit i for a module in slot i."""
        return sum(1 << slot for slot in self.modules)

    def _said(self, slot: int, data: bytes) -> None:
        if self.answer_delay_s > 0:
            loop = asyncio.get_running_loop()
            self._late.append(loop.call_later(self.answer_delay_s, self._keep, slot, data))
        else:
            self._keep(slot, data)

    def _keep(self, slot: int, data: bytes) -> None:
        link = self.linked.get(slot)
        if link is not None and link in self.server.dialects:  # and not gone without saying so
            link.line.send(data)
        else:
            self.waiting[slot] += data[: BUFFER - len(self.waiting[slot])]

    def _drop_late(self) -> None:
        for timer in self._late:
            timer.cancel()
        self._late.clear()


class Link:
    """One connection to the mainframe."""

    def __init__(self, line: Line, mainframe: SimMainframe[M]) -> None:
        self.line, self.mainframe = line, mainframe
        self._rest = b""
        self._through: tuple[int, bytes] | None = None  # a transparent link: slot, and what ends it

    def received(self, data: bytes) -> None:
        self._rest += data
        while self._rest:
            if self._through is not None:
                if not self._pass_on(*self._through):
                    return
                continue
            line, *after = re.split(rb"[\r\n]", self._rest, maxsplit=1)
            if not after:
                self._rest = self._rest[:LONGEST_REQUEST]
                return
            self._rest = after[0]
            self._obey(line.decode("latin-1").strip())

    def _pass_on(self, slot: int, escape: bytes) -> bool:
        """Hand to the module what is before the escape string; returns whether that has come."""
        before, found, after = self._rest.partition(escape)
        held = 0
        if not found:  # its beginning may be there
            held = next((n for n in range(len(escape) - 1, 0, -1) if before.endswith(escape[:n])), 0)
        module = self.mainframe.modules.get(slot)
        if module is not None:
            module.received(before[: len(before) - held])
        self._rest = after if found else before[len(before) - held :]
        if found:
            self._through = None
            self.mainframe.linked.pop(slot, None)
        return bool(found)

    def _obey(self, command: str) -> None:
        for pattern, handler in COMMANDS.items():
            if match := re.fullmatch(pattern, command, re.ASCII | re.IGNORECASE):
                answer = handler(self, *match.groups())
                if answer is not None:
                    self.line.send(answer)
                return

    # One method per command.

    def send(self, slot: str, text: str) -> None:
        module = self._module(slot)
        if module is not None:  # a message to an empty slot vanishes
            module.received(text.encode("latin-1"))

    def send_terminated(self, slot: str, text: str) -> None:
        self.send(slot, text + self.mainframe.terminator.decode())

    def input_bytes(self, slot: str) -> bytes:
        return answer(str(len(self._waiting(slot))))

    def get(self, slot: str, most: str) -> bytes:
        data = self._take(slot, min(int(most), 999))
        return b"#3%03d" % len(data) + data + b"\r\n"

    def get_raw(self, slot: str, count: str) -> bytes:
        """Fewer where fewer wait (invented)."""
        return self._take(slot, int(count))

    def flush(self, slot: str | None) -> None:
        for number, waiting in self.mainframe.waiting.items():
            if slot is None or number == SLOTS[slot.upper()]:
                waiting.clear()

    def reset(self, slot: str | None) -> None:
        for number, module in self.mainframe.modules.items():
            if slot is None or number == SLOTS[slot.upper()]:
                module.reset_interface()

    def terminate(self, terminator: str) -> None:
        self.mainframe.terminator = TERMINATORS[terminator.upper()]

    def connect(self, slot: str, escape: str) -> None:
        number = SLOTS[slot.upper()]
        self._through = number, escape.encode("latin-1")
        self.mainframe.linked[number] = self

    def _module(self, slot: str) -> Module | None:
        return self.mainframe.modules.get(SLOTS[slot.upper()])

    def _waiting(self, slot: str) -> bytearray:
        return self.mainframe.waiting.get(SLOTS[slot.upper()], bytearray())

    def _take(self, slot: str, most: int) -> bytes:
        waiting = self._waiting(slot)
        data = bytes(waiting[:most])
        del waiting[:most]
        return data


def answer(text: str) -> bytes:
    return text.encode() + b"\r\n"


SLOT = r"\s+([1-9A])"
COUNT = r"\s*,\s*(\d{1,9})"
TEXT = r"""\s*,\s*["'](.*)["']"""
COMMANDS: dict[str, Callable[..., bytes | None]] = {
    r"\*IDN\?": lambda _: answer(IDENTITY),
    rf"SNDT{SLOT}{TEXT}": Link.send_terminated,
    rf"SEND{SLOT}{TEXT}": Link.send,
    rf"NINP\?{SLOT}": Link.input_bytes,
    rf"NOUT\?{SLOT}": lambda *_: answer("0"),  # a module takes everything at once
    rf"GETN\?{SLOT}{COUNT}": Link.get,
    rf"RAWN\?{SLOT}{COUNT}": Link.get_raw,
    r"CTCR\?": lambda link: answer(str(link.mainframe.occupied())),
    rf"FLSH(?:{SLOT})?": Link.flush,
    r"\*DCL": lambda _: None,  # its own input, of which nothing waits
    rf"SRST(?:{SLOT})?": Link.reset,
    r"TERM\s+(D|LF|CR|CRLF)": Link.terminate,
    r"""CONN\s+([1-9A])\s*,\s*["'](.+)["']""": Link.connect,
}
