"""SCPI for simulated instruments: paths, numbers and the error queue, by the rules of SCPI-99."""

from dataclasses import dataclass

import pytest

from sim_instruments.wire.faults import Faults
from sim_instruments.wire.scpi import Command, ErrorQueue, Scpi, ScpiError, Tree, number
from sim_instruments.wire.text_lines import TextLines


@dataclass
class Lamp:
    volts: float = 1.0
    amperes: float = 0.5


TREE = Tree[Lamp](
    {
        "*IDN": Command(read=lambda _: "MAKER,LAMP,1,2"),
        "SOURce:VOLTage[:LEVel]": Command(
            read=lambda lamp: f"{lamp.volts:g}",
            write=lambda lamp, value: setattr(lamp, "volts", value),
            bounds=lambda _: (0.0, 12.0),
            show=lambda _, value: f"{value:g}",
            unit="V",
            default=6.0,
        ),
        "SOURce:CURRent": Command(read=lambda lamp: f"{lamp.amperes:g}"),
        "OUTPut[1]": Command(read=lambda _: "1"),
        "OUTPut2": Command(read=lambda _: "2"),
    }
)


class Wire:
    """Stands for a `Line` to a client."""

    def __init__(self, faults: Faults, errors: ErrorQueue) -> None:
        self.sent = b""
        self.dialect = Scpi(self, TREE, Lamp(), errors, faults)  # type: ignore[arg-type]

    def send(self, data: bytes) -> None:
        self.sent += data

    def ask(self, message: str) -> str:
        self.sent = b""
        self.dialect.received(message.encode() + b"\n")
        return self.sent.decode()


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def wire(faults: Faults) -> Wire:
    return Wire(faults, ErrorQueue(2))


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("SOUR:VOLT?;CURR?", "1;0.5\n"),
        ("SOUR:VOLT?;:SOUR:CURR?", "1;0.5\n"),
        ("SOUR:VOLT?;*IDN?;CURR?", "1;MAKER,LAMP,1,2;0.5\n"),
        ("source:voltage:level 2.5V;level?", "2.5\n"),
        ("SOUR:VOLT 1500m;CURR?;VOLT?", "0.5;1.5\n"),
        ("SOUR:VOLT MAX;VOLT?;VOLT? MIN;VOLT? DEF", "12;0;6\n"),
        ("SOUR:VOLT def;VOLT?", "6\n"),
        ("OUTP?;:OUTP1?;:OUTPUT2?", "1;1;2\n"),
    ],
)
def test_a_header_goes_on_from_the_node_of_the_last_one(wire: Wire, message: str, answer: str) -> None:
    assert wire.ask(message) == answer
    assert wire.ask("SYST:ERR?") == '+0,"No error"\n'


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("SOUR:VOLT?;SOUR:CURR?", '-113,"Undefined header"'),  # SOUR:SOUR:CURR
        ("SOUR:VOLT 13", '-222,"Data out of range"'),
        ("SOUR:VOLT 3A", '-104,"Data type error"'),
        ("SOUR:VOLT", '-109,"Missing parameter"'),
        ("SOUR:CURR? MAX", '-108,"Parameter not allowed"'),
        ("SOUR:CURR 1", '-113,"Undefined header"'),
        ("SOUR:VOLTA?", '-113,"Undefined header"'),
    ],
)
def test_what_is_wrong_is_queued_and_has_no_effect(wire: Wire, message: str, error: str) -> None:
    wire.ask(message)
    assert wire.ask("SYST:ERR:NEXT?") == f"{error}\n"
    assert wire.ask("SOUR:VOLT?") == "1\n"


def test_the_queue_keeps_the_oldest_and_says_that_it_overflowed(wire: Wire) -> None:
    wire.ask("A;B;C;SOUR:VOLT 99")
    assert wire.dialect.errors.event_status == 32 + 16  # a command error and an execution error
    assert wire.ask("SYST:ERR?;ERR?;ERR?") == '-113,"Undefined header";-350,"Queue overflow";+0,"No error"\n'
    wire.ask("A;*CLS")
    assert wire.ask("SYST:ERR?") == '+0,"No error"\n'
    assert wire.dialect.errors.event_status == 0


def test_an_error_of_its_own_has_no_effect(wire: Wire, faults: Faults) -> None:
    faults.own_errors = 1
    assert wire.ask("*IDN?;SYST:ERR?") == 'MAKER,LAMP,1,2;+0,"No error"\n'
    assert wire.ask("SOUR:VOLT 3;VOLT?") == "1\n"
    assert wire.ask("SYST:ERR?") == '-200,"Execution error"\n'


@pytest.mark.parametrize(
    ("argument", "unit", "value"),
    [
        ("1.5", "", 1.5),
        ("-.5E-3", "", -0.5e-3),
        ("150MA", "A", 0.15),
        ("150 M", "A", 0.15),
        ("20U", "A", 20e-6),
        ("25C", "C", 25.0),
        ("3MHZ", "HZ", 3e6),
        ("3M", "HZ", 3e6),
        ("3KHZ", "HZ", 3e3),
        ("#HFF", "", 255.0),
        ("#Q17", "", 15.0),
        ("#B101", "", 5.0),
    ],
)
def test_numbers(argument: str, unit: str, value: float) -> None:
    assert number(argument, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("argument", ["", "red", "1V", "1.2.3", "#HXY", "1E", "--1", "٣"])
def test_what_is_no_number(argument: str) -> None:
    with pytest.raises(ScpiError):
        number(argument, "A")


def test_lines_end_at_cr_lf_or_both_however_they_are_cut() -> None:
    lines = TextLines()
    heard = [line for byte in b"one\rtwo\r\nthree\n\n\rfour" for line in lines.feed(bytes([byte]))]
    assert heard == [b"one", b"two", b"three"]
    assert TextLines().feed(b"one\r\ntwo\r") == [b"one", b"two"]
