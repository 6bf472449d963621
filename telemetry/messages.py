"""The payloads: what a message of each kind says. Units stand in the names of fields, never in values.

Within v1 fields are only added, so a reader ignores the ones it does not know. The texts here are the ones
of `docs/telemetry.md`.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from telemetry.wire import Family, Figure, Payload, Scalar

RunWord = Literal["preparing", "running", "paused", "completed", "aborted", "failed", "interrupted"]
ENDED: frozenset[RunWord] = frozenset({"completed", "aborted", "failed", "interrupted"})
Severity = Literal["NO_ALARM", "MINOR", "MAJOR", "INVALID"]
"""The words of EPICS, in its order (epics-base, alarm.h)."""
Condition = Literal["ready", "lost", "safe", "not_safe"]
CommandWord = Literal["pause", "stop", "safe", "acknowledge"]

_NUMBER, _FLAG, _TEXT = ("number", "null"), ("boolean", "null"), ("string", "null")

_SUFFIXES = {"W": "_w", "A": "_a", "V": "_v", "K": "_k", "Hz": "_hz", "rad": "_rad", "m": "_m", "s": "_s",
             "dB": "_db"}  # fmt: skip


def about(text: str, **limits: Any) -> Any:
    """A field's line in the contract."""
    return Field(description=text, **limits)


def field_of(control: str, unit: str) -> str:
    """The name of a field for an instrument's control: `bias.2` in `A` becomes `bias_2_a`."""
    name = re.sub(r"[^a-z0-9]+", "_", control.lower()).strip("_")
    return name + (_SUFFIXES.get(unit) or ("" if unit in ("", "1") else f"_{unit.lower()}"))


class Status(Payload):
    """Presence of a control process. `lost` is left with the broker as the last will."""

    state: Annotated[Literal["ready", "disconnected", "lost"], about("presence")]
    dropped_figures: Annotated[int, about("`tele` messages of this boot that were dropped")] = 0
    dropped_events: Annotated[int, about("`event` messages of this boot that were dropped")] = 0


class RunState(Payload):
    """How far a run is. Times are of the run's clock, which on a simulated bench is the world's."""

    state: Annotated[RunWord, about("where the run is; the last four are final")]
    experiment: Annotated[str | None, about("the experiment's name")] = None
    step: Annotated[str | None, about("kind of the step under way")] = None
    step_index: Annotated[int | None, about("its place in the plan, 1 for the first", ge=1)] = None
    steps: Annotated[int | None, about("steps of the plan", ge=0)] = None
    progress: Annotated[Figure, about("of the whole run, 0 to 1")] = None
    elapsed_s: Annotated[Figure, about("run time so far")] = None
    remaining_s: Annotated[Figure, about("an estimate of what is left")] = None
    reason: Annotated[str | None, about("why it is paused or has ended")] = None


class Estimate(BaseModel):
    """A result and its standard deviation, both in the unit that the result's name carries."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    value: Figure
    error: Figure = None


class Rates(Payload):
    """What the detectors and the analysis see, over the last `interval_s` of the run's clock."""

    folded: ClassVar = ("singles_hz", "figures")
    families: ClassVar = (
        Family("singles_<detector>_hz", "^singles_.+_hz$", _NUMBER, "singles of one detector"),
        Family("<figure>", "^.+$", _NUMBER, "a result so far, named as in `results.json`"),
        Family("<figure>_error", "^.+_error$", _NUMBER, "its standard deviation"),
    )

    singles_hz: dict[str, Figure] = Field(default_factory=dict)
    interval_s: Annotated[Figure, about("over which rates are taken")] = None
    heralds_hz: Annotated[Figure, about("heralds of the Bell-state measurement")] = None
    fourfolds: Annotated[int | None, about("four-folds since the step began")] = None
    fourfolds_hz: Annotated[Figure, about("their rate")] = None
    figures: dict[str, Estimate] = Field(default_factory=dict)

    def flat(self) -> dict[str, Scalar]:
        fields = self.model_dump(mode="json", exclude={"singles_hz", "figures"})
        singles = {f"singles_{name}_hz": rate for name, rate in self.singles_hz.items()}
        return singles | fields | _with_errors(self.figures)

    @classmethod
    def read(cls, fields: Mapping[str, Scalar]) -> Self:
        singles = {m[1]: rate for key, rate in fields.items() if (m := re.fullmatch(r"singles_(.+)_hz", key))}
        return cls.model_validate({"singles_hz": singles, "figures": _estimates(fields), **cls.named(fields)})


