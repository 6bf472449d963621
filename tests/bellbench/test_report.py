"""The report of a run: everything about it in one file, whatever became of the run."""

import json
import re
import shutil
from base64 import b64decode
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner

from bellbench.commands.report import report
from bellbench.commands.runs import runs as runs_command
from bellbench.figures import FIGURES, label_of
from bellbench.report.assumed import assumptions
from bellbench.report.blocks import Heading, Paragraph, Plot, Table
from bellbench.report.comparison import comparison_of
from bellbench.report.content import report_of
from bellbench.report.figures import sentence
from bellbench.report.html import html_of
from bellbench.report.pdf import _wrapped
from bellbench.report.reported import ReportedRun
from experiments.config.files import load_experiment
from experiments.config.plan import result_names
from tests.bellbench.dashboard_stream import RUN, MadeUpRun

SWAPPED = {"value": 1.62, "error": 0.04}
RESULTS = {
    "experiment": "made_up",
    "complete": True,
    "chsh_s": {"value": 2.24, "error": 0.08},
    "fidelity": {"value": 0.83, "error": 0.02, "takes": "takes |YY| = |XX|"},
    "visibility_yy": {"value": None, "error": None},
    "swap_rate_hz": SWAPPED,
    "fourfolds": 450,
    "heralds": 12_000_000,
    "live_time_s": 300.0,
    "settings": {"ZZ": {"correlation": {"psi_minus": {"value": -0.87, "error": 0.02}}}},
    "bell_pair": {
        "density_matrix": {
            "real": [[0.5, 0, 0, 0.5], [0] * 4, [0] * 4, [0.5, 0, 0, 0.5]],
            "imaginary": [[0] * 4] * 4,
        }
    },
    "published": {
        "swap_rate_hz": {"value": 1.5, "error": 0.03, "source": "a press figure"},
        "chsh_s": {"above": 2.0, "source": "arXiv:1234.5678"},
    },
}
ABOUT = {
    "run": RUN,
    "experiment": "made_up",
    "title": "A run that was made up",
    "testbed": "made_up",
    "seed": 1,
    "state": "completed",
    "exit_code": 0,
    "message": "",
    "began_utc": "2026-11-22T03:10:07Z",
    "safe_state": [{"name": "alice_pump", "verified": True, "problem": ""}],
    "overrides": {"plan.2.dwell": 5},
    "tags_lost": {"hub_tagger": 12, "alice_tagger": 0},
}
SOURCE = """\
# Status of numbers: [pub] published, [assumed] no source.
experiment: made_up # not an assumption
settings:
  window: &w 800 ps # [assumed] full width
  # Times are [pub]. Powers are [fitted],
  # all three of them.
  powers:
    alice: {low: 1 mW} # [pub]; [assumed]
"""
CALIBRATIONS = {
    "delays": {
        "utc": "2026-11-22T03:10:30Z",
        "run": RUN,
        "fine": {"alice_h": {"value": 1.25, "unit": "ps", "uncertainty": 0.4}},
    },
    "delay_track": {
        "alice": [
            {"time_ps": t * 10**12, "offset_ps": 3.0 * t, "error_ps": 1.0, "jumped": t == 3} for t in range(5)
        ]
    },
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with everything in it; nobody changes it."""
    made = MadeUpRun(tmp_path_factory.mktemp("runs"))
    made.begin()
    made.measure(60)
    made.compensate()
    made.warn()
    made.end()
    made.close()
    plan = [{"bring_up": {"power": {"alice_pump": 0.02}}}, {"measure_swapping": {"dwell": 100.0}}]
    papers = {
        "run.json": ABOUT,
        "results.json": RESULTS,
        "calibrations.json": CALIBRATIONS,
        "env.json": {"bellbench": "0.1.0", "git": {"commit": "abc123"}, "python": "3.11.7"},
    }
    for name, data in papers.items():
        (made.folder / name).write_text(json.dumps(data))
    (made.folder / "config.resolved.yaml").write_text(yaml.safe_dump({"experiment": {"plan": plan}}))
    (made.folder / "config.source").mkdir()
    (made.folder / "config.source/made_up.yaml").write_text(SOURCE)
    return made.folder


@pytest.fixture(scope="module")
def text(stored: Path) -> str:
    """Its report."""
    return html(stored)


@pytest.fixture
def folder(stored: Path, tmp_path: Path) -> Path:
    """A copy of it to do with as one likes."""
    return Path(shutil.copytree(stored, tmp_path / "runs" / RUN))


@pytest.fixture
def hardly_begun(tmp_path: Path) -> Path:
    """A run's folder with nothing but its run.json."""
    folder = tmp_path / RUN
    folder.mkdir()
    say(folder, state="failed", exit_code=4, message="alice_pump: refused", safe_state=[])
    return folder


def say(folder: Path, **about: object) -> None:
    """Let run.json say something else."""
    (folder / "run.json").write_text(json.dumps({**ABOUT, **about}))


def html(folder: Path) -> str:
    return html_of(report_of(ReportedRun(folder)))


def row_of(folder: Path, first: str) -> tuple[str, ...]:
    """The row of a table that begins so."""
    tables = [block for block in report_of(ReportedRun(folder)).blocks if isinstance(block, Table)]
    (row,) = (tuple(row) for table in tables for row in table.rows if row[0] == first)
    return row


def test_figures_stand_beside_published_ones_with_their_distance(stored: Path) -> None:
    """(1.62 - 1.5) / sqrt(0.04^2 + 0.03^2) = 2.4; (2.24 - 2) / 0.08 = 3."""
    assert row_of(stored, "Swap rate")[1:] == (
        "1.620 ± 0.040 1/s", "1.500 ± 0.030 1/s", "+2.4 σ", "a press figure",
    )  # fmt: skip
    assert row_of(stored, "CHSH S")[1:] == ("2.240 ± 0.080", "> 2", "+3.0 σ", "arXiv:1234.5678")
    assert row_of(stored, "Fidelity")[1:3] == ("0.830 ± 0.020", "")


def test_everything_is_there(stored: Path, text: str) -> None:
    content = report_of(ReportedRun(stored))
    headings = [block.text for block in content.blocks if isinstance(block, Heading)]
    assert headings == [
        "Results", "What was asked", "What is assumed", "What was done", "Calibrations",
        "Events and downtime", "Safe state and instruments", "How to reproduce it",
    ]  # fmt: skip
    plots = {block.name for block in content.blocks if isinstance(block, Plot)}
    assert plots == {
        "published", "correlations", "bell_pair", "scans", "growth", "timeline", "peaks", "rates", "tracks",
        "polarization",
    }  # fmt: skip
    for words in (
        f"bellbench run {RUN}/config.source/made_up.yaml --set plan.2.dwell=5 --seed 1",
        "commit abc123", "1.25 ± 0.40 ps", "power alice_pump 0.02",
        "Tags lost: hub_tagger 12", "Uptime 100.00 %", "hub_tagger dropped 12 tags", "450 four-folds",
        "NOT VERIFIED does not answer", "Takes |YY| = |XX|", "power 0; emission False",
    ):  # fmt: skip
        assert words in text
    captions = [block.caption for block in content.blocks if isinstance(block, Table)]
    assert len(captions) == len(set(captions))


def test_what_is_assumed_is_printed_with_where_it_stands(stored: Path) -> None:
    tables = [block for block in report_of(ReportedRun(stored)).blocks if isinstance(block, Table)]
    (table,) = (table for table in tables if table.head[0] == "Of")
    assert list(table.rows) == [
        ("made_up.yaml: settings window", "800 ps", "[assumed] full width"),
        ("made_up.yaml: settings powers", "", "Powers are [fitted], all three of them."),
        ("made_up.yaml: settings powers alice", "{low: 1 mW}", "[pub]; [assumed]"),
    ]
    assert list(assumptions("\x00: [\n  - # [assumed]\n{")) == [("", "-", "[assumed]")]  # no YAML at all


SHIPPED = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_each_published_figure_of_a_shipped_experiment_stands_beside_ours(
    hardly_begun: Path, file: Path
) -> None:
    """Every step of the plan finds all that it says it finds; what is printed is told by name and unit."""
    loaded = load_experiment(file)
    published = loaded.experiment.published
    assert published
    found = {name: {"value": 3.0, "error": 0.1} for name in result_names(loaded.experiment.plan)}
    told = {name: each.model_dump(exclude_none=True) for name, each in published.items()}
    (hardly_begun / "results.json").write_text(json.dumps({**found, "published": told}))
    (hardly_begun / "config.source").mkdir()
    for name, source in loaded.sources.items():
        (hardly_begun / "config.source" / Path(name).name).write_text(source)
    report = report_of(ReportedRun(hardly_begun))
    tables = {block.head[0]: block for block in report.blocks if isinstance(block, Table)}
    rows = {row[0]: row for row in tables["Figure"].rows}
    for name, theirs in published.items():
        label, unit = label_of(name)
        _, ours, beside, apart, source = rows[sentence(label)]
        assert name.rpartition(".")[2].removesuffix("_least") in FIGURES
        assert ours == f"3.00 ± 0.10 {unit}".strip()
        assert beside.endswith(unit)
        assert any(digit in beside for digit in "123456789")
        assert apart.endswith("σ") or theirs.error is None
        assert source == theirs.source
    assert len(tables["Of"].rows) > 10


def test_a_published_figure_that_was_not_measured_is_named(hardly_begun: Path) -> None:
    published = {"chsh_s": {"above": 2.0, "source": "theirs"}}
    (hardly_begun / "results.json").write_text(json.dumps({"published": published}))
    assert row_of(hardly_begun, "CHSH S") == ("CHSH S", "not measured", "> 2", "", "theirs")


def test_a_pair_is_reported_as_counted_and_less_accidentals(hardly_begun: Path) -> None:
    s = {"value": 2.6, "error": 0.02, "subtracted": {"value": 2.7, "error": 0.03}}
    e = {"value": 0.6, "error": 0.02, "subtracted": {"value": 0.7, "error": 0.03}}
    results = {"chsh_s": s, "measure_chsh.settings": {"A0B0": {"correlation": e}}}
    (hardly_begun / "results.json").write_text(json.dumps(results))
    assert row_of(hardly_begun, "CHSH S")[1] == "2.600 ± 0.020; 2.700 ± 0.030 less accidentals"
    text = html(hardly_begun)
    assert "Correlation of the outcomes in each setting of measure_chsh." in text


def test_the_file_needs_nothing_beside_it(text: str) -> None:
    assert "<script" not in text
    assert re.findall(r"(?:src|href)=\"(?!data:image/svg\+xml;base64,)[^\"]*", text) == []
    assert re.findall(r"url\(|@import", text) == []
    pictures = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", text)
    assert len(pictures) == 10
    for picture in pictures:
        drawn = ElementTree.fromstring(b64decode(picture))
        assert drawn.tag.endswith("svg")
        attributes = [item for node in drawn.iter() for item in node.attrib.items()]
        assert all(value.startswith("#") for name, value in attributes if name.endswith("href"))


def test_the_same_run_gives_the_same_file_by_the_command_and_without(stored: Path, text: str) -> None:
    done = CliRunner().invoke(report, ["last", "--runs", str(stored.parent)])
    assert done.exit_code == 0, done.output
    path = stored / "report.html"
    assert done.output == f"{path}\n"
    assert path.read_text() == text
    path.unlink()


def test_what_a_run_says_does_not_become_markup(hardly_begun: Path) -> None:
    markup = "<img src=x onerror=alert(1)>"
    say(
        hardly_begun,
        message=markup,
        title=markup,
        safe_state=[{"name": markup, "verified": False, "problem": markup}],
    )
    text = html(hardly_begun)
    assert "<img" not in text
    assert text.count("&lt;img src=x onerror=alert(1)&gt;") >= 4


@pytest.mark.parametrize(
    "missing",
    ["documents.jsonl", "results.json", "run.json", "calibrations.json", "env.json", "config.resolved.yaml"],
)
@pytest.mark.parametrize("how", ["gone", "torn"])
def test_a_report_is_made_of_what_is_left(folder: Path, missing: str, how: str) -> None:
    path = folder / missing
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] + b"\xff\x00{")
    blocks = report_of(ReportedRun(folder)).blocks
    assert sum(isinstance(block, Heading) for block in blocks) == 8
    assert any(isinstance(block, Paragraph) and block.kind == "code" for block in blocks)


