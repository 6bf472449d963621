"""The contract in one table: every kind of message, where it goes, how it is kept, how often it comes.

Publisher and subscriber work from this table, and `docs/telemetry.md`, the JSON Schemas and the AsyncAPI
file are made from it (`docs/make_telemetry.py`), so that none of them can say anything else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from telemetry.commands import Request
from telemetry.messages import (
    AlarmState,
    Answer,
    DeviceState,
    Event,
    Meta,
    Rates,
    Readings,
    Result,
    RunState,
    Status,
)
from telemetry.topics import RUN, Place
from telemetry.wire import Payload

FORMAT = "1.0"
"""Of the contract; the first number is the `v1` of the topics."""
SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Importance(IntEnum):
    """Which message goes first when the outbox is full: the least important, the oldest of them first."""

    FIGURE = 0
    EVENT = 1
    WARNING = 2
    KEPT = 3
    """Never dropped: of a retained topic there is one, the newest."""


Where = Literal["node", "run", "device", "run-device"]


@dataclass(frozen=True)
class Kind:
    """One kind of message. All are sent at QoS 1."""

    name: str
    where: Where
    ending: str
    """Last level of the topic."""
    payload: type[Payload]
    retained: bool
    rate: str

    @property
    def topic(self) -> str:
        """The topic below `<root>/v1/`, with what differs in braces."""
        middle = {
            "node": "{node}",
            "run": "run/{run}",
            "device": "{node}/{device}",
            "run-device": "{node}/run",
        }[self.where]
        return f"{{site}}/{middle}/{self.ending}"

    @property
    def importance(self) -> Importance:
        """Of a message of this kind, as long as its payload does not raise it."""
        if self.retained:
            return Importance.KEPT
        return Importance.FIGURE if self.ending == "tele" else Importance.EVENT


STATUS = Kind("status", "node", "status", Status, True, "at each connection, at the end; `lost` as will")
RUN_STATE = Kind("run-state", "run", "state", RunState, True, "on change; of progress, once a second")
RUN_RESULT = Kind("run-result", "run", "result", Result, True, "when figures are stored, and at the end")
RUN_RATES = Kind("run-tele", "run-device", "tele", Rates, False, "at most twice a second")
EVENT = Kind("event", "device", "event", Event, False, "as things happen")
DEVICE_TELE = Kind(
    "tele", "device", "tele", Readings, False, "when the run looks, every five seconds at most"
)
DEVICE_STATE = Kind("state", "device", "state", DeviceState, True, "on change")
META = Kind("meta", "device", "meta", Meta, True, "once a run, when the instrument has said who it is")
ALARM = Kind("alarm", "device", "alarm", AlarmState, True, "on change")
ANSWER = Kind("answer", "run", "answer", Answer, False, "one for each request that has an id")

KINDS = (STATUS, RUN_STATE, RUN_RESULT, RUN_RATES, META, DEVICE_STATE, DEVICE_TELE, EVENT, ALARM, ANSWER)
"""All kinds that a run publishes."""


def kind_of(place: Place) -> Kind | None:
    """The kind of what stands there, or None for a kind that a later version has added."""
    if not place.device:
        where: Where = "node"
    elif place.node == RUN:
        where = "run"
    elif place.device == RUN and place.kind == "tele":
        where = "run-device"
    else:
        where = "device"
    return next((kind for kind in KINDS if (kind.where, kind.ending) == (where, place.kind)), None)


STAMP: Mapping[str, dict[str, Any]] = {
    "time": {"type": "string", "format": "date-time", "pattern": r"\.\d{6}Z$",
             "description": "when it was published, UTC with microseconds"},
    "seq": {"type": "integer", "minimum": 1, "description": "number among all messages of this boot"},
    "change": {"type": "integer", "minimum": 1, "description": "number among those on this topic"},
    "boot": {"type": "string", "minLength": 1, "description": "one start of the publishing process"},
    "run": {"type": ["string", "null"], "description": "id of the run, the name of its folder"},
}  # fmt: skip


def schema(kind: Kind, *, strict: bool = False) -> dict[str, Any]:
    """The JSON Schema of a kind's messages. Published ones allow fields that a later version of v1 may add,
    as long as those are flat; `strict` ones allow none, which holds for what this version sends."""
    made = kind.payload.model_json_schema(mode="serialization")
    own = {
        name: _plain(facts) for name, facts in made["properties"].items() if name not in kind.payload.folded
    }
    names = "|".join((*STAMP, *own))
    families = {
        f"^(?!({names})$){family.pattern.removeprefix('^')}": {
            "type": list(family.types) if len(family.types) > 1 else family.types[0],
            "description": f"{family.shown}: {family.text}",
        }
        for family in kind.payload.families
    }
    document: dict[str, Any] = {
        "$schema": SCHEMA_DIALECT,
        "title": kind.name,
        "description": _first_line(kind.payload),
        "type": "object",
        "properties": {**STAMP, **own},
        "required": [*STAMP, *own],
    }
    if families:
        document["patternProperties"] = families
    document["additionalProperties"] = False if strict else {"type": ["string", "number", "boolean", "null"]}
    return document


def request_schema() -> dict[str, Any]:
    """The JSON Schema of a command."""
    made = Request.model_json_schema()
    return {
        "$schema": SCHEMA_DIALECT,
        "title": "command",
        "description": _first_line(Request),
        "type": "object",
        "properties": {name: _plain(facts) for name, facts in made["properties"].items()},
        "required": made["required"],
        "additionalProperties": False,
    }


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A property as pydantic describes it, without titles and defaults, and with `null` as a type."""
    plain = {key: value for key, value in facts.items() if key not in ("title", "default", "anyOf")}
    if choices := facts.get("anyOf"):
        merged: dict[str, Any] = {}
        for choice in choices:
            merged |= {key: value for key, value in choice.items() if key != "type"}
        types = [choice["type"] for choice in choices]
        if "enum" in merged:
            merged["enum"] = [*merged["enum"], None]
        plain = {"type": types, **merged, **plain}
    return plain


def _first_line(kind: type[Any]) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())
