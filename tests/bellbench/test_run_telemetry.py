"""A run as those see it who have nothing but its telemetry: instruments, alarms, commands."""

import asyncio
import json
import ssl
from collections import namedtuple
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import click
import pytest

from bellbench.broker_line import leftovers_for, line_from, line_of, written
from bellbench.cli import call
from bellbench.last_words import tell
from bellbench.remote import desk_for
from bellbench.telemetry import TelemetryObserver
from experiments.config.plan import Wait
from experiments.config.telemetry import Telemetry
from experiments.engine.control import RunControl
from experiments.engine.events import (
    Baseline,
    Finished,
    Happened,
    Interlock,
    Live,
    Progress,
    Rates,
    Readings,
    SafeSeen,
    StateChanged,
)  # fmt: skip
from experiments.engine.outcome import Ending, Exit, State
from experiments.engine.record import RunFolder
from experiments.engine.run import execute
from experiments.estimators.estimate import Estimate
from telemetry.broker import EmbeddedBroker
from telemetry.line import Line, Tls
from telemetry.messages import AlarmState, DeviceState, Event, Meta, Result, RunState
from telemetry.messages import Rates as RatesMessage
from telemetry.outbox import Outbox
from telemetry.publisher import Publisher
from telemetry.subscriber import retained
from telemetry.view import RunView
from telemetry.wire import Payload, rfc3339
from tests.experiments.fakes import BRING_UP, FakeLaser, ToyBench, experiment

FULL = Ending(State.FAILED, Exit.STORAGE, "disk full")
OUTSIDE = Ending(State.COMPLETED, Exit.OUTSIDE_ACCEPTANCE, "S is 1.9")


class Told:
    """A publisher that keeps what it is given, by device."""

    def __init__(self) -> None:
        self.messages: list[tuple[str | None, Payload]] = []

    def publish_state(self, state: RunState) -> None:
        self.messages.append((None, state))

    def publish_event(self, event: Event) -> None:
        self.messages.append((event.instrument, event))

    def publish_result(self, result: Result) -> None:
        self.messages.append((None, result))

    def publish_rates(self, rates: RatesMessage) -> None:
        self.messages.append((None, rates))

    def publish_alarm(self, node: str | None, device: str | None, alarm: AlarmState) -> None:
        self.messages.append((device, alarm))

    def _publish_device(self, node: str, device: str, payload: Payload) -> None:
        assert node == "alice"
        self.messages.append((device, payload))

    publish_meta = publish_device_state = publish_readings = _publish_device

    def last(self, device: str | None, kind: type[Payload]) -> Any:
        return [payload for name, payload in self.messages if name == device and type(payload) is kind][-1]

    def count(self, kind: type[Payload]) -> int:
        return sum(type(payload) is kind for _, payload in self.messages)


class Watch:
    """An observer of a laser called `pump`, with a clock of its own."""

    def __init__(self, folder: Path | None = None) -> None:
        self.told, self.now_s = Told(), 0.0
        laser = FakeLaser("pump", [])
        self.observer = TelemetryObserver(
            self.told, "toy", {"pump": laser}, {"pump": "alice"}, folder=folder, now=lambda: self.now_s  # type: ignore[arg-type]
        )  # fmt: skip

    @property
    def alarm(self) -> AlarmState:
        found = self.told.last("pump", AlarmState)
        assert isinstance(found, AlarmState)
        return found

    @property
    def run_alarm(self) -> AlarmState:
        found = self.told.last(None, AlarmState)
        assert isinstance(found, AlarmState)
        return found


def test_who_an_instrument_is_and_what_its_fields_mean() -> None:
    watch = Watch()
    identity = {"manufacturer": "TOPTICA", "model": "DLC pro", "serial_number": "D-1", "firmware": "3.2"}
    watch.observer.notify(Happened("instrument", "pump: ...", {"instrument": "pump", **identity}))
    meta = watch.told.last("pump", Meta)
    assert (meta.serial_number, meta.firmware) == ("D-1", "3.2")
    laser = FakeLaser("pump", [])
    [power] = [control for control in laser.controls() if control.name == "power"]
    assert power.limits is not None
    facts = meta.fields["power_w"]
    assert (facts.unit, facts.low, facts.high, facts.setting) == (
        "W",
        power.limits.low,
        power.limits.high,
        True,
    )


