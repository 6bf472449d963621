"""Commands to a run: few, off unless allowed, and none that adds energy.

A request is refused unless it is fresh: it must not be retained by the broker, must not have been seen
before, and must not have expired nor expire later than `LONGEST_S` from now, so that ids need not be
remembered for longer. What is done is not decided here: each allowed command has a handler. There is no
command that goes on, sets or switches on, so whoever can publish on the topic can only calm things down.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from telemetry.messages import Answer, CommandWord, about

LONGEST_S = 60.0
HANDLING_S = 10.0
MAX_REQUEST_BYTES = 4096


class Refused(Exception):  # noqa: N818 -- an answer, not an error of ours
    """Raised by a handler: the command cannot be carried out now; the message says why."""


def _with_zone(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError("has no time zone: end it with Z")
    return time


class Request(BaseModel):
    """What a person or a program asks of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, about("the requester's own, never used again", min_length=1, max_length=64)]
    command: Annotated[str, about("pause, stop, safe or acknowledge", max_length=64)]
    expires: Annotated[
        datetime, AfterValidator(_with_zone),
        about(f"RFC 3339 with zone; at most {LONGEST_S:g} s ahead; refused afterwards"),
    ]  # fmt: skip
    response_topic: Annotated[
        str | None,
        about("for the answer: the run's `answer` (the default) or one level below it"),
    ] = None
    by: Annotated[str, about("who asks, for the record", max_length=64)] = "someone"
    device: Annotated[str | None, about("acknowledge: the device; without one, all devices")] = None
    alarm: Annotated[str | None, about("acknowledge: the alarm; without one, all of the device")] = None


Handler = Callable[[Request], Awaitable[str]]
"""Carries a command out and says in words what is done; raises Refused when it cannot be."""


class CommandDesk:
    """Takes requests, and answers each that has an id."""

    def __init__(
        self,
        handlers: Mapping[CommandWord, Handler],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`handlers` are the commands that are allowed."""
        self._handlers: dict[str, Handler] = {str(word): handler for word, handler in handlers.items()}
        self._now = now
        self._seen: dict[str, tuple[datetime, str]] = {}  # id: until when, and what was answered

    async def take(self, data: bytes, answer_topic: str, *, retained: bool) -> tuple[str, Answer] | None:
        """Answer topic and answer to a request, after it is carried out or refused; None for what is too long
        or has no id, and so cannot be answered."""
        if len(data) > MAX_REQUEST_BYTES:
            return None
        try:
            request = Request.model_validate_json(data)
        except ValidationError as error:
            return _malformed(data, answer_topic, error)
        topic = request.response_topic or answer_topic
        if not _is_at(topic, answer_topic):
            reason = f"response_topic is not {answer_topic} or one level below it"
            return answer_topic, _answer(request, "refused", reason)
        try:
            self._check(request, retained=retained)
            async with asyncio.timeout(HANDLING_S):
                done = await self._handlers[request.command](request)
            answer = _answer(request, "accepted", done)
        except Refused as refusal:
            answer = _answer(request, "refused", str(refusal))
        except TimeoutError:
            answer = _answer(request, "refused", f"the run did not take it within {HANDLING_S:g} s")
        self._remember(request, answer)
        return topic, answer

    def _check(self, request: Request, *, retained: bool) -> None:
        now = self._now()
        self._seen = {key: seen for key, seen in self._seen.items() if seen[0] > now}
        if retained:
            raise Refused("it was retained; a command must not be")
        if seen := self._seen.get(request.id):
            raise Refused(f"repeated: a request of this id was {seen[1]} before")
        if request.expires <= now:
            raise Refused(f"stale: it expired {(now - request.expires).total_seconds():.1f} s ago")
        if request.expires > now + timedelta(seconds=LONGEST_S):
            raise Refused(f"expires more than {LONGEST_S:g} s from now; ask when it is to be done")
        if request.command not in self._handlers:
            allowed = ", ".join(self._handlers) or "none"
            raise Refused(f"unknown or not allowed; allowed here: {allowed}")

    def _remember(self, request: Request, answer: Answer) -> None:
        """For as long as the same request could come again and be fresh."""
        until = min(request.expires, self._now() + timedelta(seconds=LONGEST_S))
        self._seen.setdefault(request.id, (until, answer.result))


def _answer(request: Request, result: str, reason: str) -> Answer:
    return Answer.model_validate(
        {"id": request.id, "command": request.command, "result": result, "reason": reason}
    )


def _is_at(topic: str, answer_topic: str) -> bool:
    """Whether answers may go there: anywhere else, a requester could write in our name."""
    return re.fullmatch(re.escape(answer_topic) + r"(/[A-Za-z0-9_.-]+)?", topic) is not None


def _malformed(data: bytes, answer_topic: str, error: ValidationError) -> tuple[str, Answer] | None:
    try:
        fields = json.loads(data)
        name, command = fields["id"], fields.get("command", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(name, str) or not 0 < len(name) <= 64:
        return None
    reason = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return answer_topic, Answer(id=name, command=str(command)[:64], result="refused", reason=reason)
