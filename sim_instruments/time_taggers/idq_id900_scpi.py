"""The ID900's SCPI as a table: one row per command, pattern and what it reads and writes.

Source: idq_id900.md, SCPI rules. A node is written short (its capital letters) or long, in any case;
`;` goes on from the last command's path, `;:` from the root; each query gives a line of the reply, as
does each error. Long forms that the notes do not show, and the names behind `SCPI_ERR_`, are our guesses.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from sim_instruments.time_taggers.idq_id900_model import (
    DELAYS,
    INPUTS,
    START,
    Box,
    Counter,
    Histogram,
    Input,
    Recorder,
)
from sim_instruments.wire.faults import Faults

UNKNOWN = "SCPI_ERR_UNDEFINED_HEADER"
BAD_ARGUMENT = "SCPI_ERR_ILLEGAL_PARAMETER_VALUE"
NOT_NOW = "SCPI_ERR_EXECUTION"
TIME_UNITS = {"": 1, "TB": 1, "KTB": 10**3, "MTB": 10**6, "GTB": 10**9, "TTB": 10**12}
"""A time bin, TB, is a picosecond here, and so is a bare number."""
VOLT_UNITS = {"": Decimal(1), "V": Decimal(1), "MV": Decimal("0.001")}
"""A bare number is taken as volts (the notes show `100mV` only)."""
THRESHOLD_MAX_V = Decimal(2)
"""Invented: the notes give no range."""
SECOND_PS = 10**12
DURATION_MIN_PS = SECOND_PS // 5
"""Sub-acquisitions are not shorter than 0.2 s (M); that a shorter one is refused is assumed."""
TIME_MAX_PS = 10**18


class ScpiError(Exception):
    """A command that the box does not carry out; the text is its reply."""


@dataclass(frozen=True)
class Kind:
    """How a value reads and writes as text."""

    parse: Callable[[str], Any]
    show: Callable[[Any], str]


def number(text: str, units: Mapping[str, int | Decimal], low: int | Decimal, high: int | Decimal) -> Decimal:
    """A number with a unit, within closed limits."""
    match = re.fullmatch(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:E[-+]?\d{1,3})?)\s*([A-Z]*)", text.upper(), re.ASCII)
    if match is None or match[2] not in units:
        raise ScpiError(BAD_ARGUMENT)
    try:
        value = Decimal(match[1]) * units[match[2]]
    except InvalidOperation as error:
        raise ScpiError(BAD_ARGUMENT) from error
    if not low <= value <= high:
        raise ScpiError(BAD_ARGUMENT)
    return value


def time(low: int, high: int) -> Kind:
    """Picoseconds: asked as `1e12`, `1000000000000.0` or `2.5GTB`, answered as `12345TB`."""
    return Kind(lambda text: round(number(text, TIME_UNITS, low, high)), lambda value: f"{value}TB")


def integer(low: int, high: int) -> Kind:
    return Kind(lambda text: round(number(text, {"": 1}, low, high)), str)


def word(*choices: str) -> Kind:
    """One of some words; a choice in mixed case may be shortened to its capitals, which is the answer."""

    def parse(text: str) -> str:
        for choice in choices:
            if text.upper() in (choice.upper(), capitals(choice)):
                return capitals(choice)
        raise ScpiError(BAD_ARGUMENT)

    return Kind(parse, str)


def link(*targets: str) -> Kind:
    """The name of a block, short or long, or NONE."""

    def parse(text: str) -> str:
        if text.upper() == "NONE":
            return "NONE"
        for target in targets:
            if compiled(target).fullmatch(text):
                return capitals(target)
        raise ScpiError(BAD_ARGUMENT)

    return Kind(parse, str)


def capitals(text: str) -> str:
    """`INPUt1` -> `INPU1`."""
    return "".join(c for c in text if not c.islower())


def compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression of a command pattern: `#` is a block's number."""
    nodes = []
    for node in pattern.split(":"):
        short = re.escape(capitals(node.replace("#", "")))
        long = re.escape(node.replace("#", "").upper())
        nodes.append(f"(?:{short}|{long})" + (r"(\d{1,2})" if "#" in node else ""))
    return re.compile(":".join(nodes), re.IGNORECASE | re.ASCII)


