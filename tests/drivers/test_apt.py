"""APT messages against the byte examples of thorlabs_mpc320.md and thorlabs_k10cr1.md, both ways."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.polarization import apt
from drivers.polarization.apt_decoder import AptDecoder
from tests.drivers.apt_peer import MPC_INFO, frame

EXAMPLES = [
    # thorlabs_mpc320.md, Examples
    ("05 00 00 00 50 01", apt.RequestHardwareInfo()),
    ("10 02 01 01 50 01", apt.SetChannelEnable(1, 1)),
    ("43 04 01 00 50 01", apt.MoveHome(1)),
    ("44 04 01 00 01 50", apt.MoveHomed(1)),
    ("53 04 06 00 d0 01 02 00 ad 02 00 00", apt.MoveAbsolute(2, 685)),
    ("64 04 02 00 01 50", apt.MoveCompleted(2)),
    ("90 04 01 00 50 01", apt.RequestUStatus(1)),
    ("91 04 0e 00 81 50 01 00 ad 02 00 00 00 00 00 00 00 05 00 90", apt.UStatus(1, 685, 0, 0, 0x9000_0500)),
    ("31 05 00 00 50 01", apt.RequestPolarizationParameters()),
    (
        "30 05 0c 00 d0 01 00 00 32 00 ad 02 32 00 32 00 32 00",
        apt.SetPolarizationParameters(0, 50, 685, 50, 50, 50),
    ),
    ("6a 04 01 01 50 01", apt.Jog(1, 1)),
    ("65 04 01 02 50 01", apt.Stop(1, 2)),
    ("92 04 00 00 50 01", apt.AcknowledgeAlive()),
    # thorlabs_k10cr1.md, Examples
    ("53 04 06 00 d0 01 01 00 00 c0 5d 00", apt.MoveAbsolute(1, 6144000)),
    (
        "64 04 0e 00 81 50 01 00 00 c0 5d 00 00 00 00 00 00 05 00 80",
        apt.MoveCompleted(1, 6144000, 0, 0x8000_0500),
    ),
    ("14 04 01 00 50 01", apt.RequestVelocityParameters(1)),
    (
        "15 04 0e 00 81 50 01 00 00 00 00 00 ac 3a 00 00 27 7b 5e 04",
        apt.VelocityParameters(1, 0, 15020, 73300775),
    ),
]

# No example in the notes: the frames follow from the tables "Frames" and "Extra messages" by hand, with the
# default values that thorlabs_k10cr1.md states.
FROM_TABLES = [
    ("02 00 00 00 50 01", apt.Disconnect()),
    ("11 00 00 00 50 01", apt.StartUpdates()),
    ("12 00 00 00 50 01", apt.StopUpdates()),
    ("23 02 04 00 50 01", apt.Identify(4)),
    ("11 02 02 00 50 01", apt.RequestChannelEnable(2)),
    ("12 02 02 01 01 50", apt.ChannelEnable(2, 1)),
    ("10 04 06 00 d0 01 01 00 ff ff ff ff", apt.SetPositionCounter(1, -1)),
    ("11 04 01 00 50 01", apt.RequestPositionCounter(1)),
    ("12 04 06 00 81 50 01 00 00 c0 5d 00", apt.PositionCounter(1, 6144000)),
    ("48 04 06 00 d0 01 01 00 00 40 a2 ff", apt.MoveRelative(1, -6144000)),
    ("66 04 01 00 01 50", apt.MoveStopped(1)),
    (
        "66 04 0e 00 81 50 01 00 00 c0 5d 00 00 00 00 00 00 05 00 80",
        apt.MoveStopped(1, 6144000, 0, 0x8000_0500),
    ),
    ("80 04 01 00 50 01", apt.RequestStatus(1)),
    ("81 04 0e 00 81 50 01 00 ad 02 00 00 00 00 00 00 00 05 00 90", apt.Status(1, 685, 0, 0x9000_0500)),
    ("29 04 01 00 50 01", apt.RequestStatusBits(1)),
    ("2a 04 06 00 81 50 01 00 00 05 00 90", apt.ChannelStatusBits(1, 0x9000_0500)),
    (
        "32 05 0c 00 81 50 00 00 32 00 ad 02 32 00 32 00 32 00",
        apt.PolarizationParameters(0, 50, 685, 50, 50, 50),
    ),
    (
        "13 04 0e 00 d0 01 01 00 00 00 00 00 ac 3a 00 00 27 7b 5e 04",
        apt.SetVelocityParameters(1, 0, 15020, 73300775),
    ),
    ("17 04 01 00 50 01", apt.RequestJogParameters(1)),
    (
        "18 04 16 00 81 50 01 00 02 00 ab 6a 0a 00 00 00 00 00 ac 3a 00 00 27 7b 5e 04 02 00",
        apt.JogParameters(1, 2, 682667, 0, 15020, 73300775, 2),
    ),
    (
        "16 04 16 00 d0 01 01 00 02 00 ab 6a 0a 00 00 00 00 00 ac 3a 00 00 27 7b 5e 04 02 00",
        apt.SetJogParameters(1, 2, 682667, 0, 15020, 73300775, 2),
    ),
    ("3b 04 01 00 50 01", apt.RequestGeneralMoveParameters(1)),
    ("3c 04 06 00 81 50 01 00 10 00 00 00", apt.GeneralMoveParameters(1, 16)),
    ("3a 04 06 00 d0 01 01 00 10 00 00 00", apt.SetGeneralMoveParameters(1, 16)),
    ("41 04 01 00 50 01", apt.RequestHomeParameters(1)),
    (
        "42 04 0e 00 81 50 01 00 02 00 01 00 27 7b 5e 04 55 55 08 00",
        apt.HomeParameters(1, 2, 1, 73300775, 546133),
    ),
    (
        "40 04 0e 00 d0 01 01 00 02 00 01 00 27 7b 5e 04 55 55 08 00",
        apt.SetHomeParameters(1, 2, 1, 73300775, 546133),
    ),
]


@pytest.mark.parametrize(("text", "message"), EXAMPLES + FROM_TABLES)
def test_a_message_has_the_bytes_of_the_notes_both_ways(text: str, message: apt.Message) -> None:
    assert message.to_bytes() == frame(text)
    assert type(message).from_bytes(frame(text)) == message


def test_hardware_info_reads_the_example() -> None:
    info = apt.HardwareInfo.from_bytes(MPC_INFO)
    assert (info.serial_number, info.model, info.type, info.channels) == (38449564, "MPC320", 44, 3)
    assert info.firmware == (1, 0, 3)
    assert info.to_bytes() == MPC_INFO


@pytest.mark.parametrize(
    "text",
    [
        "91 04 0e 00 81 50 01 00 ad 02 00 00 00 00 00 00 00 05 00",  # one byte short
        "91 04 00 00 01 50",  # the data are missing
        "90 04 01 00 50 01",  # another message
    ],
)
def test_what_is_not_the_message_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="message 0491"):
        apt.UStatus.from_bytes(frame(text))


USTATUS = frame("91 04 0e 00 81 50 01 00 ad 02 00 00 00 00 00 00 00 05 00 90")
HOMED = frame("44 04 01 00 01 50")
UNKNOWN = frame("81 00 44 00 81 50") + bytes(68)  # rich hardware response: whole, but none of ours


@given(cuts=st.lists(st.integers(0, 200), max_size=12))
def test_cuts_anywhere_do_not_show(cuts: list[int]) -> None:
    stream = USTATUS + UNKNOWN + HOMED + USTATUS
    decoder = AptDecoder()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    messages = [m for a, b in pairwise(edges) for m in decoder.feed(stream[a:b])]
    status = apt.UStatus(1, 685, 0, 0, 0x9000_0500)
    assert messages == [status, apt.MoveHomed(1), status]


@given(garbage=st.binary(max_size=40).filter(lambda data: b"\x01" not in data and b"\x81" not in data))
def test_frames_are_found_again_after_garbage(garbage: bytes) -> None:
    # Garbage without the host's address cannot look like a header by itself.
    messages = AptDecoder().feed(garbage + HOMED + garbage + USTATUS)
    assert messages == [apt.MoveHomed(1), apt.UStatus(1, 685, 0, 0, 0x9000_0500)]


def test_a_cut_frame_does_not_cost_the_next_when_the_channel_gives_it_away() -> None:
    # The header and one byte of a status, then a whole one: read as one frame, its channel would be 9101h.
    assert AptDecoder().feed(USTATUS[:7] + USTATUS) == [apt.UStatus(1, 685, 0, 0, 0x9000_0500)]


def test_a_frame_for_somebody_else_is_not_ours() -> None:
    to_bay = frame("44 04 01 00 21 50")
    assert AptDecoder().feed(to_bay + HOMED) == [apt.MoveHomed(1)]
