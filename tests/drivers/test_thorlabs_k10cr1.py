"""The K10CR1 driver against a scripted instrument that speaks the bytes of thorlabs_k10cr1.md."""

import math
from collections.abc import AsyncIterator

import pytest

from drivers.address import Address
from drivers.capabilities import Identity, Settings
from drivers.errors import DeadlineError, LimitError, ProtocolError
from drivers.polarization.thorlabs_k10cr1 import ThorlabsK10cr1
from tests.drivers.apt_peer import INFO_REQUEST, MPC_INFO, AptPeer, frame, ustatus, ustatus_request
from tests.drivers.hurry import PATIENT_S

IDLE = 0x8000_0500  # connected, homed, enabled: thorlabs_k10cr1.md, Examples
MOVING = 0x10
# The hardware info of the MPC320's example with this model's name and a serial number that starts with 55.
K10_INFO = MPC_INFO.replace(b"MPC320", b"K10CR1").replace(
    frame("9c b1 4a 02"), (55_000_123).to_bytes(4, "little")
)
MOVE_TO_45_DEG = frame("53 04 06 00 d0 01 01 00 00 c0 5d 00")
MOVE_COMPLETED = frame("64 04 0e 00 81 50 01 00 00 c0 5d 00 00 00 00 00 00 05 00 80")
STEPS_45_DEG = 6144000


class Mount(AptPeer):
    def __init__(self) -> None:
        super().__init__()
        self.position, self.bits = 0, IDLE
        self.answers[INFO_REQUEST] = K10_INFO
        self.answers[ustatus_request(1)] = lambda: ustatus(1, self.position, self.bits)


def driver(path: str) -> ThorlabsK10cr1:
    return ThorlabsK10cr1("alice_hwp", Address.parse(f"serial:{path}"), Settings(), PATIENT_S)


@pytest.fixture
async def peer() -> AsyncIterator[Mount]:
    peer = Mount()
    yield peer
    peer.hang_up()


@pytest.fixture
async def mount(peer: Mount) -> AsyncIterator[ThorlabsK10cr1]:
    mount = driver(peer.path)
    await mount.open()
    yield mount
    await mount.close()


async def test_identity(mount: ThorlabsK10cr1) -> None:
    assert await mount.identity() == Identity("Thorlabs", "K10CR1", "55000123", "1.0.3")


async def test_the_paddles_are_no_rotation_mount(peer: Mount) -> None:
    peer.answers[INFO_REQUEST] = MPC_INFO
    with pytest.raises(ProtocolError, match="'MPC320' answers instead of a K10CR1"):
        await driver(peer.path).open()


async def test_45_degrees_are_the_bytes_of_the_notes(mount: ThorlabsK10cr1, peer: Mount) -> None:
    await mount.set_angle(math.radians(45.0))
    assert peer.heard[-2:] == [MOVE_TO_45_DEG, INFO_REQUEST]


async def test_an_angle_below_zero_and_its_reading(mount: ThorlabsK10cr1, peer: Mount) -> None:
    await mount.set_angle(-math.radians(45.0))
    assert frame("53 04 06 00 d0 01 01 00 00 40 a2 ff") in peer.heard
    peer.position = -STEPS_45_DEG
    assert await mount.angle() == pytest.approx(-math.radians(45.0))


async def test_settled_needs_the_target_and_not_only_rest(mount: ThorlabsK10cr1, peer: Mount) -> None:
    assert await mount.is_settled()
    await mount.set_angle(math.radians(45.0))
    assert not await mount.is_settled(), "the status is idle, but from before the motion"
    peer.position, peer.bits = STEPS_45_DEG - 1, IDLE | MOVING
    assert not await mount.is_settled()
    peer.bits = IDLE
    assert await mount.is_settled(), "within two steps"
    peer.position = STEPS_45_DEG - 3
    assert not await mount.is_settled()
    peer.say(MOVE_COMPLETED)
    assert await mount.is_settled(), "the instrument has reported arrival"


async def test_an_arrival_of_the_motion_before_does_not_count(mount: ThorlabsK10cr1, peer: Mount) -> None:
    def late_arrival() -> bytes:
        return MOVE_COMPLETED + K10_INFO

    peer.answers[INFO_REQUEST] = late_arrival
    await mount.set_angle(math.radians(90.0))
    assert not await mount.is_settled()


async def test_homing_waits_for_the_report(mount: ThorlabsK10cr1, peer: Mount) -> None:
    await mount.home()
    assert frame("43 04 01 00 50 01") in peer.heard
    peer.bits = IDLE & ~0x400
    assert not await mount.is_homed()
    assert not await mount.is_settled()
    peer.bits = IDLE
    peer.say(frame("44 04 01 00 01 50"))
    assert await mount.is_settled()
    assert await mount.is_homed()


@pytest.mark.parametrize("angle", [6.3, -6.3, math.inf, math.nan])
async def test_a_limit_is_refused_before_a_byte_is_sent(
    mount: ThorlabsK10cr1, peer: Mount, angle: float
) -> None:
    with pytest.raises(LimitError):
        await mount.set_angle(angle)
    await mount.identity()
    assert peer.heard == [INFO_REQUEST, INFO_REQUEST]


async def test_make_safe_stops_at_once_also_when_never_opened(peer: Mount) -> None:
    mount = driver(peer.path)
    await mount.make_safe()
    await mount.make_safe()
    assert peer.count(frame("65 04 01 01 50 01")) == 2


async def test_make_safe_complains_when_the_mount_goes_on(mount: ThorlabsK10cr1, peer: Mount) -> None:
    peer.bits |= MOVING
    mount.deadline = 0.2  # for the motion; each question has longer
    with pytest.raises(DeadlineError, match="still moves"):
        await mount.make_safe()