def test_an_instrument_is_told_on_change_alone() -> None:
    watch = Watch()
    watch.observer.notify(Baseline("before", "pump", {"power": 0.0, "emission": False}))
    watch.observer.notify(Readings("pump", {"power": 0.0, "emission": False}))
    watch.observer.notify(Readings("pump", {"power": 0.02, "emission": True}))
    states = [payload for _, payload in watch.told.messages if isinstance(payload, DeviceState)]
    assert states == [
        DeviceState(condition="ready", values={"power_w": 0.0, "emission": False}),
        DeviceState(condition="ready", values={"power_w": 0.02, "emission": True}),
    ]


def test_a_lost_instrument_and_its_return() -> None:
    watch = Watch()
    watch.observer.notify(Happened("lost", "pump: no answer within 2 s", {"instrument": "pump"}, "warning"))
    state = watch.told.last("pump", DeviceState)
    assert (state.condition, state.reason) == ("lost", "pump: no answer within 2 s")
    assert (watch.alarm.severity, watch.alarm.unacknowledged) == ("INVALID", 1)
    assert "see to its power and its cable" in watch.alarm.alarms["lost"].action
    details = {"instrument": "pump", "not_restored": ["emission reads off after on"]}
    watch.observer.notify(Happened("reconnected", "pump is back", details, "warning"))
    assert watch.told.last("pump", DeviceState).condition == "ready"
    assert watch.alarm.alarms["lost"].active is False  # latched until somebody has seen it
    assert watch.alarm.alarms["switched_off"].severity == "MAJOR"
    assert watch.observer.alarms.acknowledge("ann") == 2
    assert watch.alarm == AlarmState()


@pytest.mark.parametrize(
    ("event", "device", "name", "severity", "active"),
    [
        (Interlock("hot", "tripped", 3e-4, "hot tripped"), None, "interlock_hot", "MAJOR", True),
        (Interlock("wire", "latched", 1.0, "wire 2 latched"), None, "interlock_wire", "MAJOR", True),
        (Interlock("cold", "stale", None, "no signal"), None, "interlock_cold", "INVALID", True),
        (Happened("tags lost", "5", {"instrument": "pump"}, "warning"), "pump", "tags_lost", "MAJOR", False),
        (Happened("delay jumped", "by 3 ns", {}, "warning"), None, "delay_jumped", "MINOR", False),
        (SafeSeen("pump", False, "still emits"), "pump", "not_safe", "MAJOR", True),
        (StateChanged("r1", State.PAUSED, "ann asked"), None, "paused", "MINOR", True),
        (Finished("r1", FULL, None), None, "ended", "MAJOR", True),
        (Finished("r1", OUTSIDE, None), None, "ended", "MINOR", True),
    ],
)  # fmt: skip
def test_what_is_an_alarm(event: Any, device: str | None, name: str, severity: str, active: bool) -> None:
    watch = Watch()
    watch.observer.notify(event)
    alarms = watch.told.last(device, AlarmState).alarms
    assert (alarms[name].severity, alarms[name].active) == (severity, active)
    assert len(alarms[name].action) > 10  # says what to do


def test_what_is_none() -> None:
    watch = Watch()
    before = watch.told.count(AlarmState)
    assert before == 2  # what an earlier run left is wiped: of the run and of the pump
    for event in (
        Happened("recording", "recording: alice_tagger, hub_tagger"),
        Interlock("pump_high", "ok", 1e-4),
        SafeSeen("pump", True),
        StateChanged("r1", State.RUNNING),
        Finished("r1", Ending(State.COMPLETED, Exit.DONE), {}),
        Finished("r1", Ending(State.ABORTED, Exit.ABORTED, "Ctrl-C"), None),
    ):
        watch.observer.notify(event)
    assert watch.told.count(AlarmState) == before


