"""The contract, on the embedded broker and on Mosquitto alike: what is lost when something fails (nothing
that was acknowledged), what comes twice (the same boot and number), and what the run notices (nothing)."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

import pytest

from telemetry.alarms import Alarms
from telemetry.leftovers import flush
from telemetry.line import Line
from telemetry.messages import (
    DeviceState,
    Estimate,
    Event,
    FieldFacts,
    Meta,
    Rates,
    Readings,
    Result,
    RunState,
)  # fmt: skip
from telemetry.outbox import Outbox
from telemetry.publisher import Publisher
from telemetry.subscriber import listen, retained
from telemetry.view import RunView
from tests.telemetry.brokers import Broker

Listen = Callable[..., AbstractAsyncContextManager[Any]]
EVENTS = "bellbench/v1/nyc/control/run/event"
STATUS = "bellbench/v1/nyc/control/status"


def publisher(line: Line, **options: Any) -> Publisher:
    return Publisher(line, site="nyc", run="r1", **options)


def event(number: int) -> Event:
    return Event(level="info", text=str(number))


def is_last(number: int) -> Callable[[str, dict[str, Any]], bool]:
    return lambda topic, fields: topic == EVENTS and fields["text"] == str(number)


def says(word: str) -> Callable[[str, dict[str, Any]], bool]:
    return lambda topic, fields: topic == STATUS and fields["state"] == word


def numbers(seen: list[tuple[str, dict[str, Any]]]) -> list[int]:
    """The events that came, without those that came again; the same boot and number is the same message."""
    known: dict[tuple[str, int], str] = {}
    order = []
    for topic, fields in seen:
        if topic == EVENTS:
            key = (fields["boot"], fields["seq"])
            assert known.setdefault(key, fields["text"]) == fields["text"]
            order.append(key)
    return [int(known[key]) for key in Counter(order)]


async def until(condition: Callable[[], bool], deadline_s: float = 15.0) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 -- a condition of other tasks, with a deadline
            await asyncio.sleep(0.01)


def publish_everything(run: Publisher) -> None:
    """A message of each kind, some twice."""
    facts = {"power_w": FieldFacts(unit="W", low=0.0, high=0.06, setting=True)}
    run.publish_meta("alice", "pump", Meta(driver="toptica_dlcpro", serial_number="DLC-1", fields=facts))
    run.publish_device_state("alice", "pump", DeviceState(condition="ready", values={"power_w": 0.0}))
    run.publish_device_state("alice", "pump", DeviceState(condition="ready", values={"power_w": 0.02}))
    run.publish_readings("alice", "pump", Readings(values={"temperature_k": 295.1}))
    alarms = Alarms(lambda device, state: run.publish_alarm("alice", device, state))
    alarms.raised("pump", "lost", "INVALID", "pump is silent", "See to its cable")
    alarms.cleared("pump", "lost")
    run.publish_state(RunState(state="running", step="swap", progress=0.5))
    run.publish_rates(
        Rates(singles_hz={"alice_h": 1.2e5}, figures={"chsh_s": Estimate(value=2.4, error=0.1)})
    )
    run.publish_event(event(1))
    run.publish_result(Result(estimates={"chsh_s": Estimate(value=2.5, error=0.02)}))


async def test_a_late_joiner_rebuilds_the_whole_state(any_broker: Broker) -> None:
    early, late = RunView(), RunView()
    async with (
        aclosing(listen(any_broker.line, root="bellbench")) as messages,
        publisher(any_broker.line) as run,
    ):
        publish_everything(run)
        async with asyncio.timeout(10):
            while early.result is None or early.state is None:
                early.take(await anext(messages))
        for message in await retained(any_broker.line, root="bellbench"):
            assert message.kept
            late.take(message)
        for view in (early, late):
            pump = view.devices["alice", "pump"]
            assert pump.meta is not None
            assert (pump.meta.serial_number, pump.meta.fields["power_w"].high) == ("DLC-1", 0.06)
            assert pump.state == DeviceState(condition="ready", values={"power_w": 0.02})
            assert pump.alarm is not None
            assert (pump.alarm.severity, pump.alarm.unacknowledged) == ("INVALID", 1)
            assert pump.alarm.alarms["lost"].active is False
            assert view.result == Result(estimates={"chsh_s": Estimate(value=2.5, error=0.02)})
            assert (view.state, view.presence, view.missed) == (early.state, "ready", 0)


async def test_snapshots_are_numbered_and_changes_go_on_from_there(
    any_broker: Broker, listen_on: Listen
) -> None:
    topic = "bellbench/v1/nyc/alice/pump/state"
    async with publisher(any_broker.line) as run:
        async with listen_on(any_broker.line.port, topic) as ear:
            for power in (0.0, 0.01, 0.02):
                run.publish_device_state(
                    "alice", "pump", DeviceState(condition="ready", values={"power_w": power})
                )
                [(_, last)] = await ear.until(lambda *_: True)
        async with listen_on(any_broker.line.port, topic) as late:
            [(_, snapshot)] = await late.until(lambda *_: True)
            assert snapshot == last
            run.publish_device_state("alice", "pump", DeviceState(condition="lost"))
            [(_, change)] = await late.until(lambda *_: True)
    assert [snapshot["change"], change["change"]] == [3, 4]
    assert change["boot"] == snapshot["boot"]


async def test_broker_restart(any_broker: Broker, listen_on: Listen) -> None:
    """The broker dies, with what it kept, and comes back; everything goes on."""
    async with publisher(any_broker.line) as run:
        async with listen_on(any_broker.line.port) as ear:
            run.publish_result(Result(estimates={"chsh_s": Estimate(value=2.5, error=0.02)}))
            for number in range(1, 51):
                run.publish_event(event(number))
            seen = await ear.until(is_last(50))
        await until(lambda: len(run._outbox) == 0)
        await any_broker.stop()
        for number in range(51, 101):
            run.publish_event(event(number))
        await until(lambda: run.trouble is not None)
        await any_broker.start()
        async with listen_on(any_broker.line.port) as ear:
            seen += await ear.until(is_last(100))
    assert numbers(seen) == list(range(1, 101))
    assert run.trouble is None
    kept = await retained(any_broker.line, root="bellbench")
    assert any(isinstance(message.payload, Result) for message in kept)  # brought up to date


async def test_broker_gone_for_ten_minutes(any_broker: Broker, listen_on: Listen, tmp_path: Path) -> None:
    """At the rates of a run, figures every second and an event every ten, by injected waiting times.
    Everything of ten minutes is there afterwards."""
    waited_s = 0.0
    passed = asyncio.Event()

    async def wait(seconds: float) -> None:
        nonlocal waited_s
        waited_s += seconds
        if waited_s >= 600:
            passed.set()
            await asyncio.Event().wait()  # until it is let go on, below

    await any_broker.stop()
    outbox = Outbox(tmp_path / "outbox.sqlite")
    async with publisher(any_broker.line, outbox=outbox, wait=wait) as run:
        for second in range(600):
            run.publish_rates(Rates(heralds_hz=float(second)))
            run.publish_state(RunState(state="running", elapsed_s=second))
            if second % 10 == 0:
                run.publish_event(event(second))
        await asyncio.wait_for(passed.wait(), 30)
        await run.stored()
        assert len(outbox) == 600 + 60 + 1  # of the state, the newest alone
        await any_broker.start()
        async with listen_on(any_broker.line.port) as ear:
            run._closing.set()  # the next attempt comes at once
            seen = await ear.until(lambda topic, fields: fields.get("elapsed_s") == 599)
        await until(lambda: len(outbox) == 0)
    figures = [fields["heralds_hz"] for topic, fields in seen if topic.endswith("/run/tele")]
    assert figures == [float(second) for second in range(600)]
    assert numbers(seen) == list(range(0, 600, 10))
    assert run.dropped == 0


async def start_publishing(line: Line, path: Path, count: int) -> tuple[asyncio.subprocess.Process, int]:
    """A process that publishes, as soon as it has stored some events, and the number of the last."""
    script = Path(__file__).with_name("publishing.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(line.port), str(path), str(count),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while not (said := (await process.stdout.readline()).decode().strip()).isdigit() or int(said) < 200:
            assert said, "the process ended"
    return process, int(said)


async def test_publisher_killed(any_broker: Broker, listen_on: Listen, tmp_path: Path) -> None:
    """`kill -9` in full flight: the will says so, and what was stored and not delivered is sent by whoever
    comes next."""
    path = tmp_path / "outbox.sqlite"
    async with listen_on(any_broker.line.port) as ear:
        process, stored = await start_publishing(any_broker.line, path, 100_000)
        seen = await ear.until(says("ready"), 15)
        process.kill()
        await process.wait()
        seen += await ear.until(says("lost"), 15)
        flushed = await flush(any_broker.line, path, root="bellbench")
        assert (flushed.left, flushed.trouble) == (0, None)
        if stored not in numbers(seen):
            seen += await ear.until(is_last(stored), 15)
    assert numbers(seen)[:stored] == list(range(1, stored + 1))
    assert not path.exists()


async def test_publisher_hung(any_broker: Broker, listen_on: Listen, tmp_path: Path) -> None:
    """A stopped process is declared lost by the broker, whose keep-alive it breaks, and comes back as if
    nothing had been when it goes on."""
    async with listen_on(any_broker.line.port) as ear:
        process, _ = await start_publishing(any_broker.line, tmp_path / "outbox.sqlite", 600)
        try:
            seen = await ear.until(says("ready"), 15)
            process.send_signal(signal.SIGSTOP)
            seen += await ear.until(says("lost"), 15)
            process.send_signal(signal.SIGCONT)
            seen += await ear.until(says("ready"), 15)
            if 600 not in numbers(seen):  # all may have gone before the signal came
                seen += await ear.until(is_last(600), 15)
        finally:
            process.kill()
            await process.wait()
    assert numbers(seen) == list(range(1, 601))
    states = [fields["state"] for topic, fields in seen if topic == STATUS]
    # A process that gets no processor for as long as its keep-alive is lost more often.
    assert (states[0], states[-1]) == ("ready", "ready")
    assert "lost" in states


async def test_a_slow_subscriber_holds_up_nobody(
    any_broker: Broker, listen_on: Listen, relay_to: Any
) -> None:
    async with relay_to(any_broker.line.port) as line, listen_on(line.port, EVENTS) as slow:
        line.hold()
        async with listen_on(any_broker.line.port, EVENTS) as quick, publisher(any_broker.line) as run:
            for number in range(1, 301):
                run.publish_event(event(number))
            assert numbers(await quick.until(is_last(300))) == list(range(1, 301))
            await until(lambda: len(run._outbox) == 0)
        line.go_on()
        assert sorted(numbers(await slow.until(is_last(300)))) == list(range(1, 301))


async def test_an_oversize_payload_is_cut_or_counted_and_nothing_else_suffers(
    any_broker: Broker, listen_on: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    async with listen_on(any_broker.line.port) as ear, publisher(any_broker.line) as run:
        run.publish_event(Event(level="error", text="x" * 200_000))
        run.publish_result(Result(estimates={f"figure_{n:05}": Estimate(value=n) for n in range(5000)}))
        run.publish_event(event(1))
        seen = await ear.until(is_last(1))
    [long] = [fields for topic, fields in seen if topic == EVENTS and fields["level"] == "error"]
    assert long["text"] == "x" * 500 + " ..."
    assert not any("figure_00000" in fields for _, fields in seen)
    assert run.dropped == 1
    assert "a message has at most 65536" in caplog.text
