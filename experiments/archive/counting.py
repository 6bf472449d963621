"""What a stored run says of its counting: its measurements, and their stays with the delays in force.

Made from documents.jsonl and the configuration alone, so it is there also for a run that was killed. How a
slice is counted and what tally there is, the steps of the plan say themselves.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from drivers.units import AS_SI
from experiments.archive.delays import Calibrated, Clocks, Look, Moved
from experiments.archive.journal import Event
from experiments.archive.stored import StoredRun
from experiments.calibrations.analyser_step import optics_in, without_zeros
from experiments.calibrations.delay_search import Detectors
from experiments.config.experiment import Experiment
from experiments.config.plan import STEPS, CalibratePairDelays, MeasurePairs, PlanStep
from experiments.config.testbed import Testbed
from experiments.engine.bench import Bench
from experiments.engine.books import COUNTED
from experiments.engine.findings import Calibrations, Results, Section
from experiments.engine.registry import make_step
from experiments.measurements.analysers import OPTICS
from experiments.measurements.dwell import FIRST_LOOK_PS
from experiments.measurements.settings_loop import MeasuringStep
from timetags.clocks.affine import AffineClock

OF_EXPERIMENT = ("experiment", "testbed", "settings", "pairs", "record")
OF_TESTBED = (
    "testbed", "nodes", "sources", "splitters", "switches", "analysers", "bell_state_measurements",
    "detectors",
)  # fmt: skip
"""The sections that counting goes by, besides the plan and the names of the instruments."""

NOBODY = Detectors({}, ())
"""Of a calibration that no measurement of the plan takes."""
Key = tuple[str, str | None]
"""Kind and label of a step, which tell its results from those of all others."""
Measurement = MeasuringStep[Any, Any, Any]


class ReplayError(Exception):
    """The run cannot be counted again, or not so; the message says why."""


@runtime_checkable
class Counts(Protocol):
    """A step that counts, itself or by the measurements that it consists of."""

    parameters: PlanStep

    @property
    def kind(self) -> str: ...
    @property
    def counting(self) -> tuple[Measurement, ...]: ...
    def section(
        self, bench: Bench, experiment: Experiment, calibrations: Calibrations, results: Results
    ) -> Section: ...


@dataclass(frozen=True)
class StoredDwell:
    """A stay of the measurement `of` in a setting, from `begin_ps` to `end_ps` of hub time, with its delays
    and the clocks of all taggers as they were in force."""

    of: Key
    setting: str
    begin_ps: int
    end_ps: int
    calibrated: Calibrated
    clocks: Mapping[str, AffineClock]
    closed: bool = False
    """Whether it is in the run's books: all its tags had come in."""

    @property
    def window_ps(self) -> tuple[int, int]:
        return self.begin_ps, self.end_ps


@dataclass(frozen=True)
class TakenOver:
    """A stay that another run has counted, and that this one took over into its measurement `of`."""

    of: Key
    run: str
    window_ps: tuple[int, int]


@dataclass
class Counting:
    """How a run counted. `steps` are those of the plan that count, in its order."""

    run: str
    experiment: Experiment
    bench: Bench
    steps: tuple[Counts, ...]
    began: set[str] = field(default_factory=set)
    """The kinds of step that the run has come to."""
    dwells: list[StoredDwell] = field(default_factory=list)
    """Those that count, in the order of time."""
    taken_over: list[TakenOver] = field(default_factory=list)
    known: dict[Key, Calibrations] = field(default_factory=dict)
    """By measurement that has counted: what was known of the analysers by then."""

    @property
    def measurements(self) -> dict[Key, Measurement]:
        """All that the plan has."""
        found: dict[Key, Measurement] = {}
        for step in self.steps:
            for part in step.counting:
                found.setdefault((part.kind, part.parameters.label), part)
        return found

    @property
    def measured(self) -> list[Measurement]:
        """Those of which there are stays."""
        return [step for key, step in self.measurements.items() if key in self.known]

    @property
    def taggers(self) -> list[str]:
        """Those that a detector feeds, in the order in which the run merged their streams."""
        return [name for name in self.bench.testbed.instruments if self.bench.inputs(name)]


def counting_of(run: StoredRun) -> Counting:
    """How a run counted. Raises ReplayError when it did not, and KeyError, TypeError, ValueError or OSError
    when its folder does not tell."""
    stored: Mapping[str, Any] = run.config["experiment"]
    plan = tuple(
        STEPS[kind].model_validate(parameters, context=AS_SI)
        for step in stored["plan"]
        for kind, parameters in step.items()
    )
    steps = tuple(step for step in map(make_step, plan) if isinstance(step, Counts))
    if not steps:
        raise ReplayError(f"{run.name} has no measurement that can be counted again")
    sections = {name: stored[name] for name in OF_EXPERIMENT if name in stored}
    experiment = Experiment.model_validate({**sections, "plan": plan}, context=AS_SI)
    bench = Bench(_testbed(run.config["testbed"]), {})
    counting = Counting(run.name, experiment, bench, steps)
    reader = _Reader(counting, run)
    for event in run.journal.events:
        reader.take(event)
    reader.end()
    if not (counting.dwells or counting.taken_over):
        raise ReplayError(f"{run.name} counted nothing: there is no dwell on record")
    return counting


