"""The simulated WebSQ electronics, spoken to as bytes on sockets. Expected bytes: singlequantum_websq.md."""

import asyncio
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.detectors.nanowire_sweeps import PeriodCounter
from sim_instruments.detectors.singlequantum_websq import Objects, SimSingleQuantumWebSq
from sim_instruments.ports import NanowirePort
from tests.sim_instruments.raw_client import RawClient

ETB = b"\x17"
BIAS = b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [10.5, 11.0, 9.8, 0.0]}'
ENABLE = b'{"command": "DetectorEnable", "label": "DetectorEnable", "value": true}'


class Client(RawClient):
    async def message(self) -> bytes:
        return await self.until(ETB)

    async def told(self) -> tuple[str, Any]:
        said = json.loads((await self.message())[:-1])
        assert said.keys() == {"label", "value"}
        return said["label"], said["value"]

    async def value(self, label: str) -> Any:
        self.send(json.dumps({"request": label}).encode())
        said, value = await self.told()
        assert said == label
        return value

    async def line(self) -> bytes:
        return await self.until(b"\n")


class Bench:
    """Electronics with four wires that nobody but the test touches."""

    def __init__(self) -> None:
        self.ports = [NanowirePort() for _ in range(4)]
        self.websq = SimSingleQuantumWebSq("nanowires", np.random.default_rng(1), self.ports)

    async def __aenter__(self) -> "Bench":
        match = re.fullmatch(r"tcp://127\.0\.0\.1:(\d+)\?counts=(\d+)", await self.websq.start())
        assert match is not None
        self.control, self.counts = int(match[1]), int(match[2])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.websq.stop()

    def let_click(self, seconds: float, clicks: Sequence[int]) -> None:
        """One slice of the bench: the world adds clicks, then the electronics' time passes."""
        for port, n in zip(self.ports, clicks, strict=True):
            port.clicks += n
        self.websq.advance(seconds)


async def test_the_exchange_of_the_notes_reaches_all_clients() -> None:
    async with Bench() as bench, Client.at(bench.control) as one, Client.at(bench.control) as two:
        assert await two.value("NumberOfDetectors") == 4
        one.send(ENABLE)
        for client in (one, two):
            assert await client.message() == b'{"label": "DetectorEnable", "value": true}\x17'
        one.send(BIAS)
        for client in (one, two):
            assert await client.message() == b'{"label": "BiasCurrent", "value": [10.5, 11.0, 9.8, 0.0]}\x17'
        assert [p.bias_a for p in bench.ports] == pytest.approx([10.5e-6, 11.0e-6, 9.8e-6, 0.0])
        # Nothing changes, so nobody is told.
        one.send(BIAS)
        assert await one.value("NumberOfDetectors") == 4


async def test_label_properties() -> None:
    async with Bench() as bench, Client.at(bench.control) as client:
        client.send(b'{"request": "labelProps", "value": "None"}')
        properties: dict[str, Any] = {}
        while "temperature_long_memory" not in properties:
            label, value = await client.told()
            properties[label] = value
        assert properties["NumberOfDetectors"]["value"] == 4
        assert properties["InptMeasurementPeriod"]["unit"] == "ms"
        assert properties["InptMeasurementPeriod"]["bounds"][0] == 10
        assert properties["BiasCurrent"]["bounds"] == [-90.9, 90.9]
        assert properties["BiasCurrent"]["value"] == [0.0] * 4
        assert {"TriggerLevel", "BiasVoltage", "DetectorEnable", "StartAutoIV", "BiasCurrentAutoIV"} <= set(
            properties
        )


