"""The payloads: flat JSON objects with the unit in each field's name, and the stamp that all of them carry.

Guaranteed: one JSON object per message, no nesting, numbers as numbers, UTC time as RFC 3339 with
microseconds, and null where a figure is not known or not finite (NaN is not JSON, and stops Telegraf and
Node-RED). Within v1 fields are only added, so a reader ignores the ones it does not know.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Scalar = str | int | float | bool | None
RunWord = Literal["preparing", "running", "paused", "completed", "aborted", "failed", "interrupted"]
ENDED: frozenset[RunWord] = frozenset({"completed", "aborted", "failed", "interrupted"})


def _finite_or_none(value: Any) -> Any:
    try:
        return value if value is None or math.isfinite(value) else None
    except TypeError:
        return value  # not a number: pydantic says so, with the field's name


Figure = Annotated[float | None, BeforeValidator(_finite_or_none)]
"""A measured number; what is not finite becomes null."""


class Payload(BaseModel):
    """One message's fields, apart from its stamp."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def flat(self) -> dict[str, Scalar]:
        """The fields as they go into the JSON object."""
        return self.model_dump(mode="json")

    @classmethod
    def read(cls, fields: Mapping[str, Scalar]) -> Self:
        """The payload from a JSON object, ignoring fields that this version does not know.

        Raises pydantic's ValidationError (a ValueError) when a known field is missing or wrong.
        """
        return cls.model_validate({name: value for name, value in fields.items() if name in cls.model_fields})


class Status(Payload):
    """Presence of a control process. `lost` is left with the broker as the last will."""

    state: Literal["ready", "disconnected", "lost"]


class RunState(Payload):
    """How far a run is. Times are of the run's clock, which on a simulated bench is the world's."""

    state: RunWord
    experiment: str | None = None
    step: str | None = None
    step_index: Annotated[int, Field(ge=1)] | None = None  # 1 for the first
    steps: Annotated[int, Field(ge=0)] | None = None
    progress: Figure = None  # of the whole run, 0 to 1
    elapsed_s: Figure = None
    remaining_s: Figure = None
    reason: str | None = None  # why it is paused or has ended


class Rates(Payload):
    """What the detectors and the analysis see, over the last `interval_s` of the run's clock.

    On the wire each detector has a field of its own, `singles_<detector>_hz`.
    """

    singles_hz: dict[str, Figure] = {}
    interval_s: Figure = None
    heralds_hz: Figure = None
    fourfolds: int | None = None  # counted since the step began
    fourfolds_hz: Figure = None
    chsh_s: Figure = None  # so far
    chsh_s_error: Figure = None  # one standard deviation

    def flat(self) -> dict[str, Scalar]:
        fields = self.model_dump(mode="json", exclude={"singles_hz"})
        return {f"singles_{name}_hz": rate for name, rate in self.singles_hz.items()} | fields

    @classmethod
    def read(cls, fields: Mapping[str, Scalar]) -> Self:
        singles = {
            m[1]: value for key, value in fields.items() if (m := re.fullmatch(r"singles_(.+)_hz", key))
        }
        known = {
            key: value for key, value in fields.items() if key in cls.model_fields and key != "singles_hz"
        }
        return cls.model_validate({"singles_hz": singles, **known})


class Estimate(BaseModel):
    """A result and its standard deviation, both in the unit that the result's name carries."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    value: Figure
    error: Figure = None


class Result(Payload):
    """What a run has found, under the names of `results.json`.

    On the wire each result is two fields, `<name>` and `<name>_error`.
    """

    estimates: dict[str, Estimate]

    def flat(self) -> dict[str, Scalar]:
        return {
            key: figure
            for name, estimate in self.estimates.items()
            for key, figure in ((name, estimate.value), (f"{name}_error", estimate.error))
        }

    @classmethod
    def read(cls, fields: Mapping[str, Scalar]) -> Self:
        names = [key for key in fields if f"{key}_error" in fields]
        return cls.model_validate(
            {"estimates": {name: {"value": fields[name], "error": fields[f"{name}_error"]} for name in names}}
        )


class Event(Payload):
    """Something happened: to the run, or to one instrument, which then stands with its node."""

    level: Literal["info", "warning", "error"]
    text: str
    node: str | None = None
    instrument: str | None = None


@dataclass(frozen=True)
class Stamp:
    """What every message carries.

    `seq` numbers all messages of one publisher from 1, and `boot` is that publisher's start: a message sent
    again after a broken line has the same pair, and a number that never comes is a message dropped, a state
    that a newer one replaced before it was sent, or a last will. `time` is when it was published, UTC; of a
    last will, when the connection was made that left it. `run` is the run's id.
    """

    time: datetime
    seq: int
    boot: str
    run: str | None

    @classmethod
    def now(cls, seq: int, boot: str, run: str | None) -> Self:
        return cls(datetime.now(UTC), seq, boot, run)


def encode(stamp: Stamp, payload: Payload) -> bytes:
    """The JSON object that goes over the wire; null for what is not finite, however it got into the model."""
    head: dict[str, Scalar] = {
        "time": stamp.time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "seq": stamp.seq,
        "boot": stamp.boot,
        "run": stamp.run,
    }
    body = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in payload.flat().items()
    }
    return json.dumps(head | body, allow_nan=False, separators=(",", ":")).encode()


def decode(data: bytes) -> tuple[Stamp, dict[str, Scalar]]:
    """Stamp and fields of a message; ValueError when it is not one of this contract's."""
    try:
        fields = json.loads(data, parse_constant=_refuse_constant)
        time, run = datetime.fromisoformat(fields.pop("time")), fields.pop("run")
        stamp = Stamp(time, int(fields.pop("seq")), str(fields.pop("boot")), run)
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a bellbench message: {error!r}") from error
    if time.tzinfo is None or not (run is None or isinstance(run, str)):
        raise ValueError("not a bellbench message: time without zone, or run not a text")
    return stamp, fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