def test_a_nanowire_that_latches_and_recovers() -> None:
    watch = Watch()
    watch.observer.notify(Readings("pump", {"latched.1": False, "latched.2": True}))
    alarm = watch.alarm.alarms["latched"]
    assert (alarm.severity, alarm.active) == ("MAJOR", True)
    assert "pump latched.2" in alarm.text
    watch.observer.notify(Readings("pump", {"latched.1": False, "latched.2": False}))
    assert watch.alarm.alarms["latched"].active is False
    assert watch.alarm.unacknowledged == 1


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 5e9
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("bellbench.alarms.disk_usage", lambda folder: usage(free))
    watch = Watch(tmp_path)
    before = watch.told.count(AlarmState)
    watch.observer.notify(Progress("x", 0, 1))
    assert watch.told.count(AlarmState) == before
    free = 4e8
    watch.observer.notify(Progress("x", 0, 1))  # it is not asked all the time
    assert watch.told.count(AlarmState) == before
    watch.now_s = 60
    watch.observer.notify(Progress("x", 0, 1))
    assert watch.run_alarm.text == (
        "400 MB are free on the disk of the run. Free some space: the run ends when none is left"
    )
    free, watch.now_s = 5e9, 120
    watch.observer.notify(Progress("x", 0, 1))
    assert watch.run_alarm.alarms["disk_low"].active is False


async def test_the_guardian_speaks_for_a_run_that_cannot(tmp_path: Path) -> None:
    """After what the run itself had left, and at the next occasion where no broker answers."""
    async with EmbeddedBroker(0) as broker:
        here = {"host": broker.host, "port": broker.port, "root": "bellbench", "site": "toy"}
        for name in ("a", "b"):
            await leave(tmp_path / name, here | ({"port": 1} if name == "b" else {}), "the run's last")
            await asyncio.to_thread(tell, tmp_path / name, "the run was killed; 3 of 3 instruments safe")
        view = RunView()
        for message in await retained(Line(broker.host, broker.port), root="bellbench"):
            view.take(message)
    assert view.state == RunState(state="interrupted", reason="the run was killed; 3 of 3 instruments safe")
    alarm = view.devices["control", "run"].alarm
    assert alarm is not None
    assert "Go and look at the bench" in alarm.alarms["guardian"].action
    assert not (tmp_path / "a/outbox.sqlite").exists()
    left = Outbox(tmp_path / "b/outbox.sqlite")
    assert [json.loads(message.payload).get("text") for message in left.take(9)] == [
        "the run's last", None, "the run was killed; 3 of 3 instruments safe", alarm.text,
    ]  # fmt: skip
    left.close()
    with pytest.raises(FileNotFoundError):
        tell(tmp_path, "no outbox here")


def test_an_interlock_that_is_over_waits_to_be_seen() -> None:
    watch = Watch()
    watch.observer.notify(Interlock("pump_high", "tripped", 3e-4, "pump_high: 300 uW"))
    watch.observer.notify(Interlock("pump_high", "ok", 1e-4))
    assert watch.run_alarm.alarms["interlock_pump_high"].active is False
    watch.observer.alarms.acknowledge("ann", None, "interlock_pump_high")
    assert watch.run_alarm == AlarmState()


async def test_the_run_s_own_alarms_are_acknowledged_as_the_contract_names_them() -> None:
    watch = Watch()
    watch.observer.notify(StateChanged("r1", State.PAUSED, "ann asked"))
    desk = desk_for(("acknowledge",), RunControl(), watch.observer.alarms)
    assert desk is not None
    request = {"id": "1", "command": "acknowledge", "device": "run",
               "expires": rfc3339(datetime.now(UTC) + timedelta(seconds=30))}  # fmt: skip
    answered = await desk.take(json.dumps(request).encode(), "answer", retained=False)
    assert answered is not None
    assert (answered[1].result, answered[1].reason) == ("accepted", "1 alarm acknowledged")


