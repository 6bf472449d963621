"""The simulated ID900 and its DataLink service over ZeroMQ, with the examples of idq_id900.md. The clients
are libzmq's, the servers are not."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import zmq
import zmq.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.ports import TaggerInput, TaggerPort
from sim_instruments.time_taggers.idq_id900 import LOOK_PS, SimIdqId900

S = 10**12
MS = 10**9


class Bench:
    """A tagger and libzmq clients of its services."""

    def __init__(self, latency_s: float = 0.0, seed: int = 5) -> None:
        self.port = TaggerPort({n: TaggerInput() for n in (1, 2, 3, 4)})
        self.sim = SimIdqId900(
            "tagger", np.random.default_rng(seed), self.port, resolution_ps=13, start_latency_s=latency_s
        )
        self.context = zmq.asyncio.Context()
        self.sockets: list[zmq.asyncio.Socket] = []

    async def open(self) -> None:
        address = urlsplit(await self.sim.start())
        options = parse_qs(address.query)
        assert address.scheme == "zmq"
        self.streams = [int(port) for port in options["streams"][0].split(",")]
        self.scpi_port, self.datalink = address.port, options["datalink"][0]
        self.scpi = self.connect(zmq.REQ, f"127.0.0.1:{address.port}")
        self.service = self.connect(zmq.REQ, self.datalink)

    def connect(self, kind: int, where: str, waiting: int = 1000) -> zmq.asyncio.Socket:
        """A client; `waiting` is how many messages it lets pile up on its side."""
        socket = self.context.socket(kind)
        self.sockets.append(socket)
        socket.linger = 0
        socket.rcvhwm = waiting
        socket.connect(f"tcp://{where}")
        return socket

    async def close(self) -> None:
        await self.sim.stop()
        self.context.destroy(linger=0)

    async def ask(self, request: str) -> str:
        async with asyncio.timeout(5):
            await self.scpi.send_string(request)
            return await self.scpi.recv_string()

    async def link(self, request: str) -> dict | list:
        async with asyncio.timeout(5):
            await self.service.send_string(request)
            return json.loads(await self.service.recv_string())

    async def record(self, channel: int = 1) -> "Reader":
        """A stream of one channel, ready for REC:PLAY."""
        await self.ask(f"RAW{channel}:SEND ON")
        port = self.streams[channel - 1]
        reply = await self.link(f"start-stream --address 127.0.0.1 --channel {channel} --stream-port {port}")
        assert set(reply) == {"id"}
        return Reader(self.connect(zmq.PAIR, f"127.0.0.1:{port}"), reply["id"])

    async def take(self, tags: dict[int, np.ndarray], until_ps: int) -> None:
        async with asyncio.timeout(10):
            await self.sim.take(tags, until_ps)
        self.port.clock_ps = until_ps


class Reader:
    """The other end of a stream."""

    def __init__(self, socket: zmq.asyncio.Socket, id_: str) -> None:
        self.socket, self.id = socket, id_

    async def acquisition(self) -> np.ndarray:
        """All tags until the empty message."""
        parts = []
        async with asyncio.timeout(10):
            while message := await self.socket.recv():
                parts.append(np.frombuffer(message, dtype="<u8"))
        return np.concatenate([np.empty(0, dtype="<u8"), *parts])


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.open()
    yield bench
    await bench.close()


def clicks(rng: np.random.Generator, n: int, low: int, high: int) -> np.ndarray:
    return np.sort(rng.integers(low, high, n))


# SCPI


async def test_the_examples_of_the_notes(bench: Bench) -> None:
    assert await bench.ask("INPU1:COUN:MODE CYCL;INTE 1000") == ""
    await bench.ask("INPU1:COUN?")
    await bench.take({1: np.arange(5031) * 1000, 2: np.arange(4012) * 1000}, S)
    assert await bench.ask("INPU1:COUN?;:INPU2:COUN?") == "5031\n4012"
    await bench.ask("DELA1:VALU 12345")
    assert await bench.ask("DELA1:VALU?") == "12345TB"
    assert "SCPI_ERR_" in await bench.ask("NOSUCH 1")
    assert (await bench.ask("*IDN?")).startswith("IDQ ID900 ")
    assert await bench.ask("DEVI:RES:BWID?") == "13"
    for request in ("REC:NUM 1", "REC:DURation 1e12", "RAW1:SEND ON", "REC:PLAY"):
        assert await bench.ask(request) == ""
    assert await bench.ask("REC:STAGe?") == "PLAYING"


@pytest.mark.parametrize(
    "request_",
    [
        "INPU1:THRE 250mV",
        "inpu1:thre 250MV",
        "INPUt1:THREshold 0.25V",
        ":INPUT1:threshold 0.25",
        "INPU1:EDGE RISING;THRE 2.5e-1 V",
    ],
)
async def test_nodes_are_short_or_long_in_any_case_and_arguments_have_units(
    bench: Bench, request_: str
) -> None:
    assert await bench.ask(request_) == ""
    assert bench.port.inputs[1].threshold_v == 0.25
    assert bench.port.inputs[2].threshold_v == 0.1
    assert await bench.ask("INPU1:THRE?") == "250mV"


@pytest.mark.parametrize(
    "value", ["2500000000", "2.5GTB", "2500MTB", "2.5e9", "2500000000.0", "2500000000TB"]
)
async def test_times_with_units(bench: Bench, value: str) -> None:
    assert await bench.ask(f"DELA8:VALU {value};VALU?") == "2500000000TB"


@pytest.mark.parametrize(
    "request_",
    [
        "INPU",
        "INPU5:COUN?",
        "INPU0:COUN?",
        "INPUtt1:COUN?",
        "INPU1:COU?",
        "INPU1:THRE",
        "INPU1:THRE 5V",
        "INPU1:THRE 1TB",
        "DELA1:VALU 1.1e12",
        "DELA1:VALU -1",
        "DELA9:VALU 1",
        "DELA1:LINK DELA2",
        "HIST1:REF:LINK TSCO1",
        "REC:DUR 0.1e12",
        "REC:NUM 0",
        "REC:PLAY 1",
        "INPU1:COUN 1",
        "REC:PLAY?",
        "INPU1:COUN? 1",
        "?",
        "DEVI:RES LOWRES",
        "DEVI:CONF:LOAD COUNT",
    ],
)
async def test_what_the_box_does_not_know_is_an_error(bench: Bench, request_: str) -> None:
    reply = await bench.ask(request_)
    assert reply.startswith("SCPI_ERR_")
    assert "\n" not in reply
    assert not bench.port.recording


async def test_commands_are_relative_to_the_last_path_and_errors_stand_among_the_replies(
    bench: Bench,
) -> None:
    reply = await bench.ask("INPU2:COUN:MODE ACCU;INTE 500;MODE?;NOSUCH?;:INPU1:COUN:MODE?;:INPU2:COUN:INTE?")
    lines = reply.split("\n")
    assert lines[0] == "ACCU"
    assert lines[1].startswith("SCPI_ERR_")
    assert lines[2:] == ["CYCL", "500"]


async def test_input_enable_reaches_the_light_field(bench: Bench) -> None:
    await bench.ask("INPU3:ENAB OFF")
    assert not bench.port.inputs[3].enabled
    assert await bench.ask("INPU3:ENAB?;:INPU2:ENAB?") == "OFF\nON"


# Counters and histograms


async def test_cyclic_counters_count_the_last_whole_period_however_it_is_cut(bench: Bench) -> None:
    rng = np.random.default_rng(1)
    times = clicks(rng, 5000, 0, 3 * S)
    bench.port.clock_ps = 100 * MS
    await bench.ask("INPU1:COUN:MODE CYCL;INTE 700")
    assert await bench.ask("INPU1:COUN?") == "0"
    cuts = [0, *np.sort(rng.integers(100 * MS, 1600 * MS, 9)).tolist(), 1600 * MS]
    for low, high in pairwise(cuts):
        await bench.take({1: times[(times >= low) & (times < high)]}, high)
    expected = np.count_nonzero((times >= 800 * MS) & (times < 1500 * MS))
    assert await bench.ask("INPU1:COUN?") == str(expected)


async def test_accumulating_counters_count_since_the_reset(bench: Bench) -> None:
    await bench.ask("INPU4:COUN:MODE ACCU")
    await bench.ask("INPU4:COUN?")
    await bench.take({4: np.arange(10)}, S)
    await bench.take({4: S + np.arange(5)}, 2 * S)
    assert await bench.ask("INPU4:COUN?") == "15"
    await bench.ask("INPU4:COUN:RESE")
    await bench.take({4: 2 * S + np.arange(2)}, 3 * S)
    assert await bench.ask("INPU4:COUN?") == "2"


async def test_somebody_looks_for_ten_seconds_after_a_count_was_asked_for(bench: Bench) -> None:
    assert not bench.port.recording
    await bench.ask("INPU1:COUN?")
    assert bench.port.recording
    bench.port.clock_ps = LOOK_PS - 1
    bench.sim.advance(0.1)
    assert bench.port.recording
    bench.port.clock_ps = LOOK_PS
    bench.sim.advance(0.1)
    assert not bench.port.recording


@pytest.mark.parametrize(("reference", "stop"), [(1, 2), (3, 3)])
async def test_histograms_measure_from_the_latest_reference(bench: Bench, reference: int, stop: int) -> None:
    rng = np.random.default_rng(2)
    times = {n: clicks(rng, 400, 0, 100_000) for n in (1, 2)} | {3: np.unique(clicks(rng, 400, 0, 100_000))}
    await bench.ask(
        f"HIST2:MIN 50;BWID 20;BCOU 40;:HIST2:REF:LINK INPU{reference};:HIST2:STOP:LINK INPUt{stop}"
    )
    assert bench.port.recording
    cuts = [0, *np.sort(rng.integers(0, 100_000, 7)).tolist(), 100_000]
    for low, high in pairwise(cuts):
        await bench.take({n: t[(t >= low) & (t < high)] for n, t in times.items()}, high)
    expected = [0] * 40
    for t in times[stop].tolist():
        before = [r for r in times[reference].tolist() if r <= t and not (reference == stop and r == t)]
        if before and 50 <= t - before[-1] < 850:
            expected[(t - before[-1] - 50) // 20] += 1
    assert sum(expected) > 100
    assert json.loads(await bench.ask("HIST2:DATA?")) == expected
    await bench.ask("HIST2:FLUSH")
    assert json.loads(await bench.ask("HIST2:DATA?")) == [0] * 40


# Recordings


async def test_streams_give_the_tags_bit_by_bit_however_slices_fall(bench: Bench) -> None:
    rng = np.random.default_rng(3)
    duration, period = 250 * MS, 300 * MS
    bench.port.clock_ps = begin = 13 * 10**6
    readers = {n: await bench.record(n) for n in (1, 3)}
    assert await bench.ask(f"REC:NUM 3;DUR {duration}.0;PPER {period};PLAY") == ""
    times = {n: clicks(rng, 300_000, 0, S) for n in (1, 2, 3)}
    border = begin + period + duration
    times[1][:6] = times[3][:4] = begin + period  # clicks exactly on the borders
    times[1][6:9] = border
    times[1][9:12] = border - 1
    times = {n: np.sort(t) for n, t in times.items()}
    cuts = [0, *np.sort(rng.integers(0, S, 20)).tolist(), begin + period, border, S]
    cuts.sort()
    received: dict[int, list[np.ndarray]] = {1: [], 3: []}

    async def read(n: int) -> None:
        for _ in range(3):
            received[n].append(await readers[n].acquisition())

    tasks = [asyncio.create_task(read(n)) for n in readers]
    for low, high in pairwise(cuts):
        slices = {n: t[np.searchsorted(t, low) : np.searchsorted(t, high)] for n, t in times.items()}
        await bench.take(slices, high)
    await asyncio.gather(*tasks)
    for n in readers:
        for k, got in enumerate(received[n]):
            first = begin + k * period
            want = times[n][(times[n] >= first) & (times[n] < first + duration)] - first
            np.testing.assert_array_equal(got, want.astype("<u8"), strict=True)
    assert await bench.ask("REC:STAG?") == "STOPPED"
    assert not bench.port.recording
    status = await bench.link(f"status --id {readers[1].id}")
    assert status["acquisitions_count"] == 3
    assert status["timestamps_count"] == sum(map(len, received[1]))
    assert status["errors"] == []
    assert await bench.ask("RAW1:ERRORS?") == "0"


async def test_an_unset_period_leaves_a_gap_of_forty_nanoseconds(bench: Bench) -> None:
    reader = await bench.record()
    await bench.ask("REC:NUM INF;DUR 200e9;PLAY")
    edge = 200 * MS
    await bench.take({1: np.array([edge - 1, edge, edge + 39_999, edge + 40_000])}, 201 * MS)
    assert (await reader.acquisition()).tolist() == [edge - 1]
    await bench.ask("REC:STOP")
    assert (await reader.acquisition()).tolist() == [0]


async def test_stop_ends_the_recording_at_what_has_been_handed_over(bench: Bench) -> None:
    reader = await bench.record()
    await bench.ask("REC:NUM INF;DUR 1e15;PLAY")
    await bench.take({1: np.array([5, 7])}, MS)
    assert await bench.ask("REC:STOP;STAG?") == "STOPPED"
    await bench.take({1: np.array([MS + 1])}, 2 * MS)
    assert (await reader.acquisition()).tolist() == [5, 7]
    await bench.ask("REC:PLAY")
    await bench.take({1: np.array([2 * MS + 13])}, 3 * MS)
    await bench.ask("REC:STOP")
    # The start lies on the next multiple of 13 ps after the clock.
    assert (await reader.acquisition()).tolist() == [2 * MS + 13 + (-2 * MS) // 13 * 13]


async def test_a_recording_starts_after_a_random_latency() -> None:
    starts = []
    for seed in (1, 1, 2):
        bench = Bench(latency_s=5e-3, seed=seed)
        await bench.open()
        bench.port.clock_ps = S
        reader = await bench.record()
        await bench.ask("REC:NUM 1;DUR 200e9;PLAY")
        await bench.take({1: S + np.arange(0, 6 * MS, 1000)}, S + 6 * MS)
        await bench.ask("REC:STOP")
        tags = await reader.acquisition()
        assert 0 <= tags[0] < 1000
        starts.append(S + 6 * MS - 1000 - int(tags[-1]))
        await bench.close()
    assert starts[0] == starts[1] != starts[2]
    assert all(S <= start < S + 5 * MS for start in starts)


async def test_play_is_refused_while_playing_or_disabled(bench: Bench) -> None:
    await bench.ask("REC:ENAB OFF")
    assert "SCPI_ERR_" in await bench.ask("REC:PLAY")
    await bench.ask("REC:ENAB ON;PLAY")
    assert "SCPI_ERR_" in await bench.ask("REC:PLAY")


async def test_a_delayed_input_can_be_recorded(bench: Bench) -> None:
    reader = await bench.record()
    await bench.ask("DELA1:LINK INPU2;VALU 500000;:RAW1:STOP:LINK DELAy1;:REC:NUM INF;PLAY")
    await bench.take({2: np.array([10, 600_000])}, 1_000_000)
    await bench.take({2: np.array([1_000_000])}, 2_000_000)
    await bench.ask("REC:STOP")
    assert (await reader.acquisition()).tolist() == [500_010, 1_100_000, 1_500_000]


@pytest.mark.parametrize("form", ["bin", "ascii"])
async def test_files_hold_the_same(bench: Bench, tmp_path: Path, form: str) -> None:
    path = tmp_path / "c1 x.bin"
    reply = await bench.link(
        f'start-save --address 192.168.1.10 --channel 1 --filename "{path}" --format {form}'
    )
    assert set(reply) == {"id"}
    assert await bench.link("list") == [reply["id"]]
    times = clicks(np.random.default_rng(4), 1000, 0, MS)
    await bench.ask("RAW1:SEND ON;:REC:PLAY")
    await bench.take({1: times[:300]}, int(times[300]))
    await bench.take({1: times[300:]}, MS)
    stopped = await bench.link(f"stop --id {reply['id']}")
    assert stopped["status"]["timestamps_count"] == 1000
    got = np.fromfile(path, dtype="<u8") if form == "bin" else np.loadtxt(path, dtype="<u8")
    np.testing.assert_array_equal(got, times.astype("<u8"))
    assert await bench.link("list") == []


async def test_the_reference_index_counts_references_of_the_sub_acquisition(
    bench: Bench, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.bin"
    await bench.link(f"start-save --address x --channel 2 --filename {path} --format bin --with-ref-index")
    await bench.ask("RAW2:SEND ON;REF:LINK INPU1;:REC:NUM INF;DUR 200e9;PLAY")
    await bench.take({1: np.array([10, 20]), 2: np.array([5, 10, 25])}, 30)
    await bench.take({1: np.array([35]), 2: np.array([40])}, 100 * MS)
    second = 200 * MS + 40_000
    await bench.take({1: np.array([second + 1]), 2: np.array([second + 2])}, 300 * MS)
    pairs = np.fromfile(path, dtype="<u8").reshape(-1, 2).tolist()
    assert pairs == [[5, 0], [10, 1], [25, 2], [40, 3], [2, 1]]


@pytest.mark.parametrize(
    "request_",
    [
        "",
        "nonsense",
        "start-save",
        "start-save --address a --channel 5 --filename x --format bin",
        "status --id 7",
        "start-save --address a --channel 1 --filename x --format csv",
        "stop",
        "start-stream --address a --channel 1",
        "list 1",
        "start-save --address a --channel 1 --filename /nonexistent/x --format bin",
        'list "',
        "status --id",
        "start-stream --address a --channel one --stream-port 5",
    ],
)
async def test_anything_wrong_is_an_error_with_a_description(bench: Bench, request_: str) -> None:
    reply = await bench.link(request_)
    assert list(reply) == ["error"]
    assert reply["error"]["description"]


async def test_another_port_is_bound_when_an_acquisition_names_it(bench: Bench) -> None:
    taken = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    await bench.ask("RAW1:SEND ON")
    request = f"start-stream --address 127.0.0.1 --channel 1 --stream-port {port}"
    assert "error" in await bench.link(request)
    taken.close()
    await taken.wait_closed()
    for _ in range(2):
        id_ = (await bench.link(request))["id"]
        assert "error" in await bench.link(request)
        reader = Reader(bench.connect(zmq.PAIR, f"127.0.0.1:{port}"), id_)
        await bench.ask("REC:PLAY")
        begin = -(-bench.port.clock_ps // 13) * 13
        await bench.take({1: np.array([begin + 3])}, bench.port.clock_ps + 100)
        await bench.ask("REC:STOP")
        assert (await reader.acquisition()).tolist() == [3]
        reader.socket.close(0)
        await bench.link(f"stop --id {id_}")


# Slow, absent and vanishing readers


async def test_a_slow_reader_holds_the_world_back_and_loses_nothing(bench: Bench) -> None:
    await bench.ask("RAW1:SEND ON")
    port = bench.streams[0]
    await bench.link(f"start-stream --address x --channel 1 --stream-port {port}")
    reader = bench.connect(zmq.PAIR, f"127.0.0.1:{port}", waiting=1)
    await bench.ask("REC:NUM INF;DUR 1e15;PLAY")
    size, slices, done = 250_000, 60, 0  # 120 MB, more than all buffers on the way

    async def feed() -> None:
        nonlocal done
        for k in range(slices):
            await bench.sim.take({1: k * MS + np.arange(size)}, (k + 1) * MS)
            done += 1
        await bench.ask("REC:STOP")

    feeding = asyncio.create_task(feed())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await asyncio.shield(feeding)
    assert 0 < done < slices
    assert await bench.ask("REC:STAG?") == "PLAYING"  # a held-back stream does not hold requests back
    tags = await Reader(reader, "").acquisition()
    await feeding
    assert len(tags) == size * slices
    np.testing.assert_array_equal(tags[-size:], (slices - 1) * MS + np.arange(size, dtype="<u8"))


async def test_a_reader_that_vanishes_frees_the_world(bench: Bench) -> None:
    await bench.ask("RAW2:SEND ON")
    port = bench.streams[1]
    id_ = (await bench.link(f"start-stream --address x --channel 2 --stream-port {port}"))["id"]
    stuck = bench.connect(zmq.PAIR, f"127.0.0.1:{port}", waiting=1)
    await bench.ask("REC:NUM INF;DUR 1e15;PLAY")

    async def feed() -> None:
        for k in range(60):
            await bench.sim.take({2: k * MS + np.arange(250_000)}, (k + 1) * MS)

    feeding = asyncio.create_task(feed())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await asyncio.shield(feeding)
    stuck.close(0)
    async with asyncio.timeout(5):
        await feeding
    assert int(await bench.ask("RAW2:ERRORS?")) > 0
    status = (await bench.link(f"stop --id {id_}"))["status"]
    assert status["timestamps_count"] + int(await bench.ask("RAW2:ERRORS?")) == 60 * 250_000
    # The stream is there for the next acquisition, whose first tags wait for a reader.
    await bench.link(f"start-stream --address x --channel 2 --stream-port {port}")
    again = bench.connect(zmq.PAIR, f"127.0.0.1:{port}")
    await bench.take({2: 60 * MS + np.arange(3)}, 61 * MS)
    await bench.ask("REC:STOP")
    assert len(await Reader(again, id_).acquisition()) == 3


async def test_a_second_reader_gets_its_turn_after_the_first(bench: Bench) -> None:
    first = await bench.record()
    await bench.ask("REC:NUM INF;PLAY")
    await bench.take({1: np.array([1])}, 13)
    second = bench.connect(zmq.PAIR, f"127.0.0.1:{bench.streams[0]}")
    await bench.take({1: np.array([14])}, 26)
    await bench.ask("REC:STOP")
    assert (await first.acquisition()).tolist() == [1, 14]
    first.socket.close(0)
    await bench.link(f"stop --id {first.id}")
    await bench.link(f"start-stream --address x --channel 1 --stream-port {bench.streams[0]}")
    await bench.ask("REC:PLAY")
    await bench.take({1: np.array([30])}, 39)
    await bench.ask("REC:STOP")
    assert (await Reader(second, "").acquisition()).tolist() == [4]


# Faults


async def test_silent_services_swallow_requests_without_effect(bench: Bench) -> None:
    reader = await bench.record()
    await bench.ask("REC:NUM INF;PLAY")
    await bench.take({1: np.array([1])}, 13)
    bench.sim.faults.silent = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await bench.ask("INPU1:THRE 1V")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await bench.link("list")
    await bench.take({1: np.array([14])}, 26)
    assert bench.port.inputs[1].threshold_v == 0.1
    bench.sim.faults.silent = False
    bench.scpi.close(0)
    bench.scpi = bench.connect(zmq.REQ, f"127.0.0.1:{bench.scpi_port}")
    await bench.ask("REC:STOP")
    assert (await reader.acquisition()).tolist() == [1]


async def test_refused_connections_are_closed(bench: Bench) -> None:
    bench.sim.faults.refuse = True
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.scpi_port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.lists(
                st.sampled_from(
                    [
                        "INPU1",
                        "HIST1",
                        "REC",
                        "DELA2",
                        ":",
                        ";",
                        ";:",
                        "?",
                        " ",
                        "COUN",
                        "MODE",
                        "LINK",
                        "1e999",
                        "BCOU",
                        "NUM",
                        "INF",
                        "STAR",
                        "NaN",
                        "12GTB",
                        "PLAY",
                        "STOP",
                        "*IDN?",
                        "DUR 200e9",
                        "list",
                        "--id",
                        '"',
                        "start-stream",
                    ]
                ),
                max_size=8,
            ).map("".join),
        ),
        max_size=5,
    ),
    st.binary(max_size=200),
)
def test_no_request_and_no_bytes_crash_the_servers(requests: list[str], noise: bytes) -> None:
    async def feed() -> None:
        bench = Bench()
        await bench.open()
        try:
            for where in (bench.scpi_port, bench.streams[0]):
                for start in (b"", b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)):
                    _, writer = await asyncio.open_connection("127.0.0.1", where)
                    writer.write(start + noise)
                    writer.close()
                    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            for request in requests:
                await bench.ask(request)
                assert isinstance(await bench.link(request), dict | list)
                await bench.take({1: bench.port.clock_ps + np.arange(5)}, bench.port.clock_ps + 100 * MS)
            assert (await bench.ask("*IDN?")).startswith("IDQ ID900")
        finally:
            await bench.close()

    asyncio.run(feed())
