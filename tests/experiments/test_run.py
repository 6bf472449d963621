"""A run from start to end on a bench of fakes: results, records, every way out."""

import asyncio
import errno
import itertools
import json
import os
from pathlib import Path

import pytest

from experiments.engine.clock import SETTLING_S
from experiments.engine.events import Finished, Progress, RunEvent, StateChanged, StepBegan
from experiments.engine.outcome import Exit, State
from experiments.engine.record import RunFolder
from experiments.engine.run import RunReport, execute
from tests.experiments.fakes import (
    BRING_UP,
    CALIBRATE,
    HUB,
    MEASURE,
    PLAN,
    TRUE_DELAYS_PS,
    WAIT,
    ToyBench,
    V,
    experiment,
)
from tests.recorded import documents, events, happened
from timetags.files.segments import read_segments


class Watcher:
    def __init__(self) -> None:
        self.events: list[RunEvent] = []

    def notify(self, event: RunEvent) -> None:
        self.events.append(event)


async def run(
    bench: ToyBench, runs: Path, *, watcher: Watcher | None = None, seed: int = 7, **more
) -> RunReport:
    return await execute(
        experiment(**more),
        bench.instruments,
        bench.clock,
        RunFolder.create(runs, "toy_swapping"),
        seed=seed,
        observers=[watcher or Watcher()],
    )


def safe_names(bench: ToyBench) -> list[str]:
    return [line.removeprefix("is safe ") for line in bench.log if line.startswith("is safe ")]


def about(report: RunReport) -> dict:
    assert report.folder
    return json.loads((report.folder / "run.json").read_text())


async def test_measures_what_the_light_holds(tmp_path: Path) -> None:
    bench, watcher = ToyBench(), Watcher()
    report = await run(bench, tmp_path, watcher=watcher, record={"tags": "heralds", "raw": "500 ms"})

    assert report.ending.exit is Exit.DONE, report.ending.message
    assert report.ending.state is State.COMPLETED
    results = json.loads((report.folder / "results.json").read_text())
    assert results["complete"] is True
    assert results["live_time_s"] == 12.0
    # 400 four-folds/s of visibility V; ordinary pairs add a few per cent of accidental ones.
    for name, true, slack in (
        ("swap_rate_hz", 400.0, 0.03 * 400),
        ("visibility_zz", V, 0.03),
        ("visibility_xx", V, 0.03),
        ("fidelity", (1 + 3 * V) / 4, 0.03),
        ("chsh_s", 2 * 2**0.5 * V, 0.08),
    ):
        found = results[name]
        assert abs(found["value"] - true) < 5 * found["error"] + slack, name
    assert results["singles_hz"]["alice_h"]["value"] == pytest.approx(2000 + 20_000 + 200, rel=0.02)
    assert set(results["settings"]) == {"ZZ", "XX", "CHSH 00", "CHSH 01", "CHSH 10", "CHSH 11"}

    delays = json.loads((report.folder / "calibrations.json").read_text())["delays"]
    fine = {name: d["value"] for name, d in delays["detector_delays"].items()}
    for name in HUB:
        assert fine[name] == pytest.approx(
            -TRUE_DELAYS_PS.get(name, 0) + TRUE_DELAYS_PS.get("hub_ch", 0), abs=30
        )

    kept = sum(len(block) for block in read_segments(report.folder / "tags" / "heralds"))
    assert kept > 4 * 0.9 * 400 * 12
    raw = list(read_segments(report.folder / "tags" / "raw" / "hub_tagger"))
    assert (raw[0].start_ps, raw[-1].end_ps) == (0, 500_000_000_000)
    assert (report.folder / "config.source" / "toy.yaml").read_text() == "experiment: toy\n"
    assert json.loads((report.folder / "env.json").read_text())["seed"] == 7

    assert [e.kind for e in watcher.events if isinstance(e, StepBegan)] == [p.kind for p in PLAN]
    assert [e.state for e in watcher.events if isinstance(e, StateChanged)] == [
        "preparing",
        "running",
        "completed",
    ]
    assert isinstance(watcher.events[-1], Finished)
    progress = [e for e in watcher.events if isinstance(e, Progress)]
    assert progress[0].fraction == 0.0
    assert all(a.left_s >= b.left_s for a, b in itertools.pairwise(progress))
    assert progress[-1].elapsed_s == pytest.approx(bench.clock.now() - SETTLING_S)


async def test_same_seed_same_bytes_whatever_the_blocks(tmp_path: Path) -> None:
    files = []
    for place, block_s in (("a", (0.25, 0.25, 0.25)), ("b", (0.3, 0.2, 0.25))):
        bench = ToyBench(block_s=block_s)
        report = await run(bench, tmp_path / place, plan=(BRING_UP, CALIBRATE, MEASURE))
        assert report.ending.exit is Exit.DONE, report.ending.message
        heralds = sorted((report.folder / "tags" / "heralds").glob("*.parquet"))
        files.append([(report.folder / "results.json").read_bytes(), *(f.read_bytes() for f in heralds)])
    assert len(files[0]) == 1 + 6  # a segment per dwell
    assert files[0] == files[1]


