"""The MPC320 driver against a scripted instrument that speaks the bytes of thorlabs_mpc320.md."""

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from drivers.address import Address
from drivers.capabilities import Identity, Settings
from drivers.errors import ConnectError, DeadlineError, LimitError, LineError, ProtocolError
from drivers.polarization.apt import Message
from drivers.polarization.thorlabs_mpc320 import ThorlabsMpc320
from drivers.transports.serial import SerialLine
from tests.drivers.apt_peer import INFO_REQUEST, MPC_INFO, AptPeer, frame, ustatus, ustatus_request
from tests.drivers.eventually import eventually
from tests.drivers.hurry import PATIENT_S, in_a_hurry, past_a_silence

HOMED_IDLE = 0x9000_0500  # connected, homed, power OK, enabled: thorlabs_mpc320.md, Examples
MOVING = 0x10
HOMING = 0x200
HOMED = 0x400
ENABLED = 0x8000_0000
ENABLE_ALL = frame("10 02 07 01 50 01")  # the mask 1+2+4; thorlabs_mpc320.md, Frames
MOVE_2_TO_685 = frame("53 04 06 00 d0 01 02 00 ad 02 00 00")
STOPS = [frame(f"65 04 {channel:02x} 01 50 01") for channel in (1, 2, 4)]
HOMES = [frame(f"43 04 {channel:02x} 00 50 01") for channel in (1, 2, 4)]


