"""Write `docs/telemetry.md`, `docs/telemetry/*.json` and `docs/telemetry/asyncapi.yaml`:
`.venv/bin/python -m docs.make_telemetry`, a second.

Everything that the page says of topics, kinds and fields comes from `telemetry.contract` and the payload
models; a test holds the files to what this module gives.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from telemetry import outbox
from telemetry.commands import LONGEST_S, MAX_REQUEST_BYTES
from telemetry.contract import FORMAT, KINDS, STAMP, Kind, request_schema, schema
from telemetry.wire import MAX_BYTES

DOCS = Path(__file__).parent
ROOT = "bellbench/v1"
MAX_MESSAGES, OUTBOX_MIB = outbox.MAX_MESSAGES, outbox.MAX_BYTES // 2**20

INTRODUCTION = f"""\
# Telemetry

What a run tells over MQTT, so that you can rely on it without reading our code. Version **{FORMAT}** of the
contract; the `v1` in the topics is its first number. JSON Schemas of all messages and an
[AsyncAPI file](telemetry/asyncapi.yaml) lie in [`telemetry/`](telemetry/). This page and those files are
written by `.venv/bin/python -m docs.make_telemetry` from the table that publisher and subscriber work from.
Things to start from (Mosquitto with TLS and an access list, Telegraf, Grafana, Node-RED, a subscriber of
twenty lines) are in [`examples/`](../examples/README.md). `bellbench watch` shows a run from its telemetry
alone.

## Rules that hold for every message

- MQTT 3.1.1, QoS 1. The first level is `bellbench` unless the experiment file says otherwise
  (`telemetry: {{root: ...}}`).
- A message is one flat JSON object (RFC 8259) of at most {MAX_BYTES} bytes: texts, numbers, booleans, null.
  What is not known or not finite is null, never NaN.
- Units stand in the names of fields (`power_w`, `singles_alice_h_hz`) and, for instruments, in `meta`; values
  are plain numbers in SI units.
- Topics have a fixed depth, so that subscribers take the tags from them. Names of sites, nodes and devices
  are those of the testbed file; a letter that is none of `A-Z a-z 0-9 _ . -` becomes `_`.
- Every message carries this stamp:
"""

NUMBERS = """
### Numbers, duplicates and gaps

A message may come **twice** (after a broken line, a restart of the broker, or a `bellbench telemetry flush`);
it then has the same `boot` and `seq`. Drop the second.

A retained message is a **snapshot**, and its `change` says which change it is: whoever comes late reads the
snapshots, and goes on with change + 1. A **gap** in `change` on one topic means: on `tele` and `event`, that
messages were dropped (the outbox was full; `status` says how many); on retained topics, that a state was
replaced by a newer one before it could be sent, which loses nothing; on `status`, also that a last will was
not needed. A new `boot` begins again at 1.

Messages on one topic come in order, except that what an earlier process left may come after what a later one
sent. Where that matters, go by `time`.
"""

LOSS = f"""
## What is lost, and when

Nothing that a run has stored. A message goes to an outbox on disk (`outbox.sqlite` in the run folder) within
milliseconds, and leaves it when the broker has acknowledged it *and* has shown that it passes its topic on.
The outbox outlives the broker and the process: the next run for the same broker sends what is left, and
`bellbench telemetry flush` does so at once. It holds {MAX_MESSAGES:,} messages or {OUTBOX_MIB} MiB. When it
is full, the oldest `tele` messages go first, then the oldest `event` messages, those of level `info` before
the others. States, alarms and results are never dropped. What is dropped is counted in `status`. After a
power cut the last moments may be missing.

**Who subscribes** must keep up, or have a broker that waits: Mosquitto keeps 1000 messages for each
subscriber and drops what comes beyond, unless `max_queued_messages` says more. And a broker whose access
list denies a topic acknowledges what it throws away; therefore the account that publishes must be allowed
to read what it writes: bellbench looks whether the first message on each topic comes back, and keeps what
does not.

## Presence

`status` is `ready` while there is a line, `disconnected` after an orderly end, and `lost`, left with the
broker as last will, when the line breaks or the process hangs for longer than about 1.5 times its keep-alive
time (10 s). A run whose state is not final and whose `status`, of the same `boot`, is not `ready` is one of
which nothing is known.
"""

ALARMS = """
## Alarms

`alarm` of a device (`run` for the run as a whole) holds all its alarms. An alarm has a severity in the words
of EPICS: `MINOR` (have a look in working hours), `MAJOR` (the run is hindered or data are lost: act now),
`INVALID` (an instrument does not answer, so nothing is known of it). It stands until its cause is gone *and*
somebody has acknowledged it. Each says what is wrong and what to do.
"""

COMMANDS = f"""
## Commands

Off unless the experiment file allows them: `telemetry: {{commands: [pause, stop, safe, acknowledge]}}`.
There is none that adds energy: no resume, no set, no switching on.

| command | what the run does |
|---|---|
| `pause` | waits at its next safe point until somebody resumes it at its computer |
| `stop` | finishes well at its next safe point; what was measured is kept |
| `safe` | makes every instrument safe now, and ends as aborted |
| `acknowledge` | marks alarms as seen: all, those of one `device`, or those of one name (`alarm`) |

