"""The simulated White Rabbit switch and its agent, spoken to as datagrams.

Requests and answers are those that pysnmp 7.1.30 (with pyasn1 0.6.5) writes; values are those of
whiterabbit_switch.md and WR-SWITCH-MIB.
"""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.ports import Ports, TaggerInput, TaggerPort
from sim_instruments.timing.snmp_agent import LARGEST_ANSWER, Oid, SnmpAgent, Tag, Variable
from sim_instruments.timing.whiterabbit_switch import (
    OFFSET_PS,
    PLL_STATES,
    PLL_STEP_S,
    SERVO_STATES,
    SERVO_STEP_S,
    SimWhiteRabbitSwitch,
)
from sim_instruments.wire.faults import Faults

WRS: Oid = (1, 3, 6, 1, 4, 1, 96, 100)
TABLE = {
    (*WRS, 6, 1, 1, 0): Variable(Tag.INTEGER, 1),
    (*WRS, 6, 1, 2, 0): Variable(Tag.INTEGER, 2),
    (*WRS, 6, 1, 3, 0): Variable(Tag.INTEGER, -129),
}
PYSNMP = {
    "GET of one that is there, of another instance, of another object": (
        "30 4a 02 01 01 04 06 70 75 62 6c 69 63 a0 3d 02 01 07 02 01 00 02 01 00 30 32 "
        "30 0f 06 0b 2b 06 01 04 01 60 64 06 01 01 00 05 00 "
        "30 0f 06 0b 2b 06 01 04 01 60 64 06 01 01 09 05 00 "
        "30 0e 06 0a 2b 06 01 04 01 60 64 09 01 00 05 00",
        "30 4b 02 01 01 04 06 70 75 62 6c 69 63 a2 3e 02 01 07 02 01 00 02 01 00 30 33 "
        "30 10 06 0b 2b 06 01 04 01 60 64 06 01 01 00 02 01 01 "
        "30 0f 06 0b 2b 06 01 04 01 60 64 06 01 01 09 81 00 30 0e 06 0a 2b 06 01 04 01 60 64 09 01 00 80 00",
    ),
    "GETNEXT": (
        "30 29 02 01 01 04 06 70 75 62 6c 69 63 a1 1c 02 01 07 02 01 00 02 01 00 30 11 "
        "30 0f 06 0b 2b 06 01 04 01 60 64 06 01 01 00 05 00",
        "30 2a 02 01 01 04 06 70 75 62 6c 69 63 a2 1d 02 01 07 02 01 00 02 01 00 30 12 "
        "30 10 06 0b 2b 06 01 04 01 60 64 06 01 02 00 02 01 02",
    ),
    "GETNEXT of the last": (
        "30 29 02 01 01 04 06 70 75 62 6c 69 63 a1 1c 02 01 07 02 01 00 02 01 00 30 11 "
        "30 0f 06 0b 2b 06 01 04 01 60 64 06 01 03 00 05 00",
        "30 29 02 01 01 04 06 70 75 62 6c 69 63 a2 1c 02 01 07 02 01 00 02 01 00 30 11 "
        "30 0f 06 0b 2b 06 01 04 01 60 64 06 01 03 00 82 00",
    ),
    "GETBULK of two repetitions": (
        "30 29 02 01 01 04 06 70 75 62 6c 69 63 a5 1c 02 01 07 02 01 00 02 01 02 30 11 "
        "30 0f 06 0b 2b 06 01 04 01 60 64 06 01 01 00 05 00",
        "30 3d 02 01 01 04 06 70 75 62 6c 69 63 a2 30 02 01 07 02 01 00 02 01 00 30 25 "
        "30 10 06 0b 2b 06 01 04 01 60 64 06 01 02 00 02 01 02 "
        "30 11 06 0b 2b 06 01 04 01 60 64 06 01 03 00 02 02 ff 7f",
    ),
    "SET, which is not writable": (
        "30 2a 02 01 01 04 06 70 75 62 6c 69 63 a3 1d 02 01 07 02 01 00 02 01 00 30 12 "
        "30 10 06 0b 2b 06 01 04 01 60 64 06 01 01 00 02 01 05",
        "30 2a 02 01 01 04 06 70 75 62 6c 69 63 a2 1d 02 01 07 02 01 11 02 01 01 30 12 "
        "30 10 06 0b 2b 06 01 04 01 60 64 06 01 01 00 02 01 05",
    ),
}
GET, NEXT = (bytes.fromhex(PYSNMP[what][0]) for what in list(PYSNMP)[:2])


