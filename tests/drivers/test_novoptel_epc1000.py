"""The EPC1000 driver against bytes: the examples of novoptel_epc.md, and what goes wrong."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.capabilities import Identity, Settings
from drivers.errors import ConnectError, DeadlineError, LimitError, ProtocolError, RefusedError
from drivers.polarization.novoptel_epc1000 import NovoptelEpc1000
from tests.drivers.canned_line import try_everything
from tests.drivers.hurry import in_a_hurry
from tests.drivers.scripted_peer import Exchange, ScriptedPeer, served

FIRMWARE = (bytes.fromhex("520054"), bytes.fromhex("0109"))
"""The example: firmware 1.0.9."""
MODULE = b"EPC1000-20M-C-FA-NN-D".ljust(32)


class Registers:
    """A socket that answers from a table of registers and takes what is written; keeps what it heard."""

    def __init__(self) -> None:
        self.values = {84: 0x0109, 91: 77, 181: 16 * 40}
        self.values |= {96 + i: int.from_bytes(MODULE[2 * i : 2 * i + 2]) for i in range(16)}
        self.stuck: set[int] = set()
        self.written: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                letter = await reader.readexactly(1)
                register = int.from_bytes(await reader.readexactly(2))
                if letter == b"R":
                    writer.write(self.values.get(register, 0).to_bytes(2))
                    continue
                assert letter == b"W"
                value = await reader.readexactly(2)
                self.written.append(letter + register.to_bytes(2) + value)
                if register not in self.stuck:
                    self.values[register] = int.from_bytes(value)
        writer.close()


@asynccontextmanager
async def bench(peer: Registers | ScriptedPeer, deadline: float = 5.0) -> AsyncIterator[NovoptelEpc1000]:
    async with served(peer) as (port,):
        plates = NovoptelEpc1000("epc", Address.parse(f"tcp://127.0.0.1:{port}"), Settings(), deadline)
        try:
            yield plates
        finally:
            await plates.close()


async def test_opening_asks_who_is_there() -> None:
    peer = Registers()
    async with bench(peer) as plates:
        await plates.open()
        assert await plates.identity() == Identity("Novoptel", "EPC1000-20M-C-FA-NN-D", "77", "1.0.9")
        assert await plates.temperature() == pytest.approx(313.15)
        assert plates.actuators == 7
        assert await plates.is_homed()
        assert await plates.is_settled()
    assert peer.written == []


async def test_another_of_the_maker_is_named() -> None:
    peer = Registers()
    peer.values |= {96 + i: int.from_bytes(b"LU1000-2".ljust(32)[2 * i : 2 * i + 2]) for i in range(16)}
    async with bench(peer) as plates:
        with pytest.raises(ConnectError, match="a 'LU1000-2' answers"):
            await plates.open()


async def test_the_bytes_of_a_reading_and_of_a_writing() -> None:
    read = [(b"R\x00\xb5", b"\x02\x80")]
    async with bench(ScriptedPeer([FIRMWARE, *read, FIRMWARE])) as plates:
        assert await plates.temperature() == pytest.approx(313.15)
    peer = Registers()
    async with bench(peer) as plates:
        await plates.home()
    assert peer.written[:7] == [bytes.fromhex(f"57 00 0{n} 00 00") for n in range(7)], "all plates stopped"


async def test_plates_in_beam_order_by_half_turns() -> None:
    """A position of 16 bits is half a turn: 16384 steps are 45 deg. The half-wave plate, register 40, is the
    fourth in the beam."""
    peer = Registers()
    async with bench(peer) as plates:
        angles = [n * math.pi / 8 for n in range(7)]
        await plates.set_angles(angles)
        assert [peer.values[40 + n] for n in range(7)] == [24576, 0, 8192, 16384, 32768, 40960, 49152]
        assert await plates.angles() == pytest.approx(angles)


async def test_plates_that_turn_have_no_angles_and_are_stopped() -> None:
    peer = Registers()
    peer.values |= {0: 1, 3: 3, 5: 2}
    async with bench(peer) as plates:
        with pytest.raises(RefusedError, match="scrambles"):
            await plates.angles()
        await plates.make_safe()
        await plates.make_safe()
        assert [peer.values[n] for n in range(7)] == [0] * 7
        assert len(await plates.angles()) == 7
    peer.stuck = {3}
    peer.values[3] = 1
    async with bench(peer) as plates:
        with pytest.raises(RefusedError, match="still turn"):
            await plates.make_safe()


async def test_a_position_that_is_not_taken_is_a_refusal() -> None:
    peer = Registers()
    peer.stuck = {42}
    async with bench(peer) as plates:
        with pytest.raises(RefusedError, match=r"written.* read back"):
            await plates.set_angles([0.1] * 7)


@pytest.mark.parametrize("angle", [-0.01, math.pi, math.nan])
async def test_outside_the_limits_nothing_is_sent(angle: float) -> None:
    peer = Registers()
    async with bench(peer) as plates:
        with pytest.raises(LimitError, match="epc"):
            await plates.set_angles([angle] + [0.0] * 6)
        with pytest.raises(LimitError, match="2 angles for 7"):
            await plates.set_angles([0.0, 0.0])
    assert peer.written == []


TEMPERATURE = b"R\x00\xb5"


@pytest.mark.parametrize(
    "dialogue",
    [
        [FIRMWARE, (TEMPERATURE, b"\x77\x77\x02\x80"), (FIRMWARE[0], b"\x01\x09")],  # two bytes too many
        [FIRMWARE, (TEMPERATURE, b"\x77\x02\x80"), (FIRMWARE[0], b"\x01\x09")],  # one too many
        [FIRMWARE, (TEMPERATURE, b"\x02\x80"), (FIRMWARE[0], b"\x01\x09\x00")],  # one behind
    ],
)
async def test_answers_out_of_step_are_none(dialogue: Sequence[Exchange]) -> None:
    good = [FIRMWARE, (TEMPERATURE, b"\x02\x80"), FIRMWARE]
    async with bench(ScriptedPeer(dialogue, good)) as plates:
        with pytest.raises(ProtocolError, match="firmware is 0x109 before"):
            await plates.temperature()
        assert await plates.temperature() == pytest.approx(313.15), "on a new line"


async def test_half_an_answer_ends_at_the_deadline() -> None:
    dialogue: list[Exchange] = [FIRMWARE, (TEMPERATURE, b"\x02")]
    async with bench(ScriptedPeer(dialogue, [FIRMWARE, (TEMPERATURE, b"\x02\x80"), FIRMWARE])) as plates:
        with in_a_hurry(plates), pytest.raises(DeadlineError, match="epc"):
            await plates.temperature()
        assert await plates.temperature() == pytest.approx(313.15)


class Noise:
    """Answers every request that arrives by the next of the given bytes."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self.left = list(answers)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(64):
                writer.write(self.left.pop(0) if self.left else b"\x01\x09")
        writer.close()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.just(b"\x01\x09"), st.binary(min_size=1, max_size=5)), max_size=40))
def test_no_reply_crashes_it(answers: list[bytes]) -> None:
    async def scenario() -> None:
        async with bench(Noise(answers), 0.02) as plates:  # type: ignore[arg-type]
            await try_everything(plates)

    asyncio.run(scenario())