async def test_bring_up_goes_from_dark_to_light(tmp_path: Path) -> None:
    bench = ToyBench()
    report = await run(bench, tmp_path, plan=(BRING_UP,))
    assert report.ending.exit is Exit.DONE, report.ending.message

    def first(line: str) -> int:
        return bench.log.index(line)

    assert first("hub_tagger threshold") < first("alice_qwp home") < first("hub_nanowires bias")
    assert first("hub_nanowires bias") < first("alice_pump emission True")
    low, on, target = (first(f"alice_pump {w}") for w in ("power 0", "emission True", "power 0.02"))
    assert low < on < target
    # Up with 2 uA in 0.1 s at most; what follows is the ramp down into the safe state.
    history = bench.nanowires.history
    steps = history[: max(range(len(history)), key=lambda n: history[n][1]) + 1]
    assert steps[-1][1] == pytest.approx(17e-6)
    for (t0, i0), (t1, i1) in itertools.pairwise(steps[1:]):
        assert i1 - i0 <= 2e-6 + 1e-12
        assert t1 - t0 >= 0.1 - 1e-9
    assert report.results is None
    assert not (report.folder / "results.json").exists()


async def test_safe_state_in_order_at_the_end(tmp_path: Path) -> None:
    bench = ToyBench()
    report = await run(bench, tmp_path, plan=(WAIT,))
    assert safe_names(bench)[:3] == ["alice_pump", "bob_pump", "hub_nanowires"]
    assert sorted(safe_names(bench)) == sorted(bench.instruments)
    assert not any(i.is_open for i in bench.instruments.values())
    assert all(outcome["problem"] == "" for outcome in about(report)["safe_state"])


async def test_all_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    bench = ToyBench()
    bench.instruments["bob_hwp"].refuse = bench.instruments["hub_tagger"].refuse = True
    report = await run(bench, tmp_path)
    assert report.ending.state is State.FAILED
    assert report.ending.exit is Exit.INSTRUMENT
    assert "2 of 11 instruments" in report.ending.message
    assert "bob_hwp (tcp://127.0.0.1:9): connection refused. Switch it on" in report.ending.message
    assert "hub_tagger" in report.ending.message
    assert len(safe_names(bench)) == 9  # those that are open, although nothing was changed
    assert about(report)["state"] == "failed"


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        (
            (BRING_UP.model_copy(update={"power": {"alice_pump": 0.5}}),),
            "power of alice_pump would be 0.5, outside",
        ),
        ((MEASURE,), "needs the calibration of delays"),
    ],
)
async def test_preflight_refuses_before_anything_moves(tmp_path: Path, plan: tuple, complaint: str) -> None:
    bench = ToyBench()
    report = await run(bench, tmp_path, plan=plan)
    assert report.ending.exit is Exit.FAILED
    assert complaint in report.ending.message
    assert not any("home" in line or "power" in line for line in bench.log)


async def test_instrument_silent_in_mid_run(tmp_path: Path) -> None:
    bench = ToyBench()
    bench.clock.at.append((14.0, lambda: setattr(bench.mounts["alice_hwp"], "silent", True)))
    report = await run(bench, tmp_path, reconnection={"deadline": "2 s"})
    # It cannot confirm its safe state either: that counts most.
    assert report.ending.state is State.FAILED
    assert report.ending.exit is Exit.NOT_SAFE
    assert "alice_hwp (tcp://127.0.0.1:9): no answer" in report.ending.message
    assert "NOT VERIFIED SAFE" in report.ending.message
    assert sorted(safe_names(bench)) == sorted(set(bench.instruments) - {"alice_hwp"})
    results = json.loads((report.folder / "results.json").read_text())
    assert results["complete"] is False
    assert results["live_time_s"] > 0


async def test_abort_makes_safe_also_when_asked_twice(tmp_path: Path) -> None:
    bench = ToyBench()
    task = asyncio.create_task(run(bench, tmp_path))
    bench.clock.at.append((12.0, task.cancel))

    async def cancel_again_while_making_safe() -> None:
        await bench.lasers["alice_pump"].safe_asked.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()

    again = asyncio.create_task(cancel_again_while_making_safe())
    report = await task
    await again
    assert report.ending.state is State.ABORTED
    assert report.ending.exit is Exit.ABORTED
    assert "measure_swapping" in report.ending.message
    assert sorted(safe_names(bench)) == sorted(bench.instruments)
    assert about(report)["state"] == "aborted"
    assert events(report.folder, "state")[-1]["state"] == "aborted"


async def test_step_past_its_deadline(tmp_path: Path) -> None:
    bench = ToyBench()
    mount = bench.mounts["alice_qwp"]
    mount._move = lambda seconds: setattr(mount, "moves_until", 1e9)  # type: ignore[method-assign]
    report = await run(bench, tmp_path)
    assert report.ending.exit is Exit.INSTRUMENT
    assert "not settled after 120 s: alice_qwp" in report.ending.message
    assert bench.clock.now() < 150