@pytest.fixture
def agent() -> SnmpAgent:
    return SnmpAgent(lambda: TABLE, Faults())


@pytest.mark.parametrize("what", PYSNMP)
def test_the_agent_answers_as_pysnmp_would(agent: SnmpAgent, what: str) -> None:
    request, answer = PYSNMP[what]
    assert agent.answer(bytes.fromhex(request)) == bytes.fromhex(answer)


def test_who_does_not_know_the_community_or_another_version_is_not_answered(agent: SnmpAgent) -> None:
    assert agent.answer(NEXT.replace(b"public", b"secret")) is None
    assert agent.answer(NEXT.replace(bytes.fromhex("02 01 01 04"), bytes.fromhex("02 01 00 04"))) is None
    assert agent.answer(bytes.fromhex(PYSNMP["GETNEXT"][1])) is None  # an answer is no question
    for size in range(len(GET)):
        assert agent.answer(GET[:size]) is None


def test_its_own_error_is_genErr(agent: SnmpAgent) -> None:  # noqa: N802
    agent.faults.own_errors = 1
    refusal = agent.answer(NEXT)
    assert refusal is not None
    assert bytes.fromhex("02 01 07 02 01 05 02 01 01") in refusal
    assert agent.answer(NEXT) == bytes.fromhex(PYSNMP["GETNEXT"][1])


def test_large_answers_are_cut_or_too_big() -> None:
    table = {(*WRS, 1, n): Variable(Tag.OCTET_STRING, "x" * 200) for n in range(1, 20)}
    agent = SnmpAgent(lambda: table, Faults())
    bulk = bytes.fromhex(PYSNMP["GETBULK of two repetitions"][0].replace("02 01 02 30 11", "02 01 64 30 11"))
    bulk = bulk.replace(bytes.fromhex("64 06 01 01 00"), bytes.fromhex("64 01 00 00 00"))
    answer = agent.answer(bulk)
    assert answer is not None
    assert 1000 < len(answer) <= LARGEST_ANSWER
    assert answer.count(b"x" * 200) == 6


@given(st.binary(max_size=60), st.integers(0, 75), st.sampled_from([GET, NEXT, *[bytes.fromhex(pair[0]) for pair in PYSNMP.values()]]))  # fmt: skip  # noqa: E501
@settings(max_examples=200, deadline=None, derandomize=True)
def test_no_datagram_crashes_the_agent(rubbish: bytes, at: int, request: bytes) -> None:
    agent = SnmpAgent(lambda: TABLE, Faults())
    for data in (rubbish, request[:at] + rubbish, request[:at] + rubbish[:2] + request[at + 2 :]):
        answer = agent.answer(data)
        assert answer is None or answer[:1] == b"\x30"
    assert agent.answer(NEXT) == bytes.fromhex(PYSNMP["GETNEXT"][1])


class Bench:
    """A switch from which two taggers have their clock, and a third has not."""

    def __init__(self, *, grandmaster: bool = False) -> None:
        self.ports = Ports()
        for name in ("a", "b", "c"):
            self.ports.taggers[name] = TaggerPort({1: TaggerInput()})
        self.sim = SimWhiteRabbitSwitch(
            "wr", np.random.default_rng(1), self.ports, taggers=("a", "b", "later"), grandmaster=grandmaster
        )

    def value(self, *oid: int) -> int | str:
        return self.sim.device.table()[(*WRS, *oid)].value

    def locked(self) -> list[bool]:
        return [tagger.clock_locked for tagger in self.ports.taggers.values()]


