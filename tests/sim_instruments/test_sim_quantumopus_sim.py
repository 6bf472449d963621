"""The simulated Quantum Opus modules. Expected text: quantumopus_sim.md."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.detectors.quantumopus_sim import IDENTITY, SimQuantumOpusSim
from sim_instruments.instrument import Placed
from sim_instruments.ports import Ports
from sim_instruments.world.detection import update_latch
from tests.sim_instruments.raw_client import RawClient

SWITCHING_A = 19e-6
SLICE_S = 0.02


class Bench:
    """Modules in slots 6 and 7; the wire of slot 6 latches above 19 uA when the world looks."""

    def __init__(self) -> None:
        ports = Ports()
        self.sim = SimQuantumOpusSim.place(
            Placed("wires", "quantumopus_sim", {"slots": [6, 7]}), ports, np.random.default_rng(1)
        )
        self.wire = ports.nanowires["wires", 6]
        self.module = self.sim.modules[6]
        self.said: list[bytes] = []
        self.module.say = self.said.append

    def ask(self, *commands: str) -> list[str]:
        """What is said to these, each in a message of its own."""
        self.said.clear()
        for command in commands:
            self.module.received(command.encode() + b"\r\n")
        assert all(answer.endswith(b"\n") and not answer.endswith(b"\r\n") for answer in self.said)
        return [answer.decode().removesuffix("\n") for answer in self.said]

    def moving(self) -> bool:
        return self.sim.moving

    def latched(self) -> bool:
        return self.wire.latched

    def advance(self, seconds: float) -> None:
        """As the bench does it: the world looks at the wire, then the module's time passes."""
        for _ in range(round(seconds / SLICE_S)):
            update_latch(self.wire, SWITCHING_A)
            self.sim.advance(SLICE_S)
        update_latch(self.wire, SWITCHING_A)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_example_of_the_notes() -> None:
    bench = Bench()
    bench.sim.insert(6, bench.module)  # its answers go to the mainframe again
    port = int((await bench.sim.start()).rpartition(":")[2])
    try:
        async with RawClient.at(port) as client:
            client.send(b'SNDT 6,"+B19000;"\nSNDT 6,"+B?"\nNINP? 6\n')
            assert await client.until(b"\r\n") == b"6\r\n"
            client.send(b"RAWN? 6,6\n")
            assert await client.until(b"\n") == b"19000\n"
            client.send(b"CTCR?\n")
            assert await client.until(b"\r\n") == b"192\r\n"
    finally:
        await bench.sim.stop()


def test_65535_steps_are_25_ua(bench: Bench) -> None:
    assert bench.wire.bias_a == 0.0
    assert bench.ask("+B?", "+B19000;", "+B?") == ["0", "19000"]
    assert bench.wire.bias_a == pytest.approx(25e-6 * 19000 / 65535)
    assert bench.ask("+B65535;+B?") == ["65535"]
    assert bench.wire.bias_a == pytest.approx(25e-6)


def test_the_voltage_shows_a_latched_wire_in_either_gain(bench: Bench) -> None:
    bench.ask("+B26214;")  # 10 uA
    bench.advance(SLICE_S)
    [superconducting] = bench.ask("+C?")
    assert int(superconducting) < 100
    bench.ask("+B52428;")  # 20 uA
    bench.advance(SLICE_S)
    bench.ask("+B26214;")
    bench.advance(SLICE_S)
    assert bench.latched()  # 10 uA is more than half of what it switches at
    # 10 uA through 1 MOhm behind 100 kOhm: 0.909 V.
    assert [int(count) for count in bench.ask("+C?", "+C1;", "+C?")] == [
        pytest.approx(0.909 / 1.1 * 65535, rel=1e-3), pytest.approx(0.909 / 5.0 * 65535, rel=1e-3),
    ]  # fmt: skip
    bench.ask("+B52428;+C0;")
    bench.advance(SLICE_S)
    assert bench.ask("+C?") == ["65535"]  # 1.82 V is more than high gain shows


def test_latched_until_a_reset_event(bench: Bench) -> None:
    bench.ask("+B51118;")  # 19.5 uA
    bench.advance(1.0)
    assert bench.latched()
    bench.ask("+B45000;")
    bench.advance(1.0)
    assert bench.latched()
    assert bench.ask("+D10;", "+D?", "+F;", "+B?") == ["10", "0"]
    assert bench.moving()
    bench.advance(0.08)
    assert bench.wire.bias_a == 0.0
    bench.advance(0.04)
    assert not bench.moving()
    assert bench.ask("+B?") == ["45000"]
    assert not bench.latched()


def test_an_automatic_reset(bench: Bench) -> None:
    assert bench.ask("+E?", "+E1;", "+E?", "+B45000;") == ["0", "1"]
    bench.wire.latched = True  # by a flash of light
    bench.advance(SLICE_S)
    assert bench.ask("+B?") == ["0"]
    bench.advance(0.1)
    assert bench.ask("+B?") == ["45000"]
    assert not bench.latched()


def test_the_automatic_bias_settles_at_95_percent(bench: Bench) -> None:
    bench.ask("+G;")
    assert bench.moving()
    bench.advance(15.0)
    assert not bench.moving()
    assert not bench.latched()
    [found] = bench.ask("+B?")
    assert 25e-6 * int(found) / 65535 == pytest.approx(0.95 * SWITCHING_A, rel=0.01)
    bench.ask("+G;")
    bench.advance(1.0)
    bench.ask("+B100;")  # somebody means it now
    bench.advance(1.0)
    assert bench.ask("+B?") == ["100"]


def test_the_stored_bias_outlives_a_power_cycle_and_nothing_else_does(bench: Bench) -> None:
    assert bench.ask("+H?;", "+H12345;", "+H?;", "+B?") == ["0.0", "12345.0", "0"]
    bench.ask("+H;", "+D7;", "+E1;")
    assert bench.wire.bias_a == pytest.approx(25e-6 * 12345 / 65535)
    bench.sim.power_cycle()
    assert bench.wire.bias_a == 0.0
    assert bench.ask("+B?", "+E?", "+H?;") == ["0", "0", "12345.0"]


@pytest.mark.parametrize(
    "command",
    ["+B65536;", "+B-1;", "+B;", "+D256;", "+C2;", "+E2;", "+X?", "B?", "+H65536;", "*IDN?", "+b5;"],
)
def test_the_rest_has_neither_effect_nor_answer(bench: Bench, command: str) -> None:
    bench.ask("+B100;+D3;+H5;")
    assert bench.ask(command, "+B?", "+D?", "+H?;", "+E?") == ["100", "3", "5.0", "0"]


def test_identity_and_an_error_of_its_own(bench: Bench) -> None:
    bench.sim.faults.own_errors = 1
    assert bench.ask("+A?", "+B100;", "+B?") == [IDENTITY, "0"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=12),
            st.sampled_from([b"+B", b"9", b";", b"+F;", b"+G;", b"?", b"+H", b"\r\n", b"+D255;", b"+E1;"]),
        ),
        max_size=30,
    )
)
def test_any_bytes_leave_it_able_to_answer(chunks: list[bytes]) -> None:
    bench = Bench()
    for chunk in chunks:
        bench.module.received(chunk)
        bench.advance(SLICE_S)
    assert 0.0 <= bench.wire.bias_a <= 25e-6
    bench.module.received(b"\n")
    assert bench.ask("+A?") == [IDENTITY]