SWITCH = Kind(lambda text: word("ON", "OFF").parse(text) == "ON", lambda value: "ON" if value else "OFF")
VOLTS = Kind(
    lambda text: float(number(text, VOLT_UNITS, -THRESHOLD_MAX_V, THRESHOLD_MAX_V)),
    lambda value: f"{value * 1000:.10g}mV",
)
COUNT_OR_INF = Kind(
    lambda text: None if text.upper() in ("INF", "INFINITY") else round(number(text, {"": 1}, 1, 10**9)),
    lambda value: "INF" if value is None else str(value),
)
SOURCES = ["STARt", *(f"INPUt{n}" for n in range(1, INPUTS + 1))]
DELAY_SOURCE = link(*SOURCES)  # a delay of a delay is refused, to keep loops out
SOURCE = link(*SOURCES, *(f"DELAy{n}" for n in range(1, DELAYS + 1)))


class Device(Protocol):
    """What the commands act upon."""

    box: Box
    faults: Faults
    identity: str
    resolution_ps: int

    def now_ps(self) -> int:
        """The tagger's clock."""

    def look(self) -> None:
        """Somebody wants to know what the counters say."""

    def play(self) -> None:
        """Begin a recording."""

    def end_recording(self) -> None:
        """End the recording, if one plays."""


@dataclass(frozen=True)
class Row:
    """A command: `read` answers the query, `write` carries out the command; None where there is none.
    The integer is the number in the first node, 0 where there is none."""

    pattern: re.Pattern[str]
    read: Callable[[Device, int], str] | None = None
    write: Callable[[Device, int, str], None] | None = None


def setting(
    pattern: str, kind: Kind, owner: Callable[[Box, int], Any], attribute: str,
    then: Callable[[Device, Any], None] | None = None,
) -> Row:  # fmt: skip
    """A value of a block that can be set and asked for; `then` follows a change."""

    def read(device: Device, n: int) -> str:
        return kind.show(getattr(owner(device.box, n), attribute))

    def write(device: Device, n: int, text: str) -> None:
        block, value = owner(device.box, n), kind.parse(text)
        if getattr(block, attribute) != value:
            setattr(block, attribute, value)
            if then is not None:
                then(device, block)

    return Row(compiled(pattern), read, write)


def action(pattern: str, do: Callable[[Device, int], None]) -> Row:
    """A command without argument."""

    def write(device: Device, n: int, text: str) -> None:
        if text:
            raise ScpiError(BAD_ARGUMENT)
        do(device, n)

    return Row(compiled(pattern), write=write)


def query(pattern: str, ask: Callable[[Device, int], str]) -> Row:
    return Row(compiled(pattern), read=ask)


def restart(device: Device, counter: Counter) -> None:
    counter.restart(device.now_ps())


def clear_histogram(_: Device, histogram: Histogram) -> None:
    histogram.clear()


def only_hires(text: str) -> None:
    word("HIRES").parse(text)


def play(device: Device, _: int) -> None:
    """Refused while a recording plays or REC is disabled (assumed)."""
    if device.box.recorder.playing or not device.box.recorder.enabled:
        raise ScpiError(NOT_NOW)
    device.play()


def load(device: Device, _: int, text: str) -> None:
    """Presets. HISTO: histograms of the four inputs against START (assumed). COUNT is refused, because
    it sets up the combiners that are not modelled."""
    if text.upper() != "HISTO":
        raise ScpiError(BAD_ARGUMENT)
    for n, histogram in device.box.histograms.items():
        histogram.reference, histogram.stop = "STAR", f"INPU{n}"
        histogram.clear()


def input_rows(block: str, first: int) -> list[Row]:
    """Commands of INPUn, and of START, which is input 0 in the model."""

    def entry(box: Box, n: int) -> Input:
        if n < first:
            raise KeyError(n)
        return box.inputs[n]

    def count(device: Device, n: int) -> str:
        counter = entry(device.box, n).counter
        device.look()
        return str(counter.value)

    return [
        setting(f"{block}:ENABle", SWITCH, lambda box, n: entry(box, n).signal, "enabled"),
        setting(f"{block}:THREshold", VOLTS, lambda box, n: entry(box, n).signal, "threshold_v"),
        setting(f"{block}:EDGE", word("RISING", "FALLING"), entry, "edge"),
        setting(f"{block}:COUPling", word("DC", "AC"), entry, "coupling"),
        setting(f"{block}:COUNter:MODE", word("ACCU", "CYCL"), lambda box, n: entry(box, n).counter, "mode",
                then=restart),
        setting(f"{block}:COUNter:INTEgration", integer(1, 3_600_000), lambda box, n: entry(box, n).counter,
                "integration_ms", then=restart),
        action(f"{block}:COUNter:RESEt", lambda device, n: restart(device, entry(device.box, n).counter)),
        query(f"{block}:COUNter", count),
    ]  # fmt: skip


def recorder(box: Box, _: int) -> Recorder:
    return box.recorder


