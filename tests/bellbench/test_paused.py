"""How people are told that a run has paused."""

import io

from rich.console import Console

from bellbench.display import LiveDisplay, PlainLines
from bellbench.telemetry import TelemetryObserver
from experiments.engine.events import RunEvent, StateChanged, StepBegan
from experiments.engine.outcome import State
from telemetry.messages import AlarmState, RunState

WHY = "alice_hwp: does not stand as the run left it: has lost its zero"
EVENTS: tuple[RunEvent, ...] = (
    StateChanged("r1", State.RUNNING),
    StepBegan(3, 3, "measure_swapping", 10.0),
    StateChanged("r1", State.PAUSED, WHY),
)


def picture(display: LiveDisplay) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(display.render())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_in_lines() -> None:
    out = io.StringIO()
    lines = PlainLines(Console(file=out, width=120))
    for event in EVENTS:
        lines.notify(event)
    assert out.getvalue().splitlines()[-1] == f"r1: paused: {WHY}"


def test_in_the_picture() -> None:
    display = LiveDisplay(Console(file=io.StringIO()), "toy")
    for event in EVENTS:
        display.notify(event)
    assert "paused" in picture(display)
    assert WHY in picture(display)
    # A tagger came back: an earlier step is done again first.
    display.notify(StateChanged("r1", State.RUNNING, "measure_swapping goes on from its last safe point"))
    display.notify(StepBegan(2, 3, "calibrate_delays", 2.0))
    assert WHY not in picture(display)
    assert "3/3 measure_swapping  interrupted" in picture(display)


def test_in_telemetry() -> None:
    class Heard:
        def __init__(self) -> None:
            self.states: list[RunState] = []

        def publish_state(self, state: RunState) -> None:
            self.states.append(state)

        def publish_alarm(self, node: str | None, device: str | None, alarm: AlarmState) -> None:
            """Not looked at here."""

    heard = Heard()
    observer = TelemetryObserver(heard, "toy", {}, {})  # type: ignore[arg-type]
    for event in EVENTS:
        observer.notify(event)
    assert (heard.states[-1].state, heard.states[-1].reason) == ("paused", WHY)
    assert heard.states[-1].step == "measure_swapping"
