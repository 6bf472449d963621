"""`bellbench runs` and `bellbench replay`: what people and scripts get, and what mistakes are told."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bellbench.cli import call
from tests.stored import make_folder, process_that_is_killed

ONE, TWO, THREE = (f"2026-11-2{day}T03-10-07Z-toy-7f3{day}" for day in (1, 2, 3))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three runs in `runs`."""
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    figures = {"chsh_s": {"value": 2.512, "error": 0.05}, "fidelity": {"value": None, "error": None}}
    make_folder(runs, ONE, began_utc="2026-11-21T03:10:07.000Z", run_time_s=700.0, figures=figures)
    message = "alice_pump: no answer\nNOT VERIFIED SAFE, go and look:"
    make_folder(runs, TWO, "failed", began_utc="2026-11-22T03:10:07.000Z", exit_code=4, message=message)
    make_folder(runs, THREE, "running", began_utc="2026-11-23T03:10:07.000Z", experiment="other")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """The JSON that a command prints."""
    assert call([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_the_list_has_a_line_for_each_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["runs", "list"]) == 0
    one, two, three = capsys.readouterr().out.splitlines()
    assert one.split()[:3] == [ONE, "completed", "11:40"]
    assert one.endswith("CHSH S 2.512 ± 0.050")  # what was not measured is not shown
    assert two.endswith("failed            alice_pump: no answer")
    assert three.split() == [THREE, "running"]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], [ONE, TWO, THREE]),
        (["--state", "failed"], [TWO]),
        (["--experiment", "other"], [THREE]),
        (["--since", "2026-11-22"], [TWO, THREE]),
        (["--since", "2026-11-22T04:10:08+01:00"], [THREE]),
        (["--limit", "2"], [TWO, THREE]),
        (["--experiment", "nobody's"], []),
    ],
)
def test_the_list_can_be_narrowed(
    place: Path, capsys: pytest.CaptureFixture[str], options: list[str], names: list[str]
) -> None:
    assert [run["run"] for run in said(capsys, "runs", "list", *options)["runs"]] == names


def test_how_long_ago_counts_from_now(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    make_folder(place / "runs", "2026-11-24T00-00-00Z-toy-new0", began_utc=began)
    (place / "runs" / THREE / "run.json").write_text('{"began_utc": "2001-01-01T00:00:00.000Z"}')
    names = [
        run["run"] for run in said(capsys, "runs", "list", "--since", "4 h", "--experiment", "toy")["runs"]
    ]
    assert "2026-11-24T00-00-00Z-toy-new0" in names
    assert THREE not in names


def test_a_killed_run_is_told_and_listed_as_interrupted(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with process_that_is_killed() as process:
        make_folder(place / "runs", "2026-11-24T00-00-00Z-toy-dead", "running", process)
    assert call(["runs", "list"]) == 0
    printed = capsys.readouterr()
    assert "toy-dead: its process is gone" in printed.err
    assert "interrupted" in printed.out.splitlines()[-1]
    assert call(["runs", "list"]) == 0
    assert capsys.readouterr().err == ""


def test_a_run_is_shown_with_what_it_did(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = said(capsys, "runs", "show", "7f32")
    assert (about["run"], about["state"], about["exit_code"]) == (TWO, "failed", 4)
    assert about["tags"] == ["heralds"]
    assert about["missing"] == []
    assert call(["runs", "show", "7f32"]) == 0
    shown = capsys.readouterr().out
    assert "NOT VERIFIED SAFE" in shown
    assert TWO in shown


def test_verify_ends_with_1_when_something_is_missing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "runs", "verify", ONE)["whole"] is True
    (place / "runs" / ONE / "tags/heralds/00000001.parquet").unlink()
    verdict = said(capsys, "runs", "verify", ONE, code=1)
    assert verdict["whole"] is False
    assert len(verdict["problems"]) == 2  # the manifest lists it, and so does the journal
    assert call(["runs", "verify", ONE]) == 1
    assert "2 problems" in capsys.readouterr().out


def test_runs_are_compared_and_exported(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = said(capsys, "runs", "compare", ONE, TWO)
    assert (about["one"], about["other"], about["settings"]) == (ONE, TWO, {})
    assert call(["runs", "compare", ONE, TWO]) == 0
    assert "Both were set alike." in capsys.readouterr().out
    files = said(capsys, "runs", "export", ONE, "--format", "csv")["files"]
    assert [Path(f["file"]).name for f in files] == ["tags-heralds.csv", "events-state.csv"]
    assert (place / f"{ONE}.csv" / "tags-heralds.csv").read_text().startswith("time_ps,channel\n0,0\n")
    assert call(["runs", "export", ONE, "--format", "csv"]) == 2
    assert "is there already; --out names another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["runs", "show", "7f3"], "no run in runs is named 7f3..."),
        (["runs", "show", "2026"], "3 runs in runs are named 2026..."),
        (["runs", "verify", "last", "--runs", "elsewhere"], "there are no runs in elsewhere"),
        (["runs", "list", "--runs", "elsewhere"], "there is no folder elsewhere; --runs names another"),
        (["runs", "list", "--state", "complete"], "no state 'complete'; allowed: preparing"),
        (["runs", "list", "--since", "yesterday"], "'yesterday' is no time: write 2026-11-22"),
        (["runs", "export", "last", "--format", "matlab"], "'matlab' is not one of"),
        (["replay", "7f31"], "has no measurement that can be counted again"),
        (["replay", "7f31", "--bsm-window", "600"], "600"),
        (["replay", "7f31", "--delay", "alice_h"], "write a detector and a time"),
        (["replay", "7f31", "--delay", "a=1ps", "--delay", "a=2ps"], "a is given twice"),
    ],
)
def test_mistakes_are_told_with_what_would_be_right(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert call(arguments) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())


def test_a_list_loads_nothing_heavy(place: Path) -> None:
    program = (
        "import sys; from bellbench.cli import call; call(['runs', 'list']); "
        "heavy = {'numba', 'numpy', 'scipy', 'pyarrow', 'pandas', 'matplotlib', 'rich'} & set(sys.modules); "
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_open_run_is_there_for_programs() -> None:
    import bellbench

    assert bellbench.open_run.__module__ == "experiments.archive.stored"
    with pytest.raises(AttributeError, match="no attribute 'close_run'"):
        bellbench.close_run  # noqa: B018
