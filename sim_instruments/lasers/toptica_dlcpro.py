"""A simulated Toptica DLC pro on its two TCP lines.

The dialects, `CommandLine` and `MonitoringLine`, follow toptica_dlcpro.md of the protocol notes;
"invented" marks what no source gives. The laser itself is in `dlcpro_device`, the names of its
parameters are in `dlcpro_parameters`.
"""

import re
from dataclasses import dataclass
from typing import Self

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.lasers.dlcpro_device import DlcPro
from sim_instruments.lasers.dlcpro_parameters import (
    PARAMETERS,
    PASSWORDS,
    Code,
    DecofError,
    Level,
    Value,
    find,
)
from sim_instruments.ports import LaserPort, Ports
from sim_instruments.wire.tcp import Line, Lines, TcpServer

BANNER = b"\r\nWelcome to DLC PRO\r\n\r\nDeCoF Command Line\r\n"
PROMPT = b"> "


class Name(str):
    """A quoted name of a parameter or command, without its quote."""


class Word(str):
    """An unquoted word, the first of each request."""


_TOKEN = re.compile(
    r"""\s*(?:
    '(?P<name>[A-Za-z0-9:_-]+) | (?P<word>[a-z][a-z!-]*) | \#(?P<bool>[tf])
    | (?P<real>[+-]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d{1,3})?) | (?P<int>[+-]?\d{1,18})
    | "(?P<str>(?:[^"\\]|\\.)*)"
    )(?=[\s)]|$)\s*""",
    re.VERBOSE | re.ASCII,
)


def parse(request: str) -> tuple[Value, ...]:
    """Read `(word argument ...)`; no request in the notes nests. Raises DecofError."""
    request = request.strip()
    inner = request[1:-1]
    at, items = 0, list[Value]()
    while at < len(inner):
        token = _TOKEN.match(inner, at)
        if token is None:
            break
        at = token.end()
        items.append(_value(token))
    if not items or at < len(inner) or request[0] + request[-1] != "()" or not isinstance(items[0], Word):
        raise DecofError(Code.SYNTAX, "syntax error")
    return tuple(items)


def _value(token: re.Match[str]) -> Value:
    body = token[token.lastgroup or 0]
    match token.lastgroup:
        case "name":
            return Name(body)
        case "bool":
            return body == "t"
        case "real":
            return float(body)
        case "int":
            return int(body)
        case "str":
            return re.sub(r"\\(.)", r"\1", body)
    return Word(body)


def show(value: Value) -> str:
    """A value as the controller writes it."""
    if isinstance(value, bool):
        return "#t" if value else "#f"
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


class _Session:
    """What both kinds of line have: a user level of their own, and the parameters to read."""

    def __init__(self, line: Line, laser: "SimTopticaDlcPro") -> None:
        self.line, self.laser, self.lines, self.level = line, laser, Lines(), Level.NORMAL

    def read(self, name: str) -> Value:
        if name == "ul":
            return int(self.level)
        return find(name).read(self.laser.device)

    def change_level(self, *arguments: Value) -> int:
        """Returns the level now in force: the old one when the password is wrong."""
        match arguments:
            case (int(level), *password) if level in tuple(Level):
                wanted = Level(level)
                if wanted >= Level.NORMAL or (wanted in PASSWORDS and password == [PASSWORDS[wanted]]):
                    self.level = wanted
                return int(self.level)
        raise DecofError(Code.WRONG_TYPE, "change-ul takes a level from 0 to 4 and a password")


class CommandLine(_Session):
    """TCP port 1998 of the real controller: one request, one answer, then the prompt."""

    def __init__(self, line: Line, laser: "SimTopticaDlcPro") -> None:
        super().__init__(line, laser)
        line.send(BANNER + PROMPT)

    def received(self, data: bytes) -> None:
        for request in self.lines.feed(data):
            try:
                answer = self.answer(request.decode(errors="replace"))
            except DecofError as error:
                answer = f"Error: {error.code:d} {error}"
            self.line.send(f"{answer}\n".encode() + PROMPT)
            self.laser.push()

    def answer(self, request: str) -> str:
        """Raises DecofError. Without newline and prompt."""
        match parse(request):
            case ("param-ref", Name() as name):
                return show(self.read(name))
            case ("param-gsv", Name() as name):
                # Every parameter that can be set here is a set-point already.
                if find(name).level is None:
                    raise DecofError(Code.ACCESS_DENIED, f"parameter '{name}' has no set value")
                return show(self.read(name))
            case ("param-disp", Name() as name):
                return self.display(name)
            case ("param-set!", Name() as name, value):
                return str(self.status(name, value))
            case ("exec", "change-ul", *arguments):
                return str(self.change_level(*arguments))
            case ("exec", Name() as name, *_):
                raise DecofError(Code.NOT_FOUND, f"command '{name}' not found")
        raise DecofError(Code.SYNTAX, "syntax error")

    def status(self, name: str, value: Value) -> int:
        """Write a parameter; returns 0, or the negative status that refuses."""
        if self.laser.faults.take_own_error():
            return int(Code.SYNTAX)
        try:
            find(name).write(self.laser.device, value, self.level)
        except DecofError as error:
            return int(error.code)
        return 0

    def display(self, name: str) -> str:
        """A subtree, a parameter a line; the layout is invented."""
        below = [n for n in PARAMETERS if n == name or n.startswith(f"{name}:")]
        if not below:
            raise DecofError(Code.NOT_FOUND, f"parameter '{name}' not found")
        return "\n".join(f"{n} = {show(self.read(n))}" for n in below)


