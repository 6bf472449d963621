"""Count the stored tags of a run again, with its windows and delays or with others.

The counting is the run's own: each measurement of the plan says how it counts a slice and what its tally is
(`measurements.settings_loop`). Every dwell that was not vetoed counts, each slice with the delays that the
run expected in its middle, which its record tells. It guarantees that the windows and delays of the run give
its results again, count by count; that what the stored tags cannot tell is refused, never counted short; and
that nothing of the run is changed. Of a stay that was cut short raw files hold a little more than the run had
counted: it counts as far as they go, which is said.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from experiments.archive.changes import Changes, check_reach
from experiments.archive.counting import Counting, Key, ReplayError, StoredDwell, counting_of
from experiments.archive.delays import Followed
from experiments.archive.stored import PS, StoredRun
from experiments.archive.stored_tags import StoredTags
from experiments.config.plan import result_name
from experiments.engine.findings import Calibrations, Results
from experiments.engine.gates import Gate
from experiments.measurements.dwell import SlicedDwell
from experiments.measurements.sums import Sums
from timetags.analyses.analysis import Analysis


@dataclass(frozen=True)
class Replayed:
    """Results as in results.json, and what people should know of them."""

    results: dict[str, Any]
    remarks: list[str]


def replay(
    run: StoredRun, changes: Changes | None = None, progress: Callable[[float], None] = lambda _: None
) -> Replayed:
    """Count all dwells of a run again. `progress` is told what fraction is done. Raises ReplayError."""
    return _replay_of(run, changes or Changes(), {}).carry_out(progress)


def _replay_of(run: StoredRun, changes: Changes, remarks: dict[str, None]) -> "_Replay":
    try:
        return _Replay(run, counting_of(run), changes, remarks)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ReplayError(f"the record of {run.name} does not tell how it counted: {error!r}") from error


class _Replay:
    """One run that is counted again; what people should know is added to `remarks`."""

    def __init__(
        self, run: StoredRun, counting: Counting, changes: Changes, remarks: dict[str, None]
    ) -> None:
        self._run, self._counting, self._changes, self._remarks = run, counting, changes, remarks
        self._measurements = counting.measurements
        for key in dict.fromkeys(dwell.of for dwell in counting.dwells):
            self._check_kept(key)
        self._experiment = changes.of(counting)
        self._tags = StoredTags(run, counting, remarks)
        self._followed: dict[int, Followed] = {}
        """By the identity of the calibration."""

    def carry_out(self, progress: Callable[[float], None]) -> Replayed:
        counting, run = self._counting, self._run
        results = Results(counting.experiment.plan)
        self._take_over(results)
        for number, dwell in enumerate(counting.dwells, 1):
            tally = self._tally(dwell.of, results)
            counted = self._count(dwell)
            tally.add(counted)
            tally.close(counted)
            progress(number / len(counting.dwells))
        found = self._named(results)
        if counting.experiment.record.tags == "heralds":
            # What lies around heralds tells no singles; no window changes them.
            found |= {name: run.results.get(name) for name in found if name.endswith("singles_hz")}
        about = {"experiment": run.about.get("experiment"), "seed": run.about.get("seed"), "complete": False}
        return Replayed({**about, **run.results, **found}, list(self._remarks))

    def _named(self, results: Results) -> dict[str, object]:
        """All sections in one. Each quantity has the name that it has in the results of the run: whether a
        step that is not counted again has taken the shorter one, those tell."""
        found: dict[str, object] = {}
        began = [step for step in self._counting.steps if step.kind in self._counting.began]
        sections = {
            (part.kind, part.parameters.label): part for step in began for part in (step, *step.counting)
        }
        for (kind, label), step in sections.items():
            section = step.section(self._counting.bench, self._experiment, Calibrations(), results)
            for quantity, value in section.to_results().items():
                short = result_name(kind, label, quantity, ())
                long = result_name(kind, label, quantity, [short])
                found[long if long in self._run.results or short in found else short] = value
        return found

    def _tally(self, key: Key, results: Results) -> Sums[Any, Any]:
        if key not in self._measurements:
            raise ReplayError(f"the plan of {self._run.name} has no {' '.join(filter(None, key))}")
        step, known = self._measurements[key], self._counting.known[key]
        tally: Sums[Any, Any] = step.section(self._counting.bench, self._experiment, known, results)
        return tally

    def _take_over(self, results: Results) -> None:
        """Count what this run took over from others, where they stand beside it."""
        others: dict[str, _Replay] = {}
        for stay in self._counting.taken_over:
            if stay.run not in others:
                folder = self._run.path.parent / stay.run
                if not (folder / "run.json").exists():
                    raise ReplayError(f"{self._run.name} goes on with {stay.run}, which is not beside it")
                others[stay.run] = _replay_of(StoredRun(folder), self._changes, self._remarks)
            other = others[stay.run]
            found = [dwell for dwell in other._counting.dwells if dwell.window_ps == stay.window_ps]
            if not found:
                raise ReplayError(
                    f"{stay.run} has no record of a stay that {self._run.name} took over from it"
                )
            tally = self._tally(stay.of, results)
            tally.take_over(tally.counts_of(other._count(found[0])), stay.run)

    def _count(self, dwell: StoredDwell) -> SlicedDwell[Any]:
        """A dwell with all its tags."""
        counting, step = self._counting, self._measurements[dwell.of]
        followed = self._followed.get(id(dwell.calibrated))
        if followed is None:
            followed = Followed(dwell.calibrated, counting.bench, self._changes.delays_ps)
            self._followed[id(dwell.calibrated)] = followed
        at_begin = followed.at(dwell.begin_ps, dwell.begin_ps)
        more_ps = {counting.bench.channel(name): ps for name, ps in self._changes.delays_ps.items()}
        gates: list[Gate] = []

        def open_gate(begin_ps: int, end_ps: int, *sinks: Analysis) -> Gate:
            gates.append(Gate(begin_ps, end_ps, *sinks))
            return gates[-1]

        def slice_of(window_ps: tuple[int, int]) -> Analysis:
            delays = followed.at(window_ps[0], sum(window_ps) // 2)
            if counting.experiment.record.tags == "heralds":
                check_reach(counting.experiment, self._experiment, at_begin, delays, more_ps)
            return step.new_slice(counting.bench, self._experiment, delays, window_ps)

        channels = len(counting.bench.detectors)
        window_ps = dwell.window_ps
        counted: SlicedDwell[Any] = step.dwells.over(dwell.setting, window_ps, channels, slice_of, open_gate)
        for block in self._tags.blocks(dwell):
            for gate in gates:
                gate.offer(block)
        for gate in gates:
            gate.finish()
        if not dwell.closed and counting.experiment.record.tags == "raw":
            seconds = f"{counted.live_ps / PS:.3f} s"
            told = f"a stay in {dwell.setting} is not in the books; it counts as far as its tags are stored"
            self._remarks[f"{told}, {seconds}"] = None
        return counted

    def _check_kept(self, key: Key) -> None:
        """Refuse a measurement whose tags the run did not keep."""
        kept, kind = self._counting.experiment.record.tags, key[0]
        if kept == "none":
            raise ReplayError(f"{self._run.name} kept no tags of {kind}: its record says {kept}")
        if kept == "heralds" and not self._measurements[key].keeps_heralds:
            raise ReplayError(
                f"{self._run.name} kept no tags of {kind}: its record says {kept}. Only a run with "
                "record: {tags: raw} can tell"
            )
