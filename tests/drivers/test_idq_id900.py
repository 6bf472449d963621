"""The ID900 driver against a scripted tagger and DataLink service that speak as idq_id900.md says."""

import asyncio
import errno
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
import zmq
import zmq.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.address import Address
from drivers.capabilities import Identity, Settings
from drivers.errors import (
    ConnectError,
    DeadlineError,
    LimitError,
    LineError,
    ProtocolError,
    RefusedError,
)
from drivers.time_taggers.idq_id900 import IdqId900
from drivers.time_taggers.tag_stream import SubAcquisitions
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from timetags.block import TagBlock

PERIOD = 500_000_000_000
IDN = "ID Quantique,ID900,2019001,1.4.2"


class Box:
    """Tagger and DataLink service: answers as scripted, keeps what it heard, sends what the test says."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.asked: list[str] = []
        self.answers: dict[str, str] = {"*IDN?": IDN}
        self.is_playing = False
        self.stops_when_told = True
        self.counts = {n: [0, 0] for n in (1, 2, 3, 4)}
        self.stream_errors: list[str] = []
        self.refuses_streams = False
        self.left_over: dict[str, float] = {}
        self.serves_no_stream = False
        self._context = zmq.asyncio.Context()
        self.scpi, self.scpi_port = self._bound(zmq.REP)
        self.datalink, self.datalink_port = self._bound(zmq.REP)
        self.pairs, self.ports = {}, {}
        for n in (1, 2, 3, 4):
            self.pairs[n], self.ports[n] = self._bound(zmq.PAIR)
        self._changed = asyncio.Event()
        self.scpi_open = asyncio.Event()
        self.scpi_open.set()
        self.datalink_open = asyncio.Event()
        self.datalink_open.set()
        self._tasks = [
            asyncio.create_task(self._serve(self.scpi, self.scpi_open, self._scpi_answer)),
            asyncio.create_task(self._serve(self.datalink, self.datalink_open, self._datalink_answer)),
        ]

    def _bound(self, kind: int) -> tuple[zmq.asyncio.Socket, int]:
        socket = self._socket(kind)
        return socket, socket.bind_to_random_port("tcp://127.0.0.1")

    def _socket(self, kind: int) -> zmq.asyncio.Socket:
        socket = self._context.socket(kind)
        socket.linger = 0
        return socket

    async def _serve(self, socket, is_open, answer) -> None:  # type: ignore[no-untyped-def]
        while True:
            request = await socket.recv_string()
            text = answer(request)
            self._changed.set()
            await is_open.wait()
            await socket.send_string(text)

    def _scpi_answer(self, request: str) -> str:
        self.heard.append(request)
        if request == "REC:PLAY":
            self.is_playing = True
        if request == "REC:STOP" and self.stops_when_told:
            self.is_playing = False
        if request == "REC:STAGe?":
            return "PLAYING" if self.is_playing else "STOPPED"
        if "ERRORS?" in request and request not in self.answers:
            return "\n".join("0" for _ in request.split(";"))
        return self.answers.get(request, "")

    def _datalink_answer(self, request: str) -> str:
        self.asked.append(request)
        word, *arguments = request.split()
        options = dict(zip(arguments[::2], arguments[1::2], strict=True))
        if word == "start-stream":
            if self.refuses_streams or "dead" in self.left_over:
                return json.dumps({"error": {"description": "port in use"}})
            self._serve_stream(int(options["--channel"]))
            return json.dumps({"id": f"raw{options['--channel']}"})
        if word in ("status", "stop") and options["--id"] in self.left_over:
            if word == "stop":
                return json.dumps({"status": self.left_over.pop(options["--id"])})
            about = {"acquisitions_count": 7, "timestamps_count": 9, "errors": []}
            return json.dumps({**about, "inactivity": self.left_over[options["--id"]]})
        if word == "status":
            acquisitions, tags = self.counts[int(options["--id"][-1])]
            return json.dumps(
                {
                    "acquisitions_count": acquisitions,
                    "timestamps_count": tags,
                    "inactivity": 0,
                    "errors": self.stream_errors,
                }
            )
        if word == "stop":
            self.pairs[int(options["--id"][-1])].close()
            return json.dumps({"status": {}})
        return json.dumps(list(self.left_over))

    def _serve_stream(self, channel: int) -> None:
        """Bind the port of a channel again when the stream before was stopped."""
        self.counts[channel] = [0, 0]
        if not self.pairs[channel].closed or self.serves_no_stream:
            return
        self.pairs[channel] = self._socket(zmq.PAIR)
        while True:
            try:
                self.pairs[channel].bind(f"tcp://127.0.0.1:{self.ports[channel]}")
            except zmq.ZMQError as error:
                # The port is given back by a thread of ZeroMQ's some time after the socket was closed.
                if error.errno != errno.EADDRINUSE:
                    raise
                time.sleep(0.005)
            else:
                return

    async def until_heard(self, request: str, times: int = 1) -> None:
        """Wait until either service has heard a request so many times."""
        while (self.heard + self.asked).count(request) < times:
            self._changed.clear()
            await self._changed.wait()

    async def send(self, channel: int, *messages: Sequence[int] | NDArray[np.int64]) -> None:
        """Messages of tags of one channel; an empty one ends a sub-acquisition."""
        for message in messages:
            data = np.asarray(message, "<u8")
            self.counts[channel][0 if len(data) == 0 else 1] += max(1, len(data))
            await self.pairs[channel].send(data.tobytes())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._context.destroy(linger=0)


def driver(box: Box, deadline: float = PATIENT_S) -> IdqId900:
    streams = ",".join(str(port) for port in box.ports.values())
    address = f"zmq://127.0.0.1:{box.scpi_port}?datalink=127.0.0.1:{box.datalink_port}&streams={streams}"
    return IdqId900("hub_tagger", Address.parse(address), Settings(), deadline)


@pytest.fixture
async def box() -> AsyncIterator[Box]:
    box = Box()
    yield box
    await box.close()


@pytest.fixture
async def tagger(box: Box) -> AsyncIterator[IdqId900]:
    tagger = driver(box)
    await tagger.open()
    yield tagger
    await tagger.close()


async def all_blocks(tagger: IdqId900) -> list[TagBlock]:
    return [block async for block in tagger.blocks()]


def spans(blocks: Sequence[TagBlock]) -> list[tuple[int, int]]:
    return [(block.start_ps, block.end_ps) for block in blocks]


# ---- the instrument


async def test_opening_only_asks_who_is_there(tagger: IdqId900, box: Box) -> None:
    assert (box.heard, box.asked) == (["*IDN?"], ["list"])


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        (IDN, Identity("ID Quantique", "ID900", "2019001", "1.4.2")),
        ("IDQ,ID900", Identity("IDQ", "ID900", "", "")),
        ("IDQ ID900 2019001 1.4.2", Identity("IDQ", "ID900", "2019001", "1.4.2")),
    ],
)
async def test_identity_tolerates_fewer_fields(
    tagger: IdqId900, box: Box, text: str, identity: Identity
) -> None:
    box.answers["*IDN?"] = text
    assert await tagger.identity() == identity


async def test_another_instrument_is_refused(box: Box) -> None:
    box.answers["*IDN?"] = "Stanford Research Systems,DG645,s/n001,ver1.0"
    with pytest.raises(ProtocolError, match="instead of an ID900"):
        await driver(box).open()


@pytest.mark.parametrize("dead", ["scpi_open", "datalink_open"])
async def test_nobody_there_is_a_connect_error(box: Box, dead: str) -> None:
    getattr(box, dead).clear()
    tagger = driver(box)
    with in_a_hurry(tagger), pytest.raises(ConnectError, match="DataLinkTargetService runs"):
        await tagger.open()


@pytest.mark.parametrize("options", ["datalink=6060", "streams=1,2,3", "streams=a,b,c,d"])
def test_a_wrong_address_says_how_to_write_it(options: str) -> None:
    with pytest.raises(ValueError, match="streams=P1,P2,P3,P4"):
        IdqId900("hub_tagger", Address.parse(f"zmq://10.0.0.9:5555?{options}"), Settings())


async def test_settings_of_the_inputs(tagger: IdqId900, box: Box) -> None:
    box.answers |= {"DEVI:RES:BWID?": "13", "INPU1:COUN?": "5031"}
    assert await tagger.resolution_ps() == 13
    await tagger.set_threshold(1, 0.1)
    assert await tagger.count_rate(1) == 5031.0
    assert await tagger.count_rate(1) == 5031.0
    # idq_id900.md: `:THRE 100mV` and the Example
    assert box.heard[2:] == [
        "INPU1:THRE 100mV",
        "INPU1:COUN:MODE CYCL;INTE 1000",
        "INPU1:COUN?",
        "INPU1:COUN?",
    ]


@pytest.mark.parametrize("text", ["100mV", "0.1V", "0.1", "100 mV\n", "1e-1V"])
async def test_a_threshold_is_read_in_any_unit(tagger: IdqId900, box: Box, text: str) -> None:
    box.answers["INPU2:THRE?"] = text
    assert await tagger.threshold(2) == pytest.approx(0.1)


@pytest.mark.parametrize("text", ["", "hello", "1.2.3V", "1\n2"])
async def test_an_answer_that_is_no_number(tagger: IdqId900, box: Box, text: str) -> None:
    box.answers["INPU2:THRE?"] = text
    with pytest.raises(ProtocolError, match=r"INPU2:THRE\?"):
        await tagger.threshold(2)


async def test_limits_are_refused_before_anything_is_sent(tagger: IdqId900, box: Box) -> None:
    for call in (
        tagger.set_threshold(1, 5.0),
        tagger.set_threshold(5, 0.1),
        tagger.threshold(0),
        tagger.count_rate(9),
        tagger.start(()),
        tagger.start((1, 7)),
    ):
        with pytest.raises(LimitError):
            await call
    assert box.heard == ["*IDN?"]


async def test_a_refusal_is_shown(tagger: IdqId900, box: Box) -> None:
    box.answers["INPU1:THRE 100mV"] = "SCPI_ERR_INVALID_VALUE"
    with pytest.raises(RefusedError, match=r"INPU1:THRE 100mV.*SCPI_ERR_INVALID_VALUE"):
        await tagger.set_threshold(1, 0.1)


async def test_silence_and_a_late_answer(tagger: IdqId900, box: Box) -> None:
    box.answers |= {"INPU1:THRE?": "100mV", "INPU2:THRE?": "200mV"}
    box.scpi_open.clear()
    with (
        in_a_hurry(tagger),
        pytest.raises(DeadlineError, match=r"hub_tagger.*INPU1:THRE\?.*nothing came back"),
    ):
        await tagger.threshold(1)
    box.scpi_open.set()  # now the answer to the first question is sent
    assert await tagger.threshold(2) == pytest.approx(0.2)


async def test_a_cancelled_question_does_not_answer_the_next(tagger: IdqId900, box: Box) -> None:
    box.answers |= {"INPU1:THRE?": "100mV", "INPU2:THRE?": "200mV"}
    box.scpi_open.clear()
    question = asyncio.create_task(tagger.threshold(1))
    await box.until_heard("INPU1:THRE?")
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question
    box.scpi_open.set()
    assert await tagger.threshold(2) == pytest.approx(0.2)


async def test_not_open_is_said(box: Box) -> None:
    with pytest.raises(LineError, match="not open"):
        await driver(box).threshold(1)


# ---- recording


async def test_start_sets_up_streams_and_recorder(tagger: IdqId900, box: Box) -> None:
    await tagger.start((1, 3))
    assert box.asked[1:] == [
        f"start-stream --address 127.0.0.1 --channel {n} --stream-port {box.ports[n]}" for n in (1, 3)
    ]
    for n, others in ((1, 2), (3, 4)):
        for command in (f"RAW{n}:REF:LINK NONE", f"RAW{n}:STOP:LINK INPU{n}", f"RAW{n}:SEND ON"):
            assert command in box.heard
        assert f"RAW{others}:SEND OFF" in box.heard
        assert f"RAW{others}:SEND ON" not in box.heard
    assert box.heard[-5:] == [
        "REC:TRIG:ARM:MODE MANU",
        "REC:NUM INF",
        "REC:PPER 500000000000",
        "REC:DUR 499999960000",
        "REC:PLAY",
    ]


async def test_two_inputs_become_blocks_in_absolute_time(tagger: IdqId900, box: Box) -> None:
    await tagger.start((1, 2))
    await box.send(2, [5, 30], [40], [])
    await box.send(1, [10, 35], [], [7], [])
    await box.send(2, [], [1, 2])
    blocks = tagger.blocks()
    first = await anext(blocks)
    assert first.times.tolist() == [5, 10, 30, 35, 40]
    assert first.channels.tolist() == [2, 1, 2, 1, 2]
    second = await anext(blocks)
    assert second.times.tolist() == [PERIOD + 7]
    await tagger.stop()
    await box.send(1, [3], [])
    await box.send(2, [])
    third = await anext(blocks)
    assert third.times.tolist() == [2 * PERIOD + 1, 2 * PERIOD + 2, 2 * PERIOD + 3]
    with pytest.raises(StopAsyncIteration):
        await anext(blocks)
    assert spans([first, second, third]) == [
        (0, PERIOD),
        (PERIOD, 2 * PERIOD),
        (2 * PERIOD, 2 * PERIOD + 4),  # stopped early: known up to its last tag
    ]
    assert first.times.dtype == np.int64
    assert first.channels.dtype == np.uint8
    assert box.asked[-2:] == ["stop --id raw1", "stop --id raw2"]


async def test_time_goes_on_without_tags(tagger: IdqId900, box: Box) -> None:
    await tagger.start((4,))
    await box.send(4, [], [], [9], [])
    blocks = tagger.blocks()
    whole = [await anext(blocks) for _ in range(3)]
    assert spans(whole) == [(0, PERIOD), (PERIOD, 2 * PERIOD), (2 * PERIOD, 3 * PERIOD)]
    assert [block.times.tolist() for block in whole] == [[], [], [2 * PERIOD + 9]]
    await tagger.stop()
    await box.send(4, [])
    assert await all_blocks(tagger) == [], "a last part without tags is no block"


async def test_a_sub_acquisition_that_others_follow_is_whole_also_after_the_stop(
    tagger: IdqId900, box: Box
) -> None:
    await tagger.start((1,))
    await tagger.stop()
    await box.send(1, [1], [], [2], [])
    assert spans(await all_blocks(tagger)) == [(0, PERIOD), (PERIOD, PERIOD + 3)]


async def test_the_end_waits_for_what_the_service_counts(tagger: IdqId900, box: Box) -> None:
    await tagger.start((1,))
    await tagger.stop()
    await box.send(1, [1], [])
    box.counts[1] = [2, 2]
    blocks = asyncio.create_task(all_blocks(tagger))
    await box.until_heard("status --id raw1")
    box.counts[1] = [1, 1]
    await box.send(1, [2], [])
    assert spans(await blocks) == [(0, PERIOD), (PERIOD, PERIOD + 3)]


async def test_an_end_that_does_not_come_is_an_error(tagger: IdqId900, box: Box) -> None:
    await tagger.start((1,))
    await box.send(1, [1])
    await tagger.stop()
    with (
        in_a_hurry(tagger, 0.5),
        pytest.raises(
            DeadlineError, match=r"its end did not come.*input 1 has 0 sub-acquisitions and 1 tags"
        ),
    ):
        await all_blocks(tagger)


async def test_lost_tags_are_counted_in_the_block(tagger: IdqId900, box: Box) -> None:
    await tagger.start((1, 2))
    query = "RAW1:ERRORS?;:RAW2:ERRORS?"
    blocks = tagger.blocks()
    lost = []
    for answer in ("3\n4", "3\n4", "3\n10"):
        box.answers[query] = answer
        await box.send(1, [])
        await box.send(2, [])
        lost.append((await anext(blocks)).lost)
    assert lost == [7, 0, 6]


async def test_after_the_last_block_a_new_recording_begins_at_zero(tagger: IdqId900, box: Box) -> None:
    for _ in range(2):
        await tagger.start((1,))
        await box.send(1, [11], [])
        blocks = tagger.blocks()
        assert (await anext(blocks)).times.tolist() == [11]
        await tagger.stop()
        await box.send(1, [12], [])
        assert (await anext(blocks)).times.tolist() == [PERIOD + 12]
        assert [block async for block in blocks] == []
    with pytest.raises(RefusedError, match="nothing is being recorded"):
        await all_blocks(tagger)


async def test_start_refuses_while_somebody_records(tagger: IdqId900, box: Box) -> None:
    await tagger.start((1,))
    with pytest.raises(RefusedError, match="recording already"):
        await tagger.start((1,))
    assert box.is_playing


async def test_a_stream_that_a_killed_program_left_is_ended_and_one_in_use_is_not(
    tagger: IdqId900, box: Box
) -> None:
    box.left_over = {"dead": 2.5, "another_s": 0.4}
    await tagger.start((1,))
    assert box.is_playing
    assert box.left_over == {"another_s": 0.4}


async def test_a_refused_stream_undoes_the_start(tagger: IdqId900, box: Box) -> None:
    box.refuses_streams = True
    with pytest.raises(RefusedError, match="port in use"):
        await tagger.start((1,))
    assert "REC:PLAY" not in box.heard
    with pytest.raises(RefusedError, match="nothing is being recorded"):
        await all_blocks(tagger)


async def test_a_stream_that_nobody_serves_is_a_connect_error(tagger: IdqId900, box: Box) -> None:
    box.serves_no_stream = True
    box.pairs[2].close()
    with in_a_hurry(tagger, 0.5), pytest.raises(ConnectError, match=str(box.ports[2])):
        await tagger.start((1, 2))
    assert box.asked[-2:] == ["stop --id raw1", "stop --id raw2"]
    assert not box.is_playing


@pytest.mark.parametrize(
    ("message", "complaint"),
    [(b"\0" * 12, "12 bytes"), (PERIOD.to_bytes(8, "little"), "do not count from the start")],
)
async def test_a_message_that_cannot_be_right(
    tagger: IdqId900, box: Box, message: bytes, complaint: str
) -> None:
    await tagger.start((1,))
    await box.pairs[1].send(message)
    with pytest.raises(ProtocolError, match=complaint):
        await all_blocks(tagger)


async def test_a_stream_that_breaks_off_is_an_error_at_once(box: Box) -> None:
    tagger = driver(box, deadline=60.0)
    await tagger.open()
    await tagger.start((1, 2))
    box.pairs[2].close()
    with pytest.raises(LineError, match=f"{box.ports[2]} broke off"):
        await all_blocks(tagger)
    await tagger.close()


async def test_quiet_is_no_error_while_the_instrument_says_it_records(tagger: IdqId900, box: Box) -> None:
    await tagger.start((1,))
    stage_asked = box.heard.count("REC:STAGe?")
    with in_a_hurry(tagger, 0.5):
        block = asyncio.ensure_future(anext(tagger.blocks()))
        await box.until_heard("REC:STAGe?", stage_asked + 2)
    await box.send(1, [4], [])
    assert (await block).times.tolist() == [4]


async def test_quiet_because_the_recording_ended_by_itself(tagger: IdqId900, box: Box) -> None:
    await tagger.start((1,))
    box.is_playing = False
    with in_a_hurry(tagger, 0.5), pytest.raises(LineError, match="ended by itself"):
        await all_blocks(tagger)


async def test_quiet_because_the_tagger_is_dead(tagger: IdqId900, box: Box) -> None:
    await tagger.start((1,))
    box.scpi_open.clear()
    with in_a_hurry(tagger), pytest.raises(DeadlineError, match="STAGe"):
        await all_blocks(tagger)


async def test_quiet_because_the_service_lost_the_tagger(tagger: IdqId900, box: Box) -> None:
    await tagger.start((1,))
    box.stream_errors = ["connection lost"]
    with in_a_hurry(tagger, 0.5), pytest.raises(LineError, match="input 1: connection lost"):
        await all_blocks(tagger)


async def test_closing_ends_the_wait_for_a_block(box: Box) -> None:
    tagger = driver(box, deadline=60.0)
    await tagger.open()
    await tagger.start((1,))
    block = asyncio.ensure_future(anext(tagger.blocks()))
    await asyncio.sleep(0)
    await tagger.close()
    with pytest.raises(LineError, match="closed before its end"):
        await block
    assert box.is_playing, "closing changes nothing on the instrument"
    await tagger.close()


async def test_make_safe_stops_and_the_tags_so_far_still_come(tagger: IdqId900, box: Box) -> None:
    await tagger.start((1,))
    await box.send(1, [5], [])
    await tagger.make_safe()
    await tagger.make_safe()
    assert not box.is_playing
    assert [block.times.tolist() for block in await all_blocks(tagger)] == [[5]]


async def test_make_safe_needs_neither_open_nor_datalink(box: Box) -> None:
    box.datalink_open.clear()
    box.is_playing = True
    tagger = driver(box)
    await tagger.make_safe()
    assert not box.is_playing
    assert box.heard == ["REC:STOP", "REC:STAGe?"]


async def test_make_safe_complains_when_the_recording_goes_on(tagger: IdqId900, box: Box) -> None:
    box.is_playing, box.stops_when_told = True, False
    with in_a_hurry(tagger, 0.5), pytest.raises(DeadlineError, match="PLAYING after REC:STOP"):
        await tagger.make_safe()


async def test_many_tags_in_random_messages_over_four_sockets(tagger: IdqId900, box: Box) -> None:
    rng = np.random.default_rng(4)
    cut = random.Random(4)
    parts = [{n: np.sort(rng.integers(0, PERIOD, cut.randrange(5000))) for n in box.pairs} for _ in range(5)]
    await tagger.start((1, 2, 3, 4))

    async def play(channel: int) -> None:
        for part in parts:
            edges = sorted([0, len(part[channel]), *(cut.randrange(5000) for _ in range(9))])
            for a, b in pairwise(edges):
                if len(part[channel][a:b]):
                    await box.send(channel, part[channel][a:b])
            await box.send(channel, [])

    players = [asyncio.create_task(play(n)) for n in box.pairs]
    blocks = tagger.blocks()
    for k, part in enumerate(parts):
        block = await anext(blocks)
        for n in box.pairs:
            np.testing.assert_array_equal(block.times[block.channels == n], part[n] + k * PERIOD)
        assert np.all(np.diff(block.times) >= 0)
        assert (block.start_ps, block.end_ps) == (k * PERIOD, (k + 1) * PERIOD)
    await asyncio.gather(*players)


# ---- sub-acquisitions, without sockets


class Messages:
    """A source with all its messages there already; counts those taken."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        self._messages = list(messages)
        self.read = 0

    async def receive(self) -> memoryview:
        await asyncio.sleep(0)
        if self.read == len(self._messages):
            await asyncio.Event().wait()
        self.read += 1
        return memoryview(self._messages[self.read - 1])

    async def until_lost(self) -> LineError:
        await asyncio.Event().wait()
        raise AssertionError


