"""The simulated SIM900 and its SIM928, spoken to as bytes. Expected bytes: srs_sim900_sim928.md."""

import asyncio
import re
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.detectors.srs_sim900 import BATTERY_S, CHARGE_S, SimSrsSim900
from sim_instruments.instrument import Placed
from sim_instruments.ports import NanowirePort, Ports
from sim_instruments.world.detection import update_latch
from tests.drivers.eventually import eventually
from tests.sim_instruments.raw_client import RawClient

END = b"\r\n"
DEADLINE_S = 5.0


class Client(RawClient):
    async def ask(self, request: bytes) -> bytes:
        """One line."""
        self.send(request + b"\n")
        return await self.until(END)

    async def block(self, slot: int) -> bytes:
        """What GETN? says, whole."""
        self.send(b"GETN? %d,128\n" % slot)
        head = await self.exactly(5)
        return head + await self.exactly(int(head[2:]) + 2)

    async def exactly(self, count: int) -> bytes:
        return await asyncio.wait_for(self._reader.readexactly(count), DEADLINE_S)

    async def module(self, slot: int, question: str) -> str:
        self.send(f'SNDT {slot},"{question}"\n'.encode())
        return (await self.block(slot))[5:-2].decode().strip()


class Bench:
    """Sources in slots 2 and 5, each with a wire behind 100 kOhm."""

    def __init__(self) -> None:
        ports = Ports()
        placed = Placed("bias", "srs_sim900", {"slots": [2, 5], "series_resistance": 100e3})
        self.sim = SimSrsSim900.place(placed, ports, np.random.default_rng(1))
        self.wires = {slot: ports.nanowires["bias", slot] for slot in (2, 5)}

    async def connect(self) -> int:
        match = re.fullmatch(r"tcp://127\.0\.0\.1:(\d+)", await self.sim.start())
        assert match is not None
        return int(match[1])


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.sim.stop()


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[Client]:
    async with Client.at(await bench.connect()) as client:
        yield client


async def test_the_example_of_the_notes(client: Client) -> None:
    client.send(b'SNDT 2,"VOLT 1.5"\n')
    client.send(b'SNDT 2,"VOLT?"\n')
    assert await client.block(2) == b"#3009+01.500\r\n\r\n"
    assert await client.ask(b"CTCR?") == b"36\r\n"
    assert await client.ask(b"*IDN?") == b"Stanford_Research_Systems,SIM900,s/n152741,ver3.6\r\n"
    assert await client.module(2, "*IDN?") == "Stanford_Research_Systems,SIM928,s/n003377,ver2.2"


async def test_answers_wait_until_they_are_fetched(client: Client) -> None:
    client.send(b'SNDT 2,"VOLT?"\r')  # CR ends a command too
    assert await client.ask(b"NINP? 2") == b"9\r\n"
    assert await client.ask(b"NOUT? 2") == b"0\r\n"
    client.send(b"RAWN? 2,4\n")
    assert await client.exactly(4) == b"+00."
    assert await client.ask(b"NINP? 2") == b"5\r\n"
    assert await client.block(2) == b"#3005000\r\n\r\n"
    assert await client.block(2) == b"#3000\r\n"
    client.send(b'SNDT 2,"VOLT?"\nSNDT 5,"EXON?"\nFLSH 2\n')
    assert await client.ask(b"NINP? 2") == b"0\r\n"
    assert await client.ask(b"NINP? 5") == b"3\r\n"
    client.send(b"FLSH\n")
    assert await client.ask(b"NINP? 5") == b"0\r\n"


async def test_a_message_to_an_empty_slot_vanishes(client: Client) -> None:
    client.send(b'SNDT 3,"VOLT?"\n')
    assert await client.ask(b"NINP? 3") == b"0\r\n"
    assert await client.block(3) == b"#3000\r\n"


async def test_send_brings_no_line_end(client: Client) -> None:
    client.send(b'SEND 2,"VO"\nSEND 2,"LT?"\n')
    assert await client.ask(b"NINP? 2") == b"0\r\n"
    client.send(b'SNDT 2,""\n')
    assert await client.ask(b"NINP? 2") == b"9\r\n"


async def test_line_ends_of_mainframe_and_module(client: Client) -> None:
    client.send(b'TERM LF\nSNDT 2,"TERM LF"\nSNDT 2,"EXON?"\n')
    assert await client.block(2) == b"#30020\n\r\n"
    client.send(b'SRST 2\n*DCL\nSNDT 2,"EXON?"\n')
    assert await client.block(2) == b"#30030\r\n\r\n"


