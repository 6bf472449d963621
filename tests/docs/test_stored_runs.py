"""The page on stored runs and the notebook do what they say, on a small run made here."""

import asyncio
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

import experiments.engine.events as events_module
from bellbench.cli import call
from experiments.config.plan import MeasureSwapping
from experiments.engine.events import StreamEvent
from tests.docs.pages import PAGES, Page
from tests.experiments.fakes import BRING_UP, CALIBRATE
from tests.stored import toy_run

PAGE = Page.read("stored-runs.md")
MEASURE = MeasureSwapping.model_validate({"bases": ["ZZ", "XX", "CHSH"], "dwell": "500 ms"})
EARLIER = "2026-11-21T03-10-07Z-toy_swapping-0001"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where there are two runs in `runs`: one as the toy bench gave it, and an earlier one, a copy of it with
    another dwell and another S."""
    place = tmp_path_factory.mktemp("place")
    folder = asyncio.run(toy_run(place / "runs", plan=(BRING_UP, CALIBRATE, MEASURE)))
    earlier = place / "runs" / EARLIER
    shutil.copytree(folder, earlier)
    for name, old, new in (
        ("config.resolved.yaml", "dwell: 0.5", "dwell: 5.0"),
        ("results.json", '"chsh_s": {\n    "value": ', '"chsh_s": {\n    "value": 1'),
        ("run.json", folder.name, EARLIER),
    ):
        text = (earlier / name).read_text()
        assert old in text
        (earlier / name).write_text(text.replace(old, new, 1))
    return place


def test_every_command_prints_what_the_page_shows(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    for command in PAGE.commands:
        program, *arguments = shlex.split(command.line)
        assert program == ".venv/bin/bellbench"
        assert call(arguments) == 0, command.line
        printed = capsys.readouterr()
        assert command.agrees(printed.out + printed.err), f"$ {command.line}\n{printed.out}{printed.err}"
    again = json.loads((place / "wider.json").read_text())
    assert (
        0
        < again["fourfolds"]
        <= json.loads((next(place.glob("runs/*Z-toy*")) / "results.json").read_text())["fourfolds"]
    )
    assert (place / "for_origin" / "detectors.json").exists()


def test_the_page_s_program_runs(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    exec(compile(PAGE.files["look.py"], "look.py", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("completed {'value': 2.")
    assert re.search(r"[1-9][0-9]* tags, [1-9][0-9]* of alice_h", printed)


def test_the_notebook_s_cells_run(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after another in one namespace, as in a kernel. Around heralds the toy's spokes click 250 ps late:
    in the bin from 200 ps, or in one beside it, as far as the delays are known."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = json.loads((PAGES / "examples/stored_run.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None  # noqa: PT018
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    names["plt"].close("all")
    assert names["peak_ps"] in (100, 200, 300)
    assert "fidelity" in capsys.readouterr().out


def test_the_page_names_all_streams_and_their_fields() -> None:
    """Fields of a mapping are JSON; those of `live` and of a tuple are said in words."""
    told = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.text, re.MULTILINE))
    kinds = [k for k in vars(events_module).values() if isinstance(k, type) and issubclass(k, StreamEvent)]
    for kind in kinds:
        if kind is StreamEvent:
            continue
        for name in getattr(kind, "__dataclass_fields__", {}):
            if (kind.__name__, name) not in {("StateChanged", "run"), ("Live", "figures")}:
                assert f"`{name}`" in told[kind.stream], (kind.stream, name)


def test_links_of_the_page_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE.text):
        assert (PAGES / target).exists(), target