def messages_of(parts: Sequence[Sequence[int]], cuts: Sequence[int]) -> list[bytes]:
    """The parts as messages, each part cut at some places and ended by an empty message."""
    messages = []
    for part in parts:
        data = np.sort(np.array(part, "<u8")).tobytes()
        edges = sorted({0, len(data), *(8 * cut for cut in cuts if 8 * cut < len(data))})
        messages += [data[a:b] for a, b in pairwise(edges)] + [b""]
    return messages


tag_lists = st.lists(st.integers(0, 999), max_size=8)


@settings(deadline=None, max_examples=40)
@given(
    data=st.lists(st.tuples(tag_lists, tag_lists, tag_lists), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 8), max_size=4),
)
def test_cuts_into_messages_do_not_show(
    data: list[tuple[list[int], list[int], list[int]]], cuts: list[int]
) -> None:
    async def collect() -> list[tuple[list[int], list[int]]]:
        sources = {n + 1: Messages(messages_of([part[n] for part in data], cuts)) for n in range(3)}
        parts = SubAcquisitions(sources, 1000, 2)
        parts.start(sources)
        merged = []
        for k in range(len(data)):
            while not parts.has_next:
                assert await parts.changed(10.0)
            times, channels = await parts.merge_next(1000 * k)
            parts.advance()
            merged.append((times.tolist(), channels.tolist()))
        await parts.close(LineError("tagger", "here", "done"))
        return merged

    expected = []
    for k, part in enumerate(data):
        tags = sorted((t + 1000 * k, n + 1) for n in range(3) for t in part[n])
        expected.append(([t for t, _ in tags], [channel for _, channel in tags]))
    assert asyncio.run(collect()) == expected


async def test_no_stream_is_read_far_ahead_of_the_consumer() -> None:
    eager = Messages(messages_of([[1, 2]] * 10, [1]))  # three messages to a sub-acquisition
    slow = Messages(messages_of([[1, 2]] * 3, [1]))
    parts = SubAcquisitions((1, 2), 1000, 2)
    parts.start({1: eager, 2: slow})

    async def settle() -> None:
        for _ in range(200):
            await asyncio.sleep(0)

    await settle()
    assert eager.read == 2 * 3
    await parts.merge_next(0)
    parts.advance()
    await settle()
    assert (eager.read, slow.read) == (3 * 3, 3 * 3)
    await parts.close(LineError("tagger", "here", "done"))
