"""The driver of S-Fifteen's detector against the commands of sfifteen_spd.md, and against garbage."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.address import Address
from drivers.detectors.sfifteen_spd import SFifteenSpd, SpdSettings
from drivers.errors import ConnectError, DeadlineError, LimitError, ProtocolError, RefusedError
from tests.drivers.canned_line import CannedText, try_everything
from tests.drivers.eventually import eventually
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.table_peer import TablePeer, at_end

SETTINGS = SpdSettings.model_validate({"max_bias_voltage": "145 V"})
TABLE = {
    "*idn?": "S-Fifteen SPD 3",
    "hvolt?": "0.0",
    "time?": "200",
    "counts?": "5021",
    "temp?": "-19.8",
    "settemp?": "-20.0",
    "loop?": "1",
}


class Peer(TablePeer):
    def __init__(self) -> None:
        super().__init__(at_end(b"\r\n"), {})
        self.set(**TABLE)

    def set(self, **answers: str) -> None:
        self.answers |= {f"{ask}\r\n".encode(): f"{answer}\r\n".encode() for ask, answer in answers.items()}

    def commands(self) -> list[str]:
        return [request.decode().removesuffix("\r\n") for request in self.heard]


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    yield peer
    peer.hang_up()


@pytest.fixture
async def detector(peer: Peer) -> AsyncIterator[SFifteenSpd]:
    detector = SFifteenSpd("apd", Address.parse(f"serial:{peer.path}"), SETTINGS, deadline=PATIENT_S)
    yield detector
    await detector.close()


async def test_opening_asks_who_is_there_and_no_more(detector: SFifteenSpd, peer: Peer) -> None:
    await detector.open()
    assert peer.commands() == ["*idn?"]
    assert (await detector.identity()).model == "S-Fifteen SPD 3"


async def test_another_instrument_is_named(detector: SFifteenSpd, peer: Peer) -> None:
    peer.set(**{"*idn?": "TDC1 counter"})
    with pytest.raises(ConnectError, match="'TDC1 counter' answers"):
        await detector.open()
    peer.answers.clear()
    with in_a_hurry(detector), pytest.raises(ConnectError, match=r"apd .*no answer"):
        await detector.open()


async def test_the_bias_is_set_and_looked_at_while_it_rises(detector: SFifteenSpd, peer: Peer) -> None:
    peer.next[b"hvolt?\r\n"] = [b"0.0\r\n", b"96.2\r\n", b"139.7\r\n"]
    await detector.set_bias_voltage(1, 140.25)
    assert peer.commands() == ["hvolt 140.25", "hvolt?", "hvolt?", "hvolt?"]
    peer.set(**{"hvolt?": "139.7"})
    assert await detector.bias_voltage(1) == 139.7


async def test_a_bias_that_does_not_come_is_a_refusal(detector: SFifteenSpd) -> None:
    with pytest.raises(RefusedError, match=r"hvolt 140\.00 left it at 0 V.*may have cut off"):
        await detector.set_bias_voltage(1, 140.0)


async def test_a_rate_is_counts_by_time(detector: SFifteenSpd) -> None:
    assert await detector.count_rate(1) == pytest.approx(5021 / 0.2)


async def test_counts_may_take_the_counting_time_and_the_deadline(detector: SFifteenSpd, peer: Peer) -> None:
    await detector.open()
    peer.set(**{"time?": "20000"})
    peer.next[b"counts?\r\n"] = [b""]
    with in_a_hurry(detector, 0.4):
        counting = asyncio.create_task(detector.count_rate(1))
        await peer.asked.wait()
        await asyncio.wait([counting], timeout=0.5)  # longer than the deadline
        peer.say(b"17\r\n")
        assert await counting == pytest.approx(17 / 20.0)
    peer.set(**{"time?": "200"})
    peer.next[b"counts?\r\n"] = [b""]
    with in_a_hurry(detector, 0.4), pytest.raises(DeadlineError, match=r"counts\?: no answer within 0\.6 s"):
        await detector.count_rate(1)


@pytest.mark.parametrize("period", ["0", "-5", "1e9", "9e99"])
async def test_a_counting_time_that_is_none(detector: SFifteenSpd, peer: Peer, period: str) -> None:
    peer.set(**{"time?": period})
    with pytest.raises(ProtocolError, match=r"time\? was answered by"):
        await detector.count_rate(1)


async def test_temperatures_are_kelvin(detector: SFifteenSpd, peer: Peer) -> None:
    assert await detector.temperature() == pytest.approx(253.35)
    assert await detector.temperature_set_point() == pytest.approx(253.15)
    assert await detector.is_settled()
    await detector.set_temperature(253.15)
    assert peer.commands()[-2:] == ["settemp -20.00", "settemp?"]
    with pytest.raises(RefusedError, match=r"settemp -30\.00 left it at 253\.15 K"):
        await detector.set_temperature(243.15)
    peer.set(**{"settemp?": "-30.0"})
    assert not await detector.is_settled()
    peer.set(**{"loop?": "0"})
    assert await detector.is_settled()
    await detector.set_cooling(False)
    with pytest.raises(RefusedError, match="loop 1 did not switch it"):
        await detector.set_cooling(True)


async def test_outside_the_limits_no_byte_is_sent(detector: SFifteenSpd, peer: Peer) -> None:
    for voltage_v in (145.1, -0.1, float("nan")):
        with pytest.raises(LimitError, match="outside 0 to 145 V"):
            await detector.set_bias_voltage(1, voltage_v)
    for call in (detector.set_bias_voltage(2, 1.0), detector.bias_voltage(0), detector.count_rate(2)):
        with pytest.raises(LimitError, match="no channel"):
            await call
    with pytest.raises(LimitError, match=r"outside 233\.15 to 303\.15 K"):
        await detector.set_temperature(220.0)
    assert peer.heard == []


async def test_safe_from_nothing_and_twice(detector: SFifteenSpd, peer: Peer) -> None:
    await detector.make_safe()
    await detector.make_safe()
    assert peer.commands() == ["hvolt 0.00", "hvolt?"] * 2
    peer.set(**{"hvolt?": "139.7"})
    with pytest.raises(RefusedError, match=r"hvolt 0\.00 left it at 139\.7 V"):
        await detector.make_safe()


async def test_safe_is_not_put_off_by_a_count(detector: SFifteenSpd, peer: Peer) -> None:
    peer.set(**{"time?": "60000"})
    peer.next[b"counts?\r\n"] = [b""]
    counting = asyncio.create_task(detector.count_rate(1))
    await peer.asked.wait()
    making_safe = asyncio.create_task(detector.make_safe())
    await eventually(lambda: peer.commands()[-1] == "hvolt 0.00")
    assert not counting.done()
    peer.say(b"300000\r\n")
    assert await counting == pytest.approx(5000.0)
    await making_safe
    assert peer.commands()[-2:] == ["hvolt 0.00", "hvolt?"]


async def test_safe_waits_for_the_end_of_a_count_that_nobody_waits_for(
    detector: SFifteenSpd, peer: Peer
) -> None:
    peer.set(**{"time?": "60000"})
    peer.next = {b"counts?\r\n": [b""], b"*idn?\r\n": [b""]}
    counting = asyncio.create_task(detector.count_rate(1))
    await peer.asked.wait()
    counting.cancel()
    making_safe = asyncio.create_task(detector.make_safe())
    await eventually(lambda: peer.commands()[-2:] == ["hvolt 0.00", "*idn?"])
    await asyncio.wait([making_safe], timeout=0.2)  # longer than the deadline
    peer.say(b"300000\r\nS-Fifteen SPD 3\r\n")
    await making_safe
    assert peer.commands().count("hvolt 0.00") == 1


async def test_only_a_bias_that_stays_too_low_may_have_cut_off(detector: SFifteenSpd, peer: Peer) -> None:
    peer.set(**{"hvolt?": "139.7"})
    with pytest.raises(RefusedError) as refusal:
        await detector.set_bias_voltage(1, 0.0)
    assert "cut off" not in str(refusal.value)


async def test_a_line_that_is_no_answer_is_passed_over(detector: SFifteenSpd, peer: Peer) -> None:
    """As after a silent command that was not understood."""
    peer.next[b"hvolt?\r\n"] = [b"unknown command\r\n12.5\r\n"]
    assert await detector.bias_voltage(1) == 12.5


async def test_a_late_answer_is_not_taken_for_the_next(detector: SFifteenSpd, peer: Peer) -> None:
    await detector.open()
    peer.next[b"hvolt?\r\n"] = [b""]
    with in_a_hurry(detector), pytest.raises(DeadlineError):
        await detector.bias_voltage(1)
    peer.next[b"*idn?\r\n"] = [b"99\r\nS-Fifteen SPD 3\r\n"]
    assert await detector.temperature() == pytest.approx(253.35)


def test_temperatures_in_order() -> None:
    with pytest.raises(ValidationError, match="min_temperature is above max_temperature"):
        SpdSettings.model_validate(
            {"max_bias_voltage": "145 V", "min_temperature": "300 K", "max_temperature": "260 K"}
        )


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["SPD", "0", "1", "200", "140.2", "9e99", "-1e9", "nan", "1e-3", *TABLE.values()]),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=30))
def test_no_answer_crashes_the_driver(answers: list[str]) -> None:
    detector = SFifteenSpd("apd", Address.parse("serial:/dev/none"), SETTINGS)
    detector._line = CannedText(answers)  # type: ignore[assignment]
    asyncio.run(try_everything(detector))
