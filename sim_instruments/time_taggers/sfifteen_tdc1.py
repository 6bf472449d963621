"""Simulated S-Fifteen TDC1 counter and time tagger on a serial line: text, and the stream of a recording.

Source: sfifteen_tdc1.md; what it does with clicks is in `tdc1_model`. Invented, since the note is silent: all
texts but the name in the answer to `*IDN?`, the levels that NIM and TTL stand for, what `SAVE` keeps (all
settings, over a power-cycle), that the time of a recording counts from its start, that commands other than
`ABORT` are carried out while it counts or records, and that a line which nobody reads loses tags.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import Ports, TaggerInput, TaggerPort, Tags
from sim_instruments.time_taggers.tdc1_model import INPUTS, PAIRS, Count, Stream, Words
from sim_instruments.wire.pty import SerialLine
from sim_instruments.wire.text_lines import TextLines

IDENTITY = "TDC1 counter and timestamp unit, simulated"
UNKNOWN = "unknown command"
OUT_OF_RANGE = "argument out of range"
HELP = (
    "Commands: *IDN? *RST TIME SINGLES PAIRS TIMESTAMP COUNTS? ABORT",
    "NIM TTL NEG POS REFCLK INPKT SAVE",
)
NIM_V, TTL_V, LEVEL_MAX_V = -0.5, 1.0, 3.3
SINGLES, PAIR_COUNTS, TIMESTAMP = 0, 1, 3
MILLISECOND_PS = 10**9
CHUNK_WORDS = 8192
"""Words sent at a time: less than the line keeps for a slow reader."""
PATIENCE_S = 30.0
"""Wall time after which a client that does not read loses tags, and is not waited for until it reads."""


@dataclass(frozen=True)
class State:
    """What commands set."""

    mode: int = SINGLES
    time_ms: int = 1000
    level_v: float = NIM_V
    clock: int = 0
    packets: bool = False


class Commands(TextLines):
    """Cuts at `;` as well as at line ends."""

    _ENDS = re.compile(rb"[;\r\n]+")


class SimSFifteenTdc1(SimInstrument):
    """Four inputs with one threshold. The world computes clicks while it counts or records."""

    model: ClassVar[str] = "sfifteen_tdc1"

    def __init__(
        self, name: str, rng: np.random.Generator, port: TaggerPort, *, start_latency_s: float
    ) -> None:
        super().__init__(name, rng)
        self.port = port
        self.start_latency_s = start_latency_s
        self.saved = self.state = State()
        self.count: Count | None = None
        self.stream: Stream | None = None
        self._until_ps = 0
        self._counted_s, self._clock_before_ps = 0.0, -1
        self._nobody_reads = False
        self._commands = Commands()
        self._line = SerialLine(self.faults, self._received)
        self._set(self.state)

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.taggers[placed.name] = TaggerPort({n: TaggerInput() for n in INPUTS})
        return cls(placed.name, rng, port, start_latency_s=placed.settings.get("start_latency", 0.0))

    async def start(self) -> str:
        """Returns `serial:PATH`."""
        return f"serial:{self._line.open()}"

    async def stop(self) -> None:
        self._line.close()

    def advance(self, seconds: float) -> None:
        """It lives by the clock of its port. On a bench whose light field does not know it, that clock
        stands; then a count ends by the bench's time, and is zero."""
        stands, self._clock_before_ps = self.port.clock_ps == self._clock_before_ps, self.port.clock_ps
        if self.count is not None and stands:
            self._counted_s += seconds
            if self._counted_s * 1e3 >= self.state.time_ms:
                self._tell_count(self.count)

    def power_cycle(self) -> None:
        """The state that was last saved; whatever ran is gone."""
        self.count = self.stream = None
        self._set(self.saved)
        self._commands = Commands()
        self._line.hang_up()

    async def take(self, tags: Tags, until_ps: int) -> None:
        self._until_ps = until_ps
        if self.count is not None:
            self.count.take(tags, until_ps)
            if self.count.is_over:
                self._tell_count(self.count)
        if self.stream is not None:
            await self._send_words(self.stream, self.stream.words(tags, until_ps))

    async def _send_words(self, stream: Stream, words: Words) -> None:
        for begin in range(0, len(words), CHUNK_WORDS):
            if self._nobody_reads and not await self._line.drain(0.0):
                break
            self._line.send(words[begin : begin + CHUNK_WORDS].astype("<u4").tobytes())
            self._nobody_reads = not await self._line.drain(PATIENCE_S)
            if self.stream is not stream:
                return
        if stream.is_over:
            self._end()

    def _tell_count(self, count: Count) -> None:
        self._line.send(f"{count.text}\r\n".encode())
        self._end()

    def _end(self) -> None:
        """Nothing is counted or recorded any more."""
        self.count = self.stream = None
        self.port.recording = False

    def _set(self, state: State) -> None:
        """Take over a state, and what of it the world sees."""
        self.state = state
        for entry in self.port.inputs.values():
            entry.threshold_v = state.level_v
        self.port.recording = self.count is not None or self.stream is not None

    def _received(self, data: bytes) -> None:
        for command in self._commands.feed(data):
            for line in self.answer(command.decode(errors="replace")):
                self._line.send(f"{line}\r\n".encode())

    def answer(self, command: str) -> tuple[str, ...]:
        """The lines that answer a command at once: of most there are none."""
        match = re.fullmatch(r"(\*?[A-Z]{1,16}\??)(?:\s+(\S+))?", command.strip().upper(), re.ASCII)
        if match is None:
            return (UNKNOWN,) if command.strip() else ()
        name, argument = match.groups()
        if name != "*IDN?" and self.faults.take_own_error():
            return (UNKNOWN,)
        if name in QUERIES and argument is None:
            return QUERIES[name](self)
        if name in ACTIONS and argument is None:
            ACTIONS[name](self)
            return ()
        if name in SETTINGS and argument is not None:
            try:
                self._set(SETTINGS[name](self.state, float(argument)))
            except ValueError:
                return (OUT_OF_RANGE,)
            return ()
        return (UNKNOWN,)

    # What the commands do.

    def begin(self) -> tuple[str, ...]:
        """COUNTS?: count or record, whatever ran before."""
        now_ps = max(self.port.clock_ps, self._until_ps)
        self.count = self.stream = None
        length_ps = self.state.time_ms * MILLISECOND_PS
        if self.state.mode == TIMESTAMP:
            latency_ps = round(self.rng.uniform(0.0, self.start_latency_s) * 1e12)
            self.stream = Stream(now_ps + latency_ps, length_ps or None)
        elif length_ps:
            self.count = Count(length_ps, PAIRS if self.state.mode == PAIR_COUNTS else ())
            self._counted_s = 0.0
        else:
            return (OUT_OF_RANGE,)
        self.port.recording = True
        return ()

    def abort(self) -> None:
        self._end()

    def reset(self) -> None:
        self._end()
        self._set(State())

    def change(self, **what: int | float | bool) -> None:
        self._set(replace(self.state, **what))  # type: ignore[arg-type]

    def save(self) -> tuple[str, ...]:
        self.saved = self.state
        return ("saved",)

    @property
    def signed_time(self) -> int:
        """The firmware answers a number of 16 bits as a signed one."""
        time = self.state.time_ms
        return time - (1 << 16) if time >= 1 << 15 else time


