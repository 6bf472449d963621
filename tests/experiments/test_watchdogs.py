"""Failures that watchdogs know, injected on a bench of fakes: found, named, remedied or the run held; what
was counted in them does not count; and no alarm while all is well.

False alarms: every look's chance is below 1e-9 (`rates.FALSE_ALARM`), for at most some 50 looks in each run.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.config.plan import CalibrateDelays, MeasureSwapping
from experiments.config.watchdogs import Watchdogs
from experiments.engine.control import RunControl
from experiments.engine.events import Happened, RunEvent, StateChanged
from experiments.engine.outcome import Exit, State
from experiments.engine.record import RunFolder
from experiments.engine.run import RunReport, execute
from tests.experiments import fakes
from tests.experiments.fakes import (
    BRING_UP,
    FakeLaser,
    FakeNanowires,
    ToyBench,
    ToyLight,
    experiment,
)
from tests.recorded import happened

ALL: dict[str, Any] = {
    "cadence": "1500 ms",
    "nanowire_latched": {},
    "source_unlocked": {},
    "clock_unlocked": {},
    "fibre_jump": {},
    "peak_walked_off": {},
    "indistinguishability_lost": {"events": 300},
}


class FailingLight(ToyLight):
    """The toy's light with knobs for failures."""

    def __init__(self, bench: ToyBench) -> None:
        super().__init__(1, bench.mounts)
        self.blind: set[str] = set()
        self.left: dict[str, float] = {}
        """Of a spoke's light, by the spoke."""
        self.late_ps: dict[str, int] = {}
        """By the tagger."""

    def clicks(self, begin_ps: int, end_ps: int) -> dict[str, dict[int, np.ndarray]]:
        streams = super().clicks(begin_ps, end_ps)
        for name, wire in fakes.DETECTORS.items():
            tagger, input_ = wire.split(".")
            times = streams[tagger][int(input_)] + self.late_ps.get(tagger, 0)
            left = 0.0 if name in self.blind else self.left.get(name.partition("_")[0], 1.0)
            # A toy: what is lost at the spoke stands for pairs that were not made.
            kept = times if left == 1.0 else times[: round(left * len(times))]
            streams[tagger][int(input_)] = kept
        return streams


class Wires(FakeNanowires):
    """Nanowires that latch one by one, and come back without bias."""

    def __init__(self, bench: ToyBench, light: FailingLight) -> None:
        super().__init__("hub_nanowires", bench.log)
        self.light, self.clock = light, bench.clock
        self.dead: set[int] = set()
        self.knows = True

    def latch(self, channel: int) -> None:
        self.dead.add(channel)
        self.light.blind.add(fakes.HUB[channel - 1])

    async def is_latched(self, channel: int) -> bool:
        return self.knows and channel in self.dead

    async def set_bias(self, channel: int, current_a: float) -> None:
        await super().set_bias(channel, current_a)
        if not current_a:
            self.dead.discard(channel)
            self.light.blind.discard(fakes.HUB[channel - 1])


class Pump(FakeLaser):
    """A laser that finds its line again when its power is moved."""

    def __init__(self, bench: ToyBench, light: FailingLight) -> None:
        super().__init__("alice_pump", bench.log)
        self.light, self.clock = light, bench.clock

    async def set_power(self, power_w: float) -> None:
        if abs(power_w - self.set_point) > 0.01 * self.set_point:
            self.light.left.pop("alice", None)
        await super().set_power(power_w)