async def test_bias_reaches_the_wires_only_while_enabled() -> None:
    async with Bench() as bench, Client.at(bench.control) as client:
        client.send(BIAS)
        await client.message()
        assert [p.bias_a for p in bench.ports] == [0.0] * 4
        client.send(ENABLE)
        await client.message()
        assert bench.ports[0].bias_a == pytest.approx(10.5e-6)
        client.send(ENABLE.replace(b"true", b"false"))
        await client.message()
        assert [p.bias_a for p in bench.ports] == [0.0] * 4
        assert await client.value("BiasCurrent") == [10.5, 11.0, 9.8, 0.0]


async def test_triggers_and_voltages() -> None:
    async with Bench() as bench, Client.at(bench.control) as client:
        client.send(
            b'{"command": "SetAllTriggerLevels", "label": "TriggerLevel", "value": [50, 60, 70, -80]}'
        )
        assert await client.told() == ("TriggerLevel", [50, 60, 70, -80])
        assert [p.trigger_v for p in bench.ports] == pytest.approx([0.05, 0.06, 0.07, -0.08])
        bench.ports[2].voltage_v = 1.25
        assert await client.value("BiasVoltage") == [0.0, 0.0, 1.25, 0.0]


@pytest.mark.parametrize(
    "request_",
    [
        b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [1.0, 2.0]}',
        b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [91.0, 0, 0, 0]}',
        b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [NaN, 0, 0, 0]}',
        b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [1e400, 0, 0, 0]}',
        b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [' + b"9" * 400 + b", 0, 0, 0]}",
        b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [true, 0, 0, 0]}',
        b'{"command": "SetAllBiasCurrents", "label": "TriggerLevel", "value": [1, 0, 0, 0]}',
        b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent"}',
        b'{"command": "SetMeasurementPeriod", "label": "InptMeasurementPeriod", "value": 9}',
        b'{"command": "DetectorEnable", "label": "DetectorEnable", "value": 1}',
        b'{"command": "Nonsense", "label": "BiasCurrent", "value": 1}',
        b'{"request": "Nonsense"}',
        b'{"command": "AutoCaliBiasCurrents", "value": true}',  # while disabled
        b"{nonsense}",
        b"{]",
    ],
)
async def test_errors_go_to_the_client_that_erred(request_: bytes) -> None:
    async with Bench() as bench, Client.at(bench.control) as one, Client.at(bench.control) as two:
        one.send(request_)
        label, text = await one.told()
        assert "Error" in label
        assert text
        assert await one.value("BiasCurrent") == [0.0] * 4
        assert await two.value("InptMeasurementPeriod") == 100


async def test_counts_come_once_per_period_of_simulated_time() -> None:
    async with Bench() as bench, Client.at(bench.control) as client, Client.at(bench.counts) as counts:
        client.send(b'{"command": "SetMeasurementPeriod", "label": "InptMeasurementPeriod", "value": 123}')
        assert await client.told() == ("InptMeasurementPeriod", 123)
        bench.let_click(0.100, [5000, 4000, 10, 0])
        bench.let_click(0.023, [21, 980, 2, 0])
        assert await counts.line() == b"1769860800.123,5021,4980,12,0\n"
        bench.let_click(0.123, [7, 0, 0, 1])
        assert await counts.line() == b"1769860800.246,7,0,0,1\n"
        # A slice over several periods is shared out among them.
        bench.let_click(1.230, [1000, 0, 0, 5])
        lines = [(await counts.line()).decode().strip().split(",") for _ in range(10)]
        assert lines[-1][0] == "1769860801.476"
        assert sum(int(line[1]) for line in lines) == 1000
        assert sum(int(line[4]) for line in lines) == 5
        assert all(0 < int(line[1]) < 200 for line in lines)


def test_periods_inside_slices_keep_poisson_statistics() -> None:
    port = NanowirePort()
    rng = np.random.default_rng(2)
    counter = PeriodCounter([port], np.random.default_rng(3), 10_000_000)
    counts: list[int] = []
    for k in range(1, 2001):
        port.clicks += int(rng.poisson(350))  # 1e4/s in slices of 35 ms
        counts += [c[0] for _, c in counter.advance(k * 35_000_000)]
    assert len(counts) == 7000
    assert np.mean(counts) == pytest.approx(100, abs=4 * 10 / np.sqrt(7000))
    assert np.var(counts) == pytest.approx(100, rel=4 * np.sqrt(2 / 7000))
    assert np.corrcoef(counts[:-1], counts[1:])[0, 1] == pytest.approx(0, abs=4 / np.sqrt(7000))


