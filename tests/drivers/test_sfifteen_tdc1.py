"""The TDC1 driver against text and bytes: the words of sfifteen_tdc1.md, recordings, and what goes wrong.

How the TDC1 writes its identity, a level or an error the notes do not say; the texts here are invented.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.capabilities import Settings
from drivers.errors import ConnectError, DeadlineError, LimitError, LineError, ProtocolError, RefusedError
from drivers.time_taggers import tdc1_recording
from drivers.time_taggers.sfifteen_tdc1 import SFifteenTdc1
from drivers.time_taggers.tdc1_stream import Line, Tdc1Decoder, WordReader, Words
from tests.drivers.canned_line import CannedFrames, try_everything
from tests.drivers.hurry import PATIENT_S, in_a_hurry, past_a_silence
from tests.drivers.table_peer import TablePeer, at_end
from timetags.block import TagBlock

IDENTITY = "TDC1 counter, firmware 1.7"
INPUT_1_AT_1500_NS = bytes.fromhex("c1 5d 00 00")
INPUT_2_AT_268400_US = bytes.fromhex("02 58 f7 ff")
DUMMY_AT_10_NS = bytes.fromhex("b0 00 00 00")
WRAP_PS = 268_435_456_000


def word(unit: int, pattern: int) -> bytes:
    return ((unit % (1 << 27)) << 5 | pattern).to_bytes(4, "little")


class Peer(TablePeer):
    def __init__(self) -> None:
        super().__init__(at_end(b"\r\n"), {})
        self.set({"*IDN?": IDENTITY, "ABORT;*IDN?": IDENTITY, "LEVEL?": "-0.500 volt",
                  "TIMESTAMP;MODE?": "3", "INPKT;TIME 0;TIME?": "0", "MODE?;COUNTS?": "3"})  # fmt: skip

    def set(self, table: dict[str, str]) -> None:
        self.answers |= {f"{ask}\r\n".encode(): f"{answer}\r\n".encode() for ask, answer in table.items()}

    def commands(self) -> list[str]:
        return [request.decode().removesuffix("\r\n") for request in self.heard]


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    yield peer
    peer.hang_up()


@pytest.fixture
async def tdc(peer: Peer) -> AsyncIterator[SFifteenTdc1]:
    tdc = SFifteenTdc1("tdc", Address.parse(f"serial:{peer.path}"), Settings(), deadline=PATIENT_S)
    yield tdc
    await tdc.close()


async def taken(tdc: SFifteenTdc1) -> list[TagBlock]:
    return [block async for block in tdc.blocks()]


def tags(blocks: list[TagBlock]) -> list[tuple[int, int]]:
    return [(int(t), int(c)) for block in blocks for t, c in zip(block.times, block.channels, strict=True)]


# -- words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "tag", "reached_ps"),
    [
        (INPUT_1_AT_1500_NS, [(1_500_000, 1)], 1_500_000),
        (INPUT_2_AT_268400_US, [(268_400_000_000, 2)], 268_400_000_000),
        (DUMMY_AT_10_NS, [], 10_000),
    ],
)
def test_the_words_of_the_notes(data: bytes, tag: list[tuple[int, int]], reached_ps: int) -> None:
    reader = WordReader((1, 2, 3, 4))
    times, channels = reader.read(data)
    assert list(zip(times.tolist(), channels.tolist(), strict=True)) == tag
    assert reader.reached_ps == reached_ps


def test_several_inputs_in_one_word_are_a_tag_each_and_others_than_asked_for_are_left_out() -> None:
    times, channels = WordReader((1, 2, 4)).read(word(5, 0b1111) + word(6, 0b0100) + word(7, 0b1000))
    assert list(zip(times.tolist(), channels.tolist(), strict=True)) == [
        (10_000, 1), (10_000, 2), (10_000, 4), (14_000, 4),
    ]  # fmt: skip


def test_time_that_runs_backwards_has_wrapped() -> None:
    reader = WordReader((1, 2))
    first, _ = reader.read(INPUT_2_AT_268400_US + INPUT_1_AT_1500_NS)
    assert first.tolist() == [268_400_000_000, WRAP_PS + 1_500_000]
    reader.read(DUMMY_AT_10_NS)
    third, _ = reader.read(INPUT_1_AT_1500_NS + INPUT_1_AT_1500_NS)
    assert third.tolist() == [2 * WRAP_PS + 1_500_000] * 2


def test_a_word_of_no_input_is_an_error() -> None:
    with pytest.raises(ValueError, match="no input"):
        WordReader((1,)).read(INPUT_1_AT_1500_NS + b"\0\0\0\0")


def test_a_stream_stands_between_two_known_lines_wherever_the_bytes_are_cut() -> None:
    """The first word begins with a line feed: inputs 2 and 4 at time 0."""
    stream = b"".join(word(k, 0b1010) for k in range(50))
    data = b"33\r\n3\r\n" + stream + f"{IDENTITY}\r\n-0.5\r\n".encode()
    for size in (1, 3, 7, 1000):
        decoder = Tdc1Decoder()
        decoder.begin_stream("3")
        decoder.end_stream(IDENTITY)
        frames = [f for i in range(0, len(data), size) for f in decoder.feed(data[i : i + size])]
        assert b"".join(frame.data for frame in frames if isinstance(frame, Words)) == stream
        texts = [frame.text for frame in frames if isinstance(frame, Line)]
        assert texts == ["33", "3", IDENTITY, "-0.5"]


# -- text -------------------------------------------------------------------------------------------


async def test_opening_asks_who_it_is_and_no_more(tdc: SFifteenTdc1, peer: Peer) -> None:
    await tdc.open()
    await tdc.open()
    assert peer.heard == [b"*IDN?\r\n"]
    identity = await tdc.identity()
    assert (identity.model, identity.firmware) == ("TDC1", "counter, firmware 1.7")


@pytest.mark.parametrize("answer", ["CLD1015", ""])
async def test_another_instrument_is_no_tdc1(tdc: SFifteenTdc1, peer: Peer, answer: str) -> None:
    peer.set({"*IDN?": answer, "ABORT;*IDN?": answer})
    with in_a_hurry(tdc), pytest.raises(ConnectError, match="no TDC1 answers"):
        await tdc.open()


async def test_one_threshold_serves_all_inputs(tdc: SFifteenTdc1, peer: Peer) -> None:
    peer.set({"NEG -0.500;LEVEL?": "-0.500 volt", "POS 1.250;LEVEL?": "1.25", "POS 0.000;LEVEL?": "0 mV"})
    await tdc.set_threshold(1, -0.5)
    await tdc.set_threshold(4, 1.25)
    await tdc.set_threshold(2, 0.0)
    assert await tdc.threshold(3) == -0.5
    assert peer.commands() == ["NEG -0.500;LEVEL?", "POS 1.250;LEVEL?", "POS 0.000;LEVEL?", "LEVEL?"]


async def test_a_refusal_has_the_instruments_words(tdc: SFifteenTdc1, peer: Peer) -> None:
    peer.set({"POS 3.000;LEVEL?": "argument out of range\r\n-0.500 volt"})
    with pytest.raises(RefusedError, match=r"POS 3\.000 was refused: argument out of range, -0\.500 volt"):
        await tdc.set_threshold(1, 3.0)
    peer.set({"LEVEL?": "unknown command"})
    with pytest.raises(RefusedError, match=r"LEVEL\? was refused: unknown command"):
        await tdc.threshold(1)


async def test_outside_the_limits_nothing_is_sent(tdc: SFifteenTdc1, peer: Peer) -> None:
    for call in (
        tdc.set_threshold(1, 3.4), tdc.set_threshold(1, float("nan")), tdc.set_threshold(5, 0.1),
        tdc.threshold(0), tdc.count_rate(5), tdc.start(()), tdc.start((1, 5)),
    ):  # fmt: skip
        with pytest.raises(LimitError, match="tdc"):
            await call
    assert peer.heard == []


async def test_counts_of_a_second(tdc: SFifteenTdc1, peer: Peer) -> None:
    peer.set({"TIME 1000;SINGLES;COUNTS?": "12 3400 0 7"})
    assert [await tdc.count_rate(n) for n in (1, 2, 3, 4)] == [12.0, 3400.0, 0.0, 7.0]
    assert await tdc.resolution_ps() == 2000


async def test_a_late_answer_is_not_taken_for_the_next(tdc: SFifteenTdc1, peer: Peer) -> None:
    await tdc.open()
    peer.next[b"LEVEL?\r\n"] = [b""]
    with in_a_hurry(tdc), pytest.raises(DeadlineError):
        await tdc.threshold(1)
    peer.next[b"ABORT;*IDN?\r\n"] = [f"9.9 volt\r\n{IDENTITY}\r\n".encode()]
    assert await tdc.threshold(1) == -0.5


# -- recordings -------------------------------------------------------------------------------------


async def test_a_recording_from_start_to_end(tdc: SFifteenTdc1, peer: Peer) -> None:
    await tdc.open()
    await tdc.start((1, 2))
    with pytest.raises(RefusedError, match="it is recording"):
        await tdc.start((1,))
    with pytest.raises(RefusedError, match="it is recording"):
        await tdc.threshold(1)
    assert (await tdc.identity()).model == "TDC1"
    stream = INPUT_1_AT_1500_NS + INPUT_2_AT_268400_US
    for k in range(4):  # two wraps more, half of one at a time, which is 0.805 s in all
        stream += word(k << 26, 0x10)
    stream += word(10, 0b0111)
    peer.say(stream[:9])
    peer.say(stream[9:])
    collecting = asyncio.create_task(taken(tdc))
    await tdc.stop()
    blocks = await collecting
    assert peer.commands()[1:] == [
        "*IDN?", "TIMESTAMP;MODE?", "INPKT;TIME 0;TIME?", "MODE?;COUNTS?", "ABORT;*IDN?", "*IDN?",
    ]  # fmt: skip
    late_ps = 3 * WRAP_PS + 20_000
    assert tags(blocks) == [(1_500_000, 1), (268_400_000_000, 2), (late_ps, 1), (late_ps, 2)]
    assert [(block.start_ps, block.end_ps) for block in blocks] == [
        (0, 500_000_000_000), (500_000_000_000, late_ps + 1),
    ]  # fmt: skip
    await tdc.stop()
    with pytest.raises(RefusedError, match="nothing is being recorded"):
        await taken(tdc)
    assert await tdc.threshold(1) == -0.5


async def test_the_rate_while_it_records_is_counted_from_its_tags(tdc: SFifteenTdc1, peer: Peer) -> None:
    await tdc.start((1, 2))
    assert await tdc.count_rate(1) == 0.0
    # 600 clicks on input 1 and 60 on both, 4 ms apart.
    clicks = [word(2_000_000 * k, 0b11 if k % 10 == 0 else 0b01) for k in range(600)]
    peer.say(b"".join(clicks))
    blocks = tdc.blocks()
    for _ in range(3):
        await anext(blocks)
    assert await tdc.count_rate(1) == 250.0
    assert await tdc.count_rate(2) == 25.0


async def test_a_slow_consumer_holds_the_stream_back_and_loses_nothing(
    tdc: SFifteenTdc1, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tdc1_recording, "READ_AHEAD_BYTES", 8192)
    await tdc.start((1,))
    stream = b"".join(word(50_000 * k, 1) for k in range(20_000))  # 2 s
    sent = 0

    async def send() -> bool:
        """Whether anything could be sent within some turns of the loop."""
        nonlocal sent
        before = sent
        for _ in range(300):
            with suppress(BlockingIOError):
                sent += os.write(peer._master, stream[sent : sent + 4096])
            await asyncio.sleep(1e-4)  # the line is held in a turn of the loop
        return sent > before

    while await send():
        assert sent < len(stream), "nobody takes blocks, and yet all is read"
    collecting = asyncio.create_task(taken(tdc))
    while sent < len(stream):
        await send()
    await tdc.stop()
    assert [t for t, _ in tags(await collecting)] == [100_000_000 * k for k in range(20_000)]


async def test_a_line_that_breaks_ends_the_recording(tdc: SFifteenTdc1, peer: Peer) -> None:
    tdc.deadline = 0.1  # within which it is looked whether the line still lives
    await tdc.start((1,))
    peer.say(word(300_000_000 % (1 << 27), 1) + word(0, 0x10) + word(1 << 26, 0x10))
    collecting = asyncio.create_task(taken(tdc))
    peer.hang_up()
    with pytest.raises(LineError, match=r"tdc .*broke during the recording"):
        await collecting


async def test_closing_ends_the_waiting_for_blocks(tdc: SFifteenTdc1, peer: Peer) -> None:
    await tdc.start((1,))
    waiting = asyncio.create_task(taken(tdc))
    await asyncio.sleep(0)
    await tdc.close()
    with pytest.raises(LineError, match="closed during the recording"):
        await waiting


async def test_lost_bytes_are_noticed(tdc: SFifteenTdc1, peer: Peer) -> None:
    await tdc.start((1,))
    stream = b"".join(word(1000 * k, 1) for k in range(300))
    peer.say(stream[:402] + stream[404:])
    waiting = asyncio.create_task(taken(tdc))
    with pytest.raises(ProtocolError, match=r"tdc .*bytes have been lost"):
        await waiting
    await tdc.stop()


async def test_a_mode_that_is_not_taken_is_refused(tdc: SFifteenTdc1, peer: Peer) -> None:
    peer.set({"TIMESTAMP;MODE?": "0"})
    with pytest.raises(RefusedError, match="answered by '0', not '3'"):
        await tdc.start((1,))
    assert "MODE?;COUNTS?" not in peer.commands()
    with pytest.raises(RefusedError, match="nothing is being recorded"):
        await taken(tdc)


async def test_what_a_dead_program_has_left_recording_is_stopped(tdc: SFifteenTdc1, peer: Peer) -> None:
    """The recording goes on while the line is opened, and the first question gets no answer."""
    peer.next[b"*IDN?\r\n"] = [b""]
    peer.next[b"ABORT;*IDN?\r\n"] = [word(7, 1) * 30 + f"{IDENTITY}\r\n".encode()]

    async def go_on() -> None:
        while b"ABORT;*IDN?\r\n" not in peer.heard:
            peer.say(b"".join(word(k, 1) for k in range(100)))
            await asyncio.sleep(0.01)

    recording = asyncio.create_task(go_on())
    await past_a_silence(tdc, tdc.open(), peer.asked.wait())
    await recording
    assert (await tdc.identity()).model == "TDC1"


async def test_it_is_made_safe_from_nothing_and_while_it_records(tdc: SFifteenTdc1, peer: Peer) -> None:
    await tdc.make_safe()
    assert peer.commands() == ["ABORT;*IDN?", "*IDN?"]
    await tdc.start((1,))
    peer.say(INPUT_1_AT_1500_NS)
    await asyncio.gather(tdc.make_safe(), tdc.make_safe())
    assert tags(await taken(tdc)) == [(1_500_000, 1)]
    peer.answers.clear()
    with in_a_hurry(tdc), pytest.raises(DeadlineError, match=r"tdc .*ABORT"):
        await tdc.make_safe()


# -- anything ---------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"TDC1\r\n", b"-0.5 V\r\n", b"1 2 3 4\r\n"])))
def test_no_reply_crashes_the_driver(answers: list[bytes]) -> None:
    tdc = SFifteenTdc1("tdc", Address.parse("serial:/dev/null"), Settings())
    replies = [lambda _, reply=reply: reply for reply in answers]
    tdc._line = CannedFrames(replies, Tdc1Decoder)  # type: ignore[assignment, arg-type]
    asyncio.run(try_everything(tdc))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=64)))
def test_no_stream_crashes_the_reader(pieces: list[bytes]) -> None:
    decoder, reader = Tdc1Decoder(), WordReader((1, 2, 3, 4))
    decoder.begin_stream("3")
    decoder.end_stream("TDC1")
    for piece in [b"3\r\n", *pieces]:
        for frame in decoder.feed(piece):
            if isinstance(frame, Words):
                try:
                    times, _ = reader.read(frame.data)
                except ValueError:
                    return
                assert (np.diff(times) >= 0).all()