class Watched:
    """A run under watch, in which `fail` happens half a second into the `nth` dwell."""

    def __init__(self, watchdogs: dict[str, Any], dwell: str = "1 s", rounds: int = 3, nth: int = 3) -> None:
        self.bench = ToyBench()
        self.light = FailingLight(self.bench)
        self.bench.clock._light = self.light
        self.wires, self.pump = Wires(self.bench, self.light), Pump(self.bench, self.light)
        self.bench.instruments |= {"hub_nanowires": self.wires, "alice_pump": self.pump}
        self.control = RunControl()
        self.events: list[RunEvent] = []
        self.fail: Callable[[], None] | None = None
        self.when_held: Callable[[], None] = lambda: None
        self._nth, self._dwells = nth, 0
        calibrate = CalibrateDelays.model_validate({"duration": "250 ms"})
        measure = MeasureSwapping.model_validate({"bases": ["ZZ", "XX"], "dwell": dwell, "rounds": rounds})
        loaded = experiment((BRING_UP, calibrate, measure), watchdogs=Watchdogs.model_validate(watchdogs))
        stands = loaded.testbed.model_dump(mode="json", exclude_none=True, by_alias=True)
        for number, name in enumerate(fakes.HUB, 1):
            stands["detectors"][name]["instrument"] = f"hub_nanowires.{number}"
        stands["sources"] = {
            f"{spoke}_source": {
                "node": spoke, "pump": f"{spoke}_pump",
                "signal": [f"{spoke}_analyser"], "idler": [f"bsm.{side}"],
                "signal_wavelength": "795 nm", "idler_wavelength": "1324 nm",
            }
            for spoke, side in (("alice", "a"), ("bob", "b"))
        }  # fmt: skip
        self.loaded = replace(loaded, testbed=type(loaded.testbed).model_validate(stands))

    def notify(self, event: RunEvent) -> None:
        self.events.append(event)
        if isinstance(event, Happened) and event.event == "dwell":
            self._dwells += 1
            if self._dwells == self._nth and self.fail:
                self.bench.clock.at.append((self.bench.clock.now() + 0.5, self.fail))
        if isinstance(event, StateChanged) and event.state is State.PAUSED:
            self.when_held()

    async def run(self, runs: Path) -> RunReport:
        folder = RunFolder.create(runs, "toy_swapping")
        report = await execute(
            self.loaded, self.bench.instruments, self.bench.clock, folder,
            seed=7, observers=[self], control=self.control,
        )  # fmt: skip
        assert report.ending.exit is Exit.DONE, report.ending.message
        assert report.folder is not None
        # Whatever was forgotten was measured again: each setting has its whole time.
        assert report.results is not None
        assert report.results["live_time_s"] == pytest.approx(self.whole_s, abs=0.01)
        return report

    @property
    def whole_s(self) -> float:
        measure = self.loaded.experiment.plan[-1]
        assert isinstance(measure, MeasureSwapping)
        return float(measure.dwell) * 2 * measure.rounds  # type: ignore[arg-type]


def barked(report: RunReport) -> list[dict[str, Any]]:
    assert report.folder is not None
    return happened(report.folder, "watchdog")


async def test_a_quiet_night_has_no_alarm_and_loses_no_data(tmp_path: Path) -> None:
    """Some 12 looks of seven watchdogs: a false alarm has a chance below 2e-7."""
    watched = Watched(ALL, rounds=6)
    report = await watched.run(tmp_path)
    assert barked(report) == []
    assert report.folder is not None
    assert happened(report.folder, "vetoed") == []
    assert report.results is not None
    assert report.results["uptime"]["value"] == 1.0  # type: ignore[index]
    assert len(happened(report.folder, "counted")) == len(happened(report.folder, "dwell"))


@pytest.mark.parametrize("knows", [True, False])
async def test_a_latched_nanowire_gets_its_bias_back(tmp_path: Path, knows: bool) -> None:
    """By the voltage across the wire, and by the clicks alone."""
    watched = Watched({**ALL, "indistinguishability_lost": None}, rounds=4, nth=5)
    watched.wires.knows = knows
    watched.fail = lambda: watched.wires.latch(2)
    report = await watched.run(tmp_path)
    [alarm] = barked(report)
    assert (alarm["watchdog"], alarm["device"]) == ("nanowire_latched", "hub_nanowires.2")
    assert alarm["vetoed_s"] > 0
    assert report.folder is not None
    [remedied] = happened(report.folder, "remedied")
    assert remedied["after"] == {"bias_a": pytest.approx(17e-6)}
    # The stay in which it went, and none that a look before had found fine beyond doubt, is measured again.
    dwells, vetoed = happened(report.folder, "dwell"), happened(report.folder, "vetoed")
    gone = {v["begin_ps"] for v in vetoed}
    assert dwells[4]["begin_ps"] in gone
    assert dwells[0]["begin_ps"] not in gone
    counted = {c["begin_ps"] for c in happened(report.folder, "counted")}
    assert not gone & counted
    assert [line for line in watched.bench.log if "enabled True" in line] == ["hub_nanowires enabled True"]


async def test_a_new_recording_is_judged_by_what_was_normal_before(tmp_path: Path) -> None:
    """One power dip takes a pump its lock and a tagger its recording. To watchdogs that begin anew the light
    that is left, enough to find the delays by, would be normal."""
    watched = Watched({"cadence": "1500 ms", "source_unlocked": {}}, rounds=2)
    tagger = watched.bench.taggers["bob_tagger"]

    def dip() -> None:
        watched.light.left.update(alice=0.4)
        tagger.lose_power()

    watched.fail = dip
    report = await watched.run(tmp_path)
    [alarm] = barked(report)
    assert (alarm["watchdog"], alarm["device"]) == ("source_unlocked", "alice_source")
    assert report.folder is not None
    dwells, vetoed = happened(report.folder, "dwell"), happened(report.folder, "vetoed")
    dim = {dwell["begin_ps"] for dwell in dwells[2:4]}  # under way in the dip, and the first one after it
    assert dim <= {each["begin_ps"] for each in vetoed}


