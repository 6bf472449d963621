"""A simulated Single Quantum SNSPD driver (EOS/Atlas electronics) on its two TCP ports.

`WebSq` is the device; `LABELS` and `COMMANDS` are the tables of its control port, spoken by `Control`;
the counts port only speaks. Protocol facts are from singlequantum_websq.md of the protocol notes;
"invented" marks what no source gives. Values on the wire are in ms, uA, mV.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import numpy as np

from sim_instruments.detectors.nanowire_sweeps import BiasSearch, PeriodCounter, VoltageScan
from sim_instruments.epoch import EPOCH
from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import NanowirePort, Ports
from sim_instruments.wire.tcp import LONGEST_REQUEST, Line, TcpServer

Json = object
ETB = b"\x17"

BIAS_UA = 90.9  # either way, "about"
TRIGGER_MV = 1000.0  # either way; invented
PERIOD_MS = (10, 60_000)  # the upper end invented
DEEPEST_REQUEST = 16  # nested brackets; no request of the notes has more than two
MOST_SCAN_STEPS = 1000  # invented

THERMOMETERS = {
    "T": (2.5, 0.005),
    "T2": (40.0, 0.05),
    "V_avrg": (1.6, 0.001),
    "BoardTemp1": (35.0, 0.1),
    "BoardTemp2": (36.0, 0.1),
}
"""Mean and noise of what the electronics log about themselves: the wires at the temperature at which
such a system works, in K (assumed), the cryostat's other stage, the sensor's voltage, the boards in C
(invented). Nothing in the world warms them."""
THERMOMETER_PERIOD_NS, THERMOMETER_LENGTH = 10_000_000_000, 100  # invented


class RefusedError(Exception):
    """A request that ends in an `Error` label; the text says why. The texts are invented."""


class WebSq:
    """The electronics and what they are set to. Starts disabled, without bias, triggers at 100 mV."""

    def __init__(
        self, ports: Sequence[NanowirePort], rng: np.random.Generator, tell: Callable[[str, Json], None]
    ) -> None:
        self.ports, self.rng, self.tell = ports, rng, tell
        n = len(ports)
        self.now_ns = 0
        self.period_ms: float = 100
        self.enabled = False
        self.bias_ua = [0.0] * n
        self.trigger_mv = [100.0] * n
        self.dark_counts_hz = [100.0] * n
        self.auto_bias_ua = [0.0] * n
        self.scan_ua = {"IVScanStart": 0.0, "IVScanEnd": 30.0, "IVScanIncrement": 1.0}
        self.iv_history: list[list[float]] = []
        self.sweep: BiasSearch | VoltageScan | None = None
        self.counter = PeriodCounter(ports, rng, self._period_ns)
        self.thermometers: dict[str, list[Json]] = {"x": [], **{k: [] for k in THERMOMETERS}}
        self._log_thermometers(0)
        self._apply()

    @property
    def _period_ns(self) -> int:
        return round(1e6 * self.period_ms)

    def _apply(self) -> None:
        """Write the set-points to the wires."""
        for port, bias_ua, trigger_mv in zip(self.ports, self.bias_ua, self.trigger_mv, strict=True):
            port.bias_a = 1e-6 * bias_ua if self.enabled else 0.0
            port.trigger_v = 1e-3 * trigger_mv

    def _log_thermometers(self, at_ns: int) -> None:
        moment = EPOCH + timedelta(microseconds=at_ns // 1000)
        self.thermometers["x"].append(moment.strftime("%d-%b-%y %H:%M:%S.%f"))
        for key, (mean, noise) in THERMOMETERS.items():
            self.thermometers[key].append(round(float(self.rng.normal(mean, noise)), 4))
        for column in self.thermometers.values():
            del column[:-THERMOMETER_LENGTH]

    def advance(self, seconds: float) -> Iterator[tuple[int, list[int]]]:
        """Let time pass; yields the end, in ns since the start, and the counts of each period."""
        before, self.now_ns = self.now_ns, self.now_ns + round(1e9 * seconds)
        yield from self.counter.advance(self.now_ns)
        for k in range(before // THERMOMETER_PERIOD_NS + 1, self.now_ns // THERMOMETER_PERIOD_NS + 1):
            self._log_thermometers(k * THERMOMETER_PERIOD_NS)
        if self.sweep is not None and self.sweep.advance(self.now_ns):
            self._end_sweep(self.sweep)

    def _end_sweep(self, sweep: BiasSearch | VoltageScan) -> None:
        self.sweep = None
        if isinstance(sweep, VoltageScan):
            self.iv_history = sweep.history
            self._apply()
            self.tell("IVHistory", self.iv_history)
            self.tell("IVScanEnable", False)
            return
        # That the found bias is put on the wires is inferred from the command's name (L).
        self.auto_bias_ua = [found or 0.0 for found in sweep.found_ua]
        self.bias_ua = list(self.auto_bias_ua)
        self._apply()
        self.tell("BiasCurrentAutoIV", self.auto_bias_ua)
        self.tell("BiasCurrent", self.bias_ua)
        self.tell("StartAutoIV", False)

    def _abandon_sweep(self) -> None:
        """Anybody who sets a bias or the enable means it now, not after a search (invented)."""
        if self.sweep is not None:
            label = "IVScanEnable" if isinstance(self.sweep, VoltageScan) else "StartAutoIV"
            self.sweep = None
            self._apply()
            self.tell(label, False)

    # One method per command; each takes the command's value and raises RefusedError.

    def set_period(self, value: Json) -> None:
        self.period_ms = number(value, *PERIOD_MS)
        self.counter.restart(self._period_ns)

    def set_bias(self, value: Json) -> None:
        bias_ua = numbers(value, len(self.ports), -BIAS_UA, BIAS_UA)
        self._abandon_sweep()
        self.bias_ua = bias_ua
        self._apply()

    def set_trigger(self, value: Json) -> None:
        self.trigger_mv = numbers(value, len(self.ports), -TRIGGER_MV, TRIGGER_MV)
        self._apply()

    def set_enabled(self, value: Json) -> None:
        enabled = boolean(value)
        self._abandon_sweep()
        self.enabled = enabled
        self._apply()

    def set_dark_counts(self, value: Json) -> None:
        self.dark_counts_hz = numbers(value, len(self.ports), 0.0, 1e9)

    def search_bias(self, value: Json) -> None:
        self._switch_sweep(
            boolean(value),
            lambda: BiasSearch(self.ports, self.dark_counts_hz, BIAS_UA, self.now_ns),
        )

    def scan_voltage(self, value: Json) -> None:
        start, end, increment = self.scan_ua.values()
        steps = (end - start) / increment if increment else -1.0
        on = boolean(value)
        if on and not 0 <= steps < MOST_SCAN_STEPS:
            raise RefusedError("the increment does not lead from start to end")
        self._switch_sweep(
            on,
            lambda: VoltageScan(
                self.ports, [start + k * increment for k in range(int(steps + 1e-9) + 1)], self.now_ns
            ),
        )

    def _switch_sweep(self, on: bool, begin: Callable[[], BiasSearch | VoltageScan]) -> None:
        """Begin a sweep, or give up the one under way."""
        if not on:
            self.sweep = None
            self._apply()
        elif not self.enabled:
            raise RefusedError("the detectors are not enabled")
        elif self.sweep is not None:
            raise RefusedError("another search or scan is under way")
        else:
            self.sweep = begin()

    def set_scan(self, which: str, value: Json) -> None:
        self.scan_ua[which] = number(value, -BIAS_UA, BIAS_UA)


def number(value: Json, low: float, high: float) -> float:
    """Read one number from a message. Raises RefusedError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError("a number is expected")
    if not low <= value <= high:  # also when it is NaN, which Python reads from JSON
        raise RefusedError(f"{value} is out of bounds, {low} to {high}")
    return value


