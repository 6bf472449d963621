"""What comes back over a connection that several deliveries share, and what is replaced before it is sent."""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from telemetry.contract import Importance
from telemetry.delivery import Delivery, Echoes
from telemetry.leftovers import clear, opened
from telemetry.line import Line
from telemetry.messages import DeviceState, Event
from telemetry.outbox import Outbox, Outgoing
from telemetry.subscriber import read
from telemetry.wire import Stamp, encode

EVENTS, PUMP = "bellbench/v1/nyc/control/run/event", "bellbench/v1/nyc/alice/pump/state"


class Wire:
    """In the place of a client and its broker, which passes on what is subscribed to. `acknowledge` is what
    passes before it acknowledges a subscription."""

    def __init__(self) -> None:
        self.subscribed: set[str] = set()
        self.published: list[bytes] = []
        self.acknowledge: Callable[[], Any] = self.at_once
        self.echoes = Echoes(self)  # type: ignore[arg-type]

    async def at_once(self) -> None:
        """Nothing passes."""

    async def subscribe(self, topics: Sequence[tuple[str, int]]) -> None:
        self.subscribed |= {topic for topic, _ in topics}
        await self.acknowledge()

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        self.subscribed -= set(topics)

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        assert qos == 1
        self.published.append(payload)
        if topic in self.subscribed:
            self.echoes.came_back(topic, payload)

    def delivery(self, outbox: Outbox | None = None) -> Delivery:
        return Delivery(self, self.echoes, outbox or Outbox(), directly)  # type: ignore[arg-type]


async def directly(work: Callable[..., Any], *arguments: object) -> Any:
    return work(*arguments)


def event(boot: str) -> Outgoing:
    data = encode(Stamp(datetime.now(UTC), 1, 1, boot, "r1"), Event(level="info", text="x"))
    return Outgoing(1, EVENTS, data, Importance.EVENT)


async def test_one_delivery_leaves_another_its_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run sends and what was left share their topics, and begin at the same time."""
    monkeypatch.setattr("telemetry.delivery.ECHO_S", 0.05)
    wire = Wire()
    left, ours = wire.delivery(), wire.delivery()

    async def first_is_through() -> None:
        wire.acknowledge = wire.at_once
        assert await left.send([event("a")])

    wire.acknowledge = first_is_through
    message = event("b")
    assert await ours.send([message]) == [message]
    assert (ours.trouble, left.trouble) == (None, None)
    assert wire.subscribed == set()


async def test_what_is_known_of_a_topic_holds_for_all_deliveries() -> None:
    wire = Wire()
    await wire.delivery().send([event("a")])
    wire.acknowledge = lambda: pytest.fail("it has come back before")
    assert await wire.delivery().send([event("b")])


async def test_a_state_that_was_left_gives_way_until_the_moment_it_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sending what was left takes its time; the run that does it says something newer meanwhile."""

    async def nothing_kept(line: Line, *, root: str) -> list[Any]:
        return []

    monkeypatch.setattr("telemetry.leftovers.retained", nothing_kept)
    yesterday = Stamp(datetime(2026, 11, 21, tzinfo=UTC), 2, 1, "a", "r1")
    state = encode(yesterday, DeviceState(condition="not_safe"))
    outbox = Outbox()
    outbox.put([event("a"), Outgoing(2, PUMP, state, Importance.KEPT, retain=True)])
    wire, ours = Wire(), dict[str, object]()

    async def run_goes_on() -> None:
        ours[PUMP] = "newer"

    wire.acknowledge = run_goes_on
    flushed = await clear(
        Line("127.0.0.1", 1), outbox, wire.delivery(outbox), root="bellbench", ours=ours.keys()
    )
    assert [json.loads(data).get("text") for data in wire.published] == ["x"]
    assert (flushed.sent, flushed.replaced, flushed.left, flushed.trouble) == (1, 1, 0, None)


async def test_a_message_that_cannot_be_read_any_more_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a version that let half a letter pass; it must not hold up what waits behind it."""
    data = encode(Stamp(datetime.now(UTC), 1, 1, "b", "r1"), DeviceState(condition="ready"))
    kept = read("bellbench", PUMP, data, kept=True)

    async def pump_is_kept(line: Line, *, root: str) -> list[Any]:
        return [kept]

    monkeypatch.setattr("telemetry.leftovers.retained", pump_is_kept)
    outbox = Outbox()
    outbox.put([Outgoing(1, PUMP, b'{"boot":"\\ud800"}', Importance.KEPT, retain=True)])
    wire = Wire()
    flushed = await clear(Line("127.0.0.1", 1), outbox, wire.delivery(outbox), root="bellbench")
    assert (flushed.sent, flushed.replaced, wire.published) == (0, 1, [])


async def test_an_outbox_is_not_closed_under_work_that_was_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    order: list[str] = []
    taking, disk = threading.Event(), threading.Event()
    close = Outbox.close

    def take_slowly() -> None:
        taking.set()
        assert disk.wait(30)
        order.append("taken")

    def note_and_close(outbox: Outbox) -> None:
        order.append("closed")
        close(outbox)

    monkeypatch.setattr(Outbox, "close", note_and_close)
    async with opened(tmp_path / "outbox.sqlite") as (_, in_thread):
        work = asyncio.ensure_future(in_thread(take_slowly))
        assert await asyncio.to_thread(taking.wait, 30)
        work.cancel()
        asyncio.get_running_loop().call_later(0.01, disk.set)  # when it is about to be closed
    assert order == ["taken", "closed"]
