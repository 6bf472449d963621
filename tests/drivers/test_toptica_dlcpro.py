"""The DLC pro driver against a peer that expects and answers the bytes of the protocol notes."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LimitError, LineError, ProtocolError, RefusedError
from drivers.lasers.toptica_dlcpro import TopticaDlcPro, TopticaSettings, Value, decode, encode
from tests.drivers.hurry import PATIENT_S, in_a_hurry, past_a_silence
from tests.drivers.scripted_peer import Exchange, Late, ScriptedPeer, cancel_once, served

BANNER = b"\r\nWelcome to DLC pro\r\n\r\nDeCoF Command Line\r\n> "  # "Example" of the notes
SETTINGS = TopticaSettings.model_validate(
    {"threshold_current": "60 mA", "slope_efficiency": "0.8 W/A", "max_power": "60 mW"}
)
SILENCE = Late(b"77.000000\n> ")


def ref(parameter: str, reply: bytes) -> tuple[bytes, bytes]:
    return f"(param-ref '{parameter})\n".encode(), reply + b"\n> "


def put(parameter: str, value: str, reply: bytes = b"0") -> tuple[bytes, bytes]:
    return f"(param-set! '{parameter} {value})\n".encode(), reply + b"\n> "


ENABLE, DISABLE = put("laser1:dl:cc:enabled", "#t"), put("laser1:dl:cc:enabled", "#f")
LIT, DARK = ref("laser1:dl:cc:emission", b"#t"), ref("laser1:dl:cc:emission", b"#f")


class Peer(ScriptedPeer):
    """The command line, which begins by its banner."""

    def __init__(
        self, *dialogues: Sequence[Exchange], greeting: bytes = BANNER, hang_up: bool = False
    ) -> None:
        super().__init__(*dialogues, greeting=greeting, hang_up=hang_up)


@asynccontextmanager
async def bench(
    peer: Peer, monitoring: ScriptedPeer | None = None, deadline: float = 5.0
) -> AsyncIterator[TopticaDlcPro]:
    async with served(peer, monitoring or peer) as (port, monitor_port):
        address = Address.parse(f"tcp://127.0.0.1:{port}?monitor={monitor_port}")
        laser = TopticaDlcPro("pump", address, SETTINGS, deadline)
        try:
            yield laser
        finally:
            await laser.close()
    assert not peer.left


# "Command line", value syntax


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "#t"),
        (False, "#f"),
        (-11, "-11"),
        (95.5, "95.5"),
        (80.0, "80.0"),
        (np.float64(95.5), "95.5"),
        (1e-5, "0.00001"),
        (1e22, "10000000000000000000000.0"),
        ("DLC PRO_012345", '"DLC PRO_012345"'),
        ('a "b" \\ c', r'"a \"b\" \\ c"'),
        (b"\x00\x01\x02", '"&AAEC"'),
        ((1, 2.0, "x"), '(1 2.0 "x")'),
        ((), "()"),
        ((1, (True, ())), "(1 (#t ()))"),
    ],
)
def test_values_in_both_directions(value: Value, text: str) -> None:
    assert encode(value) == text
    assert decode(text) == value
    assert isinstance(value, type(decode(text)))


def test_values_in_the_controllers_own_spelling() -> None:
    assert decode("80.000000") == 80.0
    assert decode("'(1 2.0)") == (1, 2.0)
    assert decode('"a ) ( b"') == "a ) ( b"


@pytest.mark.parametrize("text", ["", "#x", "1 2", "(1", "1)", '"open', "hello", "1.2.3", '"&!!"', "> "])
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "&AAEC", "two\nlines"])
def test_what_the_syntax_cannot_say(value: Value) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        encode(value)


leaves = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.binary()
texts = st.text().filter(lambda t: not t.startswith("&") and "\n" not in t)


@given(st.recursive(leaves | texts, lambda inner: st.lists(inner).map(tuple)))
def test_every_value_survives(value: Value) -> None:
    assert decode(encode(value)) == value


# Reading and writing


async def test_opening_waits_for_the_banner_and_asks_nothing() -> None:
    async with bench(Peer([])) as laser:
        await laser.open()


async def test_identity() -> None:
    dialogue = [
        ref("system-type", b'"DLCpro"'),
        ref("serial-number", b'"DLC PRO_012345"'),
        ref("fw-ver", b'"3.3.3"'),
    ]
    async with bench(Peer(dialogue)) as laser:
        await laser.open()
        identity = await laser.identity()
        assert (identity.model, identity.serial_number, identity.firmware) == (
            "DLCpro", "DLC PRO_012345", "3.3.3",
        )  # fmt: skip


async def test_power_is_set_as_current_by_the_line_of_the_head() -> None:
    # 28.4 mW / 0.8 W/A = 35.5 mA above the threshold of 60 mA: the notes' own 95.5.
    dialogue = [
        ref("laser1:dl:cc:current-clip", b"150.000000"),
        (b"(param-set! 'laser1:dl:cc:current-set 95.5)\n", b"0\n> "),
        ref("laser1:dl:cc:current-clip", b"150.000000"),
        put("laser1:dl:cc:current-set", "60.0"),
    ]
    async with bench(Peer(dialogue)) as laser:
        await laser.set_power(28.4e-3)
        await laser.set_power(0.0)


async def test_power_is_read_from_the_measured_current() -> None:
    current = "laser1:dl:cc:current-act"
    dialogue = [LIT, ref(current, b"95.500000"), LIT, ref(current, b"12.000000"), DARK]
    async with bench(Peer(dialogue)) as laser:
        assert await laser.power() == pytest.approx(28.4e-3)
        assert await laser.power() == 0.0  # below the threshold
        assert await laser.power() == 0.0  # dark


@pytest.mark.parametrize("power", [60.1e-3, -1e-3, float("nan")])
async def test_a_power_outside_the_limits_sends_nothing(power: float) -> None:
    async with bench(Peer([])) as laser:
        await laser.open()
        with pytest.raises(LimitError, match=r"outside 0 to 0\.06 W"):
            await laser.set_power(power)


async def test_a_current_above_the_clip_is_not_set() -> None:
    async with bench(Peer([ref("laser1:dl:cc:current-clip", b"80.000000")])) as laser:
        with pytest.raises(LimitError, match="85 mA, above the current clip of 80 mA"):
            await laser.set_power(20e-3)


async def test_a_negative_status_is_a_refusal_and_a_positive_one_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clip, name = ref("laser1:dl:cc:current-clip", b"999.000000"), "laser1:dl:cc:current-set"
    dialogue = [clip, put(name, "85.0", b"-11"), clip, put(name, "85.0", b"1")]
    async with bench(Peer(dialogue)) as laser:
        with pytest.raises(
            RefusedError, match=r"pump \(tcp:.*current-set 85.0\) was refused with status -11"
        ):
            await laser.set_power(20e-3)
        await laser.set_power(20e-3)
        assert "accepted with warning 1" in caplog.text


async def test_settled_is_within_a_tenth_of_a_milliampere() -> None:
    def state(enabled: bytes, *currents: bytes) -> list[tuple[bytes, bytes]]:
        names = ("current-set", "current-act")
        return [ref("laser1:dl:cc:enabled", enabled)] + [
            ref(f"laser1:dl:cc:{name}", current) for name, current in zip(names, currents, strict=False)
        ]

    dialogue = state(b"#f") + state(b"#t", b"85.0", b"85.05") + state(b"#t", b"85.0", b"84.8")
    async with bench(Peer(dialogue)) as laser:
        assert await laser.is_settled()  # off: nothing is on its way
        assert await laser.is_settled()
        assert not await laser.is_settled()


# Emission


async def test_emission_is_switched_and_verified() -> None:
    async with bench(Peer([ENABLE, LIT, DISABLE, DARK])) as laser:
        await laser.set_emission(True)
        await laser.set_emission(False)


async def test_emission_may_follow_a_little_later() -> None:
    ready = state_of_interlocks()
    async with bench(Peer([ENABLE, DARK, *ready, LIT])) as laser:
        await laser.set_emission(True)


def state_of_interlocks(
    key: bytes = b"#f", interlock: bytes = b"#f", button: bytes = b"#t", forced: bytes = b"#f",
    current: bytes = b"85.000000",
) -> list[Exchange]:  # fmt: skip
    return [
        ref("frontkey-locked", key),
        ref("interlock-open", interlock),
        ref("emission-button-enabled", button),
        ref("laser1:dl:cc:forced-off", forced),
        ref("laser1:dl:cc:current-set", current),
    ]


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ({"key": b"#t"}, "front key is locked"),
        ({"interlock": b"#t"}, "interlock is open"),
        ({"button": b"#f"}, "emission button"),
        ({"forced": b"#t"}, "forced off"),
        ({"current": b"59.900000"}, "59.9 mA is below the threshold"),
        ({"key": b"#t", "interlock": b"#t"}, "front key is locked and the interlock is open"),
    ],
)
async def test_forbidden_emission_names_the_reason_and_stays_off(why: dict[str, bytes], words: str) -> None:
    status = ref("laser1:dl:cc:status-txt", b'"off"')
    dialogue = [ENABLE, DARK, *state_of_interlocks(**why), DISABLE, status]
    async with bench(Peer(dialogue)) as laser:
        with pytest.raises(RefusedError, match=words):
            await laser.set_emission(True)


async def test_make_safe_twice_and_without_having_been_opened() -> None:
    async with bench(Peer([DISABLE, DARK], [DISABLE, DARK])) as laser:
        await laser.make_safe()
        await laser.make_safe()


async def test_make_safe_tries_again_on_a_fresh_line() -> None:
    peer = Peer([(DISABLE[0], SILENCE)], [DISABLE, DARK])
    async with bench(peer) as laser:
        await laser.open()
        await past_a_silence(laser, laser.make_safe(), peer.asked.wait())
        peer.late.set()


async def test_make_safe_does_not_believe_in_safety_that_it_cannot_see() -> None:
    class Stubborn(Peer):
        """Takes the switch but keeps on emitting."""

        async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(BANNER)
            answers = dict([DISABLE, LIT, ref("laser1:dl:cc:status-txt", b'"on"')])
            while request := await reader.readline():
                writer.write(answers[request])
            writer.close()

    async with bench(Stubborn()) as laser:
        laser.deadline = 0.2  # for the emission to go off; each question has longer
        with pytest.raises(RefusedError, match=r"did not go off.*Turn the front key"):
            await laser.make_safe()


# The line goes wrong


async def test_an_unknown_parameter_is_a_refusal_in_the_controllers_words() -> None:
    error = (b"(param-ref 'serial-number)\n", b"Error: -2 not found\n> ")
    async with bench(Peer([ref("system-type", b'"DLCpro"'), error, LIT])) as laser:
        with pytest.raises(
            RefusedError, match=re.escape("(param-ref 'serial-number) was refused: Error: -2")
        ):
            await laser.identity()
        assert await laser.emission()


@pytest.mark.parametrize("garbage", [b"\xff\xfe%%", b"95.5", b"(#t", b""])
async def test_garbage_is_a_protocol_error_and_the_line_is_opened_anew(garbage: bytes) -> None:
    async with bench(Peer([(LIT[0], garbage + b"\n> ")], [DARK])) as laser:
        with pytest.raises(ProtocolError, match=re.escape("(param-ref 'laser1:dl:cc:emission)")):
            await laser.emission()
        assert not await laser.emission()


async def test_silence_ends_in_a_deadline_error_and_the_late_answer_is_not_heard() -> None:
    peer = Peer([(LIT[0], SILENCE)], [LIT, ref("laser1:dl:cc:current-act", b"95.500000")])
    async with bench(peer) as laser:
        await laser.open()
        with in_a_hurry(laser), pytest.raises(DeadlineError, match="laser1:dl:cc:emission"):
            await laser.emission()
        peer.late.set()
        assert await laser.power() == pytest.approx(28.4e-3)


async def test_half_a_reply_is_quoted() -> None:
    async with bench(Peer([(LIT[0], b"#")])) as laser:
        await laser.open()
        with in_a_hurry(laser, 0.5), pytest.raises(DeadlineError, match="what came: b'#'"):
            await laser.emission()


async def test_a_closed_line_repeats_a_question_but_never_a_command() -> None:
    async with bench(Peer([(LIT[0], b"#")], [LIT], hang_up=True)) as laser:
        assert await laser.emission()
    async with bench(Peer([(ENABLE[0], b"")], hang_up=True)) as laser:
        with pytest.raises(LineError, match="enabled #t"):
            await laser.set_emission(True)


async def test_another_server_at_the_port_is_a_connect_error() -> None:
    async with bench(Peer([], greeting=b"SSH-2.0-OpenSSH_9.2\r\n")) as laser:
        with in_a_hurry(laser, 0.5), pytest.raises(ConnectError, match="SSH-2"):
            await laser.open()


async def test_cancelling_leaves_the_line_in_step() -> None:
    peer = Peer([(LIT[0], SILENCE)], [DARK])
    async with bench(peer) as laser:
        await cancel_once(peer.asked, laser.emission())
        peer.late.set()
        assert not await laser.emission()


# Monitoring line


async def test_watching_yields_the_present_value_and_each_change() -> None:
    pushes = (
        b"(2026-01-31T12:00:00.000Z 'laser1:dl:tc:temp-act 25.001000)\r\n"
        b"(2026-01-31T12:00:00.200Z 'laser1:dl:tc:temp-act 25.001300)\r\n"
    )
    monitoring = ScriptedPeer([(b"(add 'laser1:dl:tc:temp-act 200)\n", pushes)])
    async with bench(Peer(), monitoring) as laser, aclosing(laser.watch("laser1:dl:tc:temp-act")) as changes:
        first, second = await anext(changes), await anext(changes)
        assert first.value == 25.001
        assert second == type(first)(
            datetime(2026, 1, 31, 12, 0, 0, 200_000, tzinfo=UTC), "laser1:dl:tc:temp-act", 25.0013
        )


@pytest.mark.parametrize(
    ("push", "error"),
    [
        (b"(Error: -2 (2026-01-31T12:00:00.000Z 'nosuch) not found)\r\n", RefusedError),
        (b"25.001\r\n", ProtocolError),
        (b"(2026-01-31T12:00", DeadlineError),
    ],
)
async def test_watching_what_cannot_be_watched(push: bytes, error: type[Exception]) -> None:
    monitoring = ScriptedPeer([(b"(add 'nosuch 200)\n", push)])
    async with bench(Peer(), monitoring) as laser:
        deadline = 0.5 if error is DeadlineError else PATIENT_S
        with in_a_hurry(laser, deadline), pytest.raises(error, match="nosuch"):
            await anext(laser.watch("nosuch"))


async def test_watching_ends_with_the_line() -> None:
    push = b"(2026-01-31T12:00:00.000Z 'interlock-open #f)\r\n"
    monitoring = ScriptedPeer([(b"(add 'interlock-open 200)\n", push)], hang_up=True)
    async with bench(Peer(), monitoring) as laser, aclosing(laser.watch("interlock-open")) as changes:
        assert (await anext(changes)).value is False
        with pytest.raises(LineError, match="interlock-open"):
            await anext(changes)


def test_settings_need_units_and_sense() -> None:
    with pytest.raises(ValidationError, match="60 has no unit of current"):
        TopticaSettings.model_validate(
            {"threshold_current": 60, "slope_efficiency": "0.8 W/A", "max_power": "60 mW"}
        )
    with pytest.raises(ValidationError):
        TopticaSettings.model_validate(
            {"threshold_current": "60 mA", "slope_efficiency": 0, "max_power": "60 mW"}
        )