def test_a_run_that_never_got_anywhere_is_reported_too(hardly_begun: Path) -> None:
    text = html(hardly_begun)
    assert "failed. alice_pump: refused" in text
    assert 'class="verdict bad"' in text
    assert "The run has no results." in text
    assert "<img" not in text


@pytest.mark.parametrize(
    ("about", "tone"),
    [
        ({}, "good"),
        ({"exit_code": 5, "message": "outside acceptance"}, "mixed"),
        ({"exit_code": 4, "message": "NOT VERIFIED SAFE"}, "bad"),
        ({"state": "aborted", "exit_code": 130}, "mixed"),
        ({"state": "interrupted", "exit_code": None}, "bad"),
    ],
)
def test_what_became_of_it_is_seen_at_once(hardly_begun: Path, about: dict[str, object], tone: str) -> None:
    say(hardly_begun, **about)
    assert report_of(ReportedRun(hardly_begun)).tone == tone


# The command.


def test_a_pdf_is_written_where_it_is_told(stored: Path, tmp_path: Path) -> None:
    run = ["--runs", str(stored.parent)]
    done = CliRunner().invoke(report, [RUN, *run, "--pdf", "--to", str(tmp_path / "a.pdf")])
    assert done.exit_code == 0, done.output
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-1.4")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type /Page\b", pdf)) >= 3
    assert CliRunner().invoke(report, ["none", *run]).exit_code == 2


