"""`bellbench watch` shows a run from its telemetry alone, and says what to do when there is none."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import click
import pytest
from click.testing import CliRunner, Result

from bellbench.commands.watch import broker_of_newest_run, line_to_watch, watch
from telemetry.alarms import Alarms
from telemetry.broker import EmbeddedBroker
from telemetry.line import Line, Tls
from telemetry.messages import DeviceState, Estimate, Event, FieldFacts, Meta, Rates, RunState
from telemetry.messages import Result as Results
from telemetry.publisher import Publisher


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker(0) as running:
        yield running


async def command(*arguments: str) -> Result:
    """The command in a thread of its own, beside the broker and the run of the test."""
    return await asyncio.to_thread(CliRunner().invoke, watch, arguments)


def at(broker: EmbeddedBroker) -> str:
    return f"--broker=mqtt://127.0.0.1:{broker.port}"


def run_on(broker: EmbeddedBroker, run: str = "r1", **options: Any) -> Publisher:
    return Publisher(Line(broker.host, broker.port), site="nyc", run=run, **options)


async def kept(broker: EmbeddedBroker, topic: str, count: int = 1, words: bytes = b"") -> None:
    """Wait until the broker has passed on `count` messages of the topic filter with these words."""
    async with aiomqtt.Client(broker.host, broker.port) as client:
        await client.subscribe(topic, qos=1)
        async with asyncio.timeout(30):
            while count:
                message = await anext(client.messages)
                assert isinstance(message.payload, bytes)
                count -= words in message.payload


async def a_watcher_came(broker: EmbeddedBroker) -> None:
    async with asyncio.timeout(30):
        while not broker._broker.subscriptions.get("bellbench/v1/#"):  # noqa: ASYNC110 -- amqtt has no signal
            await asyncio.sleep(0.01)


def running(**more: Any) -> RunState:
    return RunState(
        state="running", experiment="nyc_swapping", step="measure_swapping", step_index=3, steps=3,
        progress=0.42, elapsed_s=252, remaining_s=3660, **more,
    )  # fmt: skip


async def test_once_prints_what_the_broker_keeps(broker: EmbeddedBroker) -> None:
    async with run_on(broker) as run:
        run.publish_state(running())
        run.publish_result(Results(estimates={"swap_rate_hz": Estimate(value=1.5234, error=0.041)}))
        await kept(broker, "bellbench/v1/nyc/#", 3)
        shown = await command("--once", at(broker))
    assert shown.exit_code == 0, shown.output
    for words in (
        "nyc_swapping", "r1", "nyc", "running", "step 3 of 3: measure_swapping", "42%", "4:12 gone",
        "1:01:00 left", "swap_rate_hz", "1.523 ± 0.041",
    ):  # fmt: skip
        assert words in shown.output
    assert "lost" not in shown.output


async def test_live_until_the_run_ends(broker: EmbeddedBroker) -> None:
    async def run_it() -> None:
        async with run_on(broker) as run:
            run.publish_state(running())
            await a_watcher_came(broker)
            run.publish_rates(
                Rates(
                    singles_hz={"alice_h": 120470.4}, heralds_hz=3.25, fourfolds=1234, fourfolds_hz=1.5,
                    figures={"chsh_s": Estimate(value=2.314, error=0.12)},
                )
            )  # fmt: skip
            run.publish_event(
                Event(level="warning", text="drifts \x1b[31m[bold]", instrument="alice_paddles")
            )
            run.publish_state(RunState(state="aborted", reason="Ctrl-C"))

    shown, _ = await asyncio.gather(command(at(broker)), run_it())
    assert shown.exit_code == 0, shown.output
    for words in (
        "aborted", "Ctrl-C", "singles alice_h", "120,470 /s", "3.25 /s", "1,234", "2.31 ± 0.12",
        "warning alice_paddles: drifts", "[bold]",
    ):  # fmt: skip
        assert words in shown.output
    assert "━singles" not in shown.output  # the bar has a line of its own
    assert "\x1b[31m" not in shown.output  # what comes from the network does not colour the terminal


async def test_instruments_and_alarms(broker: EmbeddedBroker) -> None:
    async with run_on(broker) as run:
        run.publish_state(running())
        facts = {"bias_1_a": FieldFacts(unit="A", setting=True), "enabled": FieldFacts(setting=True)}
        run.publish_meta("hub", "hub_nanowires", Meta(driver="singlequantum_websq", fields=facts))
        run.publish_device_state(
            "hub",
            "hub_nanowires",
            DeviceState(condition="ready", values={"bias_1_a": 17e-6, "enabled": True}),
        )
        run.publish_device_state("alice", "alice_pump", DeviceState(condition="lost", reason="no answer"))
        alarms = Alarms(lambda device, state: run.publish_alarm("alice", device, state))
        alarms.raised("alice_pump", "lost", "INVALID", "alice_pump is silent", "See to its cable")
        await kept(broker, "bellbench/v1/nyc/alice/alice_pump/alarm")
        shown = await command("--once", at(broker))
    assert shown.exit_code == 0, shown.output
    assert "INVALID alice_pump: alice_pump is silent. See to its cable" in shown.output
    lines = [line.split() for line in shown.output.splitlines()]
    assert ["alice/alice_pump", "lost", "no", "answer"] in lines
    assert ["hub/hub_nanowires", "ready", "bias_1", "17", "µA,", "enabled", "on"] in lines


async def test_each_message_as_a_line_of_json(broker: EmbeddedBroker) -> None:
    async with run_on(broker) as run:
        run.publish_state(running())
        run.publish_state(RunState(state="completed"))
        await kept(
            broker, "bellbench/v1/nyc/run/r1/state", words=b"completed"
        )  # "running" may be seen before
        live = await command("--json", at(broker))
        once = await command("--json", "--once", at(broker))
    for shown in (live, once):
        assert shown.exit_code == 0, shown.output
        lines = [json.loads(line) for line in shown.output.splitlines()]
        states = [line for line in lines if line["topic"] == "bellbench/v1/nyc/run/r1/state"]
        assert [state["state"] for state in states] == ["completed"]
        assert states[0]["run"] == "r1"
        assert states[0]["time"].endswith("Z")


async def test_the_newest_run_is_shown(broker: EmbeddedBroker) -> None:
    for name in ("yesterday", "today"):
        async with run_on(broker, name) as run:
            run.publish_state(RunState(state="completed"))
            run.publish_result(Results(estimates={"chsh_s": Estimate(value=2.0, error=0.1)}))
    shown = await command("--once", at(broker))
    assert "today" in shown.output
    assert "yesterday" not in shown.output


async def test_a_lost_run_is_called_lost(broker: EmbeddedBroker) -> None:
    async with run_on(broker) as run:
        run.publish_state(running())
    shown = await command("--once", at(broker))  # the process said good-bye, but not how the run ended
    assert "lost" in shown.output


async def test_live_gives_a_lost_run_up(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bellbench.commands.watch.LOST_S", 0.2)
    async with run_on(broker) as run:
        run.publish_state(running())
    shown = await command(at(broker))
    assert shown.exit_code == 3
    assert "run r1 is lost" in shown.output


async def test_foreign_messages_do_no_harm(broker: EmbeddedBroker) -> None:
    async with run_on(broker) as run, aiomqtt.Client(broker.host, broker.port) as stranger:
        run.publish_state(running())
        for topic in ("run/r9/state", "hub/status", "hub/x/tele", "what/ever/it/is"):
            for data in (b"\xff\x00", b"{}", b'{"state": "NaN"}', b"[[[["):
                await stranger.publish(f"bellbench/v1/nyc/{topic}", data, qos=1, retain=True)
        await kept(broker, "bellbench/v1/nyc/run/r1/state")
        shown = await command("--once", at(broker))
    assert shown.exit_code == 0, shown.output
    assert "measure_swapping" in shown.output


async def test_no_broker_says_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]  # bound but not listening: it refuses
        for mode in ((), ("--once",), ("--json",)):
            shown = await command(*mode, f"--broker=mqtt://127.0.0.1:{port}")
            assert shown.exit_code == 3
            assert f"no MQTT broker at 127.0.0.1:{port} (connection refused)" in shown.output
            assert "bellbench run" in shown.output
            assert "--broker" in shown.output


async def test_a_broker_without_a_run(broker: EmbeddedBroker) -> None:
    shown = await command("--once", at(broker))
    assert shown.exit_code == 3
    assert "knows of no run" in shown.output


async def test_the_newest_run_folder_names_the_broker(broker: EmbeddedBroker, tmp_path: Path) -> None:
    for name, port in (("2026-11-21T03-10-07Z-a", 1), ("2026-11-22T03-10-07Z-a", broker.port)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({"broker": {"host": "127.0.0.1", "port": port}}))
    (tmp_path / "2026-11-23T00-00-00Z-broken").mkdir()
    (tmp_path / "2026-11-23T00-00-00Z-broken" / "run.json").write_text("{")
    async with run_on(broker) as run:
        run.publish_state(running())
        await kept(broker, "bellbench/v1/nyc/run/r1/state")
        shown = await command("--once", f"--runs={tmp_path}")
    assert "measure_swapping" in shown.output


def test_no_run_folders_no_broker(tmp_path: Path) -> None:
    assert broker_of_newest_run(tmp_path) is None
    assert broker_of_newest_run(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("mqtt://127.0.0.1:18830", ("127.0.0.1", 18830)),
        ("mqtt://lab.example", ("lab.example", 1883)),
        ("lab:1884", ("lab", 1884)),
        ("mqtt://[::1]:1884/", ("::1", 1884)),
    ],
)
def test_broker_addresses(text: str, address: tuple[str, int]) -> None:
    line, root = line_to_watch(text, Path("no runs"), {})
    assert ((line.host, line.port), line.tls, root) == (address, None, "bellbench")


def test_mqtts_has_its_own_port_and_tls() -> None:
    line, _ = line_to_watch("mqtts://lab.example", Path("no runs"), {})
    assert (line.port, line.tls) == (8883, Tls())


def test_the_newest_run_says_how_to_get_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "hunter2")
    broker = {"host": "::1", "port": 1884, "root": "lab/3", "tls": True, "password": "${env:LAB_PASSWORD}"}
    (tmp_path / "2026-11-22").mkdir()
    (tmp_path / "2026-11-22/run.json").write_text(json.dumps({"broker": broker}))
    line, root = line_to_watch(None, tmp_path, {})
    assert (line, root) == (Line("::1", 1884, None, "hunter2", Tls()), "lab/3")
    assert "hunter2" not in repr(line)


def test_a_password_on_the_command_line_is_refused() -> None:
    done = CliRunner().invoke(watch, ["--password", "hunter2"])
    assert done.exit_code == 2
    assert "${env:NAME}" in done.output
    assert "hunter2" not in done.output


@pytest.mark.parametrize(
    "text", ["http://a:1", "mqtt://", "mqtt://a:x", "mqtt://a:99999", "mqtt://u:p@a", "a/b"]
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(click.BadParameter, match="mqtt://HOST:PORT"):
        line_to_watch(text, Path("no runs"), {})


def test_a_runs_folder_that_is_not_there_is_said() -> None:
    done = CliRunner().invoke(watch, ["--runs", "/no/such/folder", "--once"])
    assert done.exit_code == 2
    assert "there is no folder /no/such/folder" in done.output