def test_figures_come_at_the_rates_of_the_contract() -> None:
    """Twice a second and once a second, however fast a simulated world runs."""
    watch = Watch()
    for tick in range(200):  # two seconds
        watch.now_s = tick / 100
        watch.observer.notify(Rates({"alice_h": 1e5}))
        watch.observer.notify(Progress("x", tick, 200 - tick))
    assert watch.told.count(RatesMessage) == 4
    assert watch.told.count(RunState) == 2
    watch.observer.notify(StateChanged("r1", State.COMPLETED))  # at once
    assert watch.told.last(None, RunState).elapsed_s == 199


def test_the_figures_of_whatever_is_measured() -> None:
    watch = Watch()
    found = {"chsh_s": Estimate(2.4, 0.1), "near.qber": Estimate(0.03, 0.01), "car": None}
    watch.observer.notify(Live(heralds=50, fourfolds=10, live_s=10.0, figures=found))
    watch.observer.notify(Rates({"alice_h": 1e5}, interval_s=0.5))
    rates = watch.told.last(None, RatesMessage)
    assert (rates.heralds_hz, rates.fourfolds, rates.fourfolds_hz) == (5.0, 10, 1.0)
    assert {name: (e.value, e.error) for name, e in rates.figures.items()} == {
        "chsh_s": (2.4, 0.1), "near.qber": (0.03, 0.01),
    }  # fmt: skip


async def test_a_whole_run_and_the_command_that_makes_it_safe(tmp_path: Path) -> None:
    """Over a real broker, with nothing but what it keeps: who was there, and that all are safe now."""
    bench, control = ToyBench(), RunControl()
    folder = RunFolder.create(tmp_path, "toy_swapping")
    async with EmbeddedBroker(0) as broker:
        line = Line(broker.host, broker.port)
        publisher = Publisher(line, site="toy", run=folder.name)
        observer = TelemetryObserver(
            publisher, "toy", bench.instruments, dict.fromkeys(bench.instruments, "lab")
        )
        publisher.commands = desk_for(("safe", "acknowledge"), control, observer.alarms)
        topic = f"bellbench/v1/toy/run/{folder.name}"

        async def make_safe() -> list[Any]:
            answers = []
            async with aiomqtt.Client(broker.host, broker.port) as client:
                await client.subscribe(f"{topic}/#", qos=1)
                expires = rfc3339(datetime.now(UTC) + timedelta(seconds=30))
                async for message in client.messages:
                    fields = json.loads(message.payload)
                    if (fields.get("state"), fields.get("step"), answers) == ("running", "wait", []):
                        for word in ("resume", "safe", "safe"):
                            request = {"id": word, "command": word, "by": "ann", "expires": expires}
                            await client.publish(f"{topic}/command", json.dumps(request), qos=1)
                        answers = [None]
                    if message.topic.value.endswith("/answer"):
                        answers.append((fields["id"], fields["result"]))
                        if len(answers) == 4:
                            return answers[1:]
            raise AssertionError("the broker went away")

        async with publisher:
            operator = asyncio.create_task(make_safe())
            report = await execute(
                experiment([BRING_UP, Wait.model_validate({"duration": "10 h"})]),
                bench.instruments,
                bench.clock,
                folder,
                seed=7,
                control=control,
                observers=[observer],
            )  # fmt: skip
            answers = await asyncio.wait_for(operator, 10)
        view = RunView()
        for message in await retained(line, root="bellbench"):
            view.take(message)
    assert report.ending.state is State.ABORTED
    assert "safe by ann over telemetry" in report.ending.message
    assert answers == [("resume", "refused"), ("safe", "accepted"), ("safe", "refused")]
    assert view.state is not None
    assert (view.state.state, view.presence) == ("aborted", "disconnected")
    for name in bench.instruments:
        device = view.devices["lab", name]
        assert device.meta is not None
        assert device.meta.serial_number
        assert device.state is not None
        assert device.state.condition == "safe"
        assert device.alarm == AlarmState()


