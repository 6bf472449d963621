"""A simulated SRS DG645 digital delay generator on a TCP socket.

`Generator` holds channels, levels and the trigger, and says what its outputs do to the gates they drive.
`COMMANDS` are the command list of srs_dg645.md of the protocol notes; "invented" marks what no source gives.

The ports take even trains of pulses: of a burst the first pulse alone reaches them, and of single shots
nothing. Nothing on the bench triggers the generator from outside, and the mains have 50 Hz.
"""

import math
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from zlib import crc32

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import GatePort, Ports
from sim_instruments.wire.faults import Faults
from sim_instruments.wire.tcp import Line, Lines, TcpServer

STEP_PS, LATEST_PS = 5, 2000 * 10**12
T0, T1, A = 0, 1, 2
CHANNELS = range(10)
OUTPUTS = range(5)  # T0, AB, CD, EF, GH
INTERNAL, SINGLE_SHOT, MAINS = 0, 5, 6
MAINS_HZ = 50.0
RATES_HZ = (1e-4, 1e7)  # remembered from the data sheet; invented as far as the notes go
MEMORIES = range(10)  # of *SAV; invented
ERRORS_KEPT = 20

ILLEGAL_VALUE, ILLEGAL_MODE, DELAY_NOT_ALLOWED, RECALL_FAILED = 10, 11, 12, 13
ILLEGAL_COMMAND, UNDEFINED, ILLEGAL_QUERY, ILLEGAL_SET = 110, 111, 112, 113
NULL_PARAMETER, EXTRA_PARAMETER, MISSING_PARAMETER = 114, 115, 116
TRIGGERED, RATE_ERROR = 1, 2  # bits of INSR?


