"""What a stored swapping run says of its counting: dwells, recordings with their delays, windows.

Made from documents.jsonl and the configuration alone, so it is there also for a run that was killed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drivers.units import AS_SI
from experiments.archive.stored import StoredRun
from experiments.calibrations.delays import ClockRate, DelayCalibration, rate_sigma
from experiments.calibrations.tracking import DelayTracker
from experiments.config.experiment import Record
from experiments.config.plan import MeasureSwapping
from experiments.config.settings import SwappingSettings
from experiments.engine.books import COUNTED
from timetags.clocks.affine import AffineClock

PS = 10**12


class ReplayError(Exception):
    """The run cannot be counted again, or not so; the message says why."""


@dataclass(frozen=True)
class StoredDwell:
    """A stay in a setting that counts, from `begin_ps` to `end_ps` of hub time. `step` is the number of its
    step in the plan, from 1."""

    setting: str
    begin_ps: int
    end_ps: int
    step: int

    @property
    def window_ps(self) -> tuple[int, int]:
        return self.begin_ps, self.end_ps


@dataclass(frozen=True)
class TakenOver:
    """A stay that another run has counted, and that this one took over into its step of this label."""

    run: str
    window_ps: tuple[int, int]
    label: str | None


@dataclass(frozen=True)
class Look:
    """What a look at the delay of a spoke found (see `timetags.clocks.track.TrackPoint`)."""

    spoke: str
    time_ps: int
    offset_ps: float
    error_ps: float


@dataclass
class Calibrated:
    """The delays from one calibration on: of taggers and detectors in ps, found at `middle_ps` of hub time
    with `error_ps`, and the looks that followed."""

    middle_ps: int
    error_ps: float
    shifts_ps: Mapping[str, int]
    delays_ps: Mapping[str, int]
    looks: list[Look] = field(default_factory=list)
    rates: Mapping[str, ClockRate] = field(default_factory=dict)
    """Of taggers whose clocks ran free."""

    def clock(self, tagger: str) -> AffineClock:
        """The clock of a tagger with the hub's as time base."""
        return DelayCalibration(self.shifts_ps, {}, (), 1.0, self.rates).clock(tagger)


class Counting:
    """How a run counted. Raises ReplayError when its folder does not tell."""

    def __init__(self, run: StoredRun) -> None:
        experiment, testbed = (run.config.get(part, {}) for part in ("experiment", "testbed"))
        if not experiment.get("settings"):
            raise ReplayError(f"{run.name} is no swapping run: only those can be counted again")
        self.settings = SwappingSettings.model_validate(experiment["settings"], context=AS_SI)
        self.record = Record.model_validate(experiment["record"], context=AS_SI)
        self.steps: dict[int, MeasureSwapping] = {
            number: MeasureSwapping.model_validate(step[MeasureSwapping.kind], context=AS_SI)
            for number, step in enumerate(experiment["plan"], 1)
            if MeasureSwapping.kind in step
        }
        """By their number in the plan."""
        self.detectors: tuple[str, ...] = tuple(testbed["detectors"])
        self.tagger_of = {
            name: detector["tagger"].rpartition(".")[0] for name, detector in testbed["detectors"].items()
        }
        self.taggers = [name for name in testbed["instruments"] if name in self.tagger_of.values()]
        """Those that a detector feeds, in the order in which the run merged them."""
        hub = testbed["bell_state_measurements"][self.settings.bell_state_measurement]["outputs"]
        self.hub = tuple(hub[port] for port in ("cH", "cV", "dH", "dV"))
        self.spokes = tuple(
            (outputs["H"], outputs["V"])
            for outputs in (testbed["analysers"][spoke]["outputs"] for spoke in self.settings.spokes)
        )
        self.dwells: list[StoredDwell] = []
        self.taken_over: list[TakenOver] = []
        self.calibrations: list[Calibrated] = []
        self._read(run)

    def channel(self, detector: str) -> int:
        """The channel of a detector in the run's tags."""
        return self.detectors.index(detector)

    def calibration_of(self, dwell: StoredDwell) -> Calibrated:
        """The one that was in force in a dwell."""
        before = [found for found in self.calibrations if found.middle_ps < dwell.begin_ps]
        if not before:
            raise ReplayError(f"no calibration of the delays is on record from before {dwell.setting}")
        return before[-1]

    def tracker(self, calibrated: Calibrated, more_ps: Mapping[str, int]) -> DelayTracker:
        """A tracker as the run had it after this calibration, before any look; `more_ps` is added to the
        delays of detectors."""
        delays = {
            self.channel(name): delay + more_ps.get(name, 0) for name, delay in calibrated.delays_ps.items()
        }
        return DelayTracker(
            [self.channel(name) for name in self.hub],
            [[self.channel(name) for name in spoke] for spoke in self.spokes],
            delays,
            calibrated.middle_ps,
            calibrated.error_ps,
            rate_sigma(rate.error for rate in calibrated.rates.values()),
        )

    def _read(self, run: StoredRun) -> None:
        journal = run.journal
        step = 0
        for event in journal.events:
            data = event.data
            match event.stream:
                case "step" if data.get("phase") == "began":
                    step = data["number"]
                case "delays" if self.calibrations:
                    look = Look(data["spoke"], data["time_ps"], data["offset_ps"], data["error_ps"])
                    self.calibrations[-1].looks.append(look)
                case "happened":
                    self._happened(str(data.get("event")), event.details, step, run.about.get("run"))
                case _:
                    pass
        vetoed = [(details["begin_ps"], details["end_ps"]) for details in journal.happened("vetoed")]
        self.dwells = [dwell for dwell in self.dwells if dwell.window_ps not in vetoed]
        if not (self.dwells or self.taken_over):
            raise ReplayError(f"{run.name} counted nothing: there is no dwell on record")

    def _happened(self, event: str, details: Mapping[str, Any], step: int, run: str | None) -> None:
        if event == "calibrated" and details.get("calibration") == "delays":
            self.calibrations.append(_calibrated(details))
        elif event == "dwell":
            self.dwells.append(StoredDwell(details["setting"], details["begin_ps"], details["end_ps"], step))
        elif event == COUNTED and details["step"] == MeasureSwapping.kind and details["run"] != run:
            window = details["begin_ps"], details["end_ps"]
            self.taken_over.append(TakenOver(details["run"], window, details["label"]))


def _calibrated(details: Mapping[str, Any]) -> Calibrated:
    fine = details["detector_delays"]
    return Calibrated(
        middle_ps=details["middle_ps"],
        error_ps=max(delay["uncertainty"] for delay in fine.values()),
        shifts_ps={tagger: shift["value"] for tagger, shift in details["tagger_shifts"].items()},
        delays_ps={name: round(delay["value"]) for name, delay in fine.items()},
        rates={
            tagger: ClockRate(rate["value"], rate["uncertainty"], details["tagger_rates_at_ps"][tagger])
            for tagger, rate in details.get("tagger_rates", {}).items()
        },
    )
