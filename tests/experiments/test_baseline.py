"""How instruments stand before and after a run: all that they say; nobody waits for one that is silent."""

import asyncio
import json
from pathlib import Path

import pytest

from drivers.capabilities import ClockMonitor, ClockStatus, Control
from drivers.errors import DeadlineError, RefusedError
from experiments.config.testbed import Clock
from experiments.engine import baseline as baseline_module
from experiments.engine.baseline import baseline, clock_status
from experiments.engine.clock import SETTLING_S
from tests.experiments.fakes import WAIT, FakeInstrument, FakeLaser, FakeTagger, ToyBench
from tests.recorded import events
from tests.stored import toy_run


class Panel(FakeInstrument):
    """A front panel as the test wants it."""

    def __init__(self, name: str, *controls: Control) -> None:
        super().__init__(name)
        self._controls = controls

    def controls(self) -> tuple[Control, ...]:
        return self._controls


async def refuses() -> float:
    raise RefusedError("panel", "tcp://127.0.0.1:9", "not in this mode")


async def silent() -> float:
    raise DeadlineError("panel", "tcp://127.0.0.1:9", "no answer within 2 s")


async def never() -> float:
    await asyncio.sleep(3600)
    return 0.0


async def broken() -> float:
    raise ZeroDivisionError("a driver's mistake")


async def two() -> float:
    return 2.0


async def test_everything_is_read_but_what_takes_counting() -> None:
    laser = FakeLaser("pump")
    await laser.set_power(0.02)
    await laser.set_emission(True)
    [seen, tagger] = await baseline([laser, FakeTagger("tagger", 1)], "before")
    assert (seen.phase, seen.instrument, seen.problem) == ("before", "pump", "")
    assert seen.values == {"power": 0.02, "emission": True}
    assert tagger.values == {"threshold.1": 0.0}  # and no count rate: that takes a second


@pytest.mark.parametrize(
    ("read", "values", "problem"),
    [
        (refuses, {"first": 2.0, "last": 2.0}, ""),
        (silent, {"first": 2.0}, "no answer within 2 s"),
        (broken, {"first": 2.0}, "ZeroDivisionError: a driver's mistake"),
        (never, {}, "not all read within 0 s"),
    ],
)
async def test_what_cannot_be_read_is_said(
    monkeypatch: pytest.MonkeyPatch, read: object, values: dict[str, float], problem: str
) -> None:
    if read is never:
        monkeypatch.setattr(baseline_module, "DEADLINE_S", 0.0)
    panel = Panel("panel", Control("first", "V", two), Control("odd", "V", read), Control("last", "V", two))  # type: ignore[arg-type]
    [seen] = await baseline([panel], "after")
    assert seen.values == values
    assert problem in seen.problem
    assert bool(problem) == bool(seen.problem)


class FakeClockMonitor(FakeInstrument, ClockMonitor):
    async def status(self) -> ClockStatus:
        self._ask()
        return ClockStatus(True, -1.7e-11, {"port 1": "slave"})


async def test_clocks_say_whether_they_follow_their_reference() -> None:
    white_rabbit = FakeClockMonitor("switch", None)
    dead = FakeClockMonitor("dead", None)
    dead.silent = True
    clocks = {
        "wr": Clock(taggers=("a", "b"), monitor="switch"),
        "other": Clock(taggers=("c",), monitor="dead"),
        "plain": Clock(taggers=("d",)),
        "gone": Clock(taggers=("e",), monitor="not_open"),
    }
    found = await clock_status(clocks, {"switch": white_rabbit, "dead": dead})
    assert found["wr"] == {
        "taggers": ["a", "b"], "monitor": "switch", "locked": True, "offset_s": -1.7e-11,
        "details": {"port 1": "slave"},
    }  # fmt: skip
    assert found["other"]["locked"] is None
    assert "no answer" in str(found["other"]["problem"])
    assert found["plain"] == {"taggers": ["d"], "monitor": None, "locked": None}
    assert found["gone"]["locked"] is None


async def test_a_run_has_its_instruments_before_and_after_on_record(tmp_path: Path) -> None:
    """Who was not verified safe is not asked again: that would only take time."""
    bench = ToyBench()
    bench.clock._light = None
    bench.instruments["bob_pump"].safe_fails = True
    folder = await toy_run(tmp_path, bench, plan=(WAIT,))
    seen = {(e["phase"], e["instrument"]): json.loads(e["values"]) for e in events(folder, "baseline")}
    before = {name for phase, name in seen if phase == "before"}
    after = {name for phase, name in seen if phase == "after"}
    assert before == set(bench.instruments)
    assert after == before - {"bob_pump"}
    assert seen["before", "alice_pump"] == seen["after", "alice_pump"] == {"power": 0.0, "emission": False}
    safe = {e["instrument"]: e["verified"] for e in events(folder, "safe")}
    assert safe.pop("bob_pump") is False
    assert all(safe.values())
    env = json.loads((folder / "env.json").read_text())
    assert env["seed"] == 7
    assert env["clocks"] == {}
    assert json.loads((folder / "run.json").read_text())["process"]["pid"] > 0


async def test_a_meter_has_time_to_see_the_dark_before_it_is_read_after_a_run(
    tmp_path: Path,
) -> None:
    """On the simulated bench nothing is seen of what was done last until its time goes on."""
    bench = ToyBench()
    reads: list[float] = []
    meter = bench.instruments["alice_pump"]
    power = meter.power

    async def read() -> float:
        reads.append(bench.clock.now())
        return await power()

    meter.power = read  # type: ignore[method-assign]
    folder = await toy_run(tmp_path, bench, plan=(WAIT,))
    [ended] = [e["t_s"] for e in events(folder, "happened") if e["event"] == "safe state"]
    assert reads[-1] == pytest.approx(ended + SETTLING_S)