async def test_a_transparent_link_until_the_escape_string(client: Client) -> None:
    client.send(b'CONN 2,"xyzzy"\nVOLT 0.25\nVOLT?\n')
    assert await client.until(END) == b"+00.250\r\n"
    client.send(b"VOLT?\nxyz")
    assert await client.until(END) == b"+00.250\r\n"
    client.send(b"zyCTCR?\n")
    assert await client.until(END) == b"36\r\n"
    assert await client.module(2, "VOLT?") == "+00.250"


async def test_a_link_that_was_left_open_ends_with_its_connection(bench: Bench) -> None:
    port = await bench.connect()
    async with Client.at(port) as gone:
        gone.send(b'CONN 2,"xyzzy"\nVOLT?\n')
        await gone.until(END)
    async with Client.at(port) as client:
        assert await client.ask(b"CTCR?") == b"36\r\n"
        assert await client.module(2, "VOLT?") == "+00.000"


async def test_answers_may_take_their_time(bench: Bench, client: Client) -> None:
    bench.sim.answer_delay_s = 3600.0
    client.send(b'SNDT 2,"VOLT?"\n')
    assert await client.ask(b"NINP? 2") == b"0\r\n"
    bench.sim.answer_delay_s = 0.02
    client.send(b'SNDT 2,"VOLT?"\n')

    async def has_come() -> bool:
        return await client.ask(b"NINP? 2") == b"9\r\n"

    await eventually(has_come)


async def test_the_wire_gets_the_voltage_by_the_resistor_while_the_output_is_on(
    bench: Bench, client: Client
) -> None:
    client.send(b'SNDT 2,"VOLT 1.7"\n')
    assert await client.module(2, "EXON?") == "0"
    assert bench.wires[2].bias_a == 0.0
    client.send(b'SNDT 2,"OPON"\n')
    assert await client.module(2, "EXON?") == "1"
    assert bench.wires[2].bias_a == pytest.approx(17e-6)
    assert bench.wires[5].bias_a == 0.0
    client.send(b'SNDT 2,"VOLT -0.00049"\nSNDT 5,"EXON 1;VOLT -3.0006"\n')
    assert await client.module(2, "VOLT?") == "+00.000"
    assert await client.module(5, "VOLT?;EXON?") == "-03.001;1"
    assert bench.wires[5].bias_a == pytest.approx(-30.01e-6)
    client.send(b'SNDT 5,"OPOF"\nSNDT 2,"*RST"\n')
    assert await client.module(5, "EXON?") == "0"
    assert await client.module(2, "EXON?") == "0"
    assert (bench.wires[2].bias_a, bench.wires[5].bias_a) == (0.0, 0.0)


async def test_a_wire_latches_by_the_world_and_recovers_when_its_bias_is_lowered(
    bench: Bench, client: Client
) -> None:
    wire = bench.wires[2]
    for volts, latched in (("1.8", False), ("2.0", True), ("1.7", True), ("0", False), ("1.7", False)):
        client.send(f'SNDT 2,"EXON ON;VOLT {volts}"\n'.encode())
        await client.module(2, "*OPC?")
        update_latch(wire, 19e-6)
        assert wire.latched is latched


@pytest.mark.parametrize(
    ("command", "esr", "code"),
    [
        ("VOLT 20.001", 1 << 4, "LEXE 1"),
        ("VOLT -1e2", 1 << 4, "LEXE 1"),
        ("VOLZ 1", 1 << 5, "LCME 2"),
        ("VOLZ?", 1 << 5, "LCME 2"),
        ("OPON?", 1 << 5, "LCME 3"),
        ("BATS 1", 1 << 5, "LCME 4"),
        ("VOLT", 1 << 5, "LCME 5"),
        ("OPON 1", 1 << 5, "LCME 6"),
        ("VOLT? 1", 1 << 5, "LCME 6"),
        ("VOLT 1.x", 1 << 5, "LCME 9"),
        ("VOLT nan", 1 << 5, "LCME 9"),
        ("EXON 2", 1 << 5, "LCME 14"),
        ("1", 1 << 5, "LCME 1"),
    ],
)
async def test_what_is_wrong_sets_the_status_and_has_no_answer(
    bench: Bench, client: Client, command: str, esr: int, code: str
) -> None:
    client.send(b'SNDT 2,"*CLS;VOLT 1.25;OPON"\n')
    assert await client.module(2, "*ESR?;LEXE?;LCME?") == "0;0;0"
    client.send(f'SNDT 2,"{command}"\n'.encode())
    assert await client.ask(b"NINP? 2") == b"0\r\n"
    assert await client.module(2, "*ESR?") == str(esr)
    register, number = code.split()
    assert await client.module(2, f"{register}?") == number
    assert await client.module(2, "*ESR?;LEXE?;LCME?;LDDE?;CESR?") == "0;0;0;0;0"  # reading has cleared them
    assert await client.module(2, "VOLT?;EXON?") == "+01.250;1"
    assert bench.wires[2].bias_a == pytest.approx(12.5e-6)