class Paddles(AptPeer):
    """Channels whose position and bits the test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.position = {1: 0, 2: 0, 4: 0}
        self.bits = {1: HOMED_IDLE, 2: HOMED_IDLE, 4: HOMED_IDLE}
        self.answers[INFO_REQUEST] = MPC_INFO
        for channel in (1, 2, 4):
            self.answers[ustatus_request(channel)] = lambda c=channel: ustatus(  # type: ignore[misc]
                c, self.position[c], self.bits[c]
            )

    def set_bits(self, bits: int) -> bytes:
        """As an answer to a command: the bits change, nothing is said."""
        self.bits = dict.fromkeys(self.bits, bits)
        return b""


def driver(path: str) -> ThorlabsMpc320:
    return ThorlabsMpc320("alice_paddles", Address.parse(f"serial:{path}"), Settings(), PATIENT_S)


@pytest.fixture
async def peer() -> AsyncIterator[Paddles]:
    peer = Paddles()
    yield peer
    peer.hang_up()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[SerialLine[Message]]:
    """The lines that the driver opens; `_fail` on the last is a cable that is pulled."""
    lines: list[SerialLine[Message]] = []
    open_line = SerialLine.open

    async def noted(line: SerialLine[Message]) -> None:
        await open_line(line)
        lines.append(line)

    monkeypatch.setattr(SerialLine, "open", noted)
    return lines


@pytest.fixture
async def paddles(peer: Paddles) -> AsyncIterator[ThorlabsMpc320]:
    paddles = driver(peer.path)
    await paddles.open()
    yield paddles
    await paddles.close()


async def test_opening_only_asks_who_is_there(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    assert peer.heard == [INFO_REQUEST]
    assert await paddles.identity() == Identity("Thorlabs", "MPC320", "38449564", "1.0.3")


async def test_another_model_is_refused(peer: Paddles) -> None:
    peer.answers[INFO_REQUEST] = MPC_INFO.replace(b"MPC320", b"MPC220")
    with pytest.raises(ProtocolError, match="'MPC220' answers instead of a MPC320"):
        await driver(peer.path).open()


async def test_nobody_there_is_a_connect_error(peer: Paddles) -> None:
    del peer.answers[INFO_REQUEST]
    paddles = driver(peer.path)
    with in_a_hurry(paddles), pytest.raises(ConnectError, match="nothing came back"):
        await paddles.open()


async def test_angles_read_the_notes_scale(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    peer.position = {1: 0, 2: 685, 4: 1370}
    assert await paddles.angles() == pytest.approx((0.0, math.radians(85.0), math.radians(170.0)))


async def test_a_move_enables_once_and_returns_when_it_is_taken(
    paddles: ThorlabsMpc320, peer: Paddles
) -> None:
    peer.bits = dict.fromkeys(peer.bits, 0x1000_0100)
    peer.answers[ENABLE_ALL] = lambda: peer.set_bits(0x9000_0100)
    await paddles.set_angles([0.0, math.radians(85.0), math.radians(170.0)])
    assert peer.count(ENABLE_ALL) == 1
    moves = [frame("53 04 06 00 d0 01 01 00 00 00 00 00"), MOVE_2_TO_685,
             frame("53 04 06 00 d0 01 04 00 5a 05 00 00")]  # fmt: skip
    # The question after the moves is answered in order: the instrument has read them.
    assert peer.heard[-4:] == [*moves, INFO_REQUEST]
    await paddles.set_angles([0.0, 0.0, 0.0])
    assert peer.count(ENABLE_ALL) == 1


async def test_channels_that_are_enabled_are_left_alone(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    await paddles.set_angles([0.0, 0.0, 0.0])
    assert peer.count(ENABLE_ALL) == 0


async def test_channels_that_stay_disabled_are_an_error_before_any_move(
    paddles: ThorlabsMpc320, peer: Paddles
) -> None:
    peer.bits = dict.fromkeys(peer.bits, 0x1000_0100)
    for _ in range(2):
        paddles.deadline = 0.2  # for the motion; each question has longer
        with pytest.raises(DeadlineError, match="stays disabled"):
            await paddles.set_angles([0.0, 0.0, 0.0])
    assert peer.count(ENABLE_ALL) == 1, "toggling fast can hang the firmware"
    assert not [request for request in peer.heard if request.startswith(b"\x53\x04")]


@pytest.mark.parametrize("angles", [[0.0, 3.0, 0.0], [-0.01, 0.0, 0.0], [0.0, 0.0, math.nan], [0.0, 0.0]])
async def test_a_limit_is_refused_before_a_byte_is_sent(
    paddles: ThorlabsMpc320, peer: Paddles, angles: list[float]
) -> None:
    with pytest.raises(LimitError, match="alice_paddles"):
        await paddles.set_angles(angles)
    await paddles.identity()
    assert peer.heard == [INFO_REQUEST, INFO_REQUEST]


async def test_a_status_from_before_the_motion_is_not_arrival(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    await paddles.set_angles([0.0, math.radians(85.0), 0.0])
    assert not await paddles.is_settled(), "idle bits, but not at the target: not yet begun"
    peer.bits[2] |= MOVING
    peer.position[2] = 684
    assert not await paddles.is_settled()
    peer.bits[2] &= ~MOVING
    assert await paddles.is_settled()


async def test_the_report_of_arrival_settles_wherever_the_paddle_says_it_is(
    paddles: ThorlabsMpc320, peer: Paddles
) -> None:
    await paddles.set_angles([0.0, math.radians(85.0), 0.0])
    peer.position[2] = 680
    assert not await paddles.is_settled()
    peer.say(frame("64 04 02 00 01 50"))
    assert await paddles.is_settled()


async def test_homing_settles_when_the_instrument_reports_it(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    peer.set_bits(0x9000_0100)
    assert not await paddles.is_homed()
    await paddles.home()
    assert peer.heard[-4:] == [*HOMES, INFO_REQUEST]
    peer.set_bits(0x9000_0100 | HOMING)
    assert not await paddles.is_settled()
    peer.set_bits(HOMED_IDLE)
    assert not await paddles.is_settled(), "no report of home yet"
    for channel in (4, 1, 2):
        peer.say(frame(f"44 04 {channel:02x} 00 01 50"))
    assert await paddles.is_settled()
    assert await paddles.is_homed()


async def test_unasked_frames_and_garbage_do_not_disturb(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    asked = ustatus_request(1)
    peer.answers[asked] = (
        ustatus(4, 99, HOMED_IDLE)  # automatic update of another channel
        + b"\xff\x00\x17"
        + frame("64 04 02 00 01 50")
        + ustatus(1, 137, HOMED_IDLE)
    )
    assert await paddles.angles() == pytest.approx((math.radians(17.0), 0.0, 0.0))


async def test_a_late_status_does_not_answer_the_next_question(
    paddles: ThorlabsMpc320, peer: Paddles
) -> None:
    asked = ustatus_request(1)
    answer = peer.answers.pop(asked)
    with in_a_hurry(paddles), pytest.raises(DeadlineError, match="RequestUStatus"):
        await paddles.angles()
    peer.answers[asked] = answer
    peer.answers[INFO_REQUEST] = ustatus(1, 1370, HOMED_IDLE) + MPC_INFO  # the late answer comes first
    assert await paddles.angles() == (0.0, 0.0, 0.0)


async def test_a_cancelled_question_leaves_the_line_in_step(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    asked = ustatus_request(1)
    answer = peer.answers.pop(asked)
    question = asyncio.create_task(paddles.angles())
    await peer.until_heard(asked)
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question
    peer.say(ustatus(1, 1370, HOMED_IDLE))
    peer.answers[asked] = answer
    assert await paddles.angles() == (0.0, 0.0, 0.0)


async def test_garbage_alone_is_an_error_that_shows_it(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    peer.answers[ustatus_request(1)] = b"\xde\xad\xbe\xef"
    with in_a_hurry(paddles, 0.5), pytest.raises(DeadlineError, match="only de ad be ef came"):
        await paddles.angles()


async def test_half_a_frame_does_not_spoil_the_next(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    whole = ustatus(1, 0, HOMED_IDLE)
    peer.answers[ustatus_request(1)] = whole[:9]
    with in_a_hurry(paddles, 0.5), pytest.raises(DeadlineError, match=whole[:9].hex(" ")):
        await paddles.angles()
    peer.answers[ustatus_request(1)] = whole
    assert await paddles.angles() == (0.0, 0.0, 0.0)


async def test_a_line_that_breaks_is_an_error_and_the_next_call_opens_it_anew(
    lines: list[SerialLine[Message]], paddles: ThorlabsMpc320, peer: Paddles
) -> None:
    peer.answers[ustatus_request(4)] = lambda: lines[-1]._fail("unplugged") and b""
    with pytest.raises(LineError, match=r"alice_paddles.*unplugged"):
        await paddles.angles()
    peer.answers[ustatus_request(4)] = ustatus(4, 0, HOMED_IDLE)
    assert await paddles.angles() == (0.0, 0.0, 0.0)
    assert len(lines) == 2


async def test_a_device_that_is_gone_is_an_error(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    peer.hang_up()
    with pytest.raises(LineError, match="alice_paddles"):
        await paddles.angles()
    with pytest.raises(ConnectError, match="plugged in"):
        await paddles.angles()


async def test_make_safe_stops_every_paddle_and_looks(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    await paddles.set_angles([0.0, math.radians(85.0), 0.0])
    peer.set_bits(HOMED_IDLE | MOVING)
    peer.answers[STOPS[2]] = lambda: peer.set_bits(HOMED_IDLE)
    await paddles.make_safe()
    await paddles.make_safe()
    assert [peer.count(stop) for stop in STOPS] == [2, 2, 2]
    assert await paddles.is_settled(), "stopped where they are; nothing is waited for any more"


async def test_make_safe_complains_when_a_paddle_goes_on(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    peer.bits[4] |= MOVING
    paddles.deadline = 0.2  # for the motion; each question has longer
    with pytest.raises(DeadlineError, match="channel 4 still moves"):
        await paddles.make_safe()


async def test_make_safe_beside_a_poll_that_opens_a_broken_line_anew(
    lines: list[SerialLine[Message]], paddles: ThorlabsMpc320, peer: Paddles
) -> None:
    lines[-1]._fail("unplugged")
    _, angles = await asyncio.gather(paddles.make_safe(), paddles.angles())
    assert [peer.count(stop) for stop in STOPS] == [1, 1, 1]
    assert angles == (0.0, 0.0, 0.0)


async def test_make_safe_beside_an_opening(peer: Paddles) -> None:
    paddles = driver(peer.path)
    await asyncio.gather(paddles.open(), paddles.make_safe())
    assert [peer.count(stop) for stop in STOPS] == [1, 1, 1]
    await paddles.close()


async def test_make_safe_does_not_give_up_after_one_silence(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    replies = [b"", MPC_INFO, MPC_INFO]
    peer.answers[INFO_REQUEST] = lambda: replies.pop(0)
    await past_a_silence(paddles, paddles.make_safe(), eventually(lambda: len(replies) < 3))
    assert [peer.count(stop) for stop in STOPS] == [2, 2, 2]
    assert not replies, "the second try begins with the probe"


async def test_make_safe_beside_a_move_disturbs_neither(paddles: ThorlabsMpc320, peer: Paddles) -> None:
    await paddles.set_angles([0.0, 0.0, 0.0])
    await asyncio.gather(paddles.make_safe(), paddles.set_angles([0.0, math.radians(85.0), 0.0]))
    assert [peer.count(stop) for stop in STOPS] == [1, 1, 1]
    assert peer.count(MOVE_2_TO_685) == 1


async def test_a_move_that_was_lost_with_its_line_does_not_count_as_taken(
    paddles: ThorlabsMpc320, peer: Paddles, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = SerialLine.send

    async def send_and_break(line: SerialLine[Message], data: bytes, command: str) -> None:
        await send(line, data, command)
        if data == MOVE_2_TO_685:
            line._fail("unplugged")

    monkeypatch.setattr(SerialLine, "send", send_and_break)
    with pytest.raises(LineError, match="unplugged"):
        await paddles.set_angles([0.0, math.radians(85.0), 0.0])
    assert await paddles.angles() == (0.0, 0.0, 0.0), "the next call opens a new line"


async def test_make_safe_opens_a_line_of_its_own(peer: Paddles) -> None:
    paddles = driver(peer.path)
    await paddles.make_safe()
    assert [peer.count(stop) for stop in STOPS] == [1, 1, 1]
    # and gives it back
    await paddles.open()
    await paddles.close()


def test_limits_and_actuators_need_no_line() -> None:
    paddles = driver("/dev/null")
    assert paddles.actuators == 3
    assert (paddles.angle_limits.low, paddles.angle_limits.high) == (0.0, math.radians(170.0))
