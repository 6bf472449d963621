"""What a run tells while it goes on, and to whom: the record, the display, the telemetry, whoever attaches.

Every event but the last belongs to a stream of the record (see `documents`): its class names the stream, and
`data()` is what one event of it holds, in SI units as the names of the fields say. A new kind of event is a
class here. Observers see the same events; they cannot hold a run up and can never break it. `notify` is
called in the event loop and must return at once; one that raises is not called again, and the record says
why.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal, Protocol

from experiments.engine.outcome import Ending, State
from experiments.estimators.estimate import Estimate

Value = str | bool | int | float | list[float] | None
"""What one field of an event in the record can be; None where there is no value, or none that is finite."""


class StreamEvent:
    """An event of one stream of the record."""

    stream: ClassVar[str]
    acknowledged: ClassVar[bool] = True
    """Whether what happened may be relied on only when the event is on disk. Figures that come every second
    are not: the last second of them may be lost with the power of the computer."""

    def data(self) -> dict[str, Value]:
        """The event as the record has it: its fields, mappings as JSON text."""
        return {f.name: value_of(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]

    def configuration(self) -> Mapping[str, list[str]]:
        """What must be known to read `data()` and hardly ever changes."""
        return {}


def value_of(value: object) -> Value:
    """A field as the record has it."""
    if isinstance(value, Mapping):
        return json_text(value)
    if isinstance(value, tuple):
        return [number if math.isfinite(number) else None for number in value]  # type: ignore[misc]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return str(value)
    assert value is None or isinstance(value, int)
    return value


def json_text(data: object) -> str:
    """JSON in one line, null for every number that is not finite, which JSON does not know."""
    return json.dumps(finite(data), ensure_ascii=False, separators=(",", ":"))


def finite(data: object) -> object:
    """The same with None for every number that is not finite."""
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, Mapping):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return data


@dataclass(frozen=True)
class StateChanged(StreamEvent):
    """The run has entered a state; `message` says why when it is no ordinary end."""

    stream = "state"
    run: str
    state: State
    message: str = ""

    def data(self) -> dict[str, Value]:
        return {"state": str(self.state), "message": self.message}


@dataclass(frozen=True)
class StepBegan(StreamEvent):
    """Step `number` of `count` (from 1) has begun."""

    stream = "step"
    number: int
    count: int
    kind: str
    estimated_s: float

    def data(self) -> dict[str, Value]:
        return {**super().data(), "phase": "began", "took_s": None}


@dataclass(frozen=True)
class StepEnded(StreamEvent):
    """A step is done, after `took_s` seconds of run clock."""

    stream = "step"
    number: int
    count: int
    kind: str
    took_s: float

    def data(self) -> dict[str, Value]:
        return {
            "number": self.number,
            "count": self.count,
            "kind": self.kind,
            "estimated_s": None,
            "phase": "ended",
            "took_s": value_of(self.took_s),
        }


@dataclass(frozen=True)
class Progress(StreamEvent):
    """How far the run is: what it does now, its time so far, and an estimate of what is left, in seconds of
    run clock."""

    stream = "progress"
    acknowledged = False
    doing: str
    elapsed_s: float
    left_s: float

    @property
    def fraction(self) -> float:
        """Done, from 0 to 1."""
        return self.elapsed_s / max(self.elapsed_s + self.left_s, 1e-9)


@dataclass(frozen=True)
class Rates(StreamEvent):
    """What the taggers see: singles per second of each detector, over the last block. The next such event is
    to come after `interval_s` seconds of run clock. The detectors' names are in the configuration."""

    stream = "rates"
    acknowledged = False
    singles_hz: Mapping[str, float]
    interval_s: float = 1.0

    def data(self) -> dict[str, Value]:
        return {"singles_hz": value_of(tuple(self.singles_hz.values())), "interval_s": self.interval_s}

    def configuration(self) -> Mapping[str, list[str]]:
        return {"detectors": list(self.singles_hz)}


@dataclass(frozen=True)
class Live(StreamEvent):
    """The figures so far of the measurement under way; None for what is not measured yet. In the record,
    figure NAME is NAME and its standard error NAME_error."""

    stream = "live"
    acknowledged = False
    heralds: int
    fourfolds: int
    live_s: float
    figures: Mapping[str, Estimate | None]

    def data(self) -> dict[str, Value]:
        data: dict[str, Value] = {
            "heralds": self.heralds,
            "fourfolds": self.fourfolds,
            "live_s": value_of(self.live_s),
        }
        for name, figure in self.figures.items():
            data[name] = value_of(figure.value if figure else None)
            data[f"{name}_error"] = value_of(figure.error if figure else None)
        return data