async def test_the_line_is_written_down_without_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:

    monkeypatch.setenv("LAB_PASSWORD", "hunter2")
    ca = tmp_path / "ca.crt"
    monkeypatch.setattr(ssl, "create_default_context", lambda cafile: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    ca.write_text("")
    section = Telemetry(broker="mqtts://lab", password="${env:LAB_PASSWORD}", ca=str(ca), root="lab/3")
    async with AsyncExitStack() as stack:
        line = await line_of(section, stack)
    assert line == Line("lab", 8883, None, "hunter2", Tls(ca))
    about = written(section, line, "nyc")
    assert "hunter2" not in json.dumps(about)
    assert line_from(about) == line
    monkeypatch.delenv("LAB_PASSWORD")
    with pytest.raises(click.UsageError, match="LAB_PASSWORD"):
        line_from(about)


async def leave(folder: Path, about: dict[str, object], text: str) -> None:
    """An outbox as a killed run leaves it."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    publisher = Publisher(
        Line("127.0.0.1", 1),
        site="toy",
        run=folder.name,
        outbox=Outbox(folder / "outbox.sqlite", about=about),
    )
    publisher.publish_event(Event(level="info", text=text))
    await publisher.stored()
    publisher._close()


async def test_the_next_run_for_the_same_broker_sends_what_an_earlier_one_left(tmp_path: Path) -> None:
    async with EmbeddedBroker(0) as broker:
        here = {"host": broker.host, "port": broker.port, "root": "bellbench"}
        await leave(tmp_path / "a", here, "left by a")
        await leave(tmp_path / "b", here | {"port": 1}, "for another broker")
        (tmp_path / "c").mkdir()
        (tmp_path / "c/outbox.sqlite").write_bytes(b"no database" * 100)
        found = leftovers_for(here, tmp_path)
        assert found == [tmp_path / "a/outbox.sqlite"]
        async with aiomqtt.Client(broker.host, broker.port) as client:
            await client.subscribe("bellbench/v1/toy/control/run/event", qos=1)
            line = Line(broker.host, broker.port)
            async with Publisher(line, site="toy", run="d", leftovers=found) as run:
                run.publish_event(Event(level="info", text="new"))
                async with asyncio.timeout(5):
                    texts = {json.loads((await anext(client.messages)).payload)["text"] for _ in range(2)}
    assert texts == {"left by a", "new"}
    assert not (tmp_path / "a/outbox.sqlite").exists()
    assert (tmp_path / "b/outbox.sqlite").exists()


async def test_flush_sends_each_to_its_own_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with EmbeddedBroker(0) as broker:
        here = {"host": broker.host, "port": broker.port, "root": "bellbench"}
        await leave(tmp_path / "a", here, "left by a")
        await leave(tmp_path / "b", here | {"port": 1}, "for another broker")
        code = await asyncio.to_thread(call, ["telemetry", "flush", "--runs", str(tmp_path)])
    said = capsys.readouterr()
    assert code == 3
    assert said.out == "a: 1 messages sent, 0 left\n"
    assert said.err == "b: 1 messages left, broker at 127.0.0.1:1: connection refused\n"
    assert not (tmp_path / "a/outbox.sqlite").exists()
    assert await asyncio.to_thread(call, ["telemetry", "flush", "--runs", str(tmp_path / "a")]) == 0


async def test_a_state_that_was_left_does_not_undo_a_newer_one(tmp_path: Path) -> None:
    async with EmbeddedBroker(0) as broker:
        here = {"host": broker.host, "port": broker.port, "root": "bellbench"}
        folder = tmp_path / "old"
        folder.mkdir()
        line = Line(broker.host, broker.port)
        old = Publisher(line, site="toy", run="old", outbox=Outbox(folder / "outbox.sqlite", about=here))
        old.publish_device_state("alice", "pump", DeviceState(condition="ready"))
        old.publish_state(RunState(state="running"))
        await old.stored()
        old._close()
        async with Publisher(line, site="toy", run="new") as new:
            new.publish_device_state("alice", "pump", DeviceState(condition="safe"))
        await asyncio.to_thread(call, ["telemetry", "flush", "--runs", str(tmp_path)])
        kept = {message.topic: message.payload for message in await retained(line, root="bellbench")}
    assert kept["bellbench/v1/toy/alice/pump/state"] == DeviceState(condition="safe")
    assert kept["bellbench/v1/toy/run/old/state"] == RunState(state="running")
