"""The examples for those who listen: they fit the contract, and what can be run here is run."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from telemetry.broker import EmbeddedBroker
from telemetry.commands import Request
from telemetry.contract import KINDS, STAMP, schema
from telemetry.line import Line, connect
from telemetry.messages import Event, RunState
from telemetry.publisher import Publisher
from telemetry.topics import parse
from telemetry.wire import rfc3339

EXAMPLES = Path(__file__).parents[2] / "examples"
TOPICS = {
    re.sub(r"\{\w+\}", "+", f"bellbench/v1/{kind.topic}") for kind in KINDS
} | {"bellbench/v1/+/run/+/command"}  # fmt: skip


async def test_the_subscriber_prints_each_message_once() -> None:
    script = EXAMPLES / "subscriber.py"
    assert len(script.read_text().splitlines()) <= 27  # twenty lines of code and their blank ones
    async with (
        EmbeddedBroker(0) as broker,
        Publisher(Line(broker.host, broker.port), site="nyc", run="r1") as run,
    ):
        run.publish_state(RunState(state="running"))
        async with connect(run.line) as anybody:  # what is no message of a run is passed over
            foreign = ('{"id": "a", "command": "pause"}', "", "[]", '{"boot": []}')
            for number, text in enumerate(foreign):
                await anybody.publish(f"bellbench/v1/nyc/run/{number}/command", text, qos=1, retain=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), broker.host, str(broker.port), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(30):
                first = {(await process.stdout.readline()).decode() for _ in range(2)}  # what is retained
                run.publish_event(Event(level="info", text="hello"))
                second = (await process.stdout.readline()).decode()
        finally:
            process.kill()
            await process.wait()
    assert sorted(line.split()[1:5] for line in first) == [
        ["nyc", "control", "status", "{'run':"], ["nyc", "run", "r1", "state"],
    ]  # fmt: skip
    assert "control run event {'run': 'r1', 'level': 'info', 'text': 'hello'" in second


def test_telegraf_takes_its_tags_from_our_topics_and_reads_our_time() -> None:
    document = tomllib.loads((EXAMPLES / "telegraf.conf").read_text())
    [consumer] = document["inputs"]["mqtt_consumer"]
    assert set(consumer["topics"]) <= TOPICS
    assert {parsing["topic"] for parsing in consumer["topic_parsing"]} == set(consumer["topics"])
    for parsing in consumer["topic_parsing"]:
        for levels in (parsing["tags"], parsing["measurement"]):
            assert levels.count("/") == parsing["topic"].count("/")
        tags = parsing["tags"].split("/")
        assert [tag for tag in tags if tag != "_"] == ["site", "node", "device"]
        place = parse("bellbench", parsing["topic"].replace("+", "x"))
        assert place is not None
        assert tags.index("site") == 2
    assert set(consumer["tag_keys"]) <= set(STAMP)
    # Go writes layouts as the moment 2006-01-02 15:04:05 (package time); ours in that moment is the layout.
    assert rfc3339(datetime.fromisoformat("2006-01-02T15:04:05Z")) == consumer["json_time_format"]
    texts = {name for kind in KINDS for name in schema(kind)["properties"]}
    assert set(consumer["json_string_fields"]) <= texts


def test_grafana_asks_for_fields_that_there_are() -> None:
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    known = {name for kind in KINDS for name in schema(kind)["properties"]} | {
        "chsh_s",
        "chsh_s_error",
        "power_w",
    }
    asked: set[str] = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            assert re.search(r'_measurement == "(tele|state|alarm)"', target["query"])
            asked |= set(re.findall(r'_field == "(\w+)"', target["query"]))
    assert asked <= known
    assert asked
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
    assert len(set(places)) == len(places)


def test_node_red_is_wired_up_and_speaks_of_our_topics() -> None:
    flow = json.loads((EXAMPLES / "node-red-flow.json").read_text())
    names = {node["id"] for node in flow}
    for node in flow:
        assert {target for wires in node.get("wires", []) for target in wires} <= names
        if node["type"] == "mqtt in":
            assert node["topic"] in TOPICS


def test_node_red_s_functions_do_what_they_say() -> None:
    """In plain JavaScript, with stand-ins for what Node-RED gives them."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; the functions of the Node-RED flow are not run")
    flow = {part["id"]: part for part in json.loads((EXAMPLES / "node-red-flow.json").read_text())}

    arguments = "'msg', 'context', 'flow', 'RED'"

    def run(script: str) -> Any:
        stand_in = (
            "const kept = {}; const context = {get: k => kept[k], set: (k, v) => {kept[k] = v}};"
            "const flow = context; const RED = {util: {generateId: () => 'abc'}};"
            + "".join(
                f"const {name} = new Function({arguments}, {json.dumps(flow[name]['func'])});"
                for name in ("bb_alarm", "bb_state", "bb_command")
            )
            + "const call = (f, msg) => f(msg, context, flow, RED);"
        )
        done = subprocess.run([node, "-e", stand_in + script], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    said = run(
        "const topic = 'bellbench/v1/nyc/hub/wires/alarm'; const out = [];"
        "for (const severity of ['MINOR', 'MINOR', 'MAJOR', 'NO_ALARM', 'INVALID'])"
        "  out.push(call(bb_alarm, {topic, payload: {severity, text: 'look'}}));"
        "console.log(JSON.stringify(out.map(m => m && m.payload)))"
    )
    assert said == [
        "MINOR nyc hub/wires: look", None, "MAJOR nyc hub/wires: look", None, "INVALID nyc hub/wires: look",
    ]  # fmt: skip
    asked = run(
        "call(bb_state, {topic: 'bellbench/v1/nyc/run/r1/state', payload: {state: 'running'}});"
        "console.log(JSON.stringify(call(bb_command, {payload: 'pause'})))"
    )
    assert asked["topic"] == "bellbench/v1/nyc/run/r1/command"
    assert asked["retain"] is False
    request = Request.model_validate_json(asked["payload"])
    assert (request.id, request.command) == ("abc", "pause")
