"""Upkeep at safe points: what is due, in which order, and for how long a measurement may count."""

import json
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import pytest

from experiments.engine import registry
from experiments.engine.bring_up import WaitStep
from experiments.engine.maintenance import carry_out_due, undisturbed_s
from experiments.engine.record import RunFolder
from experiments.engine.run import execute
from experiments.engine.step import Context
from tests.experiments.fakes import BRING_UP, CALIBRATE, WAIT, MeasureSwapping, ToyBench, experiment
from tests.recorded import happened


@dataclass
class Upkeep:
    name: str
    due_at: float
    log: list[str]
    fails: bool = False
    changes: set[str] = field(default_factory=set)
    comes_last: bool = False

    async def carry_out(self, context: Any) -> None:
        self.log.append(f"{self.name} changing {sorted(context.changes)}")
        if self.fails:
            raise RuntimeError(self.name)
        self.due_at += 100.0


class Now:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now(self) -> float:
        return self.seconds


@dataclass
class Noted:
    names: list[str] = field(default_factory=list)

    async def note(self, names: set[str]) -> None:
        self.names += sorted(names)


@dataclass
class Bench:
    """What of a context upkeep sees."""

    clock: Now
    maintenance: list[Upkeep]
    standing: Noted = field(default_factory=Noted)
    changes: set[str] = field(default_factory=lambda: {"mount"})


def bench(now: float, *due: float, fails: bool = False) -> tuple[Bench, list[str]]:
    log: list[str] = []
    names = "abcdef"
    upkeep = [Upkeep(names[k], at, log, fails, {f"paddles of {names[k]}"}) for k, at in enumerate(due)]
    return Bench(Now(now), upkeep), log


async def test_what_has_waited_longest_comes_first_and_what_is_soon_due_joins_it() -> None:
    context, log = bench(50.0, 48.0, 10.0, 54.0, 56.0, inf)
    await carry_out_due(context)  # type: ignore[arg-type]
    assert [line[0] for line in log] == ["b", "a", "c"]
    assert log[0] == "b changing ['mount', 'paddles of b']"
    assert context.standing.names == ["paddles of b", "paddles of a", "paddles of c"]
    assert context.changes == {"mount"}


async def test_what_judges_the_others_comes_last_in_the_same_gap() -> None:
    context, log = bench(50.0, 48.0, 10.0, 54.0)
    context.maintenance[1].comes_last = True
    await carry_out_due(context)  # type: ignore[arg-type]
    assert [line[0] for line in log] == ["a", "c", "b"]


async def test_nothing_is_done_before_something_is_due() -> None:
    context, log = bench(50.0, 52.0, inf)
    await carry_out_due(context)  # type: ignore[arg-type]
    assert log == []


async def test_what_fails_is_still_due_and_its_instruments_are_in_flux() -> None:
    context, _ = bench(50.0, 48.0, fails=True)
    with pytest.raises(RuntimeError, match="a"):
        await carry_out_due(context)  # type: ignore[arg-type]
    assert context.changes == {"mount", "paddles of a"}
    assert context.maintenance[0].due_at == 48.0
    assert context.standing.names == []


def test_a_measurement_may_count_until_upkeep_is_due() -> None:
    _, log = bench(0.0)
    upkeep = [Upkeep("a", 130.0, log), Upkeep("b", 90.0, log)]
    assert undisturbed_s(upkeep, 50.0) == 40.0
    assert undisturbed_s(upkeep, 89.9) == 1.0  # late by no more than that
    assert undisturbed_s([], 50.0) == inf


class Often:
    """Upkeep of 0.3 s, due every 1.7 s."""

    changes: frozenset[str] = frozenset()
    comes_last = False

    def __init__(self) -> None:
        self.due_at = 0.0
        self.times: list[tuple[float, float]] = []

    async def carry_out(self, context: Context) -> None:
        began = context.clock.now()
        await context.clock.sleep(0.3)
        self.times.append((began, context.clock.now()))
        self.due_at = context.clock.now() + 1.7


async def test_no_stay_of_a_measurement_reaches_into_upkeep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two settings of four seconds in a bench that is seen to every two; what is counted is eight seconds all
    the same, in pieces between which the upkeep lies. None of its time counts as the step's."""
    often, bench = Often(), ToyBench()

    class Registering(WaitStep):
        async def run(self, context: Context) -> None:
            context.maintenance.append(often)

    monkeypatch.setitem(registry.STEPS, "wait", Registering)
    measure = MeasureSwapping.model_validate({"bases": ["ZZ", "XX"], "dwell": "4 s"})
    report = await execute(
        experiment((BRING_UP, WAIT, CALIBRATE, measure)),
        bench.instruments,
        bench.clock,
        RunFolder.create(tmp_path, "toy_swapping"),
        seed=7,
    )
    assert report.ending.exit == 0, report.ending.message
    assert report.results is not None
    assert report.results["live_time_s"] == pytest.approx(8.0)
    # The hub's tagger begins 1 ms after the run clock of its recording (`ToyBench`); 50 ms of guard lie
    # around a stay.
    (recording,) = happened(report.folder, "recording")
    stays = [
        [recording["t_s"] + json.loads(each["details"])[key] * 1e-12 for key in ("begin_ps", "end_ps")]
        for each in happened(report.folder, "dwell")
    ]
    assert len(stays) >= 5
    for begin, end in stays:
        assert end - begin <= 1.7 + 1e-6
        assert not any(began < end and begin < ended for began, ended in often.times)
    assert len(often.times) >= 5