async def test_automatic_bias_finds_the_bias_that_the_wires_show() -> None:
    # Wire k counts exp(bias / 2 uA) dark counts per second and latches above its switching current.
    switching_ua = [12.2, 8.1, 90.0, 90.0]
    async with Bench() as bench, Client.at(bench.control) as client, Client.at(bench.control) as other:
        client.send(ENABLE)
        client.send(
            b'{"command": "DarkCountsAutoIV", "label": "DarkCountsAutoIV", "value": [1e6, 1e6, 100, 1000]}'
        )
        client.send(b'{"command": "AutoCaliBiasCurrents", "value": true}')
        assert [(await other.told())[0] for _ in range(2)] == ["DetectorEnable", "DarkCountsAutoIV"]
        assert await other.told() == ("StartAutoIV", True)
        assert bench.websq.moving
        elapsed, cooled = 0.0, [False] * 4
        while bench.websq.moving:
            for i, port in enumerate(bench.ports):
                if port.bias_a == 0.0:
                    cooled[i] |= port.latched
                    port.latched = False
                elif port.bias_a > 1e-6 * switching_ua[i]:
                    port.latched = True
                if not port.latched:
                    port.clicks += round(0.1 * np.exp(port.bias_a / 2e-6))
            bench.websq.advance(0.1)
            elapsed += 0.1
        assert 2.0 < elapsed < 20.0
        # exp(9/2) = 90/s < 100/s < exp(9.5/2) = 115/s; exp(13.5/2) = 854/s < 1000/s < exp(14/2)
        assert await other.told() == ("BiasCurrentAutoIV", [12.0, 8.0, 9.0, 13.5])
        assert await other.told() == ("BiasCurrent", [12.0, 8.0, 9.0, 13.5])
        assert await other.told() == ("StartAutoIV", False)
        assert [p.bias_a for p in bench.ports] == pytest.approx([12e-6, 8e-6, 9e-6, 13.5e-6])
        assert cooled == [True, True, False, False]
        assert not any(p.latched for p in bench.ports)


async def test_a_bias_set_during_the_search_ends_it() -> None:
    async with Bench() as bench, Client.at(bench.control) as client:
        client.send(ENABLE + b'{"command": "AutoCaliBiasCurrents", "value": true}')
        assert [(await client.told())[0] for _ in range(2)] == ["DetectorEnable", "StartAutoIV"]
        for _ in range(5):
            bench.websq.advance(0.1)
        assert bench.ports[0].bias_a > 0
        client.send(b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [0, 0, 0, 0]}')
        assert await client.told() == ("StartAutoIV", False)
        bench.websq.advance(1.0)
        assert [p.bias_a for p in bench.ports] == [0.0] * 4
        assert not bench.websq.moving


async def test_a_scan_notes_voltage_against_bias() -> None:
    async with Bench() as bench, Client.at(bench.control) as client:
        client.send(ENABLE)
        for label, value in (("Start", 1.0), ("End", 3.0), ("Increment", 0.5)):
            client.send(json.dumps({"command": f"IVScan{label}", "value": value}).encode())
        client.send(b'{"command": "IVScanEnable", "label": "IVScanEnable", "value": true}')
        while await client.told() != ("IVScanEnable", True):
            pass
        while bench.websq.moving:
            for port in bench.ports:
                port.voltage_v = 50.0 * port.bias_a
            bench.websq.advance(0.1)
        label, history = await client.told()
        assert label == "IVHistory"
        assert isinstance(history, list)
        assert history == [pytest.approx([ua, *[50e-6 * ua] * 4]) for ua in (1.0, 1.5, 2.0, 2.5, 3.0)]
        assert await client.told() == ("IVScanEnable", False)
        assert [p.bias_a for p in bench.ports] == [0.0] * 4