@dataclass(frozen=True)
class Happened(StreamEvent):
    """Something worth a line in the record. `message` is for people, `details` for programs."""

    stream = "happened"
    event: str
    message: str
    details: Mapping[str, object] = field(default_factory=dict)
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Baseline(StreamEvent):
    """How one instrument stands before anything is switched on, or after everything was made safe: its
    controls by name, in SI units; `problem` says why there are none."""

    stream = "baseline"
    phase: Literal["before", "after"]
    instrument: str
    values: Mapping[str, float | bool]
    problem: str = ""


@dataclass(frozen=True)
class Readings(StreamEvent):
    """What the run read from one instrument when it looked how it stands: controls by name, in SI units."""

    stream = "readings"
    acknowledged = False
    instrument: str
    values: Mapping[str, float | bool]


@dataclass(frozen=True)
class Peaks(StreamEvent):
    """A correlation histogram and the window that lies on its peak: bin k counts the pairs with `from_ps` +
    k `bin_ps` <= t2 - t1 < `from_ps` + (k + 1) `bin_ps`. `centre_ps` +- `error_ps` is where the peak is."""

    stream = "peaks"
    name: str
    from_ps: float
    bin_ps: float
    counts: tuple[float, ...]
    window_begin_ps: float
    window_end_ps: float
    centre_ps: float
    error_ps: float


@dataclass(frozen=True)
class DelaySeen(StreamEvent):
    """Where a look at the correlation peak found the delay of a spoke against the hub, as its calibration
    left it: fields as in `timetags.clocks.track.TrackPoint`. All of them tell the delays at any time."""

    stream = "delays"
    acknowledged = False
    spoke: str
    time_ps: int
    offset_ps: float
    error_ps: float
    rate_ps_per_s: float
    surprise: float
    jumped: bool


@dataclass(frozen=True)
class PolarizationSeen(StreamEvent):
    """The normalised Stokes vector of a probe behind a link, and its fidelity to the state that it should
    have: when it was only looked at, or before and after the controllers were turned by `strategy`."""

    stream = "polarization"
    link: str
    s1: float
    s2: float
    s3: float
    fidelity: float
    phase: Literal["check", "before", "after"]
    strategy: str = ""


@dataclass(frozen=True)
class Scan(StreamEvent):
    """A curve that a step has measured: points (x, y +- error) and the fit at each x, all of equal length.
    `summary` holds what the fit says."""

    stream = "scan"
    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    error: tuple[float, ...]
    fit: tuple[float, ...]
    x_label: str
    y_label: str
    summary: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class SafeSeen(StreamEvent):
    """What became of one instrument that was to be made safe; `problem` is empty when it was verified."""

    stream = "safe"
    instrument: str
    verified: bool
    problem: str = ""


@dataclass(frozen=True)
class Interlock(StreamEvent):
    """An interlock has entered a state (ok, tripped, latched, stale). `value` is that of its signal, in its
    own unit; None when it is not known."""

    stream = "interlock"
    name: str
    state: str
    value: float | None
    message: str = ""


@dataclass(frozen=True)
class Uptime(StreamEvent):
    """The link or network that the run keeps up is up, or down for a reason."""

    stream = "uptime"
    state: Literal["up", "down"]
    reason: str = ""


@dataclass(frozen=True)
class Finished:
    """The run is over, the instruments have been made safe or are named in the ending's message. `results`
    is what results.json holds, or None when the run has none. The record has it as its last document."""

    run: str
    ending: Ending
    results: Mapping[str, object] | None


RunEvent = (
    StateChanged
    | StepBegan
    | StepEnded
    | Progress
    | Rates
    | Live
    | Happened
    | Baseline
    | Readings
    | Peaks
    | DelaySeen
    | PolarizationSeen
    | Scan
    | SafeSeen
    | Interlock
    | Uptime
    | Finished
)


class RunObserver(Protocol):
    """Someone who watches a run."""

    def notify(self, event: RunEvent) -> None:
        """Take an event; return at once."""
        ...


class Observers:
    """Passes events on to observers and drops those that fail, telling `on_failure(observer, error)`."""

    def __init__(
        self, observers: Iterable[RunObserver], on_failure: Callable[[RunObserver, Exception], None]
    ) -> None:
        self._observers = list(observers)
        self._on_failure = on_failure

    def notify(self, event: RunEvent) -> None:
        for observer in tuple(self._observers):
            try:
                observer.notify(event)
            except Exception as error:
                self._observers.remove(observer)
                self._on_failure(observer, error)
