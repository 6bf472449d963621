"""The CC1 driver against text: the strings of qubitekk_cc1.md (its S1 fixes them), and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.capabilities import Counts, Settings
from drivers.errors import ConnectError, DeadlineError, LimitError, RefusedError
from drivers.time_taggers.qubitekk_cc1 import QubitekkCc1
from tests.drivers.canned_line import CannedText, try_everything
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.table_peer import TablePeer, at_end

TABLE = {
    "FIRM?": "Firmware v2.010",
    "COUN:C1?": "20",
    "COUN:C2?": "31",
    "COUN:CO?": "4",
    "WIND?": "2",
    "DELA?": "8",
    "DWEL?": "8",
    "GATE?": "ON",
    "SUBT?": "OFF",
    "TRIG?": "MODE CONT",
}


class Peer(TablePeer):
    def __init__(self) -> None:
        super().__init__(at_end(b"\n"), {})
        self.set(TABLE)

    def set(self, table: dict[str, str]) -> None:
        self.answers |= {f"{ask}\n".encode(): f"{answer}\n".encode() for ask, answer in table.items()}

    def commands(self) -> list[str]:
        return [request.decode().removesuffix("\n") for request in self.heard]


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    yield peer
    peer.hang_up()


@pytest.fixture
async def counter(peer: Peer) -> AsyncIterator[QubitekkCc1]:
    counter = QubitekkCc1("counter", Address.parse(f"serial:{peer.path}"), Settings(), deadline=PATIENT_S)
    yield counter
    await counter.close()


async def test_opening_asks_for_the_firmware_and_no_more(counter: QubitekkCc1, peer: Peer) -> None:
    await counter.open()
    assert peer.heard == [b"FIRM?\n"]
    identity = await counter.identity()
    assert (identity.manufacturer, identity.model, identity.firmware) == ("Qubitekk", "CC1", "2.010")


@pytest.mark.parametrize("answer", ["1.2", "Unknown Command", ""])
async def test_another_instrument_is_no_cc1(counter: QubitekkCc1, peer: Peer, answer: str) -> None:
    peer.set({"FIRM?": answer})
    with in_a_hurry(counter), pytest.raises(ConnectError, match=r"counter .*no CC1 answers"):
        await counter.open()


async def test_the_answers_of_the_notes(counter: QubitekkCc1, peer: Peer) -> None:
    assert await counter.counts() == Counts({1: 20, 2: 31}, 4)
    assert await counter.window() == pytest.approx(2e-9)
    assert await counter.delay() == pytest.approx(8e-9)
    assert await counter.dwell() == 8.0
    assert await counter.is_gated() is True
    assert await counter.subtraction() is False
    assert await counter.continuous() is True


async def test_the_commands_of_the_notes(counter: QubitekkCc1, peer: Peer) -> None:
    await counter.open()
    peer.set({"WIND?": "7", "DELA?": "2", "DWEL?": "2", "GATE?": "OFF", "SUBT?": "ON", "TRIG?": "MODE STOP"})
    await counter.set_window(7e-9)
    await counter.set_delay(2e-9)
    await counter.set_dwell(2.0)
    await counter.set_gate(False)
    await counter.set_subtraction(True)
    await counter.set_continuous(False)
    peer.set({"GATE?": "ON", "TRIG?": "MODE CONT"})
    await counter.set_gate(True)
    await counter.set_continuous(True)
    await counter.clear()
    await counter.counts()
    assert [command for command in peer.commands() if not command.endswith("?")] == [
        ":WIND 7", ":DELA 2", ":DWEL 2", ":GATE:OFF", ":SUBT:ON", ":TRIG:MODE STOP", ":GATE:ON",
        ":TRIG:MODE CONT", "CLEA",
    ]  # fmt: skip


async def test_firmware_before_2_2_has_other_words(counter: QubitekkCc1, peer: Peer) -> None:
    peer.set({"FIRM?": "Firmware v2.001", "DWEL?": "8000", "GATE?": "1", "SUBT?": "0", "TRIG?": "1"})
    assert await counter.dwell() == 8.0
    assert await counter.is_gated() is True
    assert await counter.continuous() is False
    await counter.set_gate(True)
    await counter.set_subtraction(False)
    await counter.set_continuous(False)
    await counter.set_dwell(8.0)
    assert [command for command in peer.commands() if not command.endswith("?")] == [
        ":GATE 1", ":SUBT 0", ":TRIG 1", ":DWEL 8",
    ]  # fmt: skip


async def test_a_firmware_of_one_number_is_read(counter: QubitekkCc1, peer: Peer) -> None:
    peer.set({"FIRM?": "Firmware v2", "DWEL?": "500"})
    assert await counter.dwell() == 0.5


async def test_echoes_are_passed_over(counter: QubitekkCc1, peer: Peer) -> None:
    for question, answer in TABLE.items():
        peer.set({question: f"{question}\n{answer}"})
    peer.answers[b":WIND 2\n"] = b":WIND 2\n"
    await counter.open()
    await counter.set_window(2e-9)
    assert await counter.counts() == Counts({1: 20, 2: 31}, 4)


async def test_outside_the_limits_nothing_is_sent(counter: QubitekkCc1, peer: Peer) -> None:
    for window in (-1e-9, 8e-9, 2.5e-9):
        with pytest.raises(LimitError, match="0 to 7e-09 s in steps of 1e-09 s"):
            await counter.set_window(window)
    for delay in (1e-9, 16e-9):
        with pytest.raises(LimitError):
            await counter.set_delay(delay)
    with pytest.raises(LimitError):
        await counter.set_dwell(0.0)
    assert peer.heard == []


async def test_a_refusal_has_the_counters_words(counter: QubitekkCc1, peer: Peer) -> None:
    peer.answers[b":WIND 7\n"] = b"Unable to comply\n"
    with pytest.raises(RefusedError, match=":WIND 7 was refused: Unable to comply"):
        await counter.set_window(7e-9)
    peer.set({"GATE?": "Unknown Command"})
    with pytest.raises(RefusedError, match=r"GATE\? was refused: Unknown Command"):
        await counter.is_gated()
    assert await counter.window() == pytest.approx(2e-9)


async def test_a_setting_that_was_not_taken_is_refused(counter: QubitekkCc1, peer: Peer) -> None:
    with pytest.raises(RefusedError, match=r":DELA 4 was refused: DELA\? is answered by 8"):
        await counter.set_delay(4e-9)


async def test_a_late_answer_is_not_taken_for_the_next(counter: QubitekkCc1, peer: Peer) -> None:
    await counter.open()
    peer.next[b"WIND?\n"] = [b""]
    with in_a_hurry(counter), pytest.raises(DeadlineError, match=r"counter .*WIND\?"):
        await counter.window()
    peer.next[b"FIRM?\n"] = [b"2\nFirmware v2.010\n"]
    assert await counter.delay() == pytest.approx(8e-9)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=12) | st.sampled_from([*TABLE.values(), "Unknown Command", "1e999", "v2"])))
def test_no_reply_crashes_the_driver(answers: list[str]) -> None:
    counter = QubitekkCc1("counter", Address.parse("serial:/dev/null"), Settings())
    counter._line = CannedText(answers)  # type: ignore[assignment]
    asyncio.run(try_everything(counter))