A request is a JSON object on `{ROOT}/<site>/run/<run>/command`, QoS 1, **not retained**, at most
{MAX_REQUEST_BYTES} bytes:
"""

ANSWERS = f"""
It is refused when it is retained, when its id was used before, when it has expired or would expire more
than {LONGEST_S:g} s from now, when it is unknown or not allowed, and when it has a field that is not here.
Each request with an id is answered on its `response_topic`; an accepted one is carried out, once.

## What may change within v1

Kinds and fields may be **added**: ignore what you do not know. None is removed or renamed, none changes its
type, unit or meaning, and no message is retained that was not or the reverse. Rates stay at or below those
stated. Anything else is `v2`, on other topics.
"""


def page() -> str:
    """`docs/telemetry.md`."""
    parts = [INTRODUCTION, *_table(_rows(STAMP, STAMP)), NUMBERS, "## Topics and kinds", ""]
    parts += ["| topic | retained | when | schema |", "|---|---|---|---|"]
    for kind in KINDS:
        topic = _shown(kind.topic)
        retained = "yes" if kind.retained else "no"
        parts.append(f"| `{topic}` | {retained} | {kind.rate} | [{kind.name}](telemetry/{kind.name}.json) |")
    for kind in KINDS:
        parts += _section(kind)
    parts += [LOSS, ALARMS, COMMANDS]
    asked = request_schema()
    parts += _table(_rows(asked["properties"], asked["required"]))
    return "\n".join([*parts, ANSWERS]).rstrip() + "\n"


def schemas() -> dict[str, str]:
    """The text of each file of JSON Schema, by its name."""
    found = {f"{kind.name}.json": schema(kind) for kind in KINDS} | {"command.json": request_schema()}
    return {name: json.dumps(document, indent=2) + "\n" for name, document in found.items()}


def asyncapi() -> str:
    """The AsyncAPI document, of version 3.0."""
    channels, operations = {}, {}
    for kind in KINDS:
        key = _key(kind.name)
        channels[key] = _channel(f"{ROOT}/{kind.topic}", kind.name, f"./{kind.name}.json")
        operations[f"send_{key}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{key}"},
            "summary": f"{kind.rate[0].upper()}{kind.rate[1:]}",
            "bindings": {"mqtt": {"qos": 1, "retain": kind.retained}},
        }
    channels["command"] = _channel(f"{ROOT}/{{site}}/run/{{run}}/command", "command", "./command.json")
    operations["receive_command"] = {
        "action": "receive",
        "channel": {"$ref": "#/channels/command"},
        "summary": "Only where the experiment file allows it",
        "bindings": {"mqtt": {"qos": 1, "retain": False}},
        "reply": {"channel": {"$ref": "#/channels/answer"}},
    }
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "bellbench telemetry",
            "version": FORMAT,
            "description": "What a run on a quantum-network testbed tells over MQTT 3.1.1.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "embedded": {
                "host": "127.0.0.1:18830",
                "protocol": "mqtt",
                "protocolVersion": "3.1.1",
                "description": "The broker inside a run whose experiment file names none",
            }
        },
        "channels": channels,
        "operations": operations,
    }
    return yaml.safe_dump(document, sort_keys=False, width=110)


def files() -> dict[Path, str]:
    """Everything that is written, by where."""
    made = {DOCS / "telemetry" / name: text for name, text in schemas().items()}
    return {DOCS / "telemetry.md": page(), DOCS / "telemetry/asyncapi.yaml": asyncapi(), **made}


def _section(kind: Kind) -> Iterator[str]:
    document = schema(kind)
    yield f"\n### {kind.name}\n"
    yield f"`{ROOT}/{_shown(kind.topic)}`. {document['description']}\n"
    own = {name: facts for name, facts in document["properties"].items() if name not in STAMP}
    rows = [*_rows(own, own)]
    rows += [(f"`{f.shown}`", _type({"type": [*f.types]}), f.text) for f in kind.payload.families]
    yield from _table(rows)


def _rows(properties: Mapping[str, Mapping[str, Any]], required: Any) -> Iterator[tuple[str, str, str]]:
    for name, facts in properties.items():
        text = facts.get("description", "")
        yield f"`{name}`", _type(facts), text if name in required else f"{text} (optional)"


def _table(rows: Any) -> Iterator[str]:
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _type(facts: Mapping[str, Any]) -> str:
    if "enum" in facts:
        return ", ".join("null" if word is None else f"`{word}`" for word in facts["enum"])
    types = facts["type"]
    return types if isinstance(types, str) else " or ".join(types)


def _shown(topic: str) -> str:
    return topic.replace("{", "<").replace("}", ">")


def _key(name: str) -> str:
    return name.replace("-", "_")


def _channel(address: str, name: str, schema_file: str) -> dict[str, Any]:
    levels = [part.removesuffix("}") for part in address.split("{")[1:]]
    return {
        "address": address,
        "parameters": {
            part.split("}")[0]: {"description": f"name of the {part.split('}')[0]}"} for part in levels
        },
        "messages": {_key(name): {"name": name, "payload": {"$ref": schema_file}}},
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
