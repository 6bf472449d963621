"""Which events of a run are alarms, how bad, and what to do about each.

An alarm's name is short and stays the same, since people acknowledge by it. What is wrong comes from the
event, what to do from here. Something that happened and is over at once is an alarm too: it stands, latched,
until somebody has seen it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from time import monotonic

from experiments.engine.events import (
    Baseline,
    Finished,
    Happened,
    Interlock,
    Progress,
    Readings,
    RunEvent,
    SafeSeen,
    StateChanged,
)
from experiments.engine.outcome import Exit, State
from telemetry.alarms import Alarms
from telemetry.messages import Severity

LATCHED = "latched"
"""Controls of this name, or with `.CHANNEL` behind it, say whether a nanowire has latched (`LatchSensor`)."""
LOW_BYTES = 1_000_000_000
"""About what a run that keeps everything writes in a quarter of a minute (`experiments.engine.preflight`)."""
DISK_EVERY_S = 30.0


@dataclass(frozen=True)
class Meaning:
    """What an event means: how bad it is, what to do, and which event says that it is over; with none it is
    over as soon as it has happened."""

    severity: Severity
    action: str
    over: str | None = None


MEANINGS: Mapping[str, Meaning] = {
    "lost": Meaning("INVALID", "The run waits for it: see to its power and its cable", "reconnected"),
    "tags lost": Meaning(
        "MAJOR", "Counts of this time are too low: lower the rates, or record fewer channels of this tagger"
    ),
    "observer failed": Meaning("MINOR", "A display or telemetry misses the rest of this run; report it"),
}
"""By the word of the event."""
OTHER = Meaning("MINOR", "See the events of the run")
"""Of a warning that has no line of its own."""
ENDINGS: Mapping[Exit, Meaning] = {
    Exit.FAILED: Meaning("MAJOR", "See error.txt in its folder, or the message, and run again"),
    Exit.INSTRUMENT: Meaning("MAJOR", "See to the instrument that it names, then run again"),
    Exit.NOT_SAFE: Meaning("MAJOR", "Go and look at the instruments that it names, now"),
    Exit.OUTSIDE_ACCEPTANCE: Meaning("MINOR", "Look at the figures before you use them"),
    Exit.STORAGE: Meaning("MAJOR", "Make room or choose another disk with --runs, then run again"),
}


class AlarmWatch:
    """Raises and clears alarms as the run tells what happens, and looks at the disk that it is written to."""

    def __init__(
        self, alarms: Alarms, folder: Path | None = None, now: Callable[[], float] = monotonic
    ) -> None:
        """`folder` is the run's, where it has one; `now` is any clock in seconds."""
        self._alarms, self._folder, self._now = alarms, folder, now
        self._looked_at_disk = float("-inf")

    def notify(self, event: RunEvent) -> None:
        match event:
            case Interlock():
                self._interlock(event)
            case Happened():
                self._happened(event)
            case Baseline(phase="before") if event.problem:
                text, action = f"{event.instrument}: {event.problem}", "Look at its front panel and its line"
                self._alarms.raised(event.instrument, "silent", "MINOR", text, action)
            case Readings():
                self._readings(event)
            case Progress():
                self._look_at_disk()
            case SafeSeen(verified=False):
                text = f"{event.instrument} is not verified safe: {event.problem}"
                self._alarms.raised(
                    event.instrument, "not_safe", "MAJOR", text, "Go and switch it off by hand"
                )
            case StateChanged(state=State.RUNNING):
                self._alarms.cleared(None, "paused")
            case StateChanged(state=State.PAUSED):
                action = "It goes on when the cause is gone, or with `bellbench runs resume`"
                self._alarms.raised(None, "paused", "MINOR", f"the run is paused: {event.message}", action)
            case Finished():
                self._alarms.cleared(None, "paused")
                if meaning := ENDINGS.get(event.ending.exit):
                    text = f"the run {event.ending.state}: {event.ending.message}"
                    self._alarms.raised(None, "ended", meaning.severity, text, meaning.action)
            case _:
                pass

    def _readings(self, event: Readings) -> None:
        latched = [name for name, value in event.values.items() if name.startswith(LATCHED) and value]
        if latched:
            action = "Look at the light on it, then switch its bias off and on, at the instrument"
            text = f"{event.instrument} {', '.join(latched)}: a nanowire has latched and sees nothing"
            self._alarms.raised(event.instrument, "latched", "MAJOR", text, action)
        elif any(name.startswith(LATCHED) for name in event.values):
            self._alarms.cleared(event.instrument, "latched")

    def _look_at_disk(self) -> None:
        if self._folder is None or self._now() < self._looked_at_disk + DISK_EVERY_S:
            return
        self._looked_at_disk = self._now()
        with suppress(OSError):
            free = disk_usage(self._folder).free
            if free < LOW_BYTES:
                action = "Free some space: the run ends when none is left"
                text = f"{free / 1e6:.0f} MB are free on the disk of the run"
                self._alarms.raised(None, "disk_low", "MAJOR", text, action)
            else:
                self._alarms.cleared(None, "disk_low")

    def _interlock(self, event: Interlock) -> None:
        name = f"interlock_{event.name}"
        text = event.message or f"interlock {event.name} is {event.state}"
        match event.state:
            case "ok":
                self._alarms.cleared(None, name)
            case "stale":
                action = "Its signal does not come any more: look at the instrument that gives it"
                self._alarms.raised(None, name, "INVALID", text, action)
            case "latched":
                action = "Its cause is gone; look at the bench, then release it with `bellbench runs resume`"
                self._alarms.raised(None, name, "MAJOR", text, action)
            case _:
                action = "Remove the cause; nothing can be switched on before"
                self._alarms.raised(None, name, "MAJOR", text, action)

    def _happened(self, event: Happened) -> None:
        found = event.details.get("instrument")
        device = found if isinstance(found, str) else None
        for word, meaning in MEANINGS.items():
            if meaning.over == event.event:
                self._alarms.cleared(device, _name(word))
        if event.event == "reconnected" and event.details.get("not_restored"):
            action = "The run never switches emission or bias on again: do it at the instrument"
            self._alarms.raised(device, "switched_off", "MAJOR", event.message, action)
            self._alarms.cleared(device, "switched_off")
        elif event.level != "info":
            meaning = MEANINGS.get(event.event, OTHER)
            self._alarms.raised(device, _name(event.event), meaning.severity, event.message, meaning.action)
            if meaning.over is None:
                self._alarms.cleared(device, _name(event.event))


def _name(word: str) -> str:
    return word.replace(" ", "_")
