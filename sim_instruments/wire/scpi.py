"""SCPI as simulated instruments speak it: a tree of headers, an error queue, and the dialect between them.

An instrument states its tree as a table of `Command`s (its model's class is the type parameter) and hands
it to a `Scpi` for each connection. What holds for all: headers in short and long form and any case; `;`
joins commands, and the next header goes on from the node of the last one unless it begins with `:`; a new
line begins at the root; the answers of a message come as one line, joined by `;`. Whatever is wrong goes to
the error queue and has no effect. Source: SCPI-99, volume 1 chapters 5 to 7 and volume 2 chapter 21.8.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sim_instruments.wire.faults import Faults
from sim_instruments.wire.tcp import Line, Lines

D = TypeVar("D")
Bounds = tuple[float, float]

SYNTAX, DATA_TYPE, NOT_ALLOWED, MISSING, UNDEFINED = -102, -104, -108, -109, -113
EXECUTION, CONFLICT, OUT_OF_RANGE, OVERFLOW = -200, -221, -222, -350
TEXTS: Mapping[int, str] = {
    SYNTAX: "Syntax error",
    -103: "Invalid separator",
    DATA_TYPE: "Data type error",
    NOT_ALLOWED: "Parameter not allowed",
    MISSING: "Missing parameter",
    UNDEFINED: "Undefined header",
    -148: "Character data not allowed",
    EXECUTION: "Execution error",
    CONFLICT: "Settings conflict",
    OUT_OF_RANGE: "Data out of range",
    OVERFLOW: "Queue overflow",
    -410: "Query INTERRUPTED",
}


class ScpiError(Exception):
    """What a command is refused with; `code` is its number in the error queue."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"{code} {TEXTS[code]}")


class ErrorQueue:
    """First in, first out; when it is full the last entry becomes `overflow`."""

    def __init__(self, size: int, *, empty: str = '+0,"No error"', overflow: str = TEXTS[OVERFLOW]) -> None:
        self.size, self.empty, self.overflow = size, empty, overflow
        self.entries = deque[str]()
        self.event_status = 0
        """Bits 2 to 5 of the event status register: query, device, execution and command errors."""

    def add(self, code: int) -> None:
        self.event_status |= {1: 32, 2: 16, 3: 8, 4: 4}.get(-code // 100, 8)
        if len(self.entries) >= self.size:
            self.entries[-1] = f'{OVERFLOW},"{self.overflow}"'
        else:
            self.entries.append(f'{code},"{TEXTS[code]}"')

    def take(self) -> str:
        """The oldest entry, which leaves the queue; `empty` when there is none."""
        return self.entries.popleft() if self.entries else self.empty

    def clear(self) -> None:
        self.entries.clear()
        self.event_status = 0


@dataclass(frozen=True)
class Command(Generic[D]):
    """One header of the tree. `read` answers its query, or `look` one that has an argument; of those that
    change something there is one: `write` takes a number inside `bounds`, `choose` one of `choices`, `take`
    any text (arguments come in capitals), `act` no argument.

    `show` writes the ends of `bounds` when they are asked for by `? MIN` and `? MAX`; `unit` may follow a
    number, with a multiplier (`150mA`, `150m`); `default` is what `DEF` stands for, where it is known.
    The handlers of an instrument may raise ScpiError.
    """

    read: Callable[[D], str] | None = None
    write: Callable[[D, float], object] | None = None
    choose: Callable[[D, str], object] | None = None
    take: Callable[[D, str], object] | None = None
    act: Callable[[D], object] | None = None
    look: Callable[[D, str], str] | None = None
    bounds: Callable[[D], Bounds] = lambda _: (0.0, 0.0)
    choices: tuple[str, ...] = ()
    show: Callable[[D, float], str] = lambda _, value: f"{value:.8E}"
    unit: str = ""
    default: float | None = None


_NUMBER = re.compile(
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:E[+-]?\d{1,3})?)\s*(?P<suffix>[A-Z]*)|"
    r"#H(?P<hex>[0-9A-F]{1,8})|#Q(?P<octal>[0-7]{1,11})|#B(?P<binary>[01]{1,32})",
    re.ASCII,
)
_MULTIPLIERS = {"": 1.0, "N": 1e-9, "U": 1e-6, "M": 1e-3, "K": 1e3, "MA": 1e6, "G": 1e9, "T": 1e12}


def number(argument: str, unit: str = "") -> float:
    """A numeric argument in capitals, perhaps with a suffix. Raises ScpiError.

    Milliamperes and megaamperes: `MA` is 1e-3 A where the unit is A, as SCPI-99, volume 1, 7.1 has it.
    """
    match = _NUMBER.fullmatch(argument)
    if match is None:
        raise ScpiError(DATA_TYPE)
    for kind, base in (("hex", 16), ("octal", 8), ("binary", 2)):
        if match[kind] is not None:
            return float(int(match[kind], base))
    suffix = match["suffix"]
    if suffix and not unit:
        raise ScpiError(DATA_TYPE)
    if unit and suffix.endswith(unit):
        suffix = suffix.removesuffix(unit)
    if unit == "HZ" and suffix == "M":
        suffix = "MA"
    if suffix not in _MULTIPLIERS:
        raise ScpiError(DATA_TYPE)
    return float(match["number"]) * _MULTIPLIERS[suffix]


def header(tree: str) -> re.Pattern[str]:
    """The pattern that both the short and the long form of a header match, in any case. Capitals are the
    short form, brackets what may be left out: `OUTPut[1][:STATe]`."""
    words = re.sub(r"([A-Z]+)([a-z]+)", lambda m: f"{m[1]}(?:{m[2]})?", tree.replace("[", "(?:"))
    return re.compile(words.replace("]", ")?").replace("*", r"\*"), re.IGNORECASE)