class Result(Payload):
    """What a run has found, under the names of `results.json`."""

    folded: ClassVar = ("estimates",)
    families: ClassVar = (
        Family("<result>", "^.+$", _NUMBER, "the figure"),
        Family("<result>_error", "^.+_error$", _NUMBER, "its standard deviation"),
    )

    estimates: dict[str, Estimate]

    def flat(self) -> dict[str, Scalar]:
        return _with_errors(self.estimates)

    @classmethod
    def read(cls, fields: Mapping[str, Scalar]) -> Self:
        return cls.model_validate({"estimates": _estimates(fields)})


class Event(Payload):
    """Something happened: to the run, or to one instrument, which then stands with its node."""

    level: Annotated[Literal["info", "warning", "error"], about("how much it matters")]
    text: Annotated[str, about("what happened, for people")]
    event: Annotated[str | None, about("what happened, as a word for programs")] = None
    node: Annotated[str | None, about("the instrument's node")] = None
    instrument: Annotated[str | None, about("the instrument it happened to")] = None


class _WithControls(Payload):
    """A payload with a field for each of some controls of an instrument."""

    folded: ClassVar = ("values",)

    values: dict[str, bool | Figure | str] = Field(default_factory=dict)

    def flat(self) -> dict[str, Scalar]:
        return self.model_dump(mode="json", exclude={"values"}) | self.values

    @classmethod
    def read(cls, fields: Mapping[str, Scalar]) -> Self:
        named = cls.named(fields)
        return cls.model_validate(
            {"values": {key: value for key, value in fields.items() if key not in named}, **named}
        )


class Readings(_WithControls):
    """What an instrument measures, as far as it can be read without disturbing the run."""

    families: ClassVar = (
        Family("<control>_<unit>", "^.+$", ("number", "boolean", "null"), "a reading; a flag has no unit"),
    )


class DeviceState(_WithControls):
    """How an instrument stands: whether the run can use it, and every setting as last read."""

    families: ClassVar = (
        Family("<control>_<unit>", "^.+$", ("number", "boolean", "null"), "a setting; a flag has no unit"),
    )

    condition: Annotated[
        Condition,
        about("`ready`: answers and stands as left; `lost`: does not; `safe` or `not_safe`: after the run"),
    ]
    reason: Annotated[str | None, about("why it is lost or not safe")] = None


class FieldFacts(BaseModel):
    """What is to be known of one control: SI unit (empty for a flag), range, and whether it can be set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    unit: str = ""
    low: Figure = None
    high: Figure = None
    setting: bool = False


class Meta(Payload):
    """Who an instrument is, and the units and ranges of the fields of its `tele` and `state`."""

    folded: ClassVar = ("fields",)
    families: ClassVar = (
        Family("<field>_unit", "^.+_unit$", ("string",), "SI unit (or dB, or 1); empty for a flag"),
        Family("<field>_low", "^.+_low$", _NUMBER, "least set-point; null without a limit"),
        Family("<field>_high", "^.+_high$", _NUMBER, "greatest set-point"),
        Family("<field>_setting", "^.+_setting$", ("boolean",), "true: in `state`; false: in `tele`"),
    )

    driver: Annotated[str, about("bellbench's name of the model")]
    manufacturer: Annotated[str | None, about("as the instrument says it")] = None
    model: Annotated[str | None, about("as the instrument says it")] = None
    serial_number: Annotated[str | None, about("as the instrument says it")] = None
    firmware: Annotated[str | None, about("as the instrument says it")] = None
    simulated: Annotated[bool, about("whether it is a simulated one")] = False
    fields: dict[str, FieldFacts] = Field(default_factory=dict)

    def flat(self) -> dict[str, Scalar]:
        return self.model_dump(mode="json", exclude={"fields"}) | {
            f"{name}_{fact}": value
            for name, facts in self.fields.items()
            for fact, value in facts.model_dump(mode="json").items()
        }

    @classmethod
    def read(cls, fields: Mapping[str, Scalar]) -> Self:
        return cls.model_validate({"fields": _grouped(fields, "unit", FieldFacts), **cls.named(fields)})


class AlarmFacts(BaseModel):
    """One alarm of a device."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    severity: Severity
    text: str
    action: str
    since: str
    active: bool
    acknowledged: bool
    acknowledged_by: str | None = None


