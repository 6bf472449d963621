"""The run's events as telemetry."""

from collections.abc import Mapping
from dataclasses import asdict

from experiments.engine.events import (
    Finished,
    Happened,
    Live,
    Progress,
    Rates,
    RunEvent,
    StateChanged,
    StepBegan,
)
from experiments.engine.outcome import State
from telemetry.messages import Event, Result, RunState
from telemetry.messages import Rates as RatesMessage
from telemetry.publisher import Publisher


class TelemetryObserver:
    """Publishes what a run does. Publishing never waits, so neither does the run."""

    def __init__(self, publisher: Publisher, experiment: str, nodes: Mapping[str, str]) -> None:
        """`nodes` gives the node of each instrument."""
        self._publisher, self._nodes = publisher, nodes
        self._state = RunState(state="preparing", experiment=experiment)
        self._live: Live | None = None

    def notify(self, event: RunEvent) -> None:
        match event:
            case StateChanged():
                self._tell(state=event.state.value, reason=event.message or None)
            case StepBegan():
                self._tell(step=event.kind, step_index=event.number, steps=event.count)
            case Progress():
                self._tell(progress=event.fraction, elapsed_s=event.elapsed_s, remaining_s=event.left_s)
            case Live():
                self._live = event
            case Rates():
                self._publisher.publish_rates(self._rates(event))
            case Happened():
                instrument = event.details.get("instrument")
                name = instrument if isinstance(instrument, str) else None
                self._publisher.publish_event(
                    Event(
                        level=event.level,
                        text=event.message,
                        node=self._nodes.get(name) if name else None,
                        instrument=name,
                    )
                )
            case Finished():
                if event.ending.state is not State.COMPLETED:
                    self._publisher.publish_event(Event(level="error", text=event.ending.message))
                if event.results is not None:
                    figures = {
                        name: figure
                        for name, figure in event.results.items()
                        if isinstance(figure, dict) and "value" in figure
                    }
                    self._publisher.publish_result(Result.model_validate({"estimates": figures}))
            case _:
                pass

    def _tell(self, **changes: object) -> None:
        self._state = self._state.model_copy(update=changes)
        self._publisher.publish_state(self._state)

    def _rates(self, event: Rates) -> RatesMessage:
        message = RatesMessage(singles_hz=dict(event.singles_hz))
        if self._live is None or not self._live.live_s:
            return message
        s = self._live.figures.get("chsh_s")
        live = {
            "heralds_hz": self._live.heralds / self._live.live_s,
            "fourfolds": self._live.fourfolds,
            "fourfolds_hz": self._live.fourfolds / self._live.live_s,
        }
        if s is not None:
            live |= {
                f"chsh_s{suffix}": figure
                for suffix, figure in zip(("", "_error"), asdict(s).values(), strict=True)
            }
        return message.model_copy(update=live)
