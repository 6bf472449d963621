"""Sweeps: one run for each point, what ends them, how they end, and what is told of them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bellbench import sweeps
from bellbench.cli import call
from bellbench.exit_codes import ExitCode
from experiments.config.files import LoadedExperiment, load_experiment
from experiments.config.sweep import read_sweep
from experiments.engine.outcome import Ending, Exit, State
from experiments.engine.run import RunReport

CONFIGS = Path(__file__).parents[2] / "configs"
NYC = CONFIGS / "nyc_swapping.yaml"


def points(count: int) -> tuple[LoadedExperiment, ...]:
    return load_experiment(NYC, sweep=read_sweep([f"seed=1:{count}:{count}"])).points


def ended(exit_code: Exit, *, stopped: bool = False) -> RunReport:
    state = State.COMPLETED if exit_code in (Exit.DONE, Exit.OUTSIDE_ACCEPTANCE) else State.FAILED
    results = {"chsh_s": {"value": 2.5, "error": 0.1}, "fidelity": {"value": None, "error": None}, "seed": 1}
    return RunReport(Path("runs/x"), Ending(state, exit_code, stopped=stopped), results)


def carried_out(*endings: RunReport) -> list[sweeps.PointReport]:
    left = list(endings)
    return sweeps.carry_out_all(points(len(endings)), lambda _: left.pop(0))


@pytest.mark.parametrize(
    ("endings", "done", "code"),
    [
        ((Exit.DONE, Exit.DONE, Exit.DONE), 3, ExitCode.DONE),
        ((Exit.DONE, Exit.OUTSIDE_ACCEPTANCE, Exit.DONE), 3, ExitCode.OUTSIDE_LIMITS),
        ((Exit.FAILED, Exit.OUTSIDE_ACCEPTANCE, Exit.DONE), 3, ExitCode.RUN_FAILED),
        ((Exit.FAILED, Exit.INSTRUMENT, Exit.DONE), 3, ExitCode.INSTRUMENT),
        ((Exit.DONE, Exit.ABORTED, Exit.DONE), 2, ExitCode.INTERRUPTED),
        ((Exit.INSTRUMENT, Exit.STORAGE, Exit.DONE), 2, ExitCode.STORAGE),
        ((Exit.NOT_SAFE, Exit.DONE, Exit.DONE), 1, ExitCode.UNSAFE),
    ],
)
def test_the_worst_run_gives_the_exit_code_and_some_end_the_sweep(
    endings: tuple[Exit, ...], done: int, code: ExitCode
) -> None:
    reports = carried_out(*map(ended, endings))
    assert len(reports) == done
    assert sweeps.worst(reports) is code


def test_a_stopped_run_ends_the_sweep_well() -> None:
    reports = carried_out(ended(Exit.DONE), ended(Exit.DONE, stopped=True), ended(Exit.DONE))
    assert len(reports) == 2
    assert sweeps.worst(reports) is ExitCode.DONE


def test_points_have_one_id_in_common_and_say_where_they_stand() -> None:
    seen: list[LoadedExperiment] = []

    def one(loaded: LoadedExperiment) -> RunReport:
        seen.append(loaded)
        return ended(Exit.DONE)

    reports = sweeps.carry_out_all(points(2), one)
    abouts: list[Any] = [loaded.about["sweep"] for loaded in seen]
    assert [(about["point"], about["of"], about["values"]) for about in abouts] == [
        (1, 2, {"seed": 1}),
        (2, 2, {"seed": 2}),
    ]
    assert abouts[0]["id"] == abouts[1]["id"] != ""
    assert reports[1].to_json()["figures"] == {"chsh_s": {"value": 2.5, "error": 0.1}}


def test_every_point_is_checked_before_the_first_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", str(NYC), "--runs", str(tmp_path / "runs")]
    assert call([*arguments, "--sweep", "settings.bsm_window=[1 ns, 2 nm]"]) == ExitCode.CONFIG
    assert "'nm' is a unit of length" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    assert call([*arguments, "--sweep", "seed=[1, 2]", "--seed", "3"]) == ExitCode.CONFIG
    assert "the seed is swept" in capsys.readouterr().err


def test_each_point_gets_a_run_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that only waits takes, by its own clock, as long as its point says, and what ends it."""
    (tmp_path / "wait.yaml").write_text(
        f"experiment: wait\ntestbed: {CONFIGS}/testbeds/one_source.yaml\n"
        "plan: [wait: {duration: 1 s}]\nsweep: {plan.0.wait.duration: [40 s, 80 s]}\n"
    )
    runs = tmp_path / "runs"
    code = call(["run", str(tmp_path / "wait.yaml"), "--runs", str(runs), "--seed", "1", "--json"])
    out, err = capsys.readouterr()
    assert code == ExitCode.DONE, err
    told = json.loads(out)
    assert (told["of"], told["exit_code"]) == (2, 0)
    for number, (point, seconds) in enumerate(zip(told["points"], (40, 80), strict=True), 1):
        values = {"plan.0.wait.duration": f"{seconds} s"}
        about = json.loads((Path(point["folder"]) / "run.json").read_text())
        assert about["sweep"] == {"id": told["sweep"], "point": number, "of": 2, "values": values}
        assert about["run_time_s"] == pytest.approx(seconds, abs=15)
    assert len([name for name in os.listdir(runs) if (runs / name / "run.json").exists()]) == 2  # noqa: PTH208


def test_the_table_has_a_row_for_each_point(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    reports = carried_out(ended(Exit.DONE), ended(Exit.FAILED))
    Console(width=120).print(sweeps.sweep_table(reports))
    rows = [line for line in capsys.readouterr().out.splitlines() if "2.50 ± 0.10" in line]
    assert len(rows) == 2
    assert "completed" in rows[0]
    assert "failed (1)" in rows[1]