class DgError(Exception):
    """What a command is refused with; `code` is what LERR? will say."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True)
class Settings:
    """What *SAV keeps, *RCL brings back, and the generator remembers without power. The values here are those
    of *RST; amplitudes, offsets and the rest of what the notes do not state are invented."""

    reference: tuple[int, ...] = (T0,) * len(CHANNELS)
    offset_ps: tuple[int, ...] = (0,) * len(CHANNELS)
    amplitude: tuple[float, ...] = (2.5,) * len(OUTPUTS)
    level_offset: tuple[float, ...] = (0.0,) * len(OUTPUTS)
    polarity: tuple[int, ...] = (1,) * len(OUTPUTS)
    level_step: tuple[float, ...] = (0.1,) * len(OUTPUTS)
    source: int = SINGLE_SHOT
    rate_hz: float = 1000.0
    threshold: float = 1.0
    holdoff_s: float = 0.0
    advanced: int = 0
    prescale: tuple[int, ...] = (1,) * len(OUTPUTS)
    inhibit: int = 0
    burst: int = 0
    burst_count: int = 5
    burst_delay_s: float = 0.0
    burst_period_s: float = 1e-5
    burst_t0: int = 0
    display: tuple[int, int] = (0, 0)
    interface: tuple[int, ...] = (1,) * 16


class Generator:
    """The instrument; `gates` are the ports of the outputs AB, CD, EF and GH, in this order."""

    def __init__(self, name: str, gates: tuple[GatePort, ...]) -> None:
        self.gates = gates
        self.serial = crc32(name.encode()) % 1_000_000
        self.now = Settings()
        self.memories: dict[int, Settings] = {}
        self.errors: deque[int] = deque(maxlen=ERRORS_KEPT)
        self.status = 0
        self.touch_gates()

    def become(self, **changes: object) -> None:
        """Take settings. Raises DgError when the delays would not be possible; then nothing changes."""
        values = {**self.now.__dict__, **changes}
        settings = Settings(**values)
        if any(not 0 <= self.time_ps(settings, channel) < LATEST_PS for channel in CHANNELS):
            raise DgError(DELAY_NOT_ALLOWED)
        self.now = settings
        self.touch_gates()

    def power_cycle(self) -> None:
        """It "recalls last settings", the trigger source among them."""
        self.errors.clear()
        self.status = 0

    @staticmethod
    def time_ps(settings: Settings, channel: int) -> int:
        """From T0 to a channel. Raises DgError for references that go round."""
        total, seen = 0, set[int]()
        while channel not in (T0, T1):
            if channel in seen:
                raise DgError(DELAY_NOT_ALLOWED)
            seen.add(channel)
            total += settings.offset_ps[channel]
            channel = settings.reference[channel]
        return total

    @property
    def trigger_hz(self) -> float:
        """Triggers per second, 0.0 when none come by themselves."""
        return {INTERNAL: self.now.rate_hz, MAINS: MAINS_HZ}.get(self.now.source, 0.0)

    def touch_gates(self) -> None:
        settings = self.now
        times = [self.time_ps(settings, channel) * 1e-12 for channel in CHANNELS]
        period = 1 / self.trigger_hz if self.trigger_hz else 0.0
        if period:
            # A trigger that comes before the cycle, or the hold-off, is over starts nothing.
            busy = max(max(times), settings.holdoff_s if settings.advanced else 0.0)
            if busy > period:
                self.status |= RATE_ERROR
                period *= math.ceil(busy / period - 1e-9)
            self.status |= TRIGGERED
        for output, gate in enumerate(self.gates, 1):
            first, second = times[2 * output], times[2 * output + 1]
            prescale = settings.prescale[0] * settings.prescale[output] if settings.advanced else 1
            gate.period_s, gate.delay_s = period * prescale, min(first, second)
            gate.width_s = abs(second - first)

    def set_delay(self, channel: int, reference: int, seconds: float) -> None:
        if channel not in CHANNELS[A:] or reference not in CHANNELS or reference in (T1, channel):
            raise DgError(ILLEGAL_VALUE)
        ps = STEP_PS * round(seconds * 1e12 / STEP_PS)
        if not -LATEST_PS < ps < LATEST_PS:
            raise DgError(ILLEGAL_VALUE)
        self.become(
            reference=replaced(self.now.reference, channel, reference),
            offset_ps=replaced(self.now.offset_ps, channel, ps),
        )

    def link(self, channel: int, reference: int) -> None:
        """Count a channel from another one by the same time as before."""
        if channel not in CHANNELS:
            raise DgError(ILLEGAL_VALUE)
        self.set_delay(channel, reference, self.now.offset_ps[channel] * 1e-12)

    def delay(self, channel: int) -> str:
        if channel not in CHANNELS:
            raise DgError(ILLEGAL_VALUE)
        return f"{self.now.reference[channel]},{seconds(self.now.offset_ps[channel] * 1e-12)}"

    def trigger(self) -> None:
        if self.now.source != SINGLE_SHOT:
            raise DgError(ILLEGAL_MODE)
        self.status |= TRIGGERED

    def save(self, memory: int) -> None:
        if memory not in MEMORIES:
            raise DgError(ILLEGAL_VALUE)
        self.memories[memory] = self.now

    def recall(self, memory: int) -> None:
        if memory not in self.memories:
            raise DgError(RECALL_FAILED)
        self.become(**self.memories[memory].__dict__)

    def take_status(self) -> str:
        """Reading clears it."""
        status, self.status = self.status, 0
        return str(status)

    def clear(self) -> None:
        self.errors.clear()
        self.status = 0


def replaced(values: tuple[object, ...], index: int, value: object) -> tuple[object, ...]:
    return (*values[:index], value, *values[index + 1 :])


def seconds(value: float) -> str:
    return f"{value:+.12f}"


@dataclass(frozen=True)
class Command:
    """What a name does: `tell` takes the numbers of a command, `ask` those of a query (`indices` of them)."""

    tell: Callable[..., None] | None = None
    numbers: int = 0
    ask: Callable[..., str] | None = None
    indices: int = 0


def setting(
    attribute: str,
    low: float,
    high: float,
    show: Callable[[float], str],
    kind: type[int] | type[float] = float,
) -> Command:
    """A setting that is one number."""

    def tell(generator: Generator, value: float) -> None:
        if not low <= value <= high or (kind is int and value != round(value)):
            raise DgError(ILLEGAL_VALUE)
        generator.become(**{attribute: kind(value)})

    return Command(tell, 1, lambda generator: show(getattr(generator.now, attribute)))


def one_of(
    attribute: str,
    low: float,
    high: float,
    show: Callable[[float], str],
    kind: type[int] | type[float] = float,
) -> Command:
    """A number of an output, or whatever is counted."""

    def tell(generator: Generator, index: float, value: float) -> None:
        values = getattr(generator.now, attribute)
        if index not in range(len(values)) or not low <= value <= high:
            raise DgError(ILLEGAL_VALUE)
        generator.become(**{attribute: replaced(values, int(index), kind(value))})

    def ask(generator: Generator, index: float) -> str:
        values = getattr(generator.now, attribute)
        if index not in range(len(values)):
            raise DgError(ILLEGAL_VALUE)
        return show(values[int(index)])

    return Command(tell, 2, ask, 1)


def show_display(generator: Generator, item: float, channel: float) -> None:
    if item not in range(16) or channel not in CHANNELS:
        raise DgError(ILLEGAL_VALUE)
    generator.become(display=(int(item), int(channel)))


def whole(value: float) -> str:
    return str(round(value))


def volts(value: float) -> str:
    return f"{value:+.2f}"


COMMANDS: dict[str, Command] = {
    "*IDN": Command(ask=lambda g: f"Stanford Research Systems,DG645,s/n{g.serial:06d},ver1.20.10E"),
    "*RST": Command(lambda g: g.become(**Settings().__dict__)),
    "*CLS": Command(Generator.clear),
    "*TRG": Command(Generator.trigger),
    "*OPC": Command(lambda _: None, ask=lambda _: "1"),
    "*ESR": Command(ask=lambda g: "16" if g.errors else "0"),
    "*WAI": Command(lambda _: None),
    "*SAV": Command(lambda g, n: g.save(int(n)), 1),
    "*RCL": Command(lambda g, n: g.recall(int(n)), 1),
    "LERR": Command(ask=lambda g: str(g.errors.popleft() if g.errors else 0)),
    "DLAY": Command(
        lambda g, c, r, t: g.set_delay(int(c), int(r), t), 3, lambda g, c: g.delay(int(c)), 1
    ),
    "LINK": Command(
        lambda g, c, r: g.link(int(c), int(r)), 2, lambda g, c: g.delay(int(c)).partition(",")[0], 1
    ),
    "LAMP": one_of("amplitude", 0.5, 5.0, volts),
    "LOFF": one_of("level_offset", -2.0, 2.0, volts),  # range invented
    "LPOL": one_of("polarity", 0, 1, whole, int),
    "LSTP": one_of("level_step", 0.01, 5.0, volts),  # form and range invented
    "TSRC": setting("source", 0, 6, whole, int),
    "TRAT": setting("rate_hz", *RATES_HZ, lambda hz: f"{hz:+.6f}"),
    "TLVL": setting("threshold", -3.5, 3.5, volts),  # range invented
    "HOLD": setting("holdoff_s", 0.0, 10.0, seconds),  # range invented
    "ADVT": setting("advanced", 0, 1, whole, int),
    "PRES": one_of("prescale", 1, 2**30 - 1, whole, int),  # range invented
    "INHB": setting("inhibit", 0, 4, whole, int),  # range invented; the inhibit input is never driven
    "BURM": setting("burst", 0, 1, whole, int),
    "BURC": setting("burst_count", 1, 2**32 - 1, whole, int),  # range invented
    "BURD": setting("burst_delay_s", 0.0, 1999.0, seconds),  # range invented
    "BURP": setting("burst_period_s", 1e-7, 42.9, seconds),  # range invented
    "BURT": setting("burst_t0", 0, 1, whole, int),
    "DISP": Command(show_display, 2, lambda g: "{},{}".format(*g.now.display)),
    "IFCF": one_of("interface", 0, 2**31 - 1, whole, int),  # meanings not in the notes
    "EMAC": Command(ask=lambda g: f"00:19:B3:{g.serial.to_bytes(3).hex(':').upper()}"),  # invented
    "INSR": Command(ask=Generator.take_status),
}  # fmt: skip
_COMMAND = re.compile(r"(\*?[A-Z]+)\s*(\??)\s*(.*)", re.ASCII | re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(E[+-]?\d{1,3})?", re.ASCII)


class Dialect:
    """One connection."""

    def __init__(self, line: Line, generator: Generator, faults: Faults) -> None:
        self.line, self.generator, self.faults, self.lines = line, generator, faults, Lines()

    def received(self, data: bytes) -> None:
        for message in self.lines.feed(data):
            for command in message.decode(errors="replace").upper().split(";"):
                if command.strip():
                    self.execute(command.strip())

    def execute(self, text: str) -> None:
        try:
            answer = self.answer(text)
        except DgError as error:
            if len(self.generator.errors) < ERRORS_KEPT:
                self.generator.errors.append(error.code)
        else:
            if answer is not None:
                self.line.send(f"{answer}\r\n".encode())

    def answer(self, text: str) -> str | None:
        """Raises DgError."""
        match = _COMMAND.fullmatch(text)
        if match is None:
            raise DgError(ILLEGAL_COMMAND)
        name, query, rest = match.groups()
        if name not in ("*IDN", "LERR", "*CLS") and self.faults.take_own_error():
            raise DgError(ILLEGAL_MODE)
        if name not in COMMANDS:
            raise DgError(UNDEFINED)
        command = COMMANDS[name]
        handler = command.ask if query else command.tell
        if handler is None:
            raise DgError(ILLEGAL_QUERY if query else ILLEGAL_SET)
        numbers = self.numbers(rest, command.indices if query else command.numbers)
        result = handler(self.generator, *numbers)
        return result if query else None

    @staticmethod
    def numbers(text: str, wanted: int) -> list[float]:
        """Raises DgError."""
        words = [word.strip() for word in text.split(",")] if text.strip() else []
        if len(words) != wanted:
            raise DgError(EXTRA_PARAMETER if len(words) > wanted else MISSING_PARAMETER)
        if "" in words:
            raise DgError(NULL_PARAMETER)
        if not all(_NUMBER.fullmatch(word) for word in words):
            raise DgError(ILLEGAL_VALUE)
        numbers = [float(word) for word in words]
        if not all(math.isfinite(number) for number in numbers):
            raise DgError(ILLEGAL_VALUE)
        return numbers


class SimSrsDg645(SimInstrument):
    """A DG645 whose outputs AB, CD, EF and GH drive `gates`, serving on a port of 127.0.0.1."""

    model = "srs_dg645"
    resumes = True  # "recalls last settings"

    def __init__(self, name: str, rng: np.random.Generator, gates: tuple[GatePort, ...]) -> None:
        super().__init__(name, rng)
        self.device = Generator(name, gates)
        self.server = TcpServer(self.faults, lambda line: Dialect(line, self.device, self.faults))

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        gates = tuple(GatePort() for _ in OUTPUTS[1:])
        for output, gate in enumerate(gates, 1):
            ports.gates[placed.name, output] = gate
        return cls(placed.name, rng, gates)

    async def start(self) -> str:
        """Returns `tcp://127.0.0.1:P`."""
        return f"tcp://127.0.0.1:{await self.server.start()}"

    async def stop(self) -> None:
        await self.server.stop()

    def advance(self, seconds: float) -> None:
        """Nothing in it takes time that the ports could see."""

    def power_cycle(self) -> None:
        self.device.power_cycle()
        self.server.hang_up()

    async def flush(self) -> None:
        await self.server.flush()
