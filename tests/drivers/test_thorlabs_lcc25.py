"""The LCC25 driver against text: the example of thorlabs_lcc25.md, and what goes wrong; the cell's curve."""

import asyncio
import math
from collections.abc import AsyncIterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.address import Address
from drivers.capabilities import Identity
from drivers.errors import ConnectError, DeadlineError, LimitError, ProtocolError, RefusedError
from drivers.polarization.liquid_crystal import LiquidCrystalSettings
from drivers.polarization.thorlabs_lcc25 import PROMPT, ThorlabsLcc25
from drivers.transports.text_answers import TextAnswers
from tests.drivers.canned_line import CannedFrames, try_everything
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.table_peer import TablePeer, at_end

CURVE = [["1 V", "360 deg"], ["3 V", "90 deg"], ["10 V", "20 deg"]]
SETTINGS = LiquidCrystalSettings.model_validate({"retardance": CURVE})
QUESTIONS = {
    "*idn?": "THORLABS LCC25 VERSION 1.00",
    "volt1?": "2.5",
    "volt2?": "3.0",
    "mode?": "1",
    "enable?": "1",
    "extern?": "0",
}
COMMANDS = ["volt1=2.3", "volt1=2.5", "mode=1", "enable=1", "extern=0"]


class Peer(TablePeer):
    def __init__(self) -> None:
        super().__init__(at_end(b"\r"), {})
        self.set(QUESTIONS)
        self.set(dict.fromkeys(COMMANDS, ""))

    def set(self, table: dict[str, str]) -> None:
        self.answers |= {f"{ask}\r".encode(): echoed(ask, answer) for ask, answer in table.items()}

    def commands(self) -> list[str]:
        return [request.decode().strip() for request in self.heard]


def echoed(command: str, answer: str) -> bytes:
    reply = f"{answer}\r" if answer else ""
    return f"{command}\r{reply}> ".encode()


def test_the_peer_speaks_as_the_notes_do() -> None:
    assert echoed("volt1?", "2.5") == b"volt1?\r2.5\r> "


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    yield peer
    peer.hang_up()


@pytest.fixture
async def cell(peer: Peer) -> AsyncIterator[ThorlabsLcc25]:
    cell = ThorlabsLcc25("cell", Address.parse(f"serial:{peer.path}"), SETTINGS, deadline=PATIENT_S)
    yield cell
    await cell.close()


async def test_opening_asks_who_is_there(cell: ThorlabsLcc25, peer: Peer) -> None:
    await cell.open()
    assert peer.heard == [b"*idn?\r"]
    assert await cell.identity() == Identity("THORLABS", "LCC25", "", "1.00")
    assert cell.actuators == 1
    assert await cell.is_homed()
    assert await cell.is_settled()


async def test_another_of_the_family_is_named(cell: ThorlabsLcc25, peer: Peer) -> None:
    peer.set({"*idn?": "THORLABS SC10 VERSION 1.07"})
    with pytest.raises(ConnectError, match="a SC10 answers"):
        await cell.open()
    peer.set({"*idn?": "CMD_NOT_DEFINED"})
    with pytest.raises(ConnectError, match="CMD_NOT_DEFINED"):
        await cell.open()


async def test_the_retardance_is_that_of_the_voltage(cell: ThorlabsLcc25, peer: Peer) -> None:
    # 2.5 V is three quarters of the way from 1 V, 360 deg, to 3 V, 90 deg.
    assert await cell.angles() == pytest.approx((math.radians(157.5),))
    peer.set({"mode?": "2"})
    assert await cell.angles() == pytest.approx((math.radians(90.0),))
    peer.set({"enable?": "0"})
    assert await cell.angles() == pytest.approx((math.radians(360.0),)), "no voltage on the cell"


@pytest.mark.parametrize("modulation", [{"mode?": "0"}, {"extern?": "1"}])
async def test_a_cell_that_is_modulated_has_no_retardance(
    cell: ThorlabsLcc25, peer: Peer, modulation: dict[str, str]
) -> None:
    peer.set(modulation)
    with pytest.raises(RefusedError, match="modulates"):
        await cell.angles()


async def test_setting_sends_tenths_of_volts_and_reads_back(cell: ThorlabsLcc25, peer: Peer) -> None:
    await cell.set_angles([math.radians(157.5)])
    assert peer.commands() == [
        "volt1=2.5", "volt1?", "extern=0", "extern?", "mode=1", "mode?", "enable=1", "enable?",
    ]  # fmt: skip
    peer.set({"volt1=2.3": "", "volt1?": "2.5"})
    with pytest.raises(RefusedError, match=r"volt1=2\.3 left it at 2\.5 V"):
        await cell.set_angles([math.radians(360 - 270 * 1.3 / 2)])
    peer.set({"volt1=2.3": "CMD_ARG_INVALID"})
    with pytest.raises(RefusedError, match=r"volt1=2\.3 was refused: CMD_ARG_INVALID"):
        await cell.set_angles([math.radians(360 - 270 * 1.3 / 2)])


