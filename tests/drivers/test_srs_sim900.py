"""The driver of SIM928 sources against the bytes of srs_sim900_sim928.md, against garbage, and against a
mainframe that keeps answers for whoever fetches them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.address import Address
from drivers.detectors.sim900 import MainframeFrames
from drivers.detectors.srs_sim900 import Sim928Settings, SrsSim900
from drivers.errors import ConnectError, DeadlineError, LimitError, ProtocolError, RefusedError
from tests.drivers.canned_line import CannedFrames, try_everything
from tests.drivers.hurry import PATIENT_S
from tests.drivers.mainframe_peer import IDN, Mainframe, SerialMainframe, block
from tests.drivers.scripted_peer import Peer, ScriptedPeer, cancel_once, served

SETTINGS = Sim928Settings.model_validate(
    {"slots": [2, 5], "max_bias": "20 uA", "series_resistance": "100 kOhm"}
)
MODULE = b"Stanford_Research_Systems,SIM928,s/n003377,ver2.2\r\n"


def source(volts: bytes = b"+00.000", on: bytes = b"0") -> dict[str, bytes]:
    return {
        "*IDN?": MODULE, "VOLT?": volts + b"\r\n", "EXON?": on + b"\r\n",
        "LEXE?": b"0\r\n", "LCME?": b"0\r\n", "BATS?": b"1,2,0\r\n",
    }  # fmt: skip


@asynccontextmanager
async def driven(peer: Peer, deadline: float = PATIENT_S) -> AsyncIterator[SrsSim900]:
    async with served(peer) as (port,):
        unit = SrsSim900("bias", Address.parse(f"tcp://127.0.0.1:{port}"), SETTINGS, deadline)
        try:
            yield unit
        finally:
            await unit.close()


async def test_the_example_of_the_notes() -> None:
    """VOLT 1.5 to slot 2, and its reading; the module takes its time to say who it is."""
    peer = ScriptedPeer(
        [
            (b"*IDN?\n", IDN),
            (b'SNDT 2,"VOLT 1.5"\n', b""),
            (b'SNDT 2,"*IDN?"\n', b""),
            (b"GETN? 2,128\n", b"#3000\r\n"),
            (b"GETN? 2,128\n", block(MODULE)),
            (b'SNDT 2,"VOLT?"\n', b""),
            (b"GETN? 2,128\n", b"#3009+01.500\r\n\r\n"),
        ]
    )
    async with driven(peer) as unit:
        await unit.set_bias(2, 15e-6)
    assert peer.left == []


async def test_opening_looks_who_is_there_and_no_more() -> None:
    frame = Mainframe({2: source(), 5: source()})
    async with driven(frame) as unit:
        await unit.open()
        assert frame.told == [(2, "*IDN?"), (2, "*IDN?"), (5, "*IDN?"), (5, "*IDN?")]
        assert unit.channels == (2, 5)
        identity = await unit.identity()
        assert (identity.serial_number, identity.firmware) == ("s/n152741", "ver3.6")
        assert identity.model == "SIM928 in slot 2, 5 of a SIM900"


async def test_others_are_named() -> None:
    frame = Mainframe({2: source(), 5: source()})
    frame.idn = b"Stanford_Research_Systems,DG645,s/n001,ver1\r\n"
    async with driven(frame) as unit:
        with pytest.raises(ConnectError, match="a Stanford_Research_Systems DG645 answers"):
            await unit.open()
    async with driven(Mainframe({2: source()})) as unit:
        with pytest.raises(ConnectError, match="no module is in slot 5"):
            await unit.open()
    other = source() | {"*IDN?": b"Stanford_Research_Systems,SIM922,s/n1,ver1\r\n"}
    async with driven(Mainframe({2: source(), 5: other})) as unit:
        with pytest.raises(ConnectError, match=r"SIM922,s/n1,ver1' is in slot 5"):
            await unit.open()
    async with driven(Mainframe({2: {}, 5: source()})) as unit:
        unit._frame.deadline = 0.1  # for a module; the mainframe has longer to answer
        with pytest.raises(ConnectError, match=r"'\*IDN\?' to slot 2 was not answered within 0.1 s"):
            await unit.open()


async def test_a_bias_is_the_voltage_by_the_resistor_while_the_output_is_on() -> None:
    frame = Mainframe({2: source(b"+01.234", b"1"), 5: source(b"+01.234", b"0")})
    async with driven(frame) as unit:
        assert await unit.bias(2) == pytest.approx(12.34e-6)
        assert await unit.bias(5) == 0.0
        assert await unit.is_enabled()
        assert not await unit.needs_service(2)
        frame.modules[5]["BATS?"] = b"2,1,1\r\n"
        assert await unit.needs_service(5)


async def test_outputs_are_switched_and_looked_at() -> None:
    frame = Mainframe({2: source(on=b"1"), 5: source(on=b"1")})
    async with driven(frame) as unit:
        await unit.set_enabled(True)
        assert frame.told[:2] == [(2, "OPON"), (5, "OPON")]
        frame.modules[5] |= {"LCME?": b"2\r\n"}
        with pytest.raises(RefusedError, match=r"OPOF left it on in slot 2: no reason given"):
            await unit.set_enabled(False)
        frame.modules[2] = source()
        with pytest.raises(RefusedError, match=r"OPOF left it on in slot 5: undefined command .*LCME 2"):
            await unit.set_enabled(False)
        frame.modules[5] = source()
        await unit.set_enabled(False)
        assert not await unit.is_enabled()


async def test_a_refusal_has_the_modules_own_reason() -> None:
    frame = Mainframe({2: source() | {"LEXE?": b"1\r\n"}, 5: source()})
    async with driven(frame) as unit:
        with pytest.raises(RefusedError, match=r"VOLT 1.5 left it at 0 V in slot 2: illegal value \(LEXE 1"):
            await unit.set_bias(2, 15e-6)


@pytest.mark.parametrize(
    ("current_a", "command"),
    [(0.0, "VOLT 0"), (20e-6, "VOLT 2"), (12.344e-6, "VOLT 1.234"), (1e-8, "VOLT 0.001"), (4e-9, "VOLT 0")],
)
async def test_a_bias_is_sent_in_millivolts(current_a: float, command: str) -> None:
    frame = Mainframe({2: source(), 5: source()})
    frame.modules[2]["VOLT?"] = b"%+07.3f\r\n" % float(command.split()[1])
    async with driven(frame) as unit:
        await unit.set_bias(2, current_a)
    assert frame.told[0] == (2, command)


async def test_outside_the_limits_no_byte_is_sent() -> None:
    frame = Mainframe({2: source(), 5: source()})
    async with driven(frame) as unit:
        for current_a in (20.1e-6, -1e-6, float("nan")):
            with pytest.raises(LimitError, match=r"outside 0 to 2e-05 A"):
                await unit.set_bias(2, current_a)
        with pytest.raises(LimitError, match=r"no channel 3.*There are 2, 5"):
            await unit.set_bias(3, 1e-6)
    assert frame.heard == []


async def test_safe_from_nothing_and_twice_all_zero_before_one_is_asked() -> None:
    frame = Mainframe({2: source(), 5: source()})
    async with driven(frame) as unit:
        await unit.make_safe()
        assert frame.told[:4] == [(2, "VOLT 0"), (2, "OPOF"), (5, "VOLT 0"), (5, "OPOF")]
        await unit.make_safe()
        frame.modules[5]["VOLT?"] = b"+01.700\r\n"
        with pytest.raises(RefusedError, match=r"VOLT 0 left it at 1.7 V in slot 5"):
            await unit.make_safe()
        frame.modules[5] = source(on=b"1")
        with pytest.raises(RefusedError, match=r"OPOF left it on in slot 5"):
            await unit.make_safe()


async def test_what_others_left_in_the_mainframe_is_not_taken_for_an_answer() -> None:
    frame = Mainframe({2: source(b"+01.000", b"1"), 5: source()})
    frame.waiting[2] = b"1\r\n+09.999\r\n"
    async with driven(frame) as unit:
        assert await unit.bias(2) == pytest.approx(10e-6)


async def test_a_late_answer_is_not_taken_for_the_next_and_neither_is_a_second_identity() -> None:
    frame = Mainframe({2: source(b"+01.000", b"1"), 5: source()})
    async with driven(frame) as unit:
        unit._frame.deadline = 0.1  # for a module; the mainframe has longer to answer
        await unit.open()
        frame.next[2, "EXON?"] = [b""]
        with pytest.raises(DeadlineError, match=r"bias .*'EXON\?' to slot 2 was not answered"):
            await unit.bias(2)
        frame.waiting[2] = b"0\r\n"  # now it comes
        frame.next[2, "*IDN?"] = [MODULE + MODULE]
        assert await unit.bias(2) == pytest.approx(10e-6)


async def test_an_answer_that_is_fetched_in_two_pieces() -> None:
    """As when the module is still speaking; here it says more than is fetched at a time."""
    frame = Mainframe({2: source(b"+" + b"0" * 128 + b"1.500", b"1"), 5: source()})
    async with driven(frame) as unit:
        assert await unit.bias(2) == pytest.approx(15e-6)


async def test_cancelling_leaves_the_slot_in_step() -> None:
    frame = Mainframe({2: source(b"+01.000", b"1"), 5: source()})
    async with driven(frame) as unit:
        await unit.open()
        frame.next[2, "EXON?"] = [b""]
        frame.asked.clear()
        await cancel_once(frame.asked, unit.bias(2))
        frame.waiting[2] += b"0\r\n"
        assert await unit.bias(2) == pytest.approx(10e-6)


@pytest.mark.parametrize("garbage", [b"+01.2x4\r\n", b"\xff\xfe\r\n", b"1e9999\r\n"])
async def test_garbage_is_a_protocol_error_and_then_it_works_again(garbage: bytes) -> None:
    frame = Mainframe({2: source(b"+01.000", b"1"), 5: source()})
    async with driven(frame) as unit:
        frame.next[2, "VOLT?"] = [garbage]
        with pytest.raises(ProtocolError, match=r"'VOLT\?' to slot 2 was answered by"):
            await unit.bias(2)
        assert await unit.bias(2) == pytest.approx(10e-6)


async def test_a_line_that_breaks_repeats_a_question() -> None:
    """The mainframe keeps what its modules say over a break of the line."""
    frame = Mainframe({2: source(b"+01.000", b"1"), 5: source()})
    connections: list[asyncio.StreamWriter] = []

    async def breaks_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if len(connections) == 1:
            writer.write(frame.answer(await reader.readexactly(6)))
            await reader.readexactly(len(b'SNDT 2,"*IDN?"\n'))
            writer.close()
        else:
            await frame(reader, writer)

    async with driven(breaks_once) as unit:
        assert await unit.is_enabled()


async def test_the_same_over_a_serial_line() -> None:
    frame = Mainframe({2: source(b"+01.000", b"1"), 5: source()})
    peer = SerialMainframe(frame)
    unit = SrsSim900("bias", Address.parse(f"serial:{peer.path}"), SETTINGS, PATIENT_S)
    try:
        await unit.open()
        await unit.set_bias(2, 10e-6)
        assert await unit.bias(2) == pytest.approx(10e-6)
        frame.modules |= {2: source(), 5: source()}
        await unit.make_safe()
    finally:
        await unit.close()
        peer.hang_up()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"max_bias": "20.1 mA", "series_resistance": "1 Ohm"}, "less than or equal to 0.01"),
        ({"max_bias": "1 mA"}, "max_bias needs 100 V through series_resistance, a SIM928 has 20 V"),
        ({"slots": [2, 2]}, "a slot is named twice"),
        ({"slots": [9]}, "less than or equal to 8"),
        ({"slots": []}, "at least 1 item"),
    ],
)
def test_settings_that_no_source_can_follow(changed: dict[str, object], says: str) -> None:
    right = {"slots": [2, 5], "max_bias": "20 uA", "series_resistance": "100 kOhm"}
    with pytest.raises(ValidationError, match=says):
        Sim928Settings.model_validate(right | changed)


def test_frames_are_lines_and_blocks() -> None:
    frames = MainframeFrames()
    said = b"36\r\n#3009+01.500\r\n\r\n\r\nEVENT\r\n#3000\r\n#300619000\n\r\n#3004abcdefg\r\n"
    assert frames.feed(said) == ["36", b"+01.500\r\n", "EVENT", b"", b"19000\n", "#3004abcdefg"]


PIECES = st.sampled_from(
    [b"#3009+01.500\r\n\r\n", b"36\r\n", IDN, b"#3000\r\n", b"#3", b"#9", b"\r\n", b"\n", b"#3128", b"\xff"]
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.binary(max_size=12), PIECES), max_size=20), st.integers(1, 9))
def test_bytes_give_the_same_frames_however_they_are_cut(chunks: list[bytes], size: int) -> None:
    data = b"".join(chunks)
    whole, cut = MainframeFrames(), MainframeFrames()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    assert list(whole.feed(data)) == [frame for piece in pieces for frame in cut.feed(piece)]


ANSWERS: list[Callable[[bytes], bytes]] = [
    lambda _: IDN,
    lambda _: b"36\r\n",
    lambda _: block(MODULE),
    lambda _: block(b"+01.500\r\n"),
    lambda _: block(b"1\r\n"),
    lambda _: block(b""),
    lambda _: block(b"1,2"),
    lambda _: block(b"\xff\xff\r\n\r\n"),
]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(ANSWERS), st.binary(max_size=12).map(lambda data: lambda _: data + b"\r\n")
        ),
        max_size=40,
    )
)
def test_no_answer_crashes_the_driver(answers: list[Callable[[bytes], bytes]]) -> None:
    unit = SrsSim900("bias", Address.parse("tcp://127.0.0.1:9"), SETTINGS, deadline=0.0)
    unit._frame._line = CannedFrames(answers, MainframeFrames)
    asyncio.run(try_everything(unit))