def whole(value: float, low: int, high: int) -> int:
    """A whole number within closed limits. Raises ValueError."""
    if not (low <= value <= high and value == int(value)):
        raise ValueError(f"{value} is not a whole number from {low} to {high}")
    return int(value)


def level(value: float, low: float, high: float) -> float:
    """A level within closed limits. Raises ValueError."""
    if not low <= value <= high:
        raise ValueError(f"{value} V is not from {low} V to {high} V")
    return value


QUERIES: dict[str, Callable[[SimSFifteenTdc1], tuple[str, ...]]] = {
    "*IDN?": lambda _: (IDENTITY,),
    "TIME?": lambda tdc: (str(tdc.signed_time),),
    "MODE?": lambda tdc: (str(tdc.state.mode),),
    "LEVEL?": lambda tdc: (f"{tdc.state.level_v:.3f} volt",),
    "REFCLK?": lambda tdc: (str(tdc.state.clock),),
    "ECLOCK?": lambda tdc: (str(int(tdc.port.clock_locked)),),
    "COUNTS?": SimSFifteenTdc1.begin,
    "HELP": lambda _: HELP,
    "SAVE": SimSFifteenTdc1.save,
}
ACTIONS: dict[str, Callable[[SimSFifteenTdc1], None]] = {
    "*RST": SimSFifteenTdc1.reset,
    "SINGLES": lambda tdc: tdc.change(mode=SINGLES),
    "PAIRS": lambda tdc: tdc.change(mode=PAIR_COUNTS),
    "TIMESTAMP": lambda tdc: tdc.change(mode=TIMESTAMP),
    "ABORT": SimSFifteenTdc1.abort,
    "NIM": lambda tdc: tdc.change(level_v=NIM_V),
    "TTL": lambda tdc: tdc.change(level_v=TTL_V),
    "INPKT": lambda tdc: tdc.change(packets=True),
}
SETTINGS: dict[str, Callable[[State, float], State]] = {
    "TIME": lambda state, value: replace(state, time_ms=whole(value, 0, 65535)),
    "NEG": lambda state, value: replace(state, level_v=level(value, -LEVEL_MAX_V, 0.0)),
    "POS": lambda state, value: replace(state, level_v=level(value, 0.0, LEVEL_MAX_V)),
    "REFCLK": lambda state, value: replace(state, clock=whole(value, 0, 2)),
}
