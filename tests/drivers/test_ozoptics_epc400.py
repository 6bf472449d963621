"""The EPC-400 driver against text: the table and the example of ozoptics_epc400.md, and what goes wrong."""

import asyncio
import math
from collections.abc import AsyncIterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LimitError, RefusedError
from drivers.polarization.ozoptics_epc400 import DONE_OR_ERROR, EpcSettings, OzOpticsEpc400
from drivers.transports.text_answers import TextAnswers
from tests.drivers.canned_line import CannedFrames, try_everything
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.table_peer import TablePeer, at_end

SETTINGS = EpcSettings.model_validate({"half_wave_voltage": "1.25 V"})
VOLTAGES = "Voltage(mV): CH1 +0000 CH2 -1250 CH3 +0000 CH4 +5000"
TABLE = {
    "V?": VOLTAGES,
    "F?": "Frequency(Hz): CH1 007  CH2 017  CH3 037  CH4 071",
    "M?": "Work Mode: DC",
    "MDC": "Set To DC Mode",
    "V1,-1250": "Set CH1 DC Voltage at: -1250mV",
    "V2,0": "Set CH2 DC Voltage at: 0mV",
    "V3,1000": "Set CH3 DC Voltage at: 1000mV",
    "V4,5000": "Set CH4 DC Voltage at: 5000mV",
}
ANGLES = [-math.pi, 0.0, 0.8 * math.pi, 4 * math.pi]
"""At 1.25 V for half a wave: -1250, 0, 1000 and 5000 mV."""


class Peer(TablePeer):
    def __init__(self) -> None:
        super().__init__(at_end(b"\r\n"), {})
        self.set(TABLE)

    def set(self, table: dict[str, str]) -> None:
        self.answers |= {f"{ask}\r\n".encode(): done(answer) for ask, answer in table.items()}

    def commands(self) -> list[str]:
        return [request.decode().strip() for request in self.heard]


def done(line: str) -> bytes:
    return f"{line}\r\nDone\r\n".encode()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    yield peer
    peer.hang_up()


@pytest.fixture
async def squeezers(peer: Peer) -> AsyncIterator[OzOpticsEpc400]:
    squeezers = OzOpticsEpc400("epc", Address.parse(f"serial:{peer.path}"), SETTINGS, deadline=PATIENT_S)
    yield squeezers
    await squeezers.close()


async def test_opening_asks_and_sets_nothing(squeezers: OzOpticsEpc400, peer: Peer) -> None:
    await squeezers.open()
    assert peer.heard == [b"V?\r\n"]
    identity = await squeezers.identity()
    assert (identity.manufacturer, identity.model) == ("OZ Optics", "EPC-400")
    assert await squeezers.is_homed()
    assert await squeezers.is_settled()


async def test_something_else_is_no_epc(squeezers: OzOpticsEpc400, peer: Peer) -> None:
    peer.answers[b"V?\r\n"] = done("Voltage(mV): CH1 +0000 CH2 -1250 CH3 +0000")
    with in_a_hurry(squeezers), pytest.raises(ConnectError, match=r"epc .*V\?"):
        await squeezers.open()
    peer.answers[b"V?\r\n"] = b"Error!\r\n"
    with pytest.raises(ConnectError, match="EPC-400"):
        await squeezers.open()


async def test_voltages_are_retardances(squeezers: OzOpticsEpc400) -> None:
    assert await squeezers.angles() == pytest.approx((0.0, -math.pi, 0.0, 4 * math.pi))
    assert squeezers.angle_limits.high == pytest.approx(4 * math.pi)
    assert squeezers.angle_is == "retardance"


async def test_retardances_are_sent_in_millivolts_and_read_back(
    squeezers: OzOpticsEpc400, peer: Peer
) -> None:
    peer.set({"V?": "Voltage(mV): CH1 -1250 CH2 +0000 CH3 +1000 CH4 +5000"})
    await squeezers.set_angles(ANGLES)
    assert peer.commands() == ["V1,-1250", "V2,0", "V3,1000", "V4,5000", "M?", "V?"]
    peer.set({"V?": VOLTAGES})
    with pytest.raises(RefusedError, match=r"-1250, 0, 1000, 5000.*set.*0, -1250, 0, 5000.*taken"):
        await squeezers.set_angles(ANGLES)


