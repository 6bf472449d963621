"""The simulated ID900 over ZeroMQ: its SCPI service, counters and histograms, and what it does with faults
and noise, with the examples of idq_id900.md. Recordings are in `test_sim_idq_id900_recordings.py`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise

import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.time_taggers.idq_id900 import LOOK_PS
from tests.sim_instruments.id900_bench import MS, Bench, S, clicks


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench() as bench:
        yield bench


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


WORDS = [
    "INPU1", "HIST1", "REC", "DELA2", ":", ";", ";:", "?", " ", "COUN", "MODE", "LINK", "1e999", "BCOU",
    "NUM", "INF", "STAR", "NaN", "12GTB", "PLAY", "STOP", "*IDN?", "DUR 200e9", "list", "--id", '"',
    "start-stream",
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.lists(
                st.sampled_from(WORDS),
                max_size=8,
            ).map("".join),
        ),
        max_size=5,
    ),
    st.binary(max_size=200),
)
def test_no_request_and_no_bytes_crash_the_servers(requests: list[str], noise: bytes) -> None:
    async def feed() -> None:
        async with Bench() as bench:
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

    asyncio.run(feed())


async def test_an_own_error_has_no_effect_and_spares_the_identity(bench: Bench) -> None:
    bench.sim.faults.own_errors = 2
    assert (await bench.ask("*IDN?")).startswith("IDQ ID900 ")
    assert "SCPI_ERR_" in await bench.ask("INPU1:THRE 250mV")
    assert "SCPI_ERR_" in await bench.ask("INPU1:THRE?")
    assert await bench.ask("INPU1:THRE?") == "100mV"