@dataclass
class Watch:
    """A parameter that a monitoring line follows, and what was pushed last."""

    interval_ms: int
    threshold: float
    value: Value
    pushed_ms: int

    def is_due(self, value: Value, now_ms: int) -> bool:
        if show(value) == show(self.value) or now_ms - self.pushed_ms < self.interval_ms:
            return False
        if isinstance(value, int | float) and isinstance(self.value, int | float):
            return abs(value - self.value) >= self.threshold
        return True


class MonitoringLine(_Session):
    """TCP port 1999 of the real controller: values pushed as they change, no banner, no answers."""

    def __init__(self, line: Line, laser: "SimTopticaDlcPro") -> None:
        super().__init__(line, laser)
        self.watches: dict[str, Watch] = {}

    def received(self, data: bytes) -> None:
        for request in self.lines.feed(data):
            name = ""
            try:
                items = parse(request.decode(errors="replace"))
                name = next((i for i in items if isinstance(i, Name)), "")
                self.obey(items)
                self.push()
            except DecofError as error:
                self.send(f"(Error: {error.code:d} ({self.laser.device.time} '{name}) {error})")

    def obey(self, items: tuple[Value, ...]) -> None:
        """Raises DecofError."""
        match items:
            case ("add", Name() as name):
                self.watch(name, 0, 0.0)
            case ("add", Name() as name, int(interval_ms)):
                self.watch(name, interval_ms, 0.0)
            case ("add", Name() as name, int(interval_ms), int(threshold) | float(threshold)):
                self.watch(name, interval_ms, threshold)
            case ("remove", Name() as name):
                self.read(name)
                self.watches.pop(name, None)
            case ("change-ul", *arguments):
                self.change_level(*arguments)
            case _:
                raise DecofError(Code.SYNTAX, "syntax error")

    def push(self) -> None:
        """Send what has changed since the last push and is due."""
        now_ms = self.laser.device.time_ms
        for name, watch in self.watches.items():
            value = self.read(name)
            if watch.is_due(value, now_ms):
                watch.value, watch.pushed_ms = value, now_ms
                self.tell(name, value)

    def watch(self, name: str, interval_ms: int, threshold: float) -> None:
        """Follow a parameter from now on; its present value is pushed at once. Raises DecofError."""
        value = self.read(name)
        self.watches[name] = Watch(interval_ms, threshold, value, self.laser.device.time_ms)
        self.tell(name, value)

    def tell(self, name: str, value: Value) -> None:
        self.send(f"({self.laser.device.time} '{name} {show(value)})")

    def send(self, message: str) -> None:
        self.line.send(f"{message}\r\n".encode())


class SimTopticaDlcPro(SimInstrument):
    """A DLC pro with one laser head, serving on two ports of 127.0.0.1.

    `threshold_a` is the current in amperes at which the diode begins to lase, `slope_w_per_a` the power
    that each ampere beyond it gives, `max_power_w` the power at which the current is clipped. It starts
    with the key unlocked, the interlock closed, the button pressed, `cc:enabled` false.
    """

    model = "toptica_dlcpro"

    def __init__(
        self,
        name: str,
        rng: np.random.Generator,
        port: LaserPort,
        *,
        threshold_a: float,
        slope_w_per_a: float,
        max_power_w: float,
    ) -> None:
        super().__init__(name, rng)
        self.port, self._diode = port, (threshold_a, slope_w_per_a, max_power_w)
        self.device = self._switched_on()
        self.command = TcpServer(self.faults, lambda line: CommandLine(line, self))
        self.monitor = TcpServer(self.faults, lambda line: MonitoringLine(line, self))

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.lasers[placed.name] = LaserPort()
        return cls(
            placed.name,
            rng,
            port,
            threshold_a=placed.settings["threshold_current"],
            slope_w_per_a=placed.settings["slope_efficiency"],
            max_power_w=placed.settings["max_power"],
        )

    async def start(self) -> str:
        """Returns `tcp://127.0.0.1:P?monitor=M`."""
        return f"tcp://127.0.0.1:{await self.command.start()}?monitor={await self.monitor.start()}"

    async def stop(self) -> None:
        await self.command.stop()
        await self.monitor.stop()

    def advance(self, seconds: float) -> None:
        self.device.advance(seconds)
        self.push()

    async def flush(self) -> None:
        await self.command.flush()
        await self.monitor.flush()

    def power_cycle(self) -> None:
        """Emission off; the set-points of current and temperature are restored (the notes: "last set
        points")."""
        before, self.device = self.device, self._switched_on()
        self.device.current_set, self.device.current_clip = before.current_set, before.current_clip
        self.device.temp_set = before.temp_set
        self.device.update()
        self.command.hang_up()
        self.monitor.hang_up()

    def _switched_on(self) -> DlcPro:
        device = DlcPro(self.name, self.port, *self._diode)
        device.update()
        return device

    def push(self) -> None:
        """Tell every monitoring line what has changed."""
        for line in self.monitor.dialects:
            line.push()

    def open_interlock(self) -> None:
        """As if somebody opened the laboratory door: emission ends now."""
        self.device.interlock_open = True
        self._happened("Interlock open")

    def close_interlock(self) -> None:
        """Close the door again; emission stays off until it is enabled anew."""
        self.device.interlock_open = False
        self._happened("Interlock closed")

    def lock_key(self) -> None:
        """Turn the key at the front panel to its locked position: emission ends now."""
        self.device.frontkey_locked = True
        self._happened("Front key locked")

    def unlock_key(self) -> None:
        """Turn the key back; emission stays off until it is enabled anew."""
        self.device.frontkey_locked = False
        self._happened("Front key unlocked")

    def press_emission_button(self) -> None:
        """Press the button at the front panel, which enables or disables emission in turn."""
        self.device.button_enabled = not self.device.button_enabled
        self._happened("Emission button pressed")

    def _happened(self, message: str) -> None:
        self.device.messages.append(message)
        self.device.update()
        self.push()
