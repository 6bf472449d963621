"""The run's events as telemetry: its state and rates, how its instruments stand, and its alarms.

Messages of the moment are thinned to what the contract promises (`docs/telemetry.md`); changes never are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from bellbench.alarms import AlarmWatch
from drivers.capabilities import Control, Instrument
from experiments.engine.events import (
    Baseline,
    Finished,
    Happened,
    Live,
    Progress,
    Rates,
    Readings,
    RunEvent,
    SafeSeen,
    StateChanged,
    StepBegan,
)
from experiments.engine.outcome import State
from telemetry.alarms import Alarms
from telemetry.messages import (
    AlarmState,
    Condition,
    DeviceState,
    Estimate,
    Event,
    FieldFacts,
    Meta,
    Result,
    RunState,
    field_of,
)
from telemetry.messages import Rates as RatesMessage
from telemetry.messages import Readings as ReadingsMessage
from telemetry.publisher import Publisher

PROGRESS_EVERY_S = 1.0
RATES_EVERY_S = 0.5
READINGS_EVERY_S = 5.0
"""Wall time, as the contract has it: on a simulated bench, whose time runs faster, only some are told."""


@dataclass
class Panel:
    """One instrument as telemetry shows it."""

    instrument: Instrument
    node: str
    simulated: bool
    values: dict[str, float | bool | None] = field(default_factory=dict)
    """Of its controls, as last read."""
    condition: Condition = "ready"
    reason: str | None = None
    told: DeviceState | None = None
    told_readings_at: float = float("-inf")

    @property
    def controls(self) -> dict[str, Control]:
        return {control.name: control for control in self.instrument.controls()}

    def meta(self, identity: Mapping[str, object]) -> Meta:
        """Who it is, and what its fields mean."""
        facts = {
            field_of(control.name, control.unit): FieldFacts(
                unit=control.unit,
                low=control.limits.low if control.limits else None,
                high=control.limits.high if control.limits else None,
                setting=control.write is not None,
            )
            for control in self.controls.values()
        }
        words = ("manufacturer", "model", "serial_number", "firmware")
        who = {word: str(identity[word]) for word in words if word in identity}
        return Meta.model_validate(
            {"driver": self.instrument.model, "simulated": self.simulated, "fields": facts, **who}
        )

    def state(self) -> DeviceState:
        """How it stands: every setting that was read."""
        return DeviceState(condition=self.condition, reason=self.reason, values=self._those(settings=True))

    def readings(self) -> ReadingsMessage | None:
        """What it measures; None when nothing of it was read."""
        values = self._those(settings=False)
        return ReadingsMessage(values=values) if values else None

    def _those(self, *, settings: bool) -> dict[str, float | bool | str | None]:
        controls = self.controls
        return {
            field_of(name, controls[name].unit): value
            for name, value in self.values.items()
            if name in controls and (controls[name].write is not None) is settings
        }


class TelemetryObserver:
    """Publishes what a run does. Publishing never waits, so neither does the run.

    `nodes` gives the node of each instrument, `folder` is the run's; `now` is any clock in seconds.
    """

    def __init__(
        self,
        publisher: Publisher,
        experiment: str,
        instruments: Mapping[str, Instrument],
        nodes: Mapping[str, str],
        *,
        simulated: bool = False,
        folder: Path | None = None,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._publisher, self._now = publisher, now
        self._panels = {
            name: Panel(instrument, nodes[name], simulated) for name, instrument in instruments.items()
        }
        self._state = RunState(state="preparing", experiment=experiment)
        self._told_progress_at = self._told_rates_at = float("-inf")
        self._live: Live | None = None
        self.alarms = Alarms(self._tell_alarm)
        self._alarm_watch = AlarmWatch(self.alarms, folder, now)
        self.alarms.clean([None, *self._panels])

    def notify(self, event: RunEvent) -> None:
        match event:
            case StateChanged():
                self._tell(state=event.state.value, reason=event.message or None)
            case StepBegan():
                self._live = None
                self._tell(step=event.kind, step_index=event.number, steps=event.count)
            case Progress():
                self._progress(event)
            case Live():
                self._live = event
            case Rates():
                self._rates(event)
            case Baseline() | Readings():
                self._readings(event.instrument, event.values)
            case SafeSeen():
                self._stands(event.instrument, "safe" if event.verified else "not_safe", event.problem)
            case Happened():
                self._happened(event)
            case Finished():
                self._finished(event)
            case _:
                pass
        self._alarm_watch.notify(event)

    def _progress(self, event: Progress) -> None:
        changes = {"progress": event.fraction, "elapsed_s": event.elapsed_s, "remaining_s": event.left_s}
        if self._now() - self._told_progress_at >= PROGRESS_EVERY_S:
            self._told_progress_at = self._now()
            self._tell(**changes)
        else:  # goes with the next change
            self._state = self._state.model_copy(update=changes)

    def _tell(self, **changes: object) -> None:
        self._state = self._state.model_copy(update=changes)
        self._publisher.publish_state(self._state)

    def _rates(self, event: Rates) -> None:
        if self._now() - self._told_rates_at < RATES_EVERY_S:
            return
        self._told_rates_at = self._now()
        message = RatesMessage(singles_hz=dict(event.singles_hz), interval_s=event.interval_s)
        if self._live is not None and self._live.live_s:
            live = self._live
            figures = {
                name: Estimate(value=found.value, error=found.error)
                for name, found in live.figures.items()
                if found is not None
            }
            update = {
                "heralds_hz": live.heralds / live.live_s,
                "fourfolds": live.fourfolds,
                "fourfolds_hz": live.fourfolds / live.live_s,
                "figures": figures,
            }
            message = message.model_copy(update=update)
        self._publisher.publish_rates(message)

    def _happened(self, event: Happened) -> None:
        found = event.details.get("instrument")
        panel = self._panels.get(found) if isinstance(found, str) else None
        self._publisher.publish_event(
            Event(
                level=event.level,
                text=event.message,
                event=event.event,
                node=panel.node if panel else None,
                instrument=panel.instrument.name if panel else None,
            )
        )
        if panel is None:
            return
        match event.event:
            case "instrument":
                self._publisher.publish_meta(panel.node, panel.instrument.name, panel.meta(event.details))
            case "lost":
                self._stands(panel.instrument.name, "lost", event.message)
            case "reconnected":
                self._stands(panel.instrument.name, "ready")

    def _readings(self, name: str, values: Mapping[str, float | bool]) -> None:
        panel = self._panels[name]
        panel.values.update(values)
        self._stands(name, panel.condition, panel.reason or "")
        readings = panel.readings()
        if readings is not None and self._now() - panel.told_readings_at >= READINGS_EVERY_S:
            panel.told_readings_at = self._now()
            self._publisher.publish_readings(panel.node, name, readings)

    def _stands(self, name: str, condition: Condition, reason: str = "") -> None:
        """Tell how an instrument stands, when that has changed."""
        panel = self._panels[name]
        panel.condition, panel.reason = condition, reason or None
        state = panel.state()
        if state != panel.told:
            panel.told = state
            self._publisher.publish_device_state(panel.node, name, state)

    def _finished(self, event: Finished) -> None:
        if event.ending.state is not State.COMPLETED:
            self._publisher.publish_event(Event(level="error", text=event.ending.message, event="ended"))
        if event.results is not None:
            figures = {
                name: figure
                for name, figure in event.results.items()
                if isinstance(figure, dict) and "value" in figure
            }
            self._publisher.publish_result(Result.model_validate({"estimates": figures}))

    def _tell_alarm(self, device: str | None, state: AlarmState) -> None:
        panel = self._panels.get(device) if device else None
        self._publisher.publish_alarm(panel.node if panel else None, device if panel else None, state)