async def test_status_after_power_comes_and_on_completion(client: Client) -> None:
    assert await client.module(2, "*ESR?") == "128"
    client.send(b'SNDT 2,"*OPC"\n')
    assert await client.module(2, "*ESR?") == "1"
    assert await client.module(2, "*OPC?") == "1"


async def test_batteries_change_over_by_themselves_and_when_told(bench: Bench, client: Client) -> None:
    assert await client.module(2, "BATS?") == "1,2,0"
    bench.sim.advance(CHARGE_S)
    assert await client.module(2, "BATS?") == "1,3,0"
    assert await client.module(2, "OVSR?") == "0"
    bench.sim.advance(BATTERY_S - CHARGE_S)
    assert await client.module(2, "BATS?") == "2,1,0"
    assert await client.module(2, "OVSR?") == "4"
    assert await client.module(2, "OVSR?") == "0"
    client.send(b'SNDT 2,"BCOR"\n')
    assert await client.module(2, "BATS?") == "1,2,0"
    bench.sim.modules[2].worn = True
    assert await client.module(2, "BATS?") == "1,2,1"


async def test_more_than_10_ma_is_an_overload() -> None:
    wire = NanowirePort()
    sim = SimSrsSim900("bias", np.random.default_rng(1), {1: wire}, series_ohm=1e3)
    source = sim.modules[1]
    source.received(b"VOLT 15\r\nOPON\r\n")
    assert wire.bias_a == 10e-3
    assert source.execute("OVSR?") == "1"


async def test_a_power_cycle_forgets_all_but_the_batteries(bench: Bench, client: Client) -> None:
    client.send(b'SNDT 2,"VOLT 1.7;OPON;BCOR"\nSNDT 5,"VOLT?"\n')
    assert await client.module(2, "EXON?") == "1"
    bench.sim.power_cycle()
    assert bench.wires[2].bias_a == 0.0
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.until(END)
    async with Client.at(bench.sim.server.port) as again:
        assert await again.ask(b"NINP? 5") == b"0\r\n"
        assert await again.module(2, "VOLT?;EXON?;BATS?") == "+00.000;0;2,1,0"


async def test_an_error_of_its_own(bench: Bench, client: Client) -> None:
    bench.sim.faults.own_errors = 1
    assert (await client.module(2, "*IDN?")).endswith("ver2.2")
    client.send(b'SNDT 2,"VOLT 1"\n')
    assert await client.module(2, "VOLT?") == "+00.000"
    assert await client.module(2, "LCME?") == "2"


@pytest.mark.parametrize(
    "command", [b"CTCR", b"NINP? 12", b"NINP?", b"GETN? 2", b'SNDT 2,VOLT?', b"HELLO", b"TERM X", b"CONN 2"]
)  # fmt: skip
async def test_what_the_mainframe_does_not_understand_it_does_not_answer(
    client: Client, command: bytes
) -> None:
    client.send(command + b"\n")
    assert await client.ask(b"CTCR?") == b"36\r\n"


REQUESTS = st.sampled_from(
    [b"SNDT 2,", b'SNDT 2,"VOLT 1"', b"GETN? 2,128", b"RAWN? 5,9", b'CONN 5,"e"', b"e", b"NINP? A", b"FLSH",
     b'SNDT 5,"VOLT?;*ESR?"', b'SEND 5,"VO', b"SRST", b"TERM CR", b'"', b"\n", b"\r", b"VOLT 1e5", b";"]
)  # fmt: skip


class FakeLine:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.one_of(REQUESTS, st.binary(max_size=20)), max_size=20))
def test_any_bytes_leave_it_able_to_answer(chunks: list[bytes]) -> None:
    bench, line = Bench(), FakeLine()
    link = bench.sim.server.dialect(line)  # type: ignore[arg-type]
    for chunk in chunks:
        link.received(chunk)
        bench.sim.advance(0.25)
    line.sent.clear()
    # Anew: bytes may have made a transparent link whose escape string nobody knows.
    bench.sim.server.dialect(line).received(b"*IDN?\n")  # type: ignore[arg-type]
    assert line.sent == [b"Stanford_Research_Systems,SIM900,s/n152741,ver3.6\r\n"]
