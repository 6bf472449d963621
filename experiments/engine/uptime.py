"""The uptime of a run: for how much of its measuring the link was up, and why it was not when it was down.

It is made of the events `Uptime` and of pauses alone, so that whoever reads the record comes to the same
(testbeds.md 1.8, 10): uptime is one less the share of time in which the photons were kept out, something was
being set right, or the run was paused. It begins with the first measurement. Data that were forgotten since
they turned out to be bad are told beside it; what they cost shows in the duty cycle, the share of time whose
data count.
"""

from dataclasses import dataclass, field

from experiments.engine.events import Happened, RunEvent, StateChanged, StepBegan, Uptime
from experiments.engine.outcome import State

MEASURING = "measure"
"""How the kinds of steps begin whose time is counted."""
PAUSED = "paused"


@dataclass
class UptimeLedger:
    """Takes every event of a run, with its time in seconds of run clock."""

    began_s: float | None = None
    down_s: dict[str, float] = field(default_factory=dict)
    """By reason: what comes before a colon."""
    vetoed_s: dict[str, float] = field(default_factory=dict)
    """Seconds of data that do not count, by the watchdog that found out."""
    _seen_s: float = 0.0
    _down: str = ""
    _paused: bool = False
    _told: bool = False
    """Whether anything was ever said about up and down."""

    def take(self, event: RunEvent, now_s: float) -> None:
        """Note an event."""
        match event:
            case StepBegan() if self.began_s is None and event.kind.startswith(MEASURING):
                self.began_s = self._seen_s = now_s
            case Uptime():
                self._pass(now_s)
                self._told = True
                self._down = (event.reason or "unknown") if event.state == "down" else ""
            case StateChanged():
                self._pass(now_s)
                self._paused = event.state is State.PAUSED
            case Happened() if event.event == "watchdog" and "vetoed_s" in event.details:
                name, seconds = str(event.details["watchdog"]), float(str(event.details["vetoed_s"]))
                if seconds:
                    self.vetoed_s[name] = self.vetoed_s.get(name, 0.0) + seconds

    def _pass(self, now_s: float) -> None:
        if self.began_s is None:
            return
        reason = self._down or (PAUSED if self._paused else "")
        if reason and now_s > self._seen_s:
            word = reason.partition(":")[0]
            self.down_s[word] = self.down_s.get(word, 0.0) + now_s - self._seen_s
        self._seen_s = now_s

    def to_results(self, now_s: float, live_s: float) -> dict[str, object]:
        """For results.json, after `live_s` seconds of data; empty for a run that nobody keeps up."""
        self._pass(now_s)
        if self.began_s is None or not self._told or now_s <= self.began_s:
            return {}
        whole_s = now_s - self.began_s
        return {
            "uptime": {"value": 1 - sum(self.down_s.values()) / whole_s, "error": None},
            "duty_cycle": {"value": live_s / whole_s, "error": None},
            "downtime_s": dict(sorted(self.down_s.items())),
            "vetoed_s": dict(sorted(self.vetoed_s.items())),
            "kept_up_for_s": whole_s,
        }