def test_a_place_that_cannot_be_written_is_named(hardly_begun: Path) -> None:
    done = CliRunner().invoke(
        report, ["last", "--runs", str(hardly_begun.parent), "--to", "/no/such/place.html"]
    )
    assert done.exit_code == 2
    assert "/no/such/place.html cannot be written" in done.output


def test_lines_on_paper_are_no_wider_than_the_paper() -> None:
    """The letter M of DejaVu Sans is 0.863 em wide (its horizontal advance, 1767 of 2048)."""
    lines = _wrapped("M" * 100, 72.0, 5.0)
    assert all(len(line) * 1767 / 2048 <= 5.0 for line in lines)
    assert "".join(lines) == "M" * 100
    assert _wrapped("one two\nthree", 7.0, 3.0) == ["one two", "three"]
    assert _wrapped("", 7.0, 3.0) == [""]


# Two runs.


def test_two_runs_are_compared_in_words_and_plots(folder: Path, tmp_path: Path) -> None:
    """S: (2.64 - 2.24) / (0.08 sqrt 2) = 3.5."""
    other = folder.with_name("2026-11-23T03-10-07Z-made_up-0000")
    shutil.copytree(folder, other)
    (other / "results.json").write_text(json.dumps({**RESULTS, "chsh_s": {"value": 2.64, "error": 0.08}}))
    compared = comparison_of(ReportedRun(folder), ReportedRun(other))
    assert compared.verdict == "1 of 4 figures differ by 3 σ or more: CHSH S"
    table = next(block for block in compared.blocks if isinstance(block, Table))
    assert ("CHSH S", "2.240 ± 0.080", "2.640 ± 0.080", "+3.5 σ") in list(table.rows)
    page = tmp_path / "page.html"
    done = CliRunner().invoke(
        runs_command, ["compare", folder.name, other.name, "--runs", str(folder.parent), "--html", str(page)]
    )
    assert done.exit_code == 0, done.output
    assert page.read_text().count("data:image/svg") == 4  # apart, growth, rates, peaks
    assert comparison_of(ReportedRun(folder), ReportedRun(folder)).tone == "good"