class Tree(Generic[D]):
    """The headers of one kind of instrument, to be made once. `*IDN`, `*CLS` and `SYSTem:ERRor[:NEXT]` are
    known by their place in the protocol; the first stands in `commands`, the others in `Scpi`."""

    def __init__(self, commands: Mapping[str, Command[D]]) -> None:
        self.commands = commands
        self._headers = [(header(tree), command) for tree, command in commands.items()]

    def find(self, words: str) -> Command[D] | None:
        """The command of a header that is counted from the root, without the colon before it."""
        return next((c for pattern, c in self._headers if pattern.fullmatch(words)), None)


IDENTITY, CLEAR, NEXT_ERROR = header("*IDN"), header("*CLS"), header("SYSTem:ERRor[:NEXT]")


class Scpi(Generic[D]):
    """One connection to the instrument `device`. `lines` cuts what arrives into messages, `ending` ends an
    answer, `after` is called when a message has been dealt with. While the device is `busy` its answer is
    held back, and messages wait (`go_on`). The error queue may be shared by all connections. A character of
    an answer is a byte (a block of binary data is its Latin-1 text)."""

    def __init__(
        self,
        line: Line,
        tree: Tree[D],
        device: D,
        errors: ErrorQueue,
        faults: Faults,
        *,
        lines: Lines | None = None,
        ending: bytes = b"\n",
        after: Callable[[D], object] = lambda _: None,
        busy: Callable[[D], bool] = lambda _: False,
    ) -> None:
        self.line, self.tree, self.device, self.errors, self.faults = line, tree, device, errors, faults
        self.lines, self.ending, self.after, self.busy = lines or Lines(), ending, after, busy
        self.path = ""
        self._waiting = deque[bytes]()
        self._held = b""

    def received(self, data: bytes) -> None:
        self._waiting += self.lines.feed(data)
        self.go_on()

    def go_on(self) -> None:
        """Answer what waits, until the device is busy; to be called also when it may be so no longer."""
        while not self.busy(self.device):
            if self._held:
                self.line.send(self._held)
                self._held = b""
            elif self._waiting:
                self._held = self._answer(self._waiting.popleft())
            else:
                break

    def _answer(self, message: bytes) -> bytes:
        self.path = ""
        answers = [self.execute(unit.strip()) for unit in message.decode(errors="replace").split(";")]
        self.after(self.device)
        given = [answer for answer in answers if answer is not None]
        return ";".join(given).encode("latin-1", "replace") + self.ending if given else b""

    def execute(self, unit: str) -> str | None:
        """One command or query; what is wrong with it goes to the error queue."""
        words, _, argument = unit.partition(" ")
        words, query, excess = words.partition("?")
        argument = argument.strip().upper()
        try:
            if not words and not query:
                return None
            if excess:
                raise ScpiError(UNDEFINED)
            words = self.rooted(words)
            if CLEAR.fullmatch(words) and not query:
                self.errors.clear()
                return None
            if NEXT_ERROR.fullmatch(words) and query:
                return self.errors.take()
            if not IDENTITY.fullmatch(words) and self.faults.take_own_error():
                raise ScpiError(EXECUTION)
            command = self.tree.find(words)
            if command is None:
                raise ScpiError(UNDEFINED)
            if query:
                return self.ask(command, argument)
            self.tell(command, argument)
        except ScpiError as error:
            self.errors.add(error.code)
        return None

    def rooted(self, words: str) -> str:
        """The header counted from the root; the path of the next one is set to its node. A common command
        (`*OPC`) has no node and leaves the path as it is."""
        if words.startswith("*"):
            return words
        words = words[1:] if words.startswith(":") else self.path + words
        self.path = words[: words.rfind(":") + 1]
        return words

    def ask(self, command: Command[D], argument: str) -> str:
        """Raises ScpiError."""
        if command.look is not None:
            if not argument:
                raise ScpiError(MISSING)
            return command.look(self.device, argument)
        if command.read is None:
            raise ScpiError(UNDEFINED)
        if not argument:
            return command.read(self.device)
        if command.write is None:
            raise ScpiError(NOT_ALLOWED)
        return command.show(self.device, self.named(command, argument, NOT_ALLOWED))

    def tell(self, command: Command[D], argument: str) -> None:
        """Raises ScpiError."""
        if command.act is not None:
            if argument:
                raise ScpiError(NOT_ALLOWED)
            command.act(self.device)
        elif command.choose is not None or command.write is not None or command.take is not None:
            if not argument:
                raise ScpiError(MISSING)
            self.set(command, argument)
        else:
            raise ScpiError(UNDEFINED)

    def set(self, command: Command[D], argument: str) -> None:
        """Raises ScpiError."""
        if command.choose is not None:
            if argument not in command.choices:
                raise ScpiError(DATA_TYPE)
            command.choose(self.device, argument)
        elif command.take is not None:
            command.take(self.device, argument)
        elif command.write is not None:
            if argument[0].isalpha():
                value = self.named(command, argument, DATA_TYPE)
            else:
                value = number(argument, command.unit)
            low, high = command.bounds(self.device)
            if not low <= value <= high:
                raise ScpiError(OUT_OF_RANGE)
            command.write(self.device, value)

    def named(self, command: Command[D], name: str, otherwise: int) -> float:
        """The number that MIN, MAX or DEF stands for. Raises ScpiError `otherwise`."""
        if name in ("MIN", "MINIMUM", "MAX", "MAXIMUM"):
            return command.bounds(self.device)[name.startswith("MAX")]
        if name in ("DEF", "DEFAULT") and command.default is not None:
            return command.default
        raise ScpiError(otherwise)