def numbers(value: Json, length: int, low: float, high: float) -> list[float]:
    """Read a list of one number per detector. Raises RefusedError."""
    if not isinstance(value, list) or len(value) != length:
        raise RefusedError(f"a list of {length} numbers is expected, one per detector")
    return [number(v, low, high) for v in value]


def boolean(value: Json) -> bool:
    """Raises RefusedError."""
    if not isinstance(value, bool):
        raise RefusedError("true or false is expected")
    return value


@dataclass(frozen=True)
class Label:
    """One label of the control port: where its value comes from, and what `labelProps` says of it."""

    read: Callable[[WebSq], Json]
    unit: str = ""
    bounds: tuple[float, float] | None = None

    def properties(self, device: WebSq) -> dict[str, Json]:
        bounds = {} if self.bounds is None else {"bounds": list(self.bounds)}
        return {"value": self.read(device), **bounds, "unit": self.unit}


LABELS: dict[str, Label] = {
    "NumberOfDetectors": Label(lambda d: len(d.ports)),
    "InptMeasurementPeriod": Label(lambda d: d.period_ms, "ms", PERIOD_MS),
    "BiasCurrent": Label(lambda d: d.bias_ua, "uA", (-BIAS_UA, BIAS_UA)),
    "TriggerLevel": Label(lambda d: d.trigger_mv, "mV", (-TRIGGER_MV, TRIGGER_MV)),
    "BiasVoltage": Label(lambda d: [p.voltage_v for p in d.ports], "V"),
    "DetectorEnable": Label(lambda d: d.enabled),
    "StartAutoIV": Label(lambda d: isinstance(d.sweep, BiasSearch)),
    "BiasCurrentAutoIV": Label(lambda d: d.auto_bias_ua, "uA"),
    "DarkCountsAutoIV": Label(lambda d: d.dark_counts_hz, "1/s"),
    "IVScanEnable": Label(lambda d: isinstance(d.sweep, VoltageScan)),
    "IVScanStart": Label(lambda d: d.scan_ua["IVScanStart"], "uA", (-BIAS_UA, BIAS_UA)),
    "IVScanEnd": Label(lambda d: d.scan_ua["IVScanEnd"], "uA", (-BIAS_UA, BIAS_UA)),
    "IVScanIncrement": Label(lambda d: d.scan_ua["IVScanIncrement"], "uA", (-BIAS_UA, BIAS_UA)),
    "IVHistory": Label(lambda d: d.iv_history),
    "TemperatureHistory": Label(lambda d: d.thermometers),
    "temperature_long_memory": Label(lambda d: d.thermometers),
}

