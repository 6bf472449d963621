"""The page, the schemas and the AsyncAPI file are what the code says, and sound by themselves."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from docs.make_telemetry import DOCS, asyncapi, files
from telemetry.contract import KINDS, schema

WRITE = "write them again: .venv/bin/python -m docs.make_telemetry"


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_what_is_written_is_what_the_code_says(path: Path) -> None:
    assert path.read_text() == files()[path], WRITE


def test_nothing_else_lies_there() -> None:
    assert set((DOCS / "telemetry").iterdir()) == {
        path for path in files() if path.parent.name == "telemetry"
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_schemas_are_schemas_and_allow_what_v1_may_add(kind: Any) -> None:
    document = schema(kind)
    Draft202012Validator.check_schema(document)
    required = set(document["required"])
    assert {"time", "seq", "change", "boot", "run"} <= required
    later = Draft202012Validator({**document, "required": []})
    assert later.is_valid({"seq": 1})
    assert not later.is_valid({"seq": 1, "x": {"nested": 1}})
    assert not later.is_valid({"seq": 1, "x": [1]})


def test_every_reference_of_the_asyncapi_file_leads_somewhere() -> None:
    document = yaml.safe_load(asyncapi())

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            here = [part["$ref"]] if "$ref" in part else []
            return here + [r for value in part.values() for r in references(value)]
        return [r for value in part for r in references(value)] if isinstance(part, list) else []

    for reference in references(document):
        if reference.startswith("#/"):
            found = document
            for key in reference.removeprefix("#/").split("/"):
                found = found[key]
        else:
            assert (DOCS / "telemetry" / reference).is_file()
    for channel in document["channels"].values():
        named = {part.split("}")[0] for part in channel["address"].split("{")[1:]}
        assert named == set(channel["parameters"])


def test_the_page_names_every_field() -> None:
    page = (DOCS / "telemetry.md").read_text()
    for kind in KINDS:
        for name in schema(kind)["properties"]:
            assert f"| `{name}` |" in page
