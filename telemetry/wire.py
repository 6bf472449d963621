"""The form of every message: a flat JSON object, its stamp, and what no payload can break.

Guaranteed: one JSON object per message, no nesting, numbers as numbers, UTC time as RFC 3339 with
microseconds, null where a figure is not known or not finite (NaN is not JSON, and stops Telegraf and
Node-RED), and at most `MAX_BYTES`. Which payloads there are stands in `messages`, where each goes in
`contract`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict

MAX_BYTES = 65_536
"""A longer message never leaves: some brokers hang up on one, and it would come again after each attempt."""
_CUT = 500  # letters that a text keeps when its message is too long

Scalar = str | int | float | bool | None


def _finite_or_none(value: Any) -> Any:
    try:
        return value if value is None or math.isfinite(value) else None
    except OverflowError:
        return None  # a whole number that no float can hold
    except TypeError:
        return value  # not a number: pydantic says so, with the field's name


Figure = Annotated[float | None, BeforeValidator(_finite_or_none)]
"""A measured number; what is not finite becomes null."""


@dataclass(frozen=True)
class Family:
    """Fields of one kind whose names depend on the testbed, such as `singles_<detector>_hz`."""

    shown: str
    pattern: str
    """Regular expression of the names, as in JSON Schema."""
    types: tuple[str, ...]
    """JSON types of the values."""
    text: str


class Payload(BaseModel):
    """One message's fields, apart from its stamp."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    families: ClassVar[tuple[Family, ...]] = ()
    """Fields on the wire beyond those with a name of their own."""
    folded: ClassVar[tuple[str, ...]] = ()
    """Fields of the model that stand on the wire as the families."""

    def flat(self) -> dict[str, Scalar]:
        """The fields as they go into the JSON object."""
        return self.model_dump(mode="json")

    @classmethod
    def read(cls, fields: Mapping[str, Scalar]) -> Self:
        """The payload from a JSON object, ignoring fields that this version does not know.

        Raises pydantic's ValidationError (a ValueError) when a known field is missing or wrong.
        """
        return cls.model_validate(cls.named(fields))

    @classmethod
    def named(cls, fields: Mapping[str, Scalar]) -> dict[str, Any]:
        """Those of the fields that have a name of their own in the model."""
        own = cls.model_fields.keys() - set(cls.folded)
        return {name: value for name, value in fields.items() if name in own}


@dataclass(frozen=True)
class Stamp:
    """What every message carries.

    `boot` is the start of the publisher that made it, and `seq` numbers all messages of one boot: a
    message sent again after a broken line has the same pair. `change` numbers those of one boot on one topic
    from 1: of a retained topic it says which change the snapshot is, and a number that is left out is a
    message that was dropped, a state that a newer one replaced before it was sent, or (on `status` alone) a
    last will that was not needed. `time` is when it was published, UTC; of a last will, when the connection
    was made that left it. `run` is the run's id.
    """

    time: datetime
    seq: int
    change: int
    boot: str
    run: str | None

    @classmethod
    def now(cls, seq: int, change: int, boot: str, run: str | None) -> Self:
        return cls(datetime.now(UTC), seq, change, boot, run)


def rfc3339(time: datetime) -> str:
    """UTC with microseconds: nanoseconds since 1970 do not fit into a number of JavaScript."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def encode(stamp: Stamp, payload: Payload) -> bytes:
    """The JSON object that goes over the wire; null for what is not finite, however it got into the model.

    Of a message that is too long, texts are cut. Raises ValueError when that is not enough.
    """
    head: dict[str, Scalar] = {
        "time": rfc3339(stamp.time),
        "seq": stamp.seq,
        "change": stamp.change,
        "boot": stamp.boot,
        "run": stamp.run,
    }
    body = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in payload.flat().items()
    }
    data = _json(head | body)
    if len(data) > MAX_BYTES:
        body = {
            name: f"{value[:_CUT]} ..." if isinstance(value, str) and len(value) > _CUT else value
            for name, value in body.items()
        }
        data = _json(head | body)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{type(payload).__name__}: {len(data)} bytes; a message has at most {MAX_BYTES}")
    return data


def decode(data: bytes) -> tuple[Stamp, dict[str, Scalar]]:
    """Stamp and fields of a message; ValueError when it is not one of this contract's.

    What passes can be worked with: all numbers fit into a float, texts can be written down, and the time is
    one in every zone.
    """
    try:
        fields = json.loads(
            data.decode(), parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole
        )
        if b"\\u" in data:
            json.dumps(fields, ensure_ascii=False).encode()  # half of a surrogate pair is no letter
        time, run = datetime.fromisoformat(fields.pop("time")), fields.pop("run")
        if time.tzinfo is None or not (run is None or isinstance(run, str)):
            raise ValueError("not a bellbench message: time without zone, or run not a text")
        if any(isinstance(value, dict | list) for value in fields.values()):
            raise ValueError("not a bellbench message: it is not flat")
        seq, change = int(fields.pop("seq")), int(fields.pop("change"))
        stamp = Stamp(time.astimezone(UTC), seq, change, str(fields.pop("boot")), run)
    except (AttributeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a bellbench message: {error!r}") from error
    if not MINYEAR < stamp.time.year < MAXYEAR:
        raise ValueError(f"not a bellbench message: {time} is no time in some zones")
    return stamp, fields


def _json(fields: Mapping[str, Scalar]) -> bytes:
    text = json.dumps(fields, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace")  # half of a surrogate pair, as of a file's name that is no text


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is more than a float can hold")
    return number


def _whole(text: str) -> int:
    _finite(text)
    return int(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
