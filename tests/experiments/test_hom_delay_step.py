"""`scan_hom_delay` in a run on a bench of fakes: where the line goes, what is followed meanwhile, and what is
counted again after an instrument was away."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.capabilities import DelayLine, Limits
from experiments.config.inventory import Inventory
from experiments.config.plan import PlanStep, ScanHomDelay
from experiments.config.testbed import InstrumentEntry, Source
from experiments.engine.events import Happened, RunEvent
from experiments.engine.outcome import Exit
from experiments.engine.record import RunFolder
from experiments.engine.run import RunReport, execute
from tests.experiments.fakes import (
    BRING_UP,
    CALIBRATE,
    DETECTORS,
    HUB,
    PS,
    TRUE_DELAYS_PS,
    FakeClock,
    FakeInstrument,
    FakeMount,
    ToyBench,
    ToyLight,
    experiment,
)
from tests.recorded import events, happened

CENTRE_PS, WIDTH_PS, DEPTH = 310.0, 100.0, 0.8
SCAN = ScanHomDelay.model_validate(
    {
        "delay_line": "line",
        "start": "0 ps",
        "stop": "600 ps",
        "points": 9,
        "dwell": "500 ms",
        "window": "5 ns",
    }
)


class FakeLine(FakeInstrument, DelayLine):
    delay_limits = Limits(0.0, 667e-12, "s")  # type: ignore[assignment]

    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__(name, log)
        self.at, self.homed = 200e-12, False

    async def home(self) -> None:
        self.at, self.homed = 0.0, True
        self._move(3.0)

    async def is_homed(self) -> bool:
        return self.homed

    async def set_delay(self, delay_s: float) -> None:
        self.log.append(f"line {delay_s * PS:.1f}")
        self._move(0.2)
        self.at = delay_s

    async def delay(self) -> float:
        self._ask()
        return self.at


class PulsedLight(ToyLight):
    """Pairs of both arms, and four-folds of equal polarization, fewest where both arms are equally long: the
    line delays alice's idlers, bob's come `CENTRE_PS` late."""

    def __init__(self, seed: int, mounts: dict[str, FakeMount], line: FakeLine) -> None:
        super().__init__(seed, mounts)
        self._line = line

    def clicks(self, begin_ps: int, end_ps: int) -> dict[str, dict[int, np.ndarray]]:
        rng, seconds = self._rng, (end_ps - begin_ps) / PS
        clicks = {name: [rng.integers(begin_ps, end_ps, rng.poisson(2000 * seconds))] for name in DETECTORS}
        late = {"alice": self._line.at * PS, "bob": CENTRE_PS}
        for spoke, by_ps in late.items():
            n = rng.poisson(20_000 * seconds)
            times, side, port = (
                rng.integers(begin_ps, end_ps, n),
                rng.integers(0, 2, n),
                rng.integers(0, 4, n),
            )
            x = rng.exponential(200, n) * np.where(rng.random(n) < 2 / 3, 1.0, -0.5)
            for k, letter in enumerate("hv"):
                clicks[f"{spoke}_{letter}"].append((times + x)[side == k])
            for k, hub in enumerate(HUB):
                clicks[hub].append((times + by_ps)[port == k])
        apart = late["alice"] - CENTRE_PS
        left = 1 - DEPTH * np.exp(-(apart**2) / (2 * WIDTH_PS**2))
        n = rng.poisson(1200 * left * seconds)
        times, polarization, crossed = rng.integers(begin_ps, end_ps, n), rng.integers(0, 2, n), rng.random(n)
        for k, letter in enumerate("hv"):
            mine = polarization == k
            clicks[f"alice_{letter}"].append(times[mine])
            clicks[f"bob_{letter}"].append(times[mine])
            to_c = np.where(crossed < 0.5, late["alice"], late["bob"])
            clicks[HUB[k]].append((times + to_c)[mine])
            clicks[HUB[2 + k]].append((times + sum(late.values()) - to_c)[mine])
        streams: dict[str, dict[int, np.ndarray]] = {}
        for name, parts in clicks.items():
            tagger, input_ = DETECTORS[name].split(".")
            fibre = 43_100_000 if tagger == "hub_tagger" else 0
            times = np.round(np.concatenate(parts)).astype(np.int64) + fibre + TRUE_DELAYS_PS.get(name, 0)
            streams.setdefault(tagger, {})[int(input_)] = times
        return streams


class ScanBench(ToyBench):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.line = FakeLine("line", self.log)
        self.instruments["line"] = self.line
        self.clock = FakeClock(list(self.taggers.values()), PulsedLight(seed, self.mounts, self.line))
        for instrument in self.instruments.values():
            instrument.clock = self.clock


class Once:
    """Does `act` in the middle of the third dwell."""

    def __init__(self, bench: ScanBench, act: Callable[[ScanBench], None]) -> None:
        self._bench, self._act, self._dwells = bench, act, 0

    def notify(self, event: RunEvent) -> None:
        if isinstance(event, Happened) and event.event == "sweep point":
            self._dwells += 1
            if self._dwells == 3:
                self._bench.clock.at.append((self._bench.clock.now() + 0.3, lambda: self._act(self._bench)))


async def run(
    bench: ScanBench, runs: Path, act: Callable[[ScanBench], None] = lambda _: None, **changes: Any
) -> RunReport:
    plan: tuple[PlanStep, ...] = BRING_UP, CALIBRATE, SCAN.model_copy(update=changes)
    loaded = experiment(plan)
    sources = {
        f"{spoke}_source": Source.model_validate(
            {
                "node": spoke, "pump": f"{spoke}_pump", "signal": [f"{spoke}_analyser"], "idler": idler,
                "signal_wavelength": "795 nm", "idler_wavelength": "1324 nm", "repetition_rate": "80 MHz",
            }
        )
        for spoke, idler in (("alice", ["line", "bsm.a"]), ("bob", ["bsm.b"]))
    }  # fmt: skip
    line = InstrumentEntry.model_validate(
        {"node": "hub", "model": "ozoptics_650ml", "address": "serial:/dev/x"}
    )
    testbed = loaded.testbed.model_copy(
        update={"sources": sources, "instruments": {**loaded.testbed.instruments, "line": line}}
    )
    return await execute(
        replace(loaded, testbed=testbed, inventory=Inventory(testbed, {}, {})),
        bench.instruments,
        bench.clock,
        RunFolder.create(runs, "toy_scan"),
        seed=7,
        observers=[Once(bench, act)],
    )


def agrees(found: dict[str, Any], expected: float) -> None:
    """False alarm: one in 2e7."""
    assert abs(found["value"] - expected) < 5.5 * found["error"], f"{found} is not {expected}"


def away(bench: ScanBench) -> None:
    """For three seconds one instrument does not answer."""
    bench.nanowires.unplugged = True
    bench.clock.at.append((bench.clock.now() + 3.0, lambda: setattr(bench.nanowires, "unplugged", False)))


async def test_the_line_ends_where_the_dip_is_and_a_disturbed_dwell_is_counted_again(tmp_path: Path) -> None:
    bench = ScanBench(seed=2)
    report = await run(bench, tmp_path, away)
    assert report.ending.exit is Exit.DONE, report.ending.message
    results: Any = report.results
    assert len(results["hom_scan"]["delay_ps"]) == 9
    agrees(results["hom_scan_visibility"], DEPTH)
    agrees(results["hom_scan_visibility"]["subtracted"], DEPTH)
    agrees(results["hom_scan_centre_ps"], CENTRE_PS)
    agrees(results["hom_scan_width_ps"], WIDTH_PS)
    *places, rest = (float(line.split()[1]) for line in bench.log if line.startswith("line "))
    assert rest == pytest.approx(results["hom_scan_centre_ps"]["value"], abs=0.1)
    assert bench.line.at * PS == pytest.approx(rest, abs=0.1)

    [vetoed] = happened(report.folder, "vetoed")
    assert f"{places[2]:.4g} ps" in vetoed["message"]
    assert places.pop(3) == places[2]  # gone to again
    assert sorted(places) == pytest.approx(np.linspace(0, 600, 9), abs=0.1)
    assert places != sorted(places)

    # The spoke's delay is known to go with the line: no look at the peaks finds it elsewhere.
    looks = [event for event in events(report.folder, "delays") if event["spoke"] == "alice_analyser"]
    assert not any(look["jumped"] for look in looks)
    if len(looks) > len(places):
        del looks[2]  # that of the disturbed dwell, which may have come in or not
    for look, place in zip(looks, places, strict=True):
        assert abs(look["offset_ps"] + place) < 5.5 * look["error_ps"]
        assert look["error_ps"] < 60


@pytest.mark.long
async def test_the_line_goes_back_where_it_was(tmp_path: Path) -> None:
    bench = ScanBench(seed=3)
    report = await run(bench, tmp_path, go_to_dip=False, heralds=("bob_analyser",))
    assert report.ending.exit is Exit.DONE, report.ending.message
    places = [float(line.split()[1]) for line in bench.log if line.startswith("line ")]
    assert len(places) == 9 + 1
    assert places[-1] == 0.0
    results: Any = report.results
    assert results["hom_scan_visibility"]["folds"] == 3
    agrees(results["hom_scan_centre_ps"], CENTRE_PS)