class _Reader:
    """Reads the journal of a run in its order: what was in force when."""

    def __init__(self, counting: Counting, run: StoredRun) -> None:
        self._counting, self._run = counting, run
        experiment, bench = counting.experiment, counting.bench
        self._measurements = counting.measurements
        self._detectors = {
            step.delays(experiment): step.detectors(bench, experiment) for step in self._measurements.values()
        }
        """By the name on record of their delays."""
        self._analysers = {OPTICS.format(analyser) for analyser in bench.testbed.analysers}
        self._clocks = Clocks(counting.taggers, _of_free_clocks(experiment))
        self._step = ""
        self._optics: dict[str, object] = {}
        self._in_force: dict[str, Calibrated] = {}
        """By the name on record of the delays."""
        self._calibrated: list[Calibrated] = []
        self._seen: list[Look | Moved] = []
        self._stays: list[StoredDwell] = []
        self._vetoed: set[tuple[int, int]] = set()
        self._closed: set[tuple[int, int]] = set()

    def take(self, event: Event) -> None:
        """The next event."""
        data = event.data
        match event.stream:
            case "step" if data.get("phase") == "began":
                self._step = data["kind"]
                self._counting.began.add(self._step)
            case "delays":
                self._seen.append(Look(data["spoke"], data["time_ps"], data["offset_ps"], data["error_ps"]))
            case "happened":
                self._happened(str(data.get("event")), event.details)
            case _:
                pass

    def _happened(self, event: str, details: Mapping[str, Any]) -> None:
        match event:
            case "recording":
                self._clocks.begin_recording()
            case "calibrated":
                self._found(str(details.get("calibration")), details)
            case "calibration taken over":
                name = str(details.get("calibration"))
                self._found(name, self._run.calibrations.get(name, {}))
            case "delay moved":
                self._seen.append(Moved(details["spoke"], details["time_ps"], details["by_ps"]))
            case "dwell":
                self._stays.append(self._dwell(details))
            case "vetoed":
                self._vetoed.add((details["begin_ps"], details["end_ps"]))
            case _ if event == COUNTED:
                key, window = (details["step"], details["label"]), (details["begin_ps"], details["end_ps"])
                if details["run"] == self._run.about.get("run"):
                    self._closed.add(window)
                else:
                    self._counting.taken_over.append(TakenOver(key, details["run"], window))
                    self._note(key)
            case _:
                pass

    def _found(self, name: str, record: Mapping[str, Any]) -> None:
        """A calibration of this name is in force from now on."""
        if name in self._analysers:
            self._optics[name] = without_zeros(optics_in(record))
        if name == "delays" or name.startswith("delays of "):
            found = Calibrated.read(self._detectors.get(name, NOBODY), record)
            self._in_force[name] = found
            self._calibrated.append(found)
            if name == "delays":
                self._clocks.calibrated_all(found.found)
            else:
                self._clocks.calibrated_pair(name, found.found)

    def _dwell(self, details: Mapping[str, Any]) -> StoredDwell:
        key = self._key(details)
        if key not in self._measurements:
            raise ReplayError(f"a dwell of {self._counting.run} belongs to no measurement of its plan")
        self._note(key)
        name = self._measurements[key].delays(self._counting.experiment)
        if name not in self._in_force:
            setting = details["setting"]
            raise ReplayError(f"no calibration of the {name} is on record from before {setting}")
        return StoredDwell(
            key,
            details["setting"],
            details["begin_ps"],
            details["end_ps"],
            self._in_force[name],
            self._clocks.in_force,
        )

    def _key(self, details: Mapping[str, Any]) -> Key:
        if "step" in details:
            return details["step"], details["label"]
        # Runs of earlier versions do not say it: then there must be one measurement of this kind.
        keys = [key for key in self._measurements if key[0] == self._step]
        if len(keys) != 1:
            raise ReplayError(f"{self._counting.run} does not say to which {self._step} its dwells belong")
        return keys[0]

    def _note(self, key: Key) -> None:
        """A measurement has begun to count."""
        if key not in self._counting.known:
            known = self._counting.known[key] = Calibrations()
            for name, optics in self._optics.items():
                known.put(name, optics)

    def end(self) -> None:
        """Everything was read: what was seen of a delay belongs to the calibration that was in force."""
        self._stays.sort(key=lambda stay: stay.begin_ps)
        begins = [stay.begin_ps - FIRST_LOOK_PS for stay in self._stays]
        for seen in self._seen:
            before = bisect_right(begins, seen.time_ps)
            if before and seen.time_ps < self._stays[before - 1].end_ps:
                self._stays[before - 1].calibrated.later.append(seen)
                continue
            # In a stay that is no measurement's, as when a source is calibrated, or between two.
            for found in reversed(self._calibrated):
                if found.middle_ps < seen.time_ps and seen.spoke in found.detectors.spokes:
                    found.later.append(seen)
                    break
        self._counting.dwells = [
            replace(stay, closed=stay.window_ps in self._closed)
            for stay in self._stays
            if stay.window_ps not in self._vetoed
        ]


def _testbed(stored: Mapping[str, Any]) -> Testbed:
    """What of a testbed counting goes by; no instrument is made of it."""
    sections = {name: stored[name] for name in OF_TESTBED if name in stored}
    instruments = {
        name: {key: entry[key] for key in ("node", "model", "address")}
        for name, entry in stored["instruments"].items()
    }
    return Testbed.model_validate({**sections, "instruments": instruments}, context=AS_SI)


def _of_free_clocks(experiment: Experiment) -> set[str]:
    """The names of those calibrations of pairs that look for rates."""
    seeking = []
    for step in experiment.plan:
        if isinstance(step, CalibratePairDelays):
            seeking.append(step)
        elif isinstance(step, MeasurePairs):
            seeking += [step.delays(pair) for pair in step.pairs]
    pairs = [experiment.pair(step.pair) for step in seeking if step.max_skew > 0]
    return {f"delays of {' and '.join(pair.analysers)}" for pair in pairs}