async def test_temperatures_are_logged_in_simulated_time() -> None:
    async with Bench() as bench, Client.at(bench.control) as client:
        bench.websq.advance(25.0)
        history = await client.value("TemperatureHistory")
        assert isinstance(history, dict)
        assert {"T", "T2", "x", "V_avrg", "BoardTemp1", "BoardTemp2"} <= history.keys()
        times = [datetime.strptime(x, "%d-%b-%y %H:%M:%S.%f") for x in history["x"]]  # noqa: DTZ007 (the wire has no zone)
        assert [(t - times[0]).total_seconds() for t in times] == [0, 10, 20]
        assert all(len(column) == 3 for column in history.values())
        assert history["T"] == pytest.approx([2.5] * 3, abs=0.05)


async def test_silence_swallows_commands_without_effect() -> None:
    async with Bench() as bench, Client.at(bench.control) as client, Client.at(bench.counts) as counts:
        client.send(ENABLE)
        await client.message()
        bench.websq.faults.silent = True
        assert await client.last_words(BIAS) == b""
        bench.let_click(1.0, [1, 1, 1, 1])
        assert await counts.last_words(b"") == b""
        assert [p.bias_a for p in bench.ports] == [0.0] * 4


async def test_refused_connections() -> None:
    async with Bench() as bench:
        bench.websq.faults.refuse = True
        for port in (bench.control, bench.counts):
            async with Client.at(port) as client:
                assert await client.rest() == b""


@given(
    values=st.lists(
        st.dictionaries(st.text(), st.recursive(st.none() | st.text() | st.floats(), st.lists), max_size=3)
    ),
    step=st.integers(1, 50),
)
def test_objects_are_cut_wherever_the_bytes_are(values: list[dict[str, object]], step: int) -> None:
    texts = [json.dumps(v, ensure_ascii=False).encode("utf-8", "surrogatepass") for v in values]
    stream = b" \r\n".join(texts)
    objects = Objects()
    assert [o for i in range(0, len(stream), step) for o in objects.feed(stream[i : i + step])] == texts


NOISE = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet='{}[]":,\\ \n\x17truefalsnN0189.-+E', max_size=200).map(str.encode),
    st.integers(1, 5000).map(lambda n: b'{"request":' + b"[" * n),
    st.text().map(lambda t: json.dumps({"request": t}).encode()),
    st.from_regex(r'\{"command": "SetAllBiasCurrents", "value": \[[0-9eE+.-]{0,10}(, [0-9N]){3}\]\}').map(
        str.encode
    ),
)


@settings(max_examples=80, deadline=None)
@given(noise=NOISE)
def test_any_bytes_leave_it_able_to_answer(noise: bytes) -> None:
    async def scenario() -> None:
        async with Bench() as bench:
            for port in (bench.control, bench.counts):
                async with Client.at(port) as client:
                    await client.last_words(noise)
            async with Client.at(bench.control) as client, Client.at(bench.counts) as counts:
                assert await client.value("NumberOfDetectors") == 4
                bench.websq.advance(0.1)
                assert await counts.line() == b"1769860800.100,0,0,0,0\n"

    asyncio.run(scenario())


async def test_an_own_error_refuses_a_command_which_has_no_effect() -> None:
    async with Bench() as bench, Client.at(bench.control) as client:
        bench.websq.faults.own_errors = 1
        client.send(BIAS)
        label, _ = await client.told()
        assert "Error" in label
        assert await client.value("BiasCurrent") == [0.0] * 4
        client.send(BIAS)
        assert await client.told() == ("BiasCurrent", [10.5, 11.0, 9.8, 0.0])