IDENTITY = compiled("*IDN")
ROWS = [
    query("*IDN", lambda device, _: device.identity),
    # Tags reach the box at its high resolution; LOWRES is refused.
    Row(compiled("DEVIce:RESolution"), lambda *_: "HIRES", lambda _, __, text: only_hires(text)),
    query("DEVIce:RESolution:BWIDth", lambda device, _: str(device.resolution_ps)),
    Row(compiled("DEVIce:CONFiguration:LOAD"), write=load),
    *input_rows("INPUt#", first=1),
    *input_rows("STARt", first=START),
    setting("DELAy#:LINK", DELAY_SOURCE, lambda box, n: box.delays[n], "link"),
    setting("DELAy#:VALUe", time(0, SECOND_PS), lambda box, n: box.delays[n], "value_ps"),
    setting("HISTogram#:REFerence:LINK", SOURCE, lambda box, n: box.histograms[n], "reference",
            clear_histogram),
    setting("HISTogram#:STOP:LINK", SOURCE, lambda box, n: box.histograms[n], "stop", clear_histogram),
    setting("HISTogram#:MINimum", time(0, TIME_MAX_PS), lambda box, n: box.histograms[n], "minimum_ps",
            clear_histogram),
    setting("HISTogram#:BWIDth", time(1, 17_179_869_184_000), lambda box, n: box.histograms[n],
            "bin_width_ps", clear_histogram),
    setting("HISTogram#:BCOUnt", integer(1, 16384), lambda box, n: box.histograms[n], "bins",
            clear_histogram),
    query("HISTogram#:DATA", lambda device, n: str(device.box.histograms[n].counts.tolist())),
    action("HISTogram#:FLUSh", lambda device, n: device.box.histograms[n].clear()),
    setting("RAW#:REFerence:LINK", SOURCE, lambda box, n: box.raws[n], "reference"),
    setting("RAW#:STOP:LINK", SOURCE, lambda box, n: box.raws[n], "stop"),
    setting("RAW#:SEND", SWITCH, lambda box, n: box.raws[n], "send"),
    query("RAW#:ERRORS", lambda device, n: str(device.box.raws[n].errors)),
    action("RAW#:ERRORS:CLEAR", lambda device, n: setattr(device.box.raws[n], "errors", 0)),
    setting("REC:ENABle", SWITCH, recorder, "enabled"),
    setting("REC:TRIGger:ARM:MODE", word("MANUal", "AUTO"), recorder, "arm_mode"),
    setting("REC:NUMber", COUNT_OR_INF, recorder, "number"),
    setting("REC:DURation", time(DURATION_MIN_PS, TIME_MAX_PS), recorder, "duration_ps"),
    setting("REC:PWIDth", time(0, TIME_MAX_PS), recorder, "width_ps"),
    setting("REC:PPERiod", time(0, TIME_MAX_PS), recorder, "period_ps"),
    action("REC:PLAY", play),
    action("REC:STOP", lambda device, _: device.end_recording()),
    query("REC:STAGe", lambda device, _: "PLAYING" if device.box.recorder.playing else "STOPPED"),
]  # fmt: skip

UNIT = re.compile(r"(:?)([^\s?]+)(\?)?(?:\s+(.*))?", re.DOTALL)


def execute(device: Device, request: str) -> str:
    """Carry out a request; returns the reply, empty when nothing was asked and nothing went wrong."""
    replies, path = [], ""
    for text in request.split(";"):
        unit = UNIT.fullmatch(text.strip())
        if unit is None:
            replies += [UNKNOWN] if text.strip() else []
            continue
        root, header, asks, argument = unit.groups()
        if not header.startswith("*"):
            header = header if root else path + header
            path = header[: header.rfind(":") + 1]
        try:
            reply = command(device, header, bool(asks), (argument or "").strip())
        except KeyError:  # a block number that the box does not have
            reply = UNKNOWN
        except ScpiError as error:
            reply = str(error)
        if reply is not None:
            replies.append(reply)
    return "\n".join(replies)


def command(device: Device, header: str, asks: bool, argument: str) -> str | None:
    """One command or query with its whole header. Raises ScpiError, and KeyError for a block number."""
    if not IDENTITY.fullmatch(header) and device.faults.take_own_error():
        raise ScpiError(NOT_NOW)
    for row in ROWS:
        match = row.pattern.fullmatch(header)
        if match is None:
            continue
        n = int(match[1]) if match.re.groups else 0
        if asks and row.read is not None:
            if argument:
                raise ScpiError(BAD_ARGUMENT)
            return row.read(device, n)
        if not asks and row.write is not None:
            row.write(device, n, argument)
            return None
    raise ScpiError(UNKNOWN)
