"""The simulated DG645, spoken to as text. Expected lines are those of srs_dg645.md."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.ports import Ports
from sim_instruments.timing.srs_dg645 import COMMANDS, Dialect, SimSrsDg645
from tests.sim_instruments.heard import Heard
from tests.sim_instruments.spoken_to import spoken_to


class Bench:
    def __init__(self) -> None:
        self.ports = Ports()
        self.sim = SimSrsDg645.place(Placed("gates", "srs_dg645"), self.ports, np.random.default_rng(1))
        self.line = Heard()
        self.dialect = Dialect(self.line, self.sim.device, self.sim.faults)  # type: ignore[arg-type]

    def ask(self, message: str) -> str:
        self.dialect.received(f"{message}\n".encode())
        return self.line.take()

    def errors(self) -> list[str]:
        found = []
        while (code := self.ask("LERR?")) != "0":
            found.append(code)
        return found

    def gate(self, output: int) -> tuple[float, float, float]:
        port = self.ports.gates["gates", output]
        return port.period_s, port.delay_s, port.width_s


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_example_of_the_notes() -> None:
    async with spoken_to(Bench().sim) as speaker:
        await speaker.ask(b"DLAY 2,0,1.5e-6\nDLAY? 2\n", b"0,+0.000001500000\r\n")
        await speaker.ask(b"DLAY 2,0,9999\nLERR?\n", b"10\r\n")
        await speaker.ask(b"dlay?2;tsrc?\r\n", b"0,+0.000001500000\r\n5\r\n")


def test_identity(bench: Bench) -> None:
    assert bench.ask("*IDN?").startswith("Stanford Research Systems,DG645,s/n")
    assert bench.ask("*IDN?").endswith(",ver1.20.10E")


def test_delays_are_counted_from_other_channels_in_steps_of_5_ps(bench: Bench) -> None:
    bench.ask("DLAY 2,0,1e-6;DLAY 3,2,20.003e-9;DLAY 4,3,-500e-9")
    assert bench.ask("DLAY? 3") == "2,+0.000000020005"
    bench.ask("TSRC 0")
    period, delay, width = bench.gate(1)
    assert (period, delay, width) == pytest.approx((1e-3, 1e-6, 20.005e-9))
    bench.ask("DLAY 5,4,10e-9")
    assert bench.gate(2)[1:] == pytest.approx((520.005e-9, 10e-9))
    assert bench.errors() == []
    bench.ask("LINK 3,0")  # would put C, which counts from B, before T0
    assert bench.errors() == ["12"]
    bench.ask("DLAY 4,0,0;LINK 3,0")
    assert bench.ask("LINK? 3;DLAY? 3") == "0\r\n0,+0.000000020005"
    assert bench.errors() == []


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("DLAY 2,0,2000", "10"), ("DLAY 2,0,-1e-9", "12"), ("DLAY 2,2,0", "10"), ("DLAY 0,2,1", "10"),
        ("DLAY 10,0,1", "10"), ("DLAY 2,3,1", "12"), ("LAMP 1,6", "10"), ("TSRC 7", "10"), ("*RCL 3", "13"),
        ("*TRG", "11"), ("TRAT 1,2", "115"), ("TRAT", "116"), ("DLAY 2,,1", "114"), ("TRAT ten", "10"),
        ("NONE 1", "111"), ("12", "110"), ("*SAV?", "112"), ("INSR 1", "113"), ("BURC 1.5", "10"),
    ],
)  # fmt: skip
def test_errors_have_their_numbers_and_no_effect(bench: Bench, command: str, code: str) -> None:
    bench.ask("DLAY 3,2,1e-6;TSRC 0")
    before = bench.sim.device.now
    assert bench.ask(command) == ""
    assert bench.errors() == [code]
    assert bench.sim.device.now == before


def test_the_last_twenty_errors_are_kept_and_cleared(bench: Bench) -> None:
    for _ in range(25):
        bench.ask("NONE")
    assert len(bench.errors()) == 20
    bench.ask("NONE;*CLS")
    assert bench.errors() == []


def test_gates_come_with_the_internal_trigger_alone(bench: Bench) -> None:
    bench.ask("DLAY 2,0,1e-6;DLAY 3,0,3e-6;TRAT 1e5")
    assert bench.ask("TRAT?") == "+100000.000000"
    assert bench.gate(1) == pytest.approx((0.0, 1e-6, 2e-6))
    for source, period in ((0, 1e-5), (1, 0.0), (5, 0.0), (6, 0.02)):
        bench.ask(f"TSRC {source}")
        assert bench.gate(1)[0] == pytest.approx(period)


def test_a_trigger_before_the_cycle_is_over_starts_nothing(bench: Bench) -> None:
    bench.ask("DLAY 2,0,0;DLAY 3,0,25e-6;TRAT 1e5;TSRC 0")
    assert bench.gate(1)[0] == pytest.approx(3e-5)
    assert bench.ask("INSR?") == "3"
    assert bench.ask("INSR?") == "0"
    bench.ask("ADVT 1;HOLD 0.001;PRES 1,4")
    assert bench.gate(1)[0] == pytest.approx(4e-3)
    assert bench.gate(2)[0] == pytest.approx(1e-3)


def test_settings_are_saved_recalled_reset_and_outlive_a_power_cycle(bench: Bench) -> None:
    bench.ask("TRAT 5000;LAMP 2,3.2;LPOL 2,0;TSRC 0;*SAV 3;*RST")
    assert bench.ask("TRAT?;LAMP? 2;LPOL? 2;TSRC?") == "+1000.000000\r\n+2.50\r\n1\r\n5"
    bench.ask("*RCL 3;NONE")
    bench.sim.power_cycle()
    assert bench.ask("TRAT?;LAMP? 2;LPOL? 2;TSRC?") == "+5000.000000\r\n+3.20\r\n0\r\n0"
    assert bench.errors() == []
    assert bench.gate(1)[0] == pytest.approx(2e-4)


def test_every_command_of_the_notes_is_there(bench: Bench) -> None:
    words = (
        "DLAY LINK LAMP LOFF LPOL LSTP TSRC TRAT TLVL HOLD ADVT PRES INHB BURM BURC BURD BURP BURT DISP IFCF "
        "EMAC INSR LERR *IDN *RST *CLS *TRG *OPC *ESR *WAI *SAV *RCL"
    )
    assert set(words.split()) == set(COMMANDS)
    bench.ask("BURM 1;BURC 10;BURP 1e-6;BURD 1e-3;DISP 11,2;HOLD 0.001001")
    assert bench.ask("BURM?;BURC?;BURP?;DISP?;HOLD?") == (
        "1\r\n10\r\n+0.000001000000\r\n11,2\r\n+0.001001000000"
    )
    assert bench.errors() == []


def test_its_own_error_has_no_effect(bench: Bench) -> None:
    bench.sim.faults.own_errors = 1
    bench.ask("TSRC 0")
    assert bench.errors() == ["11"]
    assert bench.ask("TSRC?") == "5"


@given(st.lists(st.one_of(st.binary(max_size=30), st.builds("{}{}{}\n".format, st.sampled_from(list(COMMANDS)), st.sampled_from([" ", "?"]), st.sampled_from(["", "2,0,1", "1,1", "1e999", "99999999999999999999", "-1", "2.5,0,0"])).map(str.encode)), max_size=15))  # fmt: skip  # noqa: E501
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_bytes_leave_it_answering(pieces: list[bytes]) -> None:
    bench = Bench()
    for piece in pieces:
        bench.dialect.received(piece)
    bench.ask("")
    assert bench.ask("*IDN?").startswith("Stanford")
