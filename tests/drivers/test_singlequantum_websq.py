"""The WebSQ driver against a peer that expects and answers the bytes of the protocol notes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import ValidationError

from drivers.address import Address
from drivers.detectors.singlequantum_websq import SingleQuantumWebSq, WebSqSettings
from drivers.errors import ConnectError, DeadlineError, LimitError, LineError, ProtocolError, RefusedError
from tests.drivers.hurry import in_a_hurry, past_a_silence
from tests.drivers.scripted_peer import Exchange, Late, ScriptedPeer, cancel_once, served

SETTINGS = WebSqSettings.model_validate({"channels": 4, "max_bias": "20 uA"})

ASK_PROPS = b'{"request": "labelProps", "value": "None"}'  # "Control" and "Example" of the notes
PROPS = (
    b'{"label":"InptMeasurementPeriod","value":{"value":100,"bounds":[10,1000],"unit":"ms"}}\x17'
    b'{"label":"BiasCurrent","value":{"value":[1,2,3,4],"bounds":[-90.9,90.9],"unit":"uA"}}\x17'
    b'{"label":"NumberOfDetectors","value":{"value":4,"bounds":[],"unit":""}}\x17'
)
ASK_BIAS = b'{"request": "BiasCurrent"}'
SET_BIAS = b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [10.5, 11.0, 9.8, 0.0]}'
TOLD_BIAS = b'{"label": "BiasCurrent", "value": [10.5, 11.0, 9.8, 0.0]}\x17'
ZERO_BIAS = b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [0.0, 0.0, 0.0, 0.0]}'


def tell(label: str, value: object) -> bytes:
    return json.dumps({"label": label, "value": value}).encode() + b"\x17"


def ask(label: str, value: object) -> Exchange:
    return b'{"request": "%s"}' % label.encode(), tell(label, value)


DISABLE = b'{"command": "DetectorEnable", "label": "DetectorEnable", "value": false}'
STAYS_OFF = [ask("DetectorEnable", False), (DISABLE, b"")]


SILENCE = Late(tell("BiasCurrent", [7.0, 7.0, 7.0, 7.0]))


@asynccontextmanager
async def bench(
    peer: ScriptedPeer, counts: ScriptedPeer | None = None, deadline: float = 5.0
) -> AsyncIterator[SingleQuantumWebSq]:
    async with served(peer, counts or ScriptedPeer()) as (control, counting):
        address = Address.parse(f"tcp://127.0.0.1:{control}?counts={counting}")
        unit = SingleQuantumWebSq("wires", address, SETTINGS, deadline)
        try:
            yield unit
        finally:
            await unit.close()
    assert not peer.left


async def test_opening_asks_for_the_properties_and_sets_nothing() -> None:
    async with bench(ScriptedPeer([(ASK_PROPS, PROPS)])) as unit:
        await unit.open()
        assert unit.channels == (1, 2, 3, 4)


async def test_a_unit_with_another_number_of_detectors_is_not_opened() -> None:
    props = b'{"label":"NumberOfDetectors","value":{"value":8}}\x17'
    async with bench(ScriptedPeer([(ASK_PROPS, props)])) as unit:
        with pytest.raises(ConnectError, match="8 detectors, the testbed file states 4"):
            await unit.open()


async def test_properties_are_not_taken_for_the_answer_to_a_question() -> None:
    late_props = tell("BiasCurrent", {"value": [1, 2, 3, 4], "unit": "uA"})
    dialogue = [
        (ASK_PROPS, PROPS + late_props),
        (b'{"request": "DetectorEnable"}', late_props + tell("DetectorEnable", True)),
        (ASK_BIAS, late_props + TOLD_BIAS),
    ]
    async with bench(ScriptedPeer(dialogue)) as unit:
        await unit.open()
        assert await unit.bias(1) == pytest.approx(10.5e-6)


# Bias


async def test_one_bias_is_set_by_sending_the_whole_list() -> None:
    dialogue = [(ASK_BIAS, tell("BiasCurrent", [10.5, 3.0, 9.8, 0.0])), (SET_BIAS, TOLD_BIAS)]
    async with bench(ScriptedPeer(dialogue)) as unit:
        await unit.set_bias(2, 11e-6)


async def test_the_setter_waits_for_its_own_value_among_the_broadcasts() -> None:
    others = (
        tell("TriggerLevel", [100, 100, 100, 100])
        + tell("BiasCurrent", {"value": [10.5, 11.0, 9.8, 0.0]})
        + tell("BiasCurrent", [10.5, 5.0, 9.8, 0.0])
    )
    dialogue = [
        (ASK_BIAS, tell("BiasCurrent", [10.5, 3.0, 9.8, 0.0])),
        (SET_BIAS, others + TOLD_BIAS),
        ask("DetectorEnable", True),
        (ASK_BIAS, TOLD_BIAS),
    ]
    async with bench(ScriptedPeer(dialogue)) as unit:
        await unit.set_bias(2, 11e-6)
        assert await unit.bias(2) == pytest.approx(11e-6)


async def test_a_value_that_does_not_change_is_sent_but_not_waited_for() -> None:
    dialogue = [(ASK_BIAS, TOLD_BIAS), (SET_BIAS, b""), ask("DetectorEnable", False)]
    async with bench(ScriptedPeer(dialogue)) as unit:
        await unit.set_bias(2, 11e-6)
        assert await unit.bias(2) == 0.0  # disabled


async def test_two_biases_set_at_once_do_not_undo_each_other() -> None:
    zero, one, both = [0.0] * 4, [17.0, 0.0, 0.0, 0.0], [17.0, 16.0, 0.0, 0.0]

    def set_all(values: list[float]) -> Exchange:
        command = {"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": values}
        return json.dumps(command).encode(), tell("BiasCurrent", values)

    dialogue = [ask("BiasCurrent", zero), set_all(one), ask("BiasCurrent", one), set_all(both)]
    async with bench(ScriptedPeer(dialogue)) as unit:
        await asyncio.gather(unit.set_bias(1, 17e-6), unit.set_bias(2, 16e-6))


@pytest.mark.parametrize("current", [20.1e-6, -1e-6, float("nan")])
async def test_a_bias_outside_the_limits_sends_nothing(current: float) -> None:
    async with bench(ScriptedPeer()) as unit:
        with pytest.raises(LimitError, match=r"bias of channel 1 .* outside 0 to 2e-05 A"):
            await unit.set_bias(1, current)
        with pytest.raises(LimitError, match="no channel 5"):
            await unit.set_bias(5, 1e-6)


async def test_an_error_label_is_a_refusal() -> None:
    set_one = b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [10.5, 0.0, 0.0, 0.0]}'
    dialogue = [(ASK_BIAS, tell("BiasCurrent", [0.0] * 4)), (set_one, tell("ErrorMessage", "bad list"))]
    async with bench(ScriptedPeer(dialogue)) as unit:
        with pytest.raises(RefusedError, match=r"set bias of channel 1 was refused: ErrorMessage: bad list"):
            await unit.set_bias(1, 10.5e-6)


async def test_enabling_waits_for_its_broadcast() -> None:
    enable = b'{"command": "DetectorEnable", "label": "DetectorEnable", "value": true}'
    dialogue = [
        ask("DetectorEnable", False),
        (enable, tell("DetectorEnable", False) + tell("DetectorEnable", True)),
        ask("DetectorEnable", True),
        (enable, b""),
    ]
    async with bench(ScriptedPeer(dialogue)) as unit:
        await unit.set_enabled(True)
        await unit.set_enabled(True)


@pytest.mark.parametrize(
    ("volts", "latched"),
    [
        (0.0, False),
        (17e-6 * 1e3, False),  # a kilohm of cable and contacts
        (17e-6 * 100e3 / 1.1, True),  # 1 MOhm behind the 100 kOhm of the notes, from 1.7 V
        (17.0, True),  # 1 MOhm on a current source
    ],
)
async def test_a_latched_wire_is_known_by_its_voltage(volts: float, latched: bool) -> None:
    dialogue = [ask("BiasCurrent", [17.0, 17.0, 0.0, 0.0]), ask("BiasVoltage", [0.0, volts, 0.0, 0.0])]
    async with bench(ScriptedPeer(dialogue)) as unit:
        assert await unit.is_latched(2) is latched


# Counts


async def test_a_rate_is_the_counts_of_a_period_by_its_length() -> None:
    period = ask("InptMeasurementPeriod", 200)
    counts = ScriptedPeer([(b"", b"1769860800.123,5021,4980,12,0\n")])
    async with bench(ScriptedPeer([period, period]), counts) as unit:
        assert await unit.count_rate(1) == pytest.approx(25105.0)
        assert await unit.count_rate(3) == pytest.approx(60.0)  # from the same line


async def test_the_newest_whole_line_counts() -> None:
    period = ask("InptMeasurementPeriod", 100)
    counts = ScriptedPeer([(b"", b"1.0,1,1,1,1\n2.0,2,2,2,2\n3.0,3,3")])
    async with bench(ScriptedPeer([period, period]), counts) as unit:
        assert await unit.count_rate(4) == pytest.approx(20.0)
        assert await unit.count_rate(4) == pytest.approx(20.0)


async def test_counts_are_not_asked_for_before_they_are_needed() -> None:
    counts = ScriptedPeer([(b"", b"")])
    async with bench(ScriptedPeer([(ASK_PROPS, PROPS)]), counts) as unit:
        await unit.open()
        assert counts.left


async def test_silent_and_garbled_counts() -> None:
    period = ask("InptMeasurementPeriod", 10)
    async with bench(ScriptedPeer([period]), ScriptedPeer([(b"", b"1.0,1,1")])) as unit:
        unit.deadline = 0.5  # for a line of counts; each question has longer
        with pytest.raises(DeadlineError, match=r"waiting for counts .*b'1\.0,1,1'"):
            await unit.count_rate(1)
    for garbage in (b"1.0,1,1\n", b"1.0,a,b,c,d\n", b"\n"):
        async with bench(ScriptedPeer([period]), ScriptedPeer([(b"", garbage)])) as unit:
            with pytest.raises(ProtocolError, match="the counts port sent"):
                await unit.count_rate(1)


# Safety


async def test_make_safe_twice_and_without_having_been_opened() -> None:
    zero = ask("BiasCurrent", [0.0] * 4)
    goes_off = [ask("DetectorEnable", True), (DISABLE, tell("DetectorEnable", False))]
    hot = [(ASK_BIAS, TOLD_BIAS), (ZERO_BIAS, tell("BiasCurrent", [0.0] * 4)), zero, *goes_off]
    cold = [zero, (ZERO_BIAS, b""), zero, *STAYS_OFF]
    async with bench(ScriptedPeer(hot, cold)) as unit:
        await unit.make_safe()
        await unit.make_safe()


async def test_make_safe_zeroes_a_unit_of_any_size() -> None:
    zero = ask("BiasCurrent", [0.0, 0.0])
    command = b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [0.0, 0.0]}'
    async with bench(
        ScriptedPeer([ask("BiasCurrent", [5.0, 6.0]), (command, zero[1]), zero, *STAYS_OFF])
    ) as unit:
        await unit.make_safe()


async def test_make_safe_tries_again_on_a_fresh_line() -> None:
    zero = ask("BiasCurrent", [0.0] * 4)
    fresh = [*STAYS_OFF, zero, (ZERO_BIAS, b""), zero, *STAYS_OFF]  # what may be disabled is so first
    peer = ScriptedPeer([(ASK_BIAS, SILENCE)], fresh)
    async with bench(peer) as unit:
        await past_a_silence(unit, unit.make_safe(), peer.asked.wait())
        peer.late.set()


async def test_make_safe_disables_a_unit_that_refuses_the_zeros() -> None:
    refuses = [(ASK_BIAS, TOLD_BIAS), (ZERO_BIAS, tell("ErrorMessage", "bad list"))]
    goes_off = [ask("DetectorEnable", True), (DISABLE, tell("DetectorEnable", False))]
    peer = ScriptedPeer(refuses, goes_off)
    async with bench(peer) as unit:
        with pytest.raises(RefusedError, match="set all biases to zero was refused: ErrorMessage: bad list"):
            await unit.make_safe()
        assert not peer.left


async def test_make_safe_does_not_believe_in_safety_that_it_cannot_see() -> None:
    told = tell("BiasCurrent", [0.0] * 4)
    stays = [(ASK_BIAS, TOLD_BIAS), (ZERO_BIAS, told), (ASK_BIAS, TOLD_BIAS)]
    async with bench(ScriptedPeer(stays, STAYS_OFF)) as unit:
        with pytest.raises(RefusedError, match=r"stay at \[10\.5, 11\.0, 9\.8, 0\.0\] uA"):
            await unit.make_safe()


# The line goes wrong


async def test_silence_ends_in_a_deadline_error_and_the_late_answer_is_not_heard() -> None:
    peer = ScriptedPeer([(ASK_BIAS, SILENCE)], [ask("DetectorEnable", True), (ASK_BIAS, TOLD_BIAS)])
    async with bench(peer) as unit:
        with (
            in_a_hurry(unit),
            pytest.raises(DeadlineError, match=r"wires \(tcp:.*set bias of channel 1.*what came: nothing"),
        ):
            await unit.set_bias(1, 1e-6)
        peer.late.set()
        assert await unit.bias(2) == pytest.approx(11e-6)


async def test_a_command_without_its_broadcast_ends_in_a_deadline_error_that_quotes_what_came() -> None:
    clipped = tell("BiasCurrent", [10.5, 9.0, 9.8, 0.0])
    async with bench(ScriptedPeer([(ASK_BIAS, clipped), (SET_BIAS, clipped)])) as unit:
        with in_a_hurry(unit, 0.5), pytest.raises(DeadlineError, match=r"10\.5, 9\.0, 9\.8"):
            await unit.set_bias(2, 11e-6)


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\x17",
        b"\xff\xfe\x17",
        b"[1]\x17",
        b'{"value": 1}\x17',
        tell("BiasCurrent", [1, 2]),
        tell("BiasCurrent", "x"),
    ],
)
async def test_garbage_is_a_protocol_error_and_the_line_is_opened_anew(garbage: bytes) -> None:
    on = ask("DetectorEnable", True)
    async with bench(ScriptedPeer([on, (ASK_BIAS, garbage)], [on, (ASK_BIAS, TOLD_BIAS)])) as unit:
        with pytest.raises(ProtocolError, match="BiasCurrent was answered by"):
            await unit.bias(1)
        assert await unit.bias(1) == pytest.approx(10.5e-6)


async def test_a_closed_line_repeats_a_question_but_never_a_command() -> None:
    on = ask("DetectorEnable", True)
    async with bench(
        ScriptedPeer([on, (ASK_BIAS, TOLD_BIAS[:9])], [(ASK_BIAS, TOLD_BIAS)], hang_up=True)
    ) as unit:
        assert await unit.bias(1) == pytest.approx(10.5e-6)
    before = (ASK_BIAS, tell("BiasCurrent", [10.5, 0.0, 9.8, 0.0]))
    async with bench(ScriptedPeer([before, (SET_BIAS, b"")], hang_up=True)) as unit:
        with pytest.raises(LineError, match="set bias of channel 2"):
            await unit.set_bias(2, 11e-6)


async def test_errors_that_nobody_asked_for_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with bench(
        ScriptedPeer([(ASK_PROPS, PROPS + tell("ErrorTemperature", "warm")), ask("DetectorEnable", False)])
    ) as unit:
        await unit.open()
        assert await unit.bias(1) == 0.0
        assert "ErrorTemperature: warm" in caplog.text


async def test_cancelling_leaves_the_line_in_step() -> None:
    peer = ScriptedPeer([(ASK_BIAS, SILENCE)], [ask("DetectorEnable", True), (ASK_BIAS, TOLD_BIAS)])
    async with bench(peer) as unit:
        await cancel_once(peer.asked, unit.set_bias(1, 1e-6))
        peer.late.set()
        assert await unit.bias(1) == pytest.approx(10.5e-6)


def test_settings_stay_within_what_the_electronics_drive() -> None:
    with pytest.raises(ValidationError):
        WebSqSettings.model_validate({"channels": 4, "max_bias": "95 uA"})
    with pytest.raises(ValidationError, match="20 has no unit of current"):
        WebSqSettings.model_validate({"channels": 4, "max_bias": 20})
