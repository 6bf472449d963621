"""What a run's folder says happened, for tests: its documents read with json alone."""

import json
from pathlib import Path
from typing import Any


def documents(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """All documents, as (name, document)."""
    lines = (folder / "documents.jsonl").read_text().splitlines()
    return [(line["name"], line["doc"]) for line in map(json.loads, lines)]


def events(folder: Path | None, *streams: str) -> list[dict[str, Any]]:
    """The data of all events of these streams, in their order, with the stream's name as `stream`."""
    assert folder
    found, names = [], {}
    for name, doc in documents(folder):
        if name == "descriptor":
            names[doc["uid"]] = doc["name"]
        elif name == "event" and names[doc["descriptor"]] in streams:
            found.append({"stream": names[doc["descriptor"]], **doc["data"]})
    return found


def happened(folder: Path | None, event: str) -> list[dict[str, Any]]:
    """What was put on record under a name, its details among the rest."""
    return [{**e, **json.loads(e["details"])} for e in events(folder, "happened") if e["event"] == event]


def assert_valid(folder: Path) -> None:
    """Every document fits the schemas of bluesky's event-model and belongs to one before it."""
    from event_model import DocumentNames, schema_validators

    known: set[str] = set()
    fields: dict[str, set[str]] = {}
    for name, doc in documents(folder):
        schema_validators[DocumentNames[name]].validate(doc)
        for reference in ("run_start", "descriptor", "stream_resource"):
            assert doc.get(reference) in (None, *known), (name, doc)
        if name == "descriptor":
            fields[doc["uid"]] = set(doc["data_keys"])
        if name == "event":
            assert set(doc["data"]) == set(doc["timestamps"]) == fields[doc["descriptor"]]
        assert doc["uid"] not in known
        known.add(doc["uid"])