@pytest.mark.parametrize("angles", [[0.0, 0.0, 0.0, 12.6], [0.0, 0.0, 0.0, math.nan], [0.0] * 3])
async def test_outside_the_limits_nothing_is_sent(
    squeezers: OzOpticsEpc400, peer: Peer, angles: list[float]
) -> None:
    with pytest.raises(LimitError, match="epc"):
        await squeezers.set_angles(angles)
    assert peer.heard == []


async def test_its_own_error_is_a_refusal(squeezers: OzOpticsEpc400, peer: Peer) -> None:
    peer.answers[b"V1,-1250\r\n"] = b"Error!\r\n"
    with pytest.raises(RefusedError, match=r"V1,-1250 was refused: Error!"):
        await squeezers.set_angles(ANGLES)


async def test_a_controller_that_scrambles_has_no_angles_and_is_made_safe(
    squeezers: OzOpticsEpc400, peer: Peer
) -> None:
    peer.set({"M?": "Work Mode: AC(Sine)"})
    with pytest.raises(RefusedError, match=r"AC\(Sine\)"):
        await squeezers.angles()
    with pytest.raises(RefusedError, match="MDC left it"):
        await squeezers.make_safe()
    peer.next[b"M?\r\n"] = [done("Work Mode: AC(Triangle)"), done("Work Mode: DC")]
    peer.heard.clear()
    await squeezers.make_safe()
    assert peer.commands() == ["M?", "MDC", "M?"]
    peer.set({"M?": "Work Mode: DC"})
    peer.heard.clear()
    await squeezers.make_safe()
    await squeezers.make_safe()
    assert peer.commands() == ["M?", "M?"], "from nothing, and twice"


async def test_a_late_answer_and_its_done_are_not_the_next_ones(
    squeezers: OzOpticsEpc400, peer: Peer
) -> None:
    await squeezers.open()
    peer.heard.clear()
    peer.next[b"V?\r\n"] = [b""]
    with in_a_hurry(squeezers), pytest.raises(DeadlineError, match=r"V\?"):
        await squeezers.identity()
    late = done("Voltage(mV): CH1 +0001 CH2 +0001 CH3 +0001 CH4 +0001")
    peer.next[b"F?\r\n"] = [late + done(TABLE["F?"])]
    assert (await squeezers.angles())[1] == pytest.approx(-math.pi)
    assert peer.commands() == ["V?", "F?", "M?", "V?"]


async def test_a_cancelled_question_leaves_the_line_in_step(squeezers: OzOpticsEpc400, peer: Peer) -> None:
    peer.next[b"M?\r\n"] = [b""]
    asking = asyncio.create_task(squeezers.angles())
    await peer.asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    peer.next[b"F?\r\n"] = [done("Work Mode: AC(Sine)") + done(TABLE["F?"])]
    assert len(await squeezers.angles()) == 4


LINES = st.one_of(
    st.sampled_from(list(TABLE.values())),
    st.text(alphabet="Voltage(mV): CH1234+-0567Done!ErrorWk\r\n", max_size=60),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(LINES, st.sampled_from(["\r\nDone\r\n", "\r\nError!\r\n", "\r\n", "Done "])), max_size=14
    )
)
def test_no_reply_crashes_it(replies: list[tuple[str, str]]) -> None:
    squeezers = OzOpticsEpc400("epc", Address.parse("serial:/dev/null"), SETTINGS)
    answers = [lambda _, text=text: text.encode() for text in map("".join, replies)]
    squeezers._line = CannedFrames(answers, partial(TextAnswers, DONE_OR_ERROR))  # type: ignore[assignment]
    asyncio.run(try_everything(squeezers))
