"""The run's side: what subscribers see, and that the run never waits for a broker."""

import asyncio
import contextlib
import json
import logging
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from telemetry import contract
from telemetry.broker import EmbeddedBroker
from telemetry.contract import Importance
from telemetry.line import Line, connect
from telemetry.messages import Estimate, Event, Rates, Result, RunState
from telemetry.outbox import Outbox, Outgoing
from telemetry.publisher import Publisher
from tests.telemetry.brokers import free_port, running_mosquitto

Listen = Callable[..., AbstractAsyncContextManager[Any]]
STATUS = "bellbench/v1/nyc/control/status"
STATE = "bellbench/v1/nyc/run/r1/state"
RESULT = "bellbench/v1/nyc/run/r1/result"
RATES = "bellbench/v1/nyc/control/run/tele"


def publisher(port: int, **options: Any) -> Publisher:
    return Publisher(Line("127.0.0.1", port), site="nyc", run="r1", **options)


def status(word: str) -> Callable[[str, dict[str, Any]], bool]:
    return lambda topic, fields: topic == STATUS and fields["state"] == word


async def test_a_run_as_a_subscriber_sees_it(broker: EmbeddedBroker, listen_on: Listen) -> None:
    async with listen_on(broker.port) as ear:
        async with publisher(broker.port) as run:
            run.publish_state(RunState(state="running", step="swap", progress=0.1))
            run.publish_rates(Rates(singles_hz={"alice_h": 1.2e5}))
            run.publish_event(Event(level="info", text="hello"))
            run.publish_event(Event(level="error", text="silent", node="hub", instrument="hub_tagger"))
            run.publish_result(Result(estimates={"chsh_s": Estimate(value=2.3, error=0.1)}))
        seen = await ear.until(status("disconnected"))
    assert [topic for topic, _ in seen] == [
        STATUS,
        STATE,
        RATES,
        "bellbench/v1/nyc/control/run/event",
        "bellbench/v1/nyc/hub/hub_tagger/event",
        RESULT,
        STATUS,
    ]
    assert seen[0][1]["state"] == "ready"
    assert seen[1][1]["step"] == "swap"
    assert {(fields["run"], fields["boot"]) for _, fields in seen} == {("r1", run.boot)}
    assert len({fields["seq"] for _, fields in seen}) == len(seen)
    assert run.dropped == 0


async def test_a_late_joiner_learns_state_result_and_presence(
    broker: EmbeddedBroker, listen_on: Listen
) -> None:
    async with publisher(broker.port) as run:
        async with listen_on(broker.port) as ear:
            run.publish_rates(Rates(heralds_hz=1.0))
            run.publish_result(Result(estimates={"chsh_s": Estimate(value=2.3, error=0.1)}))
            run.publish_state(RunState(state="running"))
            run.publish_state(RunState(state="completed"))
            await ear.until(lambda topic, fields: topic == STATE and fields["state"] == "completed")
        async with listen_on(broker.port) as late:
            kept = {}
            for _ in range(3):
                topic, fields = (await late.until(lambda *_: True))[-1]
                kept[topic] = fields
    assert set(kept) == {STATUS, STATE, RESULT}
    assert kept[STATUS]["state"] == "ready"
    assert kept[STATE]["state"] == "completed"
    assert kept[RESULT]["chsh_s"] == 2.3


async def test_an_abrupt_end_leaves_the_will(broker: EmbeddedBroker, relay: Any, listen_on: Listen) -> None:
    async with listen_on(broker.port) as ear, publisher(relay.port, flush_s=0.0):
        await ear.until(status("ready"))
        relay.cut()
        await ear.until(status("lost"))
    async with listen_on(broker.port, STATUS) as late:
        assert (await late.until(status("lost")))[0][1]["state"] == "lost"  # retained


async def test_a_clean_end_leaves_no_will(broker: EmbeddedBroker, listen_on: Listen) -> None:
    async with publisher(broker.port):
        pass
    async with listen_on(broker.port, STATUS) as late:
        assert (await late.until(lambda *_: True))[0][1]["state"] == "disconnected"


