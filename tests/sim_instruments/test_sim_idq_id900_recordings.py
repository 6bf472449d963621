"""Recordings of the simulated ID900: streams and files of its DataLink service, and readers that are slow or
vanish, with the examples of idq_id900.md.
"""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zmq

from tests.drivers.eventually import eventually
from tests.sim_instruments.id900_bench import MS, Bench, Reader, S, clicks


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench() as bench:
        yield bench


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
        async with Bench(latency_s=5e-3, seed=seed) as bench:
            bench.port.clock_ps = S
            reader = await bench.record()
            await bench.ask("REC:NUM 1;DUR 200e9;PLAY")
            await bench.take({1: S + np.arange(0, 6 * MS, 1000)}, S + 6 * MS)
            await bench.ask("REC:STOP")
            tags = await reader.acquisition()
            assert 0 <= tags[0] < 1000
            starts.append(S + 6 * MS - 1000 - int(tags[-1]))
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
    await eventually(lambda: done > 0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await asyncio.shield(feeding)
    assert done < slices
    assert await bench.ask("REC:STAG?") == "PLAYING"  # a held-back stream does not hold requests back
    tags = await Reader(reader, "").acquisition()
    await feeding
    assert len(tags) == size * slices
    np.testing.assert_array_equal(tags[-size:], (slices - 1) * MS + np.arange(size, dtype="<u8"))


async def test_clicks_that_came_too_fast_for_the_box_are_errors_of_the_channels_that_send_them(
    bench: Bench,
) -> None:
    """Those that the world counts as lost while a recording plays, by the input behind the channel."""
    bench.port.lost[1] = 7
    await bench.ask("DELA1:LINK INPU2;VALU 5;:RAW1:SEND ON;:RAW2:SEND ON;:RAW2:STOP:LINK DELA1")
    await bench.take({1: np.array([5])}, MS)
    assert await bench.ask("RAW1:ERRORS?;:RAW2:ERRORS?;:RAW3:ERRORS?") == "0\n0\n0"
    await bench.ask("REC:NUM INF;PLAY")
    bench.port.lost |= {1: 1007, 2: 50, 3: 3}
    await bench.take({1: np.array([MS + 5])}, 2 * MS)
    await bench.take({1: np.array([2 * MS + 5])}, 3 * MS)
    assert await bench.ask("RAW1:ERRORS?;:RAW2:ERRORS?;:RAW3:ERRORS?") == "1000\n50\n0"


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