LOCKING_S = PLL_STEP_S * (len(PLL_STATES) - 1) + SERVO_STEP_S * (len(SERVO_STATES) - 1)


def test_it_is_locked_when_the_bench_begins() -> None:
    bench = Bench()
    assert [bench.value(6, 1, n, 0) for n in (1, 2, 3, 4)] == [1, 1, 1, 1]
    assert bench.value(6, 2, 2, 2, 0) == 1
    assert bench.value(7, 5, 1, 6, 1) == "TRACK_PHASE"
    assert (bench.value(7, 6, 1, 3, 1), bench.value(7, 6, 1, 4, 1), bench.value(7, 8, 1, 7, 1, 1)) == (
        2,
        2,
        9,
    )
    assert (bench.value(7, 6, 1, 3, 2), bench.value(7, 8, 1, 7, 2, 1)) == (2, 6)
    assert bench.value(7, 6, 1, 3, 18) == 1
    assert all((*WRS, 7, 6, 1, 3, port) in bench.sim.device.table() for port in range(1, 19))


def test_without_its_uplink_the_taggers_have_no_reference() -> None:
    bench = Bench()
    bench.sim.connect_reference(False)
    assert bench.locked() == [False, False, True]
    assert [bench.value(6, 1, n, 0) for n in (1, 3)] == [2, 2]
    assert bench.value(7, 6, 1, 3, 1) == 1
    bench.sim.connect_reference(True)
    bench.sim.advance(LOCKING_S - 0.1)
    assert bench.locked() == [False, False, True]
    bench.sim.advance(0.2)
    assert bench.locked() == [True, True, True]
    assert bench.value(6, 1, 1, 0) == 1


def test_after_a_power_cycle_it_locks_step_by_step() -> None:
    bench = Bench()
    bench.sim.power_cycle()
    states = []
    for _ in range(200):
        bench.sim.advance(0.1)
        if (state := bench.value(7, 5, 1, 6, 1)) not in states:
            states.append(state)
    assert states == [
        "UNINITIALIZED",
        "SYNC_SEC",
        "SYNC_NSEC",
        "SYNC_PHASE",
        "WAIT_OFFSET_STABLE",
        "TRACK_PHASE",
    ]
    assert bench.locked() == [True, True, True]


def test_the_offset_is_a_new_one_every_second_and_below_a_nanosecond() -> None:
    bench = Bench()
    offsets = []
    for _ in range(200):
        bench.sim.advance(1.0)
        offsets.append(bench.sim.device.table()[(*WRS, 7, 5, 1, 11, 1)].value)
    # 200 normal numbers: their spread is within 35 % but once in 1e9 seeds (7 of its standard errors).
    assert np.std(np.array(offsets, dtype=float)) == pytest.approx(OFFSET_PS, rel=0.35)
    assert max(abs(int(offset)) for offset in offsets) < 1000


def test_a_grandmaster_needs_no_uplink_and_shows_no_servo() -> None:
    bench = Bench(grandmaster=True)
    assert bench.value(7, 3, 2, 1, 0) == 1
    assert (*WRS, 7, 5, 1, 6, 1) not in bench.sim.device.table()
    bench.sim.connect_reference(False)
    assert bench.locked() == [False, False, True]
    bench.sim.connect_reference(True)
    bench.sim.advance(PLL_STEP_S * len(PLL_STATES))
    assert bench.locked() == [True, True, True]


async def test_over_its_socket_from_a_testbeds_settings() -> None:
    ports = Ports()
    placed = Placed("wr", "whiterabbit_switch", {"community": "public", "taggers": ()})
    sim = SimWhiteRabbitSwitch.place(placed, ports, np.random.default_rng(1))
    address = await sim.start()
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            heard.put_nowait(data)

    assert address.startswith("udp://127.0.0.1:")
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Client, remote_addr=("127.0.0.1", int(address.rpartition(":")[2]))
    )
    transport.sendto(GET)
    answer = await asyncio.wait_for(heard.get(), 5)
    assert bytes.fromhex("06 01 01 00 02 01 01") in answer  # main status ok
    transport.close()
    await sim.stop()