async def test_an_outbox_that_was_left_and_is_broken_holds_up_nothing(
    broker: EmbeddedBroker, listen_on: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(*_: object, **__: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr("telemetry.publisher.clear", unreadable)
    async with listen_on(broker.port, STATUS) as ear:
        async with publisher(broker.port, leftovers=[tmp_path / "outbox.sqlite"]):
            pass
        seen = await ear.until(status("disconnected"))
    assert [fields["state"] for _, fields in seen] == ["ready", "disconnected"]


@pytest.mark.parametrize("slow", ["telemetry.publisher.clear", "telemetry.delivery.Delivery.send_fetched"])
async def test_what_cannot_be_sent_in_time_stays_and_the_good_bye_is_said(
    broker: EmbeddedBroker, listen_on: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    """More than a second's worth was left, by an earlier process or by this one."""
    begun = asyncio.Event()

    async def send_much(*_: object, **__: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(slow, send_much)
    monkeypatch.setattr("telemetry.publisher._GOOD_BYE_S", 30.0)
    async with publisher(broker.port, flush_s=0.01, leftovers=[tmp_path / "outbox.sqlite"]) as run:
        run.publish_event(Event(level="info", text="hello"))
        await asyncio.wait_for(begun.wait(), 5)
    async with listen_on(broker.port, STATUS) as late:
        assert (await late.until(lambda *_: True))[0][1]["state"] == "disconnected"


async def test_a_line_that_is_left_in_disorder_leaves_the_will(
    broker: EmbeddedBroker, listen_on: Listen
) -> None:
    """MQTT 3.1.1, 3.14.4: after DISCONNECT the server discards the will; so there must be none."""

    async def leave(name: str, error: type[Exception] | None) -> None:
        will = aiomqtt.Will(f"bellbench/v1/{name}", b'{"left": true}', qos=1)
        async with connect(Line("127.0.0.1", broker.port), will=will) as client:
            await client.publish(f"bellbench/v1/{name}", b"{}", qos=1)
            if error:
                raise error

    async with listen_on(broker.port) as ear:
        await leave("first", None)
        with pytest.raises(ZeroDivisionError):
            await leave("second", ZeroDivisionError)
        seen = await ear.until(lambda _, fields: "left" in fields)
    assert [topic.rpartition("/")[2] for topic, _ in seen] == ["first", "second", "second"]


async def test_broker_gone_and_back(listen_on: Listen, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "telemetry")
    async with EmbeddedBroker(free_port()) as first:
        run = publisher(first.port, outbox=Outbox(max_messages=50))
        await run.__aenter__()
        run.publish_result(Result(estimates={"chsh_s": Estimate(value=2.3, error=0.1)}))
        run.publish_state(RunState(state="running", progress=0.1))
        async with listen_on(first.port) as ear:
            await ear.until(lambda topic, fields: topic == STATE)
    for n in range(100):  # more than the outbox holds
        run.publish_rates(Rates(fourfolds=n))
        run.publish_state(RunState(state="running", progress=n / 100))
    run.publish_event(Event(level="warning", text="while away"))
    async with EmbeddedBroker(first.port) as second:
        assert second.port == first.port
        async with listen_on(second.port) as ear:
            seen = await ear.until(lambda topic, fields: topic.endswith("/event"))
            assert seen[-1][1]["text"] == "while away"
            await run.__aexit__(None, None, None)
            seen += await ear.until(status("disconnected"))
    states = [fields["progress"] for topic, fields in seen if topic == STATE]
    figures = [fields["fourfolds"] for topic, fields in seen if topic == RATES]
    assert states == [0.99]  # only the newest
    assert figures == list(range(100 - len(figures), 100))  # the oldest were dropped
    assert run.dropped == 100 - len(figures) > 0
    assert any(topic == RESULT for topic, _ in seen)  # the new broker had forgotten it


async def test_a_line_that_breaks_while_the_disk_forgets(listen_on: Listen) -> None:
    """The outbox has forgotten the result, the first broker is gone: the second must still learn it."""
    forgotten, disk = threading.Event(), threading.Event()

    class Slow(Outbox):
        def delivered(self, messages: Iterable[Outgoing]) -> None:
            super().delivered(messages)
            forgotten.set()
            assert disk.wait(30)

    async def wait(pause_s: float) -> None:
        broken.set()
        await asyncio.sleep(pause_s)

    broken = asyncio.Event()
    async with EmbeddedBroker(free_port()) as first:
        run = publisher(first.port, outbox=Slow(), wait=wait)
        await run.__aenter__()
        run.publish_result(Result(estimates={"chsh_s": Estimate(value=2.3, error=0.1)}))
        assert await asyncio.to_thread(forgotten.wait, 5)
    await asyncio.wait_for(broken.wait(), 5)
    disk.set()
    async with EmbeddedBroker(first.port) as second, listen_on(second.port) as ear:
        assert (await ear.until(lambda topic, fields: topic == RESULT))[-1][1]["chsh_s"] == 2.3
        await run.__aexit__(None, None, None)


@pytest.mark.parametrize("kind", ["refuses", "silent"])
async def test_a_run_without_broker_ends_at_once(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)

    callers: list[asyncio.StreamWriter] = []

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if kind == "refuses":
        server.close()
    async with asyncio.timeout(5):
        async with publisher(port, flush_s=0.2, outbox=Outbox(max_messages=10)) as run:
            for n in range(1000):
                run.publish_rates(Rates(fourfolds=n))
                run.publish_state(RunState(state="running"))
            await asyncio.sleep(0)
    server.close()
    for caller in callers:
        caller.close()
    assert run.dropped >= 900
    if kind == "refuses":
        assert run.trouble
        assert len(caplog.records) == 1  # said once, not at each attempt
        assert str(port) in caplog.text


async def test_a_disk_that_hangs_holds_up_nobody(broker: EmbeddedBroker, listen_on: Listen) -> None:
    """What is published while the disk takes nothing is bounded, and goes out when it goes on."""
    disk = threading.Event()

    class Hanging(Outbox):
        def put(self, messages: Iterable[Outgoing]) -> None:
            assert disk.wait(30)
            super().put(messages)

    async with listen_on(broker.port) as ear, publisher(broker.port, outbox=Hanging()) as run:
        for n in range(500):
            run.publish_rates(Rates(fourfolds=n))
        run.publish_event(Event(level="info", text="the last"))
        await ear.until(status("ready"))  # the line does not wait for the disk either
        disk.set()
        seen = await ear.until(lambda topic, fields: fields.get("text") == "the last")
    assert [fields["fourfolds"] for topic, fields in seen if topic == RATES] == list(range(500))


async def test_memory_is_bounded_while_the_disk_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemetry.publisher._MOST_UNSTORED", 10)
    run = publisher(1)
    run.publish_event(Event(level="error", text="first"))
    for n in range(100):
        run.publish_rates(Rates(fourfolds=n))
    assert (len(run._unstored), run.dropped) == (10, 91)
    await run.stored()
    first, *_, last = run._outbox.take(99)
    assert b"first" in first.payload
    assert b'"fourfolds":99' in last.payload


async def test_what_is_published_while_the_disk_takes_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outbox may take what waits at any moment, in between two steps of a `publish_*` too."""
    monkeypatch.setattr("telemetry.publisher._MOST_UNSTORED", 10)
    disk = threading.Event()

    class Hanging(Outbox):
        def put(self, messages: Iterable[Outgoing]) -> None:
            assert disk.wait(30)
            super().put(messages)

    class Weighed(int):
        """An importance; when it is compared, the disk gets on with all that it was given."""

        def __eq__(self, other: object) -> bool:
            disk.set()
            run._thread.submit(bool).result(30)
            return int(self) == other

        __hash__ = int.__hash__

    outbox = Hanging()
    run = publisher(1, outbox=outbox)
    run.publish_event(Event(level="info", text="0"))
    first = asyncio.create_task(run.stored())
    await asyncio.sleep(0)
    for number in range(1, 11):
        weighed: Any = Weighed(Importance.EVENT)
        run._put(contract.EVENT, "e", Event(level="info", text=str(number)), weighed)
    second = asyncio.create_task(run.stored())
    await asyncio.sleep(0)
    run.publish_event(Event(level="info", text="11"))
    await run.stored()
    await asyncio.gather(first, second)
    texts = [json.loads(message.payload)["text"] for message in outbox.take(99)]
    assert texts == [str(number) for number in range(12)]


async def test_a_message_that_the_broker_cannot_stand_is_given_up(listen_on: Listen, tmp_path: Path) -> None:
    """Mosquitto hangs up on a packet beyond its `max_packet_size`. What waits behind it must get through."""
    async with running_mosquitto(tmp_path, "max_packet_size 2000") as small:
        outbox = Outbox(max_messages=1000)
        async with (
            listen_on(small.line.port) as ear,
            publisher(small.line.port, outbox=outbox, wait=lambda _: asyncio.sleep(0.01)) as run,
        ):
            for n in range(50):
                run.publish_event(Event(level="info", text="x" * 3000 if n == 20 else str(n)))
            seen = await ear.until(lambda topic, fields: fields.get("text") == "49", 20)
    came = {fields["text"] for topic, fields in seen if topic.endswith("/event")}
    assert came == {str(n) for n in range(50) if n != 20}
    assert (run.dropped, run.trouble) == (1, None)


async def test_a_failing_run_still_says_good_bye(broker: EmbeddedBroker, listen_on: Listen) -> None:
    async with listen_on(broker.port) as ear:
        with contextlib.suppress(ZeroDivisionError):
            async with publisher(broker.port) as run:
                run.publish_state(RunState(state="failed", reason="division by zero"))
                raise ZeroDivisionError
        seen = await ear.until(status("disconnected"))
    assert any(fields.get("reason") == "division by zero" for _, fields in seen)


async def test_no_message_waits_for_nagle(broker: EmbeddedBroker) -> None:
    async with connect(Line("127.0.0.1", broker.port)) as client:
        line = client._client.socket()
        assert isinstance(line, socket.socket)
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_messages_that_wait_for_their_acknowledgement_are_no_warning(
    broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """What was left is sent beside what is new; aiomqtt would warn of it on the terminal of the run."""
    async with connect(Line("127.0.0.1", broker.port), in_flight=5) as client:
        await asyncio.gather(*(client.publish("bellbench/v1/x", b"{}", qos=1) for _ in range(12)))
    assert caplog.records == []


async def test_two_publishers_do_not_push_each_other_off(broker: EmbeddedBroker) -> None:
    async with publisher(broker.port) as one, publisher(broker.port, node="other") as two:
        assert one.boot != two.boot
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.subscribe("bellbench/v1/nyc/+/status", qos=1)
            seen: set[str] = set()
            async with asyncio.timeout(5):
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    assert b'"ready"' in message.payload
                    seen.add(message.topic.value)
                    if len(seen) == 2:
                        break


async def test_user_and_password_go_into_the_connect_packet() -> None:
    """MQTT 3.1.1, 3.1.2 and 3.1.3: flags 80h and 40h, then the fields at the end, each with its length."""
    seen: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (packet := await reader.read(1000)) and not seen.done():
            seen.set_result(packet)
        writer.close()

    async with await asyncio.start_server(broker, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Publisher(Line("127.0.0.1", port, "lab", "secret"), site="s", run="r", flush_s=0.1):
            packet = await asyncio.wait_for(seen, 5)
    assert packet[0] == 0x10
    assert packet[packet.index(b"MQTT") + 5] & 0xC0 == 0xC0  # behind the level
    assert packet.endswith(b"\x00\x03lab\x00\x06secret")
