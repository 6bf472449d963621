"""The listener's side: one run put together from messages in whatever order, and lines that break."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal

import pytest

from telemetry.broker import EmbeddedBroker
from telemetry.line import Line, connect
from telemetry.messages import Estimate, Event, Rates, Result, RunState, Status
from telemetry.publisher import Publisher
from telemetry.subscriber import BrokerError, Message, listen, read, retained
from telemetry.view import RunView
from telemetry.wire import Payload, Stamp, encode
from tests.telemetry.brokers import free_port

START = datetime(2026, 11, 22, 3, 10, tzinfo=UTC)
NUMBERS = count(1)
Word = Literal["running", "completed"]


def message(topic: str, payload: Payload, *, run: str = "r1", at: int = 0, kept: bool = False) -> Message:
    number = next(NUMBERS)
    stamp = Stamp(START + timedelta(seconds=at), number, number, f"boot of {run}", run)
    got = read("bellbench", f"bellbench/v1/nyc/{topic}", encode(stamp, payload), kept=kept)
    assert got is not None
    return got


def state(word: Word, run: str = "r1", **more: Any) -> Message:
    return message(f"run/{run}/state", RunState(state=word), run=run, **more)


def status(word: Literal["ready", "lost", "disconnected"], run: str = "r1") -> Message:
    return message("control/status", Status(state=word), run=run)


def shown(*messages: Message) -> RunView:
    view = RunView()
    for one in messages:
        view.take(one)
    return view


def test_what_is_kept_may_come_in_any_order() -> None:
    result = message("run/r1/result", Result(estimates={"chsh_s": Estimate(value=2.3)}), kept=True)
    view = shown(status("ready"), result, state("running", kept=True))
    assert view.result == result.payload
    assert (view.run, view.site, view.presence, view.lost, view.ended) == ("r1", "nyc", "ready", False, False)


def test_of_the_runs_that_are_kept_the_newest_is_shown() -> None:
    old, new = state("running", "old", at=1, kept=True), state("completed", "new", at=2, kept=True)
    assert shown(old, new).run == shown(new, old).run == "new"


def test_a_run_that_goes_on_keeps_its_place() -> None:
    view = shown(status("ready", "a"), state("running", "a"), state("running", "b", at=5))
    assert view.run == "a"
    view.take(state("completed", "a", at=6))
    view.take(state("running", "b", at=7))
    assert view.run == "b"


def test_other_runs_change_nothing() -> None:
    view = shown(
        status("ready"),
        state("running"),
        message("control/run/tele", Rates(heralds_hz=1.0)),
        message("control/run/tele", Rates(heralds_hz=9.0), run="r2"),
        message("control/run/event", Event(level="info", text="x"), run="r2"),
        message("control/status", Status(state="lost"), run="r2"),
    )
    assert view.rates == Rates(heralds_hz=1.0)
    assert not view.events
    assert not view.lost


def test_figures_before_the_state_count() -> None:
    rates, event = Rates(heralds_hz=1.0), Event(level="info", text="x")
    view = shown(message("control/run/tele", rates), message("control/run/event", event), state("running"))
    assert view.rates == rates
    assert [seen for _, seen in view.events] == [event]


def numbered(change: int, text: str, boot: str = "b") -> Message:
    stamp = Stamp(START, change, change, boot, "r1")
    got = read(
        "bellbench", "bellbench/v1/nyc/control/run/event", encode(stamp, Event(level="info", text=text))
    )
    assert got is not None
    return got


def test_twice_is_once_and_a_gap_is_seen() -> None:
    view = shown(
        state("running"),
        numbered(1, "a"),
        numbered(2, "b"),
        numbered(2, "b"),  # again, after a broken line
        numbered(5, "e"),
        numbered(1, "another start", "c"),
    )
    assert [event.text for _, event in view.events] == ["a", "b", "e", "another start"]
    assert view.missed == 2


def test_a_state_that_was_replaced_is_none_that_was_missed() -> None:
    view = shown(state("running"), state("running"), state("completed"))
    assert (view.missed, view.ended) == (0, True)


@pytest.mark.parametrize(("word", "lost"), [("ready", False), ("lost", True), ("disconnected", True)])
def test_a_run_is_lost_when_its_process_is_gone(
    word: Literal["ready", "lost", "disconnected"], lost: bool
) -> None:
    assert shown(state("running"), status(word)).lost == lost
    assert not shown(state("completed"), status(word)).lost


async def test_listening_goes_on_after_the_broker_was_away() -> None:
    first = EmbeddedBroker(free_port())
    await first.__aenter__()
    async with (
        Publisher(Line(first.host, first.port), site="nyc", run="r1") as run,
        aclosing(listen(Line(first.host, first.port), root="bellbench")) as messages,
    ):
        assert isinstance((await anext(messages)).payload, Status)
        await first.__aexit__(None, None, None)
        async with EmbeddedBroker(first.port) as second:
            assert second.port == first.port
            run.publish_state(RunState(state="running"))
            while not isinstance((await anext(messages)).payload, RunState):
                pass


async def test_listening_ends_when_the_broker_stays_away() -> None:
    async with EmbeddedBroker(0) as broker, Publisher(Line(broker.host, broker.port), site="nyc", run="r1"):
        messages = listen(Line(broker.host, broker.port), root="bellbench", patience_s=0.0)
        await anext(messages)
    with pytest.raises(BrokerError):
        [_ async for _ in messages]


async def test_a_foreign_message_is_passed_over(broker: EmbeddedBroker) -> None:
    """Anybody may leave anything with the broker; each of these once ended whoever listened."""
    line = Line(broker.host, broker.port)
    stamp = b'{"time":"2026-11-22T03:10:00Z","seq":%s,"change":1,"boot":"b","run":"r1","state":"running"%s}'
    async with connect(line) as client:
        huge = stamp % (b"1", b',"progress":' + b"9" * 400)
        kept = {"a": stamp % (b"1e999", b""), "b": huge, "c": b"", "d": stamp % (b"2", b"")}
        for name, data in kept.items():
            await client.publish(f"bellbench/v1/nyc/run/{name}/state", data, qos=1, retain=True)
    assert [one.place.device for one in await retained(line, root="bellbench")] == ["d"]


async def test_everything_that_is_kept_is_read(broker: EmbeddedBroker) -> None:
    for n in range(60):  # more than the 20 or so that brokers have in flight at once
        async with Publisher(Line(broker.host, broker.port), site="nyc", run=f"r{n}") as run:
            run.publish_state(RunState(state="completed"))
    kept = await retained(Line(broker.host, broker.port), root="bellbench")
    assert {one.stamp.run for one in kept if isinstance(one.payload, RunState)} == {
        f"r{n}" for n in range(60)
    }
    assert all(one.kept for one in kept)
