"""What a run tells while it goes on, and to whom: the display, the telemetry, whoever attaches.

Observers see a run; they cannot hold it up and can never break it. `notify` is called in the event loop
and must return at once; one that raises is not called again, and the journal says why.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from experiments.engine.outcome import Ending, State
from experiments.estimators.estimate import Estimate


@dataclass(frozen=True)
class StateChanged:
    """The run has entered a state; `message` says why when it is no ordinary end."""

    run: str
    state: State
    message: str = ""


@dataclass(frozen=True)
class StepBegan:
    """Step `number` of `count` (from 1) has begun."""

    number: int
    count: int
    kind: str
    estimated_s: float


@dataclass(frozen=True)
class StepEnded:
    """A step is done, after `took_s` seconds of run clock."""

    number: int
    count: int
    kind: str
    took_s: float


@dataclass(frozen=True)
class Progress:
    """How far the run is: what it does now, its time so far, and an estimate of what is left, in seconds of
    run clock."""

    doing: str
    elapsed_s: float
    left_s: float

    @property
    def fraction(self) -> float:
        """Done, from 0 to 1."""
        return self.elapsed_s / max(self.elapsed_s + self.left_s, 1e-9)


@dataclass(frozen=True)
class Rates:
    """What the taggers see: singles per second of each detector, over the last block."""

    singles_hz: Mapping[str, float]


@dataclass(frozen=True)
class Live:
    """The figures so far of the measurement under way; None for what is not measured yet."""

    heralds: int
    fourfolds: int
    live_s: float
    figures: Mapping[str, Estimate | None]


@dataclass(frozen=True)
class Happened:
    """Something worth a line in the journal. `message` is for people, `details` for programs."""

    event: str
    message: str
    details: Mapping[str, object] = field(default_factory=dict)
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Finished:
    """The run is over, the instruments have been made safe or are named in the ending's message. `results`
    is what results.json holds, or None when the run has none."""

    run: str
    ending: Ending
    results: Mapping[str, object] | None


RunEvent = StateChanged | StepBegan | StepEnded | Progress | Rates | Live | Happened | Finished


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