class AlarmState(Payload):
    """The alarms of one device that stand or are not acknowledged. `severity` NO_ALARM: there are none."""

    folded: ClassVar = ("alarms",)
    families: ClassVar = (
        Family("<alarm>_severity", "^.+_severity$", ("string",), "MINOR, MAJOR or INVALID"),
        Family("<alarm>_text", "^.+_text$", ("string",), "what is wrong"),
        Family("<alarm>_action", "^.+_action$", ("string",), "what to do"),
        Family("<alarm>_since", "^.+_since$", ("string",), "when it was raised first, RFC 3339"),
        Family("<alarm>_active", "^.+_active$", ("boolean",), "false: the cause is gone, it is latched"),
        Family("<alarm>_acknowledged", "^.+_acknowledged$", ("boolean",), "whether somebody has seen it"),
        Family("<alarm>_acknowledged_by", "^.+_acknowledged_by$", _TEXT, "who"),
    )

    severity: Annotated[Severity, about("the highest of all, in words of EPICS")] = "NO_ALARM"
    text: Annotated[str | None, about("of the worst: what is wrong, what to do")] = None
    unacknowledged: Annotated[int, about("alarms that nobody has acknowledged", ge=0)] = 0
    alarms: dict[str, AlarmFacts] = Field(default_factory=dict)

    def flat(self) -> dict[str, Scalar]:
        return self.model_dump(mode="json", exclude={"alarms"}) | {
            f"{name}_{fact}": value
            for name, alarm in self.alarms.items()
            for fact, value in alarm.model_dump(mode="json").items()
        }

    @classmethod
    def read(cls, fields: Mapping[str, Scalar]) -> Self:
        return cls.model_validate({"alarms": _grouped(fields, "since", AlarmFacts), **cls.named(fields)})


class Answer(Payload):
    """What became of a command."""

    id: Annotated[str, about("of the request")]
    command: Annotated[str, about("as requested")]
    result: Annotated[Literal["accepted", "refused"], about("whether it is carried out")]
    reason: Annotated[str | None, about("why it is refused, or what is done")] = None


def _with_errors(estimates: Mapping[str, Estimate]) -> dict[str, Scalar]:
    return {
        key: figure
        for name, estimate in estimates.items()
        for key, figure in ((name, estimate.value), (f"{name}_error", estimate.error))
    }


def _estimates(fields: Mapping[str, Scalar]) -> dict[str, dict[str, Scalar]]:
    """Fields NAME and NAME_error by name."""
    names = [key for key in fields if f"{key}_error" in fields]
    return {name: {"value": fields[name], "error": fields[f"{name}_error"]} for name in names}


def _grouped(fields: Mapping[str, Scalar], sign: str, kind: type[BaseModel]) -> dict[str, dict[str, Scalar]]:
    """Fields `NAME_FACT` by name and fact; a name is what has a fact called `sign`."""
    names = [key.removesuffix(f"_{sign}") for key in fields if key.endswith(f"_{sign}")]
    return {
        name: {fact: fields[f"{name}_{fact}"] for fact in kind.model_fields if f"{name}_{fact}" in fields}
        for name in names
    }
