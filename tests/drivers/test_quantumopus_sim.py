"""The driver of Quantum Opus modules against the bytes of quantumopus_sim.md, and against garbage."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.address import Address
from drivers.detectors.quantumopus_sim import QuantumOpusSettings, QuantumOpusSim
from drivers.detectors.sim900 import MainframeFrames
from drivers.errors import ConnectError, DeadlineError, LimitError, ProtocolError, RefusedError
from tests.drivers.canned_line import CannedFrames, try_everything
from tests.drivers.hurry import PATIENT_S
from tests.drivers.mainframe_peer import IDN, Mainframe, block
from tests.drivers.scripted_peer import Peer, ScriptedPeer, served

SETTINGS = QuantumOpusSettings.model_validate({"slots": [6, 7], "max_bias": "20 uA"})
NAME = b"QO-AMP-SIM rev 2\n"


def module(bias: int = 0, voltage: int = 0) -> dict[str, bytes]:
    return {"+A?": NAME, "+B?": b"%d\n" % bias, "+C?": b"%d\n" % voltage}


@asynccontextmanager
async def driven(peer: Peer, deadline: float = PATIENT_S) -> AsyncIterator[QuantumOpusSim]:
    async with served(peer) as (port,):
        unit = QuantumOpusSim("wires", Address.parse(f"tcp://127.0.0.1:{port}"), SETTINGS, deadline)
        try:
            yield unit
        finally:
            await unit.close()


async def test_the_example_of_the_notes() -> None:
    """19000 of 65535 of 25 uA to slot 6, its answer fetched by GETN?, which the notes allow beside RAWN?."""
    peer = ScriptedPeer(
        [
            (b"*IDN?\n", IDN),
            (b'SNDT 6,"+B19000;"\n', b""),
            (b'SNDT 6,"+A?"\n', b""),
            (b"GETN? 6,128\n", block(NAME)),
            (b'SNDT 6,"+B?"\n', b""),
            (b"GETN? 6,128\n", b"#300619000\n\r\n"),
            (b'SNDT 6,"+B?"\n', b""),
            (b"GETN? 6,128\n", b"#300619000\n\r\n"),
        ]
    )
    async with driven(peer) as unit:
        await unit.set_bias(6, 7.248e-6)  # 25 uA * 19000 / 65535 = 7.24803 uA
        assert await unit.bias(6) == pytest.approx(7.24803e-6, rel=1e-6)
    assert peer.left == []


async def test_opening_looks_who_is_there() -> None:
    frame = Mainframe({6: module(), 7: module()})
    async with driven(frame) as unit:
        await unit.open()
        assert {text for _, text in frame.told} == {"+A?"}
        identity = await unit.identity()
        assert (identity.manufacturer, identity.model) == (
            "Quantum Opus", "QO-AMP-SIM in slot 6, 7 of a SIM900",
        )  # fmt: skip
    async with driven(Mainframe({6: module(), 7: {}})) as unit:
        unit._frame.deadline = 0.1  # for a module; the mainframe has longer to answer
        with pytest.raises(ConnectError, match=r"'\+A\?' to slot 7 was not answered"):
            await unit.open()


@pytest.mark.parametrize(
    ("bias", "voltage", "latched"),
    [
        (0, 0, False),
        (44563, 506, False),  # 17 uA through 500 Ohm, 8.5 mV in high gain
        (44563, 1013, False),  # through 1 kOhm
        (44563, 65535, True),  # 1.55 V in high gain, which ends at 1.1 V
        (44563, 20250, True),  # 1.55 V in low gain
        (13107, 27080, True),  # 5 uA, 0.4545 V in high gain
        (13107, 5957, True),  # the same in low gain
    ],
)
async def test_a_latched_wire_is_known_in_either_gain(bias: int, voltage: int, latched: bool) -> None:
    """Latched: 1 MOhm behind 100 kOhm, so 91 kOhm of the current."""
    frame = Mainframe({6: module(bias, voltage), 7: module()})
    async with driven(frame) as unit:
        assert await unit.is_latched(6) is latched


async def test_off_is_zero_and_on_is_nothing() -> None:
    frame = Mainframe({6: module(), 7: module()})
    async with driven(frame) as unit:
        await unit.set_enabled(True)
        assert frame.heard == []
        assert await unit.is_enabled()
        await unit.set_enabled(False)
        assert frame.told[:2] == [(6, "+B0;"), (7, "+B0;")]
        assert {control.name for control in unit.controls() if control.write is None} == {
            "enabled", "latched.6", "latched.7",
        }  # fmt: skip


async def test_a_reset_event() -> None:
    frame = Mainframe({6: module(), 7: module()})
    async with driven(frame) as unit:
        await unit.reset(7)
        await unit.bias(7)
    assert frame.told[0] == (7, "+F;")


async def test_safe_from_nothing_and_twice() -> None:
    frame = Mainframe({6: module(), 7: module()})
    async with driven(frame) as unit:
        unit._frame.deadline = 0.1  # for a module; the mainframe has longer to answer
        await unit.make_safe()
        assert frame.told[:2] == [(6, "+B0;"), (7, "+B0;")]
        await unit.make_safe()
        frame.modules[7] = module(17)
        with pytest.raises(RefusedError, match=r"\+B0; left it at 17 of 65535 in slot 7"):
            await unit.make_safe()
        frame.modules[7] = {}
        with pytest.raises(DeadlineError, match="slot 7"):
            await unit.make_safe()


async def test_outside_the_limits_no_byte_is_sent() -> None:
    frame = Mainframe({6: module(), 7: module()})
    async with driven(frame) as unit:
        for current_a in (20.1e-6, -1e-9, float("nan")):
            with pytest.raises(LimitError, match="outside 0 to 2e-05 A"):
                await unit.set_bias(6, current_a)
        for call in (unit.set_bias(1, 0.0), unit.bias(1), unit.is_latched(1), unit.reset(1)):
            with pytest.raises(LimitError, match="no channel 1"):
                await call
    assert frame.heard == []


async def test_an_answer_that_is_none() -> None:
    frame = Mainframe({6: module() | {"+B?": b"-1\n"}, 7: module()})
    async with driven(frame) as unit:
        with pytest.raises(ProtocolError, match=r"'\+B\?' to slot 6 was answered by '-1'"):
            await unit.bias(6)


def test_a_module_drives_25_ua() -> None:
    with pytest.raises(ValidationError, match=r"less than or equal to 0\.000025"):
        QuantumOpusSettings.model_validate({"slots": [6], "max_bias": "26 uA"})


ANSWERS: list[Callable[[bytes], bytes]] = [
    lambda _: IDN,
    lambda _: b"192\r\n",
    lambda _: block(NAME),
    lambda _: block(b"19000\n"),
    lambda _: block(b"0\n"),
    lambda _: block(b"190"),
    lambda _: block(b"99999999\n"),
]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(
        st.one_of(st.sampled_from(ANSWERS), st.binary(max_size=12).map(lambda data: lambda _: block(data))),
        max_size=40,
    )
)
def test_no_answer_crashes_the_driver(answers: list[Callable[[bytes], bytes]]) -> None:
    unit = QuantumOpusSim("wires", Address.parse("tcp://127.0.0.1:9"), SETTINGS, deadline=0.0)
    unit._frame._line = CannedFrames(answers, MainframeFrames)
    asyncio.run(try_everything(unit))