async def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = ToyBench()
    written = []
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target).suffix == ".parquet":
            written.append(target)
            if len(written) > 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        real(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    report = await run(bench, tmp_path)
    assert report.ending.exit is Exit.STORAGE
    assert "no space left" in report.ending.message
    assert "--runs" in report.ending.message
    assert sorted(safe_names(bench)) == sorted(bench.instruments)
    assert len(list(read_segments(report.folder / "tags" / "heralds"))) == 3
    assert json.loads((report.folder / "results.json").read_text())["complete"] is False
    assert about(report)["exit_code"] == 6


async def test_lost_tags_are_told(tmp_path: Path) -> None:
    bench, watcher = ToyBench(), Watcher()
    bench.clock.at.append((12.0, lambda: setattr(bench.taggers["bob_tagger"], "lose", 17)))
    report = await run(bench, tmp_path, watcher=watcher)
    assert [e["tags"] for e in happened(report.folder, "tags lost")] == [17]
    assert about(report)["tags_lost"] == {"alice_tagger": 0, "bob_tagger": 17, "hub_tagger": 0}


async def test_results_that_cannot_be_told_leave_a_run_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def divide(*_: object, complete: bool) -> None:
        raise ZeroDivisionError("no counts")

    monkeypatch.setattr("experiments.engine.papers.Papers.results", divide)
    bench, watcher = ToyBench(), Watcher()
    report = await run(bench, tmp_path, watcher=watcher, plan=(BRING_UP, WAIT))
    assert (report.ending.state, report.ending.exit) == (State.FAILED, Exit.FAILED)
    assert "ZeroDivisionError: no counts. Please report it with error.txt" in report.ending.message
    assert "no counts" in (report.folder / "error.txt").read_text()
    assert (about(report)["state"], about(report)["exit_code"]) == ("failed", Exit.FAILED)
    assert [type(event) for event in watcher.events[-2:]] == [StateChanged, Finished]
    assert not (report.folder / "control.sock").exists()
    assert '"name":"stop"' in (report.folder / "documents.jsonl").read_text().replace(" ", "")
    assert set(safe_names(bench)) == set(bench.instruments)


async def test_an_observer_cannot_break_a_run(tmp_path: Path) -> None:
    class Broken:
        calls = 0

        def notify(self, event: RunEvent) -> None:
            self.calls += 1
            raise ValueError("no terminal")

    bench, broken, watcher = ToyBench(), Broken(), Watcher()
    loaded = experiment(plan=(WAIT,))
    report = await execute(
        loaded,
        bench.instruments,
        bench.clock,
        RunFolder.create(tmp_path, "toy_swapping"),
        seed=1,
        observers=[broken, watcher],
        about={"broker": "none"},
    )
    assert about(report)["broker"] == "none"
    assert report.ending.exit is Exit.DONE
    assert broken.calls == 1
    assert isinstance(watcher.events[-1], Finished)
    assert "Broken failed" in happened(report.folder, "observer failed")[0]["message"]


async def test_an_observer_that_fails_at_the_very_end_is_written_down_too(tmp_path: Path) -> None:
    class Late:
        def notify(self, event: RunEvent) -> None:
            if isinstance(event, Finished):
                raise BrokenPipeError("nobody reads any more")

    bench = ToyBench()
    report = await execute(
        experiment(plan=(WAIT,)),
        bench.instruments,
        bench.clock,
        RunFolder.create(tmp_path, "toy_swapping"),
        seed=1,
        observers=[Late()],
    )
    assert report.ending.exit is Exit.DONE
    assert events(report.folder, "happened", "state")[-1]["event"] == "observer failed"
    assert documents(report.folder)[-1][0] == "stop"


async def test_stream_that_ends_by_itself_stops_the_run_at_once(tmp_path: Path) -> None:
    bench = ToyBench()
    tagger = bench.taggers["alice_tagger"]
    bench.clock.at.append((12.0, lambda: end_stream(tagger)))
    report = await run(bench, tmp_path, reconnection={"deadline": "0 s"})
    assert report.ending.exit is Exit.INSTRUMENT
    assert "alice_tagger" in report.ending.message
    assert "ended by itself" in report.ending.message
    assert sorted(safe_names(bench)) == sorted(bench.instruments)


def end_stream(tagger) -> None:
    while not tagger._queue.empty():
        tagger._queue.get_nowait()
    tagger.mute = True
    tagger._queue.put_nowait(None)


def test_steps_and_parameters_go_together() -> None:
    from experiments.config.plan import STEPS as PARAMETERS
    from experiments.engine import course
    from experiments.engine.registry import STEPS

    assert STEPS.keys() == PARAMETERS.keys()
    assert course.make_step(WAIT).kind == "wait"