COMMANDS: dict[str, tuple[str, Callable[[WebSq, Json], None]]] = {
    "SetMeasurementPeriod": ("InptMeasurementPeriod", WebSq.set_period),
    "SetAllBiasCurrents": ("BiasCurrent", WebSq.set_bias),
    "SetAllTriggerLevels": ("TriggerLevel", WebSq.set_trigger),
    "DetectorEnable": ("DetectorEnable", WebSq.set_enabled),
    "DarkCountsAutoIV": ("DarkCountsAutoIV", WebSq.set_dark_counts),
    "AutoCaliBiasCurrents": ("StartAutoIV", WebSq.search_bias),
    "IVScanEnable": ("IVScanEnable", WebSq.scan_voltage),
    "IVScanStart": ("IVScanStart", lambda d, v: d.set_scan("IVScanStart", v)),
    "IVScanEnd": ("IVScanEnd", lambda d, v: d.set_scan("IVScanEnd", v)),
    "IVScanIncrement": ("IVScanIncrement", lambda d, v: d.set_scan("IVScanIncrement", v)),
}
"""Command -> the label that tells everybody what changed, and the method that obeys."""


class Objects:
    """Cuts what arrives into JSON objects by counting brackets; what stands between objects is dropped."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._object = bytearray()
        self._depth = 0
        self._in_string = self._escaped = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the objects that `data` completes. An object too long or too deep is dropped."""
        for byte in data:
            if not self._object and byte != ord("{"):
                continue
            self._object.append(byte)
            if self._escaped:
                self._escaped = False
            elif self._in_string:
                self._escaped, self._in_string = byte == ord("\\"), byte != ord('"')
            elif byte == ord('"'):
                self._in_string = True
            elif byte in b"{[":
                self._depth += 1
            elif byte in b"}]":
                self._depth -= 1
            if self._depth == 0:
                yield bytes(self._object)
                self._forget()
            elif self._depth > DEEPEST_REQUEST or len(self._object) > LONGEST_REQUEST:
                self._forget()


