"""Commands: few, fresh, answered, and none that adds energy."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import aiomqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from telemetry.commands import CommandDesk, Refused, Request
from telemetry.contract import request_schema
from telemetry.messages import Answer, CommandWord
from telemetry.publisher import Publisher
from telemetry.wire import rfc3339
from tests.telemetry.brokers import Broker

Listen = Callable[..., AbstractAsyncContextManager[Any]]
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
COMMAND = "bellbench/v1/nyc/run/r1/command"
ANSWER = "bellbench/v1/nyc/run/r1/answer"


class Run:
    """A run that does what it is told, with a desk that allows pause and stop."""

    def __init__(self, now: Callable[[], datetime] | None = None) -> None:
        self.done: list[str] = []
        self.now = NOW
        self.desk = CommandDesk({"pause": self._do, "stop": self._refuse}, now=now or (lambda: self.now))

    async def _do(self, request: Request) -> str:
        self.done.append(f"{request.command} by {request.by}")
        return "the run pauses at its next safe point"

    async def _refuse(self, request: Request) -> str:
        raise Refused("the run is over: completed")

    async def take(self, data: bytes, *, retained: bool = False) -> Answer | None:
        answered = await self.desk.take(data, ANSWER, retained=retained)
        return answered[1] if answered else None


def request(**changes: Any) -> bytes:
    fields = {"id": "1", "command": "pause", "expires": rfc3339(NOW + timedelta(seconds=10)), "by": "ann"}
    fields |= changes
    Draft202012Validator(request_schema()).validate(
        {k: v for k, v in fields.items() if k in Request.model_fields}
    )
    return json.dumps(fields).encode()


def test_there_is_none_that_adds_energy() -> None:
    assert set(get_args(CommandWord)) == {"pause", "stop", "safe", "acknowledge"}


async def test_carried_out_once_and_answered() -> None:
    run = Run()
    first, again = await run.take(request()), await run.take(request())
    assert first == Answer(
        id="1", command="pause", result="accepted", reason="the run pauses at its next safe point"
    )
    assert again is not None
    assert (again.result, again.reason) == ("refused", "repeated: a request of this id was accepted before")
    assert run.done == ["pause by ann"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expires": rfc3339(NOW - timedelta(seconds=1))}, "stale: it expired 1.0 s ago"),
        ({"expires": rfc3339(NOW + timedelta(seconds=61))}, "expires more than 60 s from now"),
        ({"expires": "2026-11-22T03:00:05"}, "has no time zone"),
        ({"command": "resume"}, "unknown or not allowed; allowed here: pause, stop"),
        ({"command": "safe"}, "unknown or not allowed"),
        ({"command": "stop"}, "the run is over: completed"),
        ({"power": 1}, "power: Extra inputs are not permitted"),
        ({"response_topic": "bellbench/v1/nyc/run/r1/state"}, "response_topic is not"),
        ({"response_topic": f"{ANSWER}/a/b"}, "response_topic is not"),
    ],
)  # fmt: skip
async def test_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    run = Run()
    fields = {"id": "1", "command": "pause", "expires": rfc3339(NOW + timedelta(seconds=10))}
    answer = await run.take(json.dumps(fields | changes).encode())
    assert answer is not None
    assert (answer.id, answer.result) == ("1", "refused")
    assert answer.reason is not None
    assert reason in answer.reason
    assert run.done == []


async def test_retained_is_refused() -> None:
    run = Run()
    answer = await run.take(request(), retained=True)
    assert answer is not None
    assert (answer.result, answer.reason) == ("refused", "it was retained; a command must not be")
    assert run.done == []


async def test_an_id_is_remembered_for_as_long_as_the_request_could_come_again() -> None:
    run = Run()
    await run.take(request())
    run.now += timedelta(seconds=9.9)
    answer = await run.take(request())
    assert answer is not None
    assert answer.reason is not None
    assert answer.reason.startswith("repeated")
    run.now += timedelta(seconds=0.2)
    answer = await run.take(request())
    assert answer is not None
    assert answer.reason is not None
    assert answer.reason.startswith("stale")
    assert len(run.done) == 1
    assert run.desk._seen.keys() <= {"1"}  # and no longer: it does not grow


async def test_a_run_that_does_not_take_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemetry.commands.HANDLING_S", 0.01)

    async def never(request: Request) -> str:
        await asyncio.Event().wait()
        return ""

    answered = await CommandDesk({"safe": never}, now=lambda: NOW).take(
        request(command="safe"), ANSWER, retained=False
    )
    assert answered is not None
    assert answered[1].result == "refused"


async def test_one_that_is_too_long_is_passed_over() -> None:
    run = Run()
    assert await run.take(request(id="1") + b" " * 5000) is None
    assert run.done == []


@given(st.binary(max_size=200))
async def test_noise_is_passed_over(data: bytes) -> None:
    run = Run()
    answer = await run.take(data)
    assert answer is None or answer.result == "refused"
    assert run.done == []


async def test_over_the_wire_on_each_broker(any_broker: Broker, listen_on: Listen) -> None:
    run = Run(lambda: datetime.now(UTC))
    soon = rfc3339(datetime.now(UTC) + timedelta(seconds=30))
    async with (
        listen_on(any_broker.line.port, "bellbench/v1/nyc/control/status") as presence,
        listen_on(any_broker.line.port, f"{ANSWER}/#") as ear,
    ):
        async with Publisher(any_broker.line, site="nyc", run="r1", commands=run.desk):
            await presence.until(lambda *_: True)  # who is ready hears commands
            async with aiomqtt.Client("127.0.0.1", any_broker.line.port) as operator:
                await operator.publish(COMMAND, request(id="old", expires=soon), qos=1, retain=True)
                [(_, answer)] = await ear.until(lambda *_: True)  # live, and then kept by the broker
                assert (answer["id"], answer["result"]) == ("old", "accepted")
                mine = request(id="mine", expires=soon, response_topic=f"{ANSWER}/ann", by="ann")
                await operator.publish(COMMAND, mine, qos=1)
                [(topic, answer)] = await ear.until(lambda *_: True)
                assert (topic, answer["id"], answer["result"]) == (f"{ANSWER}/ann", "mine", "accepted")
        async with Publisher(any_broker.line, site="nyc", run="r1", commands=run.desk):
            [(_, answer)] = await ear.until(lambda *_: True)
            assert (answer["id"], answer["result"]) == ("old", "refused")  # by a run that comes to it later
    assert run.done == ["pause by ann", "pause by ann"]


async def test_off_unless_configured(any_broker: Broker, listen_on: Listen) -> None:
    soon = rfc3339(datetime.now(UTC) + timedelta(seconds=30))
    async with listen_on(any_broker.line.port) as ear:
        async with Publisher(any_broker.line, site="nyc", run="r1"):
            await ear.until(lambda topic, fields: fields.get("state") == "ready")
            async with aiomqtt.Client("127.0.0.1", any_broker.line.port) as operator:
                await operator.publish(COMMAND, request(expires=soon), qos=1)
        seen = await ear.until(lambda topic, fields: fields.get("state") == "disconnected")
    assert not any(topic.startswith(ANSWER) for topic, _ in seen)