@pytest.mark.parametrize("angles", [[6.3], [0.3], [math.nan], [], [1.0, 1.0]])
async def test_outside_the_curve_nothing_is_sent(
    cell: ThorlabsLcc25, peer: Peer, angles: list[float]
) -> None:
    with pytest.raises(LimitError, match="cell"):
        await cell.set_angles(angles)
    assert peer.heard == []


async def test_a_curve_beyond_the_controllers_voltage_sends_nothing(peer: Peer) -> None:
    settings = LiquidCrystalSettings.model_validate({"retardance": [["1 V", "90 deg"], ["30 V", "0 deg"]]})
    cell = ThorlabsLcc25("cell", Address.parse(f"serial:{peer.path}"), settings)
    with pytest.raises(LimitError, match="voltage 30 V"):
        await cell.set_angles([0.0])
    assert peer.heard == []


async def test_made_safe_it_does_not_modulate(cell: ThorlabsLcc25, peer: Peer) -> None:
    await cell.make_safe()
    assert peer.commands() == ["mode?", "extern?"]
    peer.heard.clear()
    peer.next[b"mode?\r"] = [echoed("mode?", "0")]
    await cell.make_safe()
    assert peer.commands() == ["mode?", "extern=0", "extern?", "mode=1", "mode?"]


async def test_an_answer_belongs_to_its_own_echo(cell: ThorlabsLcc25, peer: Peer) -> None:
    await cell.open()
    peer.next[b"enable?\r"] = [b""]
    with in_a_hurry(cell), pytest.raises(DeadlineError, match=r"enable\?"):
        await cell.angles()
    peer.next[b"enable?\r"] = [echoed("volt1?", "9.9") + echoed("enable?", "1")]
    assert await cell.angles() == pytest.approx((math.radians(157.5),))


async def test_garbage_is_a_protocol_error(cell: ThorlabsLcc25, peer: Peer) -> None:
    peer.next[b"volt1?\r"] = [echoed("volt1?", "2..5")]
    with pytest.raises(ProtocolError, match=r"volt1\? was answered by \('2\.\.5',\)"):
        await cell.angles()
    peer.next[b"enable?\r"] = [echoed("enable?", "")]
    with pytest.raises(ProtocolError, match=r"enable\? was answered by \(\)"):
        await cell.angles()
    assert await cell.angles() == pytest.approx((math.radians(157.5),))


def test_the_curve_in_both_directions() -> None:
    for volts, degrees in ((1.0, 360.0), (2.0, 225.0), (3.0, 90.0), (6.5, 55.0), (10.0, 20.0)):
        assert SETTINGS.voltage_for(math.radians(degrees)) == pytest.approx(volts)
        assert SETTINGS.retardance_at(volts) == pytest.approx(math.radians(degrees))
    assert SETTINGS.retardance_at(0.0) == pytest.approx(math.radians(360.0))
    assert SETTINGS.retardance_at(11.0) == pytest.approx(math.radians(20.0))
    assert SETTINGS.retardance_limits.low == pytest.approx(math.radians(20.0))


@pytest.mark.parametrize(
    "curve",
    [
        [["1 V", "90 deg"]],
        [["1 V", "90 deg"], ["2 V", "90 deg"]],
        [["2 V", "90 deg"], ["1 V", "45 deg"]],
        [["-1 V", "90 deg"], ["1 V", "45 deg"]],
        [["1 V", "90"], ["2 V", "45 deg"]],
    ],
)
def test_a_curve_that_does_not_fall_is_none(curve: list[list[str]]) -> None:
    with pytest.raises(ValidationError):
        LiquidCrystalSettings.model_validate({"retardance": curve})


REPLIES = st.one_of(
    st.sampled_from([*QUESTIONS.values(), "", "CMD_ARG_INVALID", "nan", "1e999"]),
    st.text(alphabet="0123456789.+-eE\r>CMD_ ", max_size=12),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), REPLIES), max_size=14))
def test_no_reply_crashes_it(replies: list[tuple[bool, str]]) -> None:
    cell = ThorlabsLcc25("cell", Address.parse("serial:/dev/null"), SETTINGS)
    answers = [
        lambda request, echo=echo, text=text: (request if echo else b"") + f"{text}\r> ".encode()
        for echo, text in replies
    ]
    cell._line = CannedFrames(answers, partial(TextAnswers, PROMPT))  # type: ignore[assignment]
    asyncio.run(try_everything(cell))
