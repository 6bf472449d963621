"""A plan without its own calibration: it takes over one of an earlier run, makes one first, or is refused."""

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from experiments.archive.replay import replay
from experiments.archive.stored import StoredRun
from experiments.calibrations.history import History
from experiments.engine.bench import Bench
from experiments.engine.earlier import completed
from experiments.engine.events import StepBegan
from experiments.engine.outcome import Exit
from experiments.engine.record import RunFolder
from experiments.engine.registry import make_step, maker_of
from experiments.engine.run import RunReport, execute
from experiments.engine.step import Context
from tests.experiments import fakes
from tests.experiments.fakes import BRING_UP, CALIBRATE, MEASURE, TRUE_DELAYS_PS, FakeTagger, ToyBench

SHORT = MEASURE.model_copy(update={"bases": ("ZZ",), "dwell": 0.5})
POLICY = {"delays": {"valid_for": "1 h"}}
RENEW = {"delays": {"valid_for": "1 h", "when_old": "renew"}}
PLAN = (BRING_UP, SHORT)


class Steps:
    """Notes which steps a run does."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def notify(self, event: object) -> None:
        if isinstance(event, StepBegan):
            self.kinds.append(event.kind)


@pytest.fixture
def one_tagger(monkeypatch: pytest.MonkeyPatch) -> None:
    """All detectors on one tagger: then delays hold beyond one recording."""
    for number, name in enumerate(fakes.DETECTORS, 1):
        monkeypatch.setitem(fakes.DETECTORS, name, f"hub_tagger.{number}")


def store(runs: Path, age: timedelta) -> None:
    """The folder of a run that found the delays of the toy light so long ago: what its cables are longer by,
    the other way round."""
    fine = {
        name: {"value": float(-TRUE_DELAYS_PS.get(name, 0)), "unit": "ps", "uncertainty": 5.0}
        for name in fakes.DETECTORS
    }
    record = {
        "name": "delays",
        "testbed": "toy",
        "simulated": False,
        "utc": (datetime.now(UTC) - age).isoformat(),
        "tagger_shifts": {"hub_tagger": {"value": 0, "unit": "ps", "uncertainty": 0}},
        "detector_delays": fine,
        "chi2_per_dof": 1.0,
    }
    (runs / "earlier").mkdir()
    (runs / "earlier" / "calibrations.json").write_text(json.dumps({"delays": record}))


def steps_of(runs: Path, **more: Any) -> tuple[list[str], str]:
    """The kinds of all steps with those that were added, and why the plan cannot be carried out."""
    loaded = fakes.experiment(PLAN, **more)
    steps = [make_step(parameters) for parameters in PLAN]
    done = completed(steps, Bench(loaded.testbed, {}), loaded.experiment, runs, maker_of)
    return [step.kind for step in done.steps], "\n".join(done.problems)


async def run(runs: Path, **more: Any) -> tuple[RunReport, list[str]]:
    bench, steps = ToyBench(), Steps()
    tagger = FakeTagger("hub_tagger", 8, 0.001, 0.25, bench.log)
    tagger.clock = bench.clock
    bench.instruments["hub_tagger"] = tagger
    bench.clock._taggers = [tagger]
    folder = RunFolder.create(runs, "toy")
    loaded = fakes.experiment(PLAN, **more)
    report = await execute(loaded, bench.instruments, bench.clock, folder, seed=7, observers=[steps])
    return report, steps.kinds


@pytest.mark.usefixtures("one_tagger")
async def test_the_delays_of_an_earlier_run_are_taken_over(tmp_path: Path) -> None:
    """200 +- 14 four-folds are expected of the toy light: 0.43 is six standard deviations."""
    store(tmp_path, timedelta(minutes=1))
    report, steps = await run(tmp_path, calibrations=POLICY)
    assert report.ending.exit is Exit.DONE, report.ending.message
    assert steps == ["bring_up", "take_over", "measure_swapping"]
    assert report.folder
    assert report.results
    # Without the right delays there would be a few accidental ones.
    assert report.results["swap_rate_hz"]["value"] == pytest.approx(400, rel=0.43)  # type: ignore[index]
    used = json.loads((report.folder / "calibrations.json").read_text())["delays"]
    assert used["taken_over"]["run"] == "earlier"
    assert replay(StoredRun(report.folder)).results == report.results  # with the delays as they were taken
    with History(tmp_path) as history:  # what was taken over is not a second calibration
        assert [c.run for c in history.calibrations("delays")] == ["earlier"]


@pytest.mark.usefixtures("one_tagger")
async def test_one_that_is_too_old_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    store(tmp_path, timedelta(hours=2))
    report, steps = await run(tmp_path, calibrations=POLICY)
    assert report.ending.exit is Exit.FAILED
    assert (
        "measure_swapping needs the calibration of delays: that of earlier is 2 h old, it holds for 1 h"
        in (report.ending.message)
    )
    assert steps == []


@pytest.mark.usefixtures("one_tagger")
def test_one_that_is_too_old_is_renewed_where_the_file_says_so(tmp_path: Path) -> None:
    store(tmp_path, timedelta(hours=2))
    assert steps_of(tmp_path, calibrations=RENEW) == (
        ["bring_up", "calibrate_delays", "measure_swapping"],
        "",
    )


def test_delays_between_taggers_do_not_outlive_their_recording(tmp_path: Path) -> None:
    store(tmp_path, timedelta(minutes=1))
    _, problem = steps_of(tmp_path, calibrations=POLICY)
    assert "hold only for the recording that they were found in" in problem
    assert steps_of(tmp_path, calibrations=RENEW) == (
        ["bring_up", "calibrate_delays", "measure_swapping"],
        "",
    )


@pytest.mark.usefixtures("one_tagger")
def test_one_that_does_not_say_enough_is_not_taken(tmp_path: Path) -> None:
    store(tmp_path, timedelta(minutes=1))
    file = tmp_path / "earlier" / "calibrations.json"
    file.write_text(file.read_text().replace("bob_v", "bob_x"))
    assert "it does not say the delay of bob_v" in steps_of(tmp_path, calibrations=POLICY)[1]


def test_where_no_run_has_made_one_it_is_said(tmp_path: Path) -> None:
    _, problem = steps_of(tmp_path, calibrations=POLICY)
    assert problem.startswith("measure_swapping needs the calibration of delays: no run has made one. Run an")
    _, problem = steps_of(tmp_path)
    assert problem.endswith("which no earlier step of the plan makes")


async def test_a_calibration_of_the_run_itself_becomes_history(tmp_path: Path) -> None:
    bench = ToyBench()
    folder = RunFolder.create(tmp_path, "toy")
    loaded = fakes.experiment((BRING_UP, CALIBRATE), calibrations=POLICY)
    report = await execute(loaded, bench.instruments, bench.clock, folder, seed=7)
    assert report.ending.exit is Exit.DONE, report.ending.message
    with History(tmp_path) as history:
        (only,) = history.calibrations()
    assert (only.run, only.name, only.testbed, only.simulated) == (folder.name, "delays", "toy", False)
    assert only.valid_for_s == 3600.0
    assert {figure.scope for figure in only.figures() if figure.quantity == "detector_delays"} == set(
        fakes.DETECTORS
    )


def test_a_step_asks_for_a_calibration_that_is_still_fresh(tmp_path: Path) -> None:
    store(tmp_path, timedelta(minutes=50))
    loaded = fakes.experiment(PLAN, calibrations=POLICY)
    folder = RunFolder.create(tmp_path, "toy")
    parts: dict[str, Any] = {
        field.name: None for field in fields(Context) if field.default is field.default_factory
    }
    parts |= {"bench": Bench(loaded.testbed, {}), "experiment": loaded.experiment, "folder": folder}
    context = Context(**parts)
    found = context.fresh_calibration("delays")
    assert found
    assert found.run == "earlier"
    assert context.fresh_calibration("wavelengths") is None
    shorter = fakes.experiment(PLAN, calibrations={"delays": {"valid_for": "30 min"}})
    context.experiment = shorter.experiment
    assert context.fresh_calibration("delays") is None
    context.store_calibration("delays", {"utc": datetime.now(UTC).isoformat()})
    own = context.fresh_calibration("delays")
    assert own
    assert (own.run, own.valid_for_s) == (folder.name, 1800.0)
