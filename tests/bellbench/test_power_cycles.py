"""Instruments of the simulated bench that are switched off and on again in the middle of a run."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bellbench.session import Session
from drivers import catalog
from drivers.address import Address
from drivers.capabilities import Laser
from experiments.config.files import load_experiment
from experiments.engine.events import Happened, RunEvent, StateChanged, StepBegan
from experiments.engine.run import RunReport
from tests.recorded import happened

CONFIGS = Path(__file__).parents[2] / "configs"
MEASURED = re.compile(r"  - calibrate_delays.*?\n(?=\nrecord:)", re.DOTALL)
"""The plan behind the bring-up."""


def configure(folder: Path, *steps: str, more: str = "") -> Path:
    """The deployed experiment, brought up and then with these steps."""
    text = (CONFIGS / "nyc_swapping.yaml").read_text()
    text, found = MEASURED.subn("".join(f"  - {step}\n" for step in steps), text)
    assert found == 1
    text = text[: text.index("published:")]
    (folder / "testbeds").mkdir()
    (folder / "testbeds/nyc.yaml").write_text((CONFIGS / "testbeds/nyc.yaml").read_text())
    (folder / "short.yaml").write_text(text.replace("raw: 1 s", "raw: 0 s") + more)
    return folder / "short.yaml"


class Hand:
    """A hand at the mains: `act` is told of every event, with its session."""

    def __init__(self, session: Session, act: Callable[[Session, RunEvent], None]) -> None:
        self.states: list[str] = []
        self._session, self._act = session, act

    def notify(self, event: RunEvent) -> None:
        if isinstance(event, StateChanged):
            self.states.append(event.state.value)
        self._act(self._session, event)


async def carry_out(file: Path, act: Callable[[Session, RunEvent], None]) -> tuple[RunReport, list[str]]:
    session = Session(load_experiment(file), file.parent / "runs", seed=3)
    hand = Hand(session, act)
    report = await session.carry_out([hand])
    assert session.bench is not None
    assert all(port.power_w == 0.0 for port in session.bench.ports.lasers.values())
    assert all(port.bias_a == 0.0 for port in session.bench.ports.nanowires.values())
    return report, hand.states


async def switch_on(session: Session, name: str) -> None:
    """What a person does with `bellbench set`: over a line of their own."""
    assert session.bench is not None
    entry = session.loaded.testbed.instruments[name]
    laser = catalog.find(entry.model)(name, Address.parse(session.bench.addresses[name]), entry.settings)
    assert isinstance(laser, Laser)
    await laser.open()
    await laser.set_emission(True)
    await laser.close()


async def test_a_tagger_and_a_pump_lose_power_and_the_run_completes(tmp_path: Path) -> None:
    victims = ["hub_tagger", "bob_pump"]
    left, by_hand = list(victims), set()

    def act(session: Session, event: RunEvent) -> None:
        assert session.bench is not None
        if not isinstance(event, Happened):
            return
        if event.event == "dwell" and left:
            session.bench.instruments[left.pop(0)].power_cycle()
        if event.event == "reconnected" and event.details["instrument"] == "bob_pump":
            by_hand.add(asyncio.get_running_loop().create_task(switch_on(session, "bob_pump")))

    plan = "calibrate_delays: {duration: 500 ms}", "measure_swapping: {bases: [ZZ], dwell: 1 s}"
    report, states = await carry_out(configure(tmp_path, *plan), act)
    assert report.ending.exit == 0, report.ending.message
    assert states == ["preparing", "running", *["paused", "running"] * 2, "completed"]
    back = happened(report.folder, "reconnected")
    assert [e["instrument"] for e in back] == victims
    assert back[0]["message"] == "hub_tagger is back: no setting to restore"  # an ID900 keeps its thresholds
    assert "NOT switched on again: power reads 0 W after 20 mW, emission reads off" in back[1]["message"]
    assert [task.exception() for task in by_hand] == [None]
    dwells, vetoed = happened(report.folder, "dwell"), happened(report.folder, "vetoed")
    assert len(dwells) == 3
    assert [e["begin_ps"] for e in vetoed] == [e["begin_ps"] for e in dwells[:2]]
    assert report.folder
    results = json.loads((report.folder / "results.json").read_text())
    assert results["live_time_s"] == 1.0
    calibrations = json.loads((report.folder / "calibrations.json").read_text())
    assert {"delays", "delays of recording 2"} <= calibrations.keys()
    # Everything stands as before, bob's pump included: physics.md 5.
    hub = [rate["value"] for name, rate in results["singles_hz"].items() if name.startswith("hub")]
    assert sum(hub) == pytest.approx(4 * 2.856e5, rel=0.02)


async def test_light_and_bias_stay_off_and_the_run_says_so(tmp_path: Path) -> None:
    victims = {"bob_pump": "emission", "hub_nanowires": "bias.4"}

    def act(session: Session, event: RunEvent) -> None:
        assert session.bench is not None
        if isinstance(event, StepBegan) and event.kind == "wait":
            for victim in victims:
                session.bench.instruments[victim].power_cycle()
            session.bench.instruments["alice_hwp"].power_cycle()

    more = "reconnection: {deadline: 60 s}\n"
    file = configure(tmp_path, "wait: {duration: 30 s}", more=more)
    report, states = await carry_out(file, act)
    assert states == ["preparing", "running", "paused", "failed"]
    assert report.ending.exit == 3
    for line, (victim, off) in zip(report.ending.message.splitlines(), victims.items(), strict=True):
        assert line.startswith(f"{victim} (tcp://127.0.0.1:")
        assert f"{off} reads" in line
        assert "paused for 60 s, and nobody switched it on again" in line
    assert [outcome.problem for outcome in report.safe] == [""] * 14
    # What neither emits nor is biased came back.
    back = {e["instrument"]: e for e in happened(report.folder, "reconnected")}
    assert back.keys() == {*victims, "alice_hwp"}
    assert back["alice_hwp"]["homed"] is True