async def test_an_unlocked_pump_is_set_anew_and_never_switched(tmp_path: Path) -> None:
    watched = Watched(ALL)
    watched.fail = lambda: watched.light.left.update(alice=0.05)
    report = await watched.run(tmp_path)
    [alarm] = barked(report)
    assert (alarm["watchdog"], alarm["device"]) == ("source_unlocked", "alice_source")
    singles = alarm["figures"]["singles of alice_analyser"]
    assert singles["now_hz"] < 0.7 * singles["before_hz"]
    emission = [line for line in watched.bench.log if line.startswith("alice_pump emission")]
    assert emission == ["alice_pump emission True"]
    powers = [line for line in watched.bench.log if line.startswith("alice_pump power")]
    assert powers[-2:] == ["alice_pump power 0.019", "alice_pump power 0.02"]


async def test_a_peak_that_walked_off_is_searched_for_anew(tmp_path: Path) -> None:
    watched = Watched(ALL)
    watched.fail = lambda: watched.light.late_ps.update(bob_tagger=50_000)
    report = await watched.run(tmp_path)
    [alarm] = barked(report)
    assert (alarm["watchdog"], alarm["device"]) == ("peak_walked_off", "bob_analyser")
    assert report.folder is not None
    first, second = happened(report.folder, "calibrated")
    moved = [c["tagger_shifts"]["bob_tagger"]["value"] for c in (first, second)]
    # The coarse delay is good to the width of a peak, the fine ones take the rest.
    assert moved[1] - moved[0] == pytest.approx(-50_000, abs=1500)


async def test_a_delay_that_jumps_within_reach_is_followed_and_told(tmp_path: Path) -> None:
    watched = Watched(ALL)
    watched.fail = lambda: watched.light.late_ps.update(bob_tagger=3_000)
    report = await watched.run(tmp_path)
    [alarm] = barked(report)
    assert (alarm["watchdog"], alarm["device"]) == ("fibre_jump", "bob_analyser")
    assert abs(alarm["figures"]["shift_ps"]) == pytest.approx(3000, abs=100)
    assert report.folder is not None
    assert len(happened(report.folder, "calibrated")) == 1


async def test_photons_that_can_be_told_apart_hold_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only XX shows it. 300 four-folds of visibility 0.85 have less than 0.5 with a chance below 1e-9 of
    nothing else; without interference all of XX is random."""
    watched = Watched(ALL, dwell="2 s", rounds=6, nth=5)
    healthy = FailingLight.clicks

    def apart(light: FailingLight, begin_ps: int, end_ps: int) -> dict[str, dict[int, np.ndarray]]:
        in_xx = abs(watched.bench.mounts["alice_qwp"].at) > 0.1
        monkeypatch.setattr(fakes, "V", 0.0 if in_xx else 0.85)
        return healthy(light, begin_ps, end_ps)

    def repaired() -> None:
        monkeypatch.setattr(FailingLight, "clicks", healthy)
        monkeypatch.setattr(fakes, "V", 0.85)
        watched.control.resume("the etalon is tuned")

    watched.fail = lambda: monkeypatch.setattr(FailingLight, "clicks", apart)
    watched.when_held = repaired
    report = await watched.run(tmp_path)
    [alarm] = barked(report)
    assert (alarm["watchdog"], alarm["action"]) == ("indistinguishability_lost", "pause")
    assert alarm["figures"]["visibility_xx"] < 0.5 < alarm["figures"]["visibility_zz"]
    assert report.results is not None
    v = report.results["visibility_xx"]
    assert abs(v["value"] - 0.85) < 5.5 * v["error"]  # type: ignore[index]


async def test_one_that_only_tells_tells_once_and_all_data_count(tmp_path: Path) -> None:
    watched = Watched({**ALL, "peak_walked_off": {"action": "alarm"}, "indistinguishability_lost": None})
    watched.fail = lambda: watched.light.late_ps.update(bob_tagger=50_000)
    report = await watched.run(tmp_path)
    [alarm] = barked(report)
    assert (alarm["watchdog"], alarm["vetoed_s"]) == ("peak_walked_off", 0.0)
    assert report.folder is not None
    assert happened(report.folder, "vetoed") == []


async def test_a_remedy_that_does_not_help_is_tried_so_often_and_then_the_run_is_held(tmp_path: Path) -> None:
    watched = Watched({**ALL, "source_unlocked": {"at_most": 2}})
    keep = {"broken": True}

    async def set_power(power_w: float) -> None:
        watched.pump.set_point = power_w
        if not keep["broken"]:
            watched.light.left.pop("alice", None)

    def fail() -> None:
        watched.light.left.update(alice=0.05)
        watched.pump.set_power = set_power  # type: ignore[method-assign]

    def repaired() -> None:
        watched.light.left.clear()
        watched.control.resume("its lock was set by hand")

    watched.fail, watched.when_held = fail, repaired
    report = await watched.run(tmp_path)
    assert [alarm["watchdog"] for alarm in barked(report)] == ["source_unlocked"] * 3
    assert report.folder is not None
    assert len(happened(report.folder, "remedied")) == 2
    assert report.results is not None
    assert "source_unlocked" in report.results["downtime_s"]  # type: ignore[operator]
