"""The Cobolt driver against text: the table and the example of cobolt_0601.md, and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LimitError, RefusedError
from drivers.lasers.cobolt_0601 import Cobolt0601, CoboltSettings
from tests.drivers.canned_line import CannedText, try_everything
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.table_peer import TablePeer, at_end

SETTINGS = CoboltSettings.model_validate({"max_power": "60 mW"})
TABLE = {
    "glm?": "0780-06-01-0060-100",
    "gsn?": "12345",
    "gfv?": "6.0.1",
    "p 0.020000": "OK",
    "p?": "0.020000",
    "cp": "OK",
    "cf": "OK",
    "l0": "OK",
    "l1": "OK",
    "l?": "0",
    "pa?": "0.019987",
    "ilk?": "0",
    "f?": "0",
    "gom?": "0",
}


class Peer(TablePeer):
    def __init__(self) -> None:
        super().__init__(at_end(b"\r"), {})
        self.set(TABLE)

    def set(self, table: dict[str, str]) -> None:
        self.answers |= {f"{ask}\r".encode(): f"{answer}\r\n".encode() for ask, answer in table.items()}

    def commands(self) -> list[str]:
        return [request.decode().removesuffix("\r") for request in self.heard]


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    yield peer
    peer.hang_up()


@pytest.fixture
async def laser(peer: Peer) -> AsyncIterator[Cobolt0601]:
    laser = Cobolt0601("pump", Address.parse(f"serial:{peer.path}"), SETTINGS, deadline=PATIENT_S)
    yield laser
    await laser.close()


async def test_opening_asks_for_the_model_and_no_more(laser: Cobolt0601, peer: Peer) -> None:
    await laser.open()
    assert peer.heard == [b"glm?\r"]
    identity = await laser.identity()
    assert (identity.model, identity.serial_number, identity.firmware) == (
        "0780-06-01-0060-100", "12345", "6.0.1",
    )  # fmt: skip
    await laser.close()
    await laser.close()


async def test_another_laser_is_named(laser: Cobolt0601, peer: Peer) -> None:
    peer.set({"glm?": "0532-05-01-0100-500"})
    with pytest.raises(ConnectError, match="'0532-05-01-0100-500' answers"):
        await laser.open()
    peer.set({"glm?": "Syntax error: illegal command"})
    with pytest.raises(ConnectError, match="Syntax error"):
        await laser.open()


async def test_nobody_is_a_connect_error(laser: Cobolt0601, peer: Peer) -> None:
    peer.answers.clear()
    with in_a_hurry(laser), pytest.raises(ConnectError, match=r"pump .*no answer"):
        await laser.open()


async def test_the_example_of_the_notes(laser: Cobolt0601, peer: Peer) -> None:
    await laser.set_power(20e-3)
    peer.set({"l?": "1"})
    await laser.set_emission(True)
    assert await laser.power() == 0.019987
    assert peer.heard == [f"{c}\r".encode() for c in ("p 0.020000", "p?", "cp", "l1", "l?", "l?", "pa?")]
    assert await laser.is_settled()
    peer.set({"pa?": "0.010000"})
    assert not await laser.is_settled()
    peer.set({"l?": "0"})
    await laser.set_emission(False)
    assert await laser.power() == 0.0
    assert await laser.is_settled()


async def test_a_laser_that_does_not_go_on_is_switched_off_again(laser: Cobolt0601, peer: Peer) -> None:
    peer.set({"ilk?": "1", "f?": "3", "gom?": "5"})
    with pytest.raises(RefusedError, match=r"interlock is open, fault 3 \(interlock\), mode 5 \(fault\)"):
        await laser.set_emission(True)
    assert peer.commands()[-1] == "l0"
    await laser.clear_fault()
    assert peer.commands()[-1] == "cf"


async def test_a_refusal_has_the_lasers_words(laser: Cobolt0601, peer: Peer) -> None:
    peer.set({"p 0.020000": "Syntax error: illegal command"})
    with pytest.raises(RefusedError, match=r"p 0\.020000 was refused: Syntax error: illegal command"):
        await laser.set_power(20e-3)


async def test_a_power_that_was_not_taken_is_refused(laser: Cobolt0601, peer: Peer) -> None:
    peer.set({"p?": "0.050000"})
    with pytest.raises(RefusedError, match=r"p 0\.020000 left it at 0\.05 W"):
        await laser.set_power(20e-3)


async def test_lines_that_are_no_answer_are_passed_over(laser: Cobolt0601, peer: Peer) -> None:
    peer.next[b"p 0.020000\r"] = [b"\r\nEVENT 7\r\nOK\r\n"]
    await laser.set_power(20e-3)
    peer.next[b"l?\r"] = [b"EVENT 7\r\n"]
    with in_a_hurry(laser), pytest.raises(DeadlineError, match=r"pump .*l\?: no answer"):
        await laser.emission()
    assert await laser.emission() is False


async def test_a_late_answer_is_not_taken_for_the_next(laser: Cobolt0601, peer: Peer) -> None:
    await laser.open()
    peer.next[b"l?\r"] = [b""]
    with in_a_hurry(laser), pytest.raises(DeadlineError):
        await laser.emission()
    peer.next[b"glm?\r"] = [b"1\r\n0780-06-01-0060-100\r\n"]
    assert await laser.emission() is False


async def test_cancelling_leaves_the_line_in_step(laser: Cobolt0601, peer: Peer) -> None:
    await laser.open()
    peer.next[b"l?\r"] = [b""]
    asking = asyncio.create_task(laser.emission())
    await peer.asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    peer.next[b"glm?\r"] = [b"1\r\n0780-06-01-0060-100\r\n"]
    assert await laser.emission() is False


async def test_outside_the_limits_no_byte_is_sent(laser: Cobolt0601, peer: Peer) -> None:
    for power in (61e-3, -1e-3):
        with pytest.raises(LimitError, match=r"outside 0 to 0\.06 W"):
            await laser.set_power(power)
    assert peer.heard == []


async def test_made_safe_from_nothing_and_twice(laser: Cobolt0601, peer: Peer) -> None:
    await laser.make_safe()
    await laser.make_safe()
    assert peer.commands() == ["l0", "l?"] * 2
    peer.set({"l?": "1"})
    with pytest.raises(RefusedError, match="did not go off"):
        await laser.make_safe()
    peer.answers.clear()
    with in_a_hurry(laser), pytest.raises(DeadlineError):
        await laser.make_safe()


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["OK", "0", "1", "3", "0.02", "9e999", "-1e400", "nan", "1e-3", *TABLE.values(), "error"]
    ),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=40))
def test_no_answer_crashes_the_driver(answers: list[str]) -> None:
    laser = Cobolt0601("pump", Address.parse("serial:/dev/none"), SETTINGS)
    laser._line = CannedText(answers)  # type: ignore[assignment]
    asyncio.run(try_everything(laser))
