"""The White Rabbit driver: what it makes of the values of WR-SWITCH-MIB, served by an SNMP agent over UDP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, InstrumentError, RefusedError
from drivers.timing.whiterabbit_switch import WhiteRabbitSettings, WhiteRabbitSwitch
from sim_instruments.timing.snmp_agent import Oid, SnmpAgent, Tag, Variable
from sim_instruments.wire.faults import Faults
from sim_instruments.wire.udp import UdpServer
from tests.drivers.hurry import in_a_hurry

WRS: Oid = (1, 3, 6, 1, 4, 1, 96, 100)
SPLL_STATUS, SPLL_MODE = (6, 2, 2, 2, 0), (7, 3, 2, 1, 0)
SERVO_STATE, OFFSET_PS = (7, 5, 1, 6, 1), (7, 5, 1, 10, 1)


def number(value: int, tag: Tag = Tag.INTEGER) -> Variable:
    return Variable(tag, value)


def words(value: str) -> Variable:
    return Variable(Tag.OCTET_STRING, value)


SLAVE = {
    (6, 1, 1, 0): number(1),
    (6, 1, 3, 0): number(3),
    SPLL_STATUS: number(1),
    (6, 3, 1, 0): words("v6.1"),
    (6, 3, 6, 0): words("Seven Solutions"),
    (6, 3, 7, 0): words("wrs3-0815"),
    (6, 3, 8, 0): words("34"),
    (7, 1, 3, 2, 0): number(41),
    SPLL_MODE: number(3),
    SERVO_STATE: words("TRACK_PHASE"),
    OFFSET_PS: number(-7, Tag.COUNTER64),
    (7, 5, 1, 13, 1): number(50_000_123, Tag.COUNTER64),
    (7, 6, 1, 3, 1): number(2),
    (7, 6, 1, 4, 1): number(2),
    (7, 6, 1, 5, 1): number(2),
    (7, 6, 1, 3, 2): number(1),
}


class Bench:
    """An agent with a table that the test may change."""

    def __init__(self, port: int, table: dict[Oid, Variable], faults: Faults, deadline: float) -> None:
        self.table, self.faults = table, faults
        address = Address.parse(f"udp://127.0.0.1:{port}")
        self.clock = WhiteRabbitSwitch("clock", address, WhiteRabbitSettings(), deadline)


@asynccontextmanager
async def bench(table: dict[Oid, Variable] = SLAVE, deadline: float = 5.0) -> AsyncIterator[Bench]:
    faults = Faults()
    own = dict(table)
    agent = SnmpAgent(lambda: {(*WRS, *oid): variable for oid, variable in own.items()}, faults)
    server = UdpServer(faults, agent.answer)
    bench = Bench(await server.start(), own, faults, deadline)
    try:
        yield bench
    finally:
        await bench.clock.close()
        await server.stop()


async def test_identity() -> None:
    async with bench() as b:
        await b.clock.open()
        identity = await b.clock.identity()
        assert (identity.manufacturer, identity.model, identity.serial_number, identity.firmware) == (
            "Seven Solutions", "White Rabbit switch, board 34", "wrs3-0815", "v6.1",
        )  # fmt: skip


async def test_a_slave_that_tracks_is_locked_and_says_by_how_much_it_is_off() -> None:
    async with bench() as b:
        status = await b.clock.status()
        assert status.locked
        assert status.offset_s == pytest.approx(-7e-12, rel=1e-12)
        assert status.details["wrsTimingStatus"] == "warning"
        assert status.details["wrsSpllMode"] == "slave"
        assert status.details["wrsPtpServoState"] == "TRACK_PHASE"
        assert status.details["wrsPtpRTT, ps"] == "50000123"
        assert status.details["temperature of PLL, degrees C"] == "41"
        assert status.details["port 1"] == "up, slave, locked"
        assert "port 2" not in status.details
        controls = {control.name: control for control in b.clock.controls()}
        assert await controls["locked"].read() is True
        assert await controls["offset"].read() == pytest.approx(-7e-12, rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "locked"),
    [
        ({SERVO_STATE: words("SYNC_PHASE")}, False),
        ({SPLL_STATUS: number(2)}, False),
        ({SPLL_STATUS: number(3)}, False),
        ({SPLL_MODE: number(2)}, False),  # a free-running master follows nothing
        ({SPLL_MODE: number(4)}, False),
        ({SPLL_MODE: number(1), SERVO_STATE: words("")}, True),  # a grandmaster has no servo
    ],
)
async def test_what_counts_as_locked(changes: dict[Oid, Variable], locked: bool) -> None:
    async with bench(SLAVE | changes) as b:
        assert (await b.clock.status()).locked is locked


async def test_a_grandmaster_has_no_offset() -> None:
    table = SLAVE | {SPLL_MODE: number(1)}
    del table[OFFSET_PS]
    async with bench(table) as b:
        assert (await b.clock.status()).offset_s is None
        [_, offset] = b.clock.controls()
        with pytest.raises(RefusedError, match="has no offset"):
            await offset.read()


async def test_who_has_no_such_values_or_does_not_answer_is_not_opened() -> None:
    async with bench({(9, 9, 0): number(1)}) as b:
        with pytest.raises(ConnectError, match="no values of a White Rabbit switch"):
            await b.clock.open()
    async with bench() as b:
        b.faults.silent = True
        with in_a_hurry(b.clock), pytest.raises(ConnectError, match="nobody answers"):
            await b.clock.open()


async def test_the_agents_own_error_is_a_refusal() -> None:
    async with bench() as b:
        b.faults.own_errors = 1
        with pytest.raises(RefusedError, match=r"clock .*GET 1\.3\.6\..* was refused: genErr at name 1"):
            await b.clock.status()
        assert (await b.clock.status()).locked


async def test_a_late_answer_is_not_taken_for_the_next() -> None:
    async with bench() as b:
        b.faults.late = 3
        with in_a_hurry(b.clock), pytest.raises(DeadlineError, match="clock"):
            await b.clock.identity()
        assert (await b.clock.identity()).serial_number == "wrs3-0815"


async def test_it_needs_nothing_to_be_safe() -> None:
    async with bench() as b:
        await b.clock.make_safe()
        await b.clock.make_safe()
        assert await b.clock.is_settled()


@given(st.dictionaries(st.sampled_from(list(SLAVE)), st.one_of(
    st.integers(-(2**31), 2**31 - 1).map(number), st.text(max_size=20).map(words),
    st.integers(0, 2**64 - 1).map(lambda value: number(value, Tag.COUNTER64)),
)))  # fmt: skip
@settings(max_examples=50, deadline=None, derandomize=True)
def test_no_value_crashes_the_driver(values: dict[Oid, Variable]) -> None:
    async def look() -> None:
        async with bench(SLAVE | values) as b:
            for call in (b.clock.open, b.clock.status):
                try:
                    await call()
                except InstrumentError:
                    continue

    asyncio.run(look())
