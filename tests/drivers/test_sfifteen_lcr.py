"""The driver of the S-Fifteen liquid-crystal board against text: sfifteen_lcr.md, and what goes wrong."""

import asyncio
import math
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LimitError, RefusedError
from drivers.polarization.sfifteen_lcr import LcrSettings, SFifteenLcr
from tests.drivers.canned_line import CannedText, try_everything
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.table_peer import TablePeer, at_end

SETTINGS = LcrSettings.model_validate(
    {"retardance": [["0.5 V", "270 deg"], ["2.5 V", "90 deg"], ["9 V", "0 deg"]]}
)
IDENTITY = "LCD cell driver V1"
WANTED = [math.radians(degrees) for degrees in (270.0, 180.0, 90.0, 0.0)]
"""0.5, 1.5, 2.5 and 9 V."""
SENT = [
    "ON", "DARK", "FREQ 2000",
    "AMPLITUDE 1 0.500", "AMP? 1", "AMPLITUDE 2 1.500", "AMP? 2",
    "AMPLITUDE 3 2.500", "AMP? 3", "AMPLITUDE 4 9.000", "AMP? 4",
]  # fmt: skip


class Peer(TablePeer):
    def __init__(self) -> None:
        super().__init__(at_end(b"\r\n"), {})
        self.set({"*IDN?": IDENTITY, "AMP? 1": "0.5", "AMP? 2": "1.500", "AMP? 3": "2.50", "AMP? 4": "9"})

    def set(self, table: dict[str, str]) -> None:
        self.answers |= {f"{ask}\r\n".encode(): f"{answer}\r\n".encode() for ask, answer in table.items()}

    def commands(self) -> list[str]:
        return [request.decode().strip() for request in self.heard]


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    yield peer
    peer.hang_up()


@pytest.fixture
async def cells(peer: Peer) -> AsyncIterator[SFifteenLcr]:
    cells = SFifteenLcr("cells", Address.parse(f"serial:{peer.path}"), SETTINGS, deadline=PATIENT_S)
    yield cells
    await cells.close()


async def test_opening_asks_who_is_there(cells: SFifteenLcr, peer: Peer) -> None:
    await cells.open()
    assert peer.commands() == ["*IDN?"]
    identity = await cells.identity()
    assert (identity.manufacturer, identity.model) == ("S-Fifteen Instruments", IDENTITY)
    assert cells.actuators == 4
    assert await cells.is_homed()
    assert await cells.is_settled()
    await cells.home()
    await cells.make_safe()
    assert peer.commands() == ["*IDN?", "*IDN?"]


async def test_another_board_of_the_maker_is_named(cells: SFifteenLcr, peer: Peer) -> None:
    peer.set({"*IDN?": "SPDCSDR, rev 2"})
    with pytest.raises(ConnectError, match="SPDCSDR"):
        await cells.open()
    peer.answers.clear()
    with in_a_hurry(cells), pytest.raises(ConnectError, match="liquid-crystal"):
        await cells.open()


async def test_retardances_are_sent_as_amplitudes_and_read_back(cells: SFifteenLcr, peer: Peer) -> None:
    await cells.set_angles(WANTED)
    assert peer.commands() == SENT
    assert await cells.angles() == pytest.approx(WANTED)
    peer.set({"AMP? 2": "0.000"})
    with pytest.raises(RefusedError, match=r"AMPLITUDE 2 1\.500 left it at 0 V"):
        await cells.set_angles(WANTED)


@pytest.mark.parametrize("angle", [-0.1, 4.8, math.nan])
async def test_outside_the_curve_nothing_is_sent(cells: SFifteenLcr, peer: Peer, angle: float) -> None:
    with pytest.raises(LimitError, match="cells"):
        await cells.set_angles([angle, 1.0, 1.0, 1.0])
    with pytest.raises(LimitError, match="3 angles for 4"):
        await cells.set_angles([1.0, 1.0, 1.0])
    assert peer.heard == []


async def test_a_curve_beyond_the_boards_voltage_sends_nothing(peer: Peer) -> None:
    settings = LcrSettings.model_validate({"retardance": [["1 V", "90 deg"], ["10 V", "0 deg"]]})
    cells = SFifteenLcr("cells", Address.parse(f"serial:{peer.path}"), settings)
    with pytest.raises(LimitError, match="amplitude 10 V"):
        await cells.set_angles([0.0] * 4)
    assert peer.heard == []


async def test_the_text_of_a_command_not_understood_is_no_amplitude(cells: SFifteenLcr, peer: Peer) -> None:
    peer.next[b"AMP? 1\r\n"] = [b"Unknown command\r\n0.500\r\n"]
    assert await cells.angles() == pytest.approx(WANTED)


async def test_a_late_amplitude_is_not_the_next_ones(cells: SFifteenLcr, peer: Peer) -> None:
    await cells.open()
    peer.next[b"AMP? 1\r\n"] = [b""]
    with in_a_hurry(cells), pytest.raises(DeadlineError, match=r"AMP\? 1"):
        await cells.angles()
    peer.next[b"*IDN?\r\n"] = [f"7.7\r\n{IDENTITY}\r\n".encode()]
    assert await cells.angles() == pytest.approx(WANTED)


LINES = st.one_of(
    st.sampled_from([IDENTITY, "2.5", "1e999", "-0", "nan", "Unknown command"]),
    st.text(alphabet="0123456789.+-eE Unkow", max_size=12),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(LINES, max_size=30))
def test_no_reply_crashes_it(lines: list[str]) -> None:
    cells = SFifteenLcr("cells", Address.parse("serial:/dev/null"), SETTINGS)
    cells._line = CannedText(lines)  # type: ignore[assignment]
    asyncio.run(try_everything(cells))