class Control:
    """TCP port 12000 of the real electronics: JSON objects, ours ended by ETB."""

    def __init__(self, line: Line, electronics: "SimSingleQuantumWebSq") -> None:
        self.line, self.electronics, self.objects = line, electronics, Objects()

    def received(self, data: bytes) -> None:
        for text in self.objects.feed(data):
            try:
                self.obey(json.loads(text))
            except (RefusedError, ValueError) as error:
                self.line.send(message("Error", f"{error}"))

    def obey(self, request: Json) -> None:
        """Raises RefusedError."""
        device = self.electronics.device
        match request:
            case {"request": "labelProps"}:
                for name in LABELS:
                    self.line.send(message(name, LABELS[name].properties(device)))
            case {"request": str(name)} if name in LABELS:
                self.line.send(message(name, LABELS[name].read(device)))
            case {"command": str(command), "value": value, **others} if command in COMMANDS:
                if self.electronics.faults.take_own_error():
                    raise RefusedError(f"{command} failed")
                label, obey = COMMANDS[command]
                if others.get("label", label) not in (label, command):
                    raise RefusedError(f"{command} goes with label {label}")
                before = LABELS[label].read(device)
                obey(device, value)
                after = LABELS[label].read(device)
                if after != before:
                    self.electronics.tell(label, after)
            case _:
                raise RefusedError(f"unknown request or command: {json.dumps(request)[:200]}")


class Counts:
    """TCP port 12345 of the real electronics: it speaks, and does not listen."""

    def __init__(self, line: Line) -> None:
        self.line = line

    def received(self, data: bytes) -> None:
        """What a client sends here means nothing."""


def message(label: str, value: Json) -> bytes:
    return json.dumps({"label": label, "value": value}).encode() + ETB


class SimSingleQuantumWebSq(SimInstrument):
    """WebSQ electronics with a nanowire on each of `ports`, serving on two ports of 127.0.0.1."""

    model = "singlequantum_websq"

    def __init__(self, name: str, rng: np.random.Generator, ports: Sequence[NanowirePort]) -> None:
        super().__init__(name, rng)
        self.ports = ports
        self.control = TcpServer(self.faults, lambda line: Control(line, self))
        self.counts = TcpServer(self.faults, Counts)
        self.device = WebSq(ports, rng, self.tell)

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        wires = [NanowirePort() for _ in range(int(placed.settings["channels"]))]
        for channel, port in enumerate(wires, start=1):
            ports.nanowires[placed.name, channel] = port
        return cls(placed.name, rng, wires)

    async def start(self) -> str:
        """Returns `tcp://127.0.0.1:P?counts=C`."""
        return f"tcp://127.0.0.1:{await self.control.start()}?counts={await self.counts.start()}"

    async def stop(self) -> None:
        await self.control.stop()
        await self.counts.stop()

    def advance(self, seconds: float) -> None:
        for end_ns, counts in self.device.advance(seconds):
            unix_s = EPOCH.timestamp() + 1e-9 * end_ns
            self.counts.send_all(f"{unix_s:.3f},{','.join(map(str, counts))}\n".encode())

    async def flush(self) -> None:
        await self.control.flush()
        await self.counts.flush()

    def power_cycle(self) -> None:
        """The last values, disabled. (The notes say "last values, enabled or not": which is not known.)"""
        before, self.device = self.device, WebSq(self.ports, self.rng, self.tell)
        self.device.bias_ua, self.device.trigger_mv = before.bias_ua, before.trigger_mv
        self.device.period_ms = before.period_ms
        self.control.hang_up()
        self.counts.hang_up()

    @property
    def moving(self) -> bool:
        """A search or scan changes the bias step by step."""
        return self.device.sweep is not None

    def tell(self, label: str, value: Json) -> None:
        """Send a label to every client of the control port."""
        self.control.send_all(message(label, value))
