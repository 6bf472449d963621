"""`measure_pairs`: one measurement on many pairs of nodes, which switches connect one after the other.

Each pair is measured as a step on it alone would do it, with results of its own; what this step adds is the
table of all, and the least of each figure. Between two pairs nothing is taken for granted: the delays are
found anew, since the way of the light is another one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.calibrations.delays import CalibrationError
from experiments.calibrations.pair_delays import CalibratePairDelaysStep
from experiments.calibrations.polarization.step import CompensatePolarizationStep
from experiments.config.experiment import Experiment
from experiments.config.plan import CompensatePolarization, MeasurePairs, MeasureVisibility
from experiments.engine.bench import Bench
from experiments.engine.events import Happened, Scan
from experiments.engine.findings import Calibrations, Results
from experiments.engine.maintenance import Maintenance
from experiments.engine.outcome import RunError
from experiments.engine.step import Context, SetPoint, Step
from experiments.measurements.chsh import MeasureChshStep
from experiments.measurements.pair_measurement import PairStep
from experiments.measurements.pair_tally import PairTally, unknown
from experiments.measurements.settings_loop import MeasuringStep
from experiments.measurements.visibility import MeasureVisibilityStep

_SHUFFLE = 0x9A125
"""Tells the random numbers for the order of pairs from others made of the same seed."""
LEAST = {
    "pair_rate_hz_least": "pair_rate_hz",
    "fidelity_lower_least": "fidelity_lower",
    "chsh_s_least": "chsh_s",
}
"""The figure of each pair of which the least is a result."""


class MeasurePairsStep(Step[MeasurePairs]):
    """`measure_pairs`."""

    needs_tags = True
    can_go_on = True

    def __init__(self, parameters: MeasurePairs) -> None:
        super().__init__(parameters)
        self._steps: dict[str, PairStep[Any]] = {
            pair: MeasureVisibilityStep(step)
            if isinstance(step, MeasureVisibility)
            else MeasureChshStep(step)
            for pair, step in parameters.measured.items()
        }
        self._left: list[str] | None = None
        """The pairs that are to be measured, the present one first."""
        self._kept_up: list[Maintenance] = []
        """What is kept up besides the links of the present pair and whatever looks at its measurement."""
        self._dark: set[str] = set()
        """Those that had no correlation peak when they were tried."""
        self._measuring: PairStep[Any] | None = None

    @property
    def counting(self) -> tuple[MeasuringStep[Any, Any, Any], ...]:
        """The measurements that it consists of."""
        return tuple(self._steps.values())

    def section(
        self, bench: Bench, experiment: Experiment, calibrations: Calibrations, results: Results
    ) -> "PairTable":
        """The section of the results that it adds to itself; those of its measurements are made with it."""
        analysers = {pair: experiment.pair(pair).analysers for pair in self.parameters.pairs}
        tallies = {
            pair: step.section(bench, experiment, calibrations, results) for pair, step in self._steps.items()
        }
        return results.section(self.parameters, lambda: PairTable(analysers, tallies))

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        return {name for part in self._parts(experiment) for name in part.changes(bench, experiment)}

    def set_points(self, bench: Bench, experiment: Experiment) -> Iterator[SetPoint]:
        for part in self._parts(experiment):
            yield from part.set_points(bench, experiment)

    async def run(self, context: Context) -> None:
        self._table(context)
        if self._left is None:
            order = np.random.default_rng([context.seed, _SHUFFLE]).permutation(len(self._steps))
            self._left = [self.parameters.pairs[k] for k in order]
            self._kept_up = list(context.maintenance)
        while self._left:
            pair = self._left[0]
            await context.safe_point()
            if await self._prepared(context, pair):
                self._measuring = self._steps[pair]
                await self._measuring.run(context)
                self._measuring = None
                self._dark.discard(pair)
            elif pair not in self._dark:
                self._dark.add(pair)
                self._left.append(pair)
            # The links of this pair are not to be looked at while light goes another way.
            context.maintenance[:] = self._kept_up
            del self._left[0]
            self.safe_points += 1
        await self.finish(context)

    async def finish(self, context: Context) -> None:
        if self._measuring is not None:
            measuring, self._measuring = self._measuring, None
            await measuring.finish(context)
        context.store_results()
        for scan in self._table(context).scans():
            context.announce(scan)

    async def interrupted(self, context: Context) -> None:
        if self._measuring is not None:
            await self._measuring.interrupted(context)

    async def _prepared(self, context: Context, pair: str) -> bool:
        """Light led to the pair, delays found, links compensated; False when there is no correlation peak."""
        context.progress(f"{pair}, {len(self._left or ())} pairs left")
        try:
            await CalibratePairDelaysStep(self.parameters.delays(pair)).run(context)
        except RunError as error:
            if not isinstance(error.__cause__, CalibrationError):
                raise
            details = {"pair": pair, "analysers": list(context.experiment.pair(pair).analysers)}
            context.announce(Happened("pair not reached", f"{pair}: {error}", details, "warning"))
            return False
        if (compensation := self._compensation(context.experiment, pair)) is not None:
            await compensation.run(context)
        return True

    def _compensation(self, experiment: Experiment, pair: str) -> CompensatePolarizationStep | None:
        links = tuple(name for name, link in experiment.compensation.items() if link.pair == pair)
        if not (self.parameters.compensate and links):
            return None
        return CompensatePolarizationStep(CompensatePolarization(links=links))

    def _parts(self, experiment: Experiment) -> Iterator[Step[Any]]:
        for pair, step in self._steps.items():
            yield CalibratePairDelaysStep(self.parameters.delays(pair))
            yield step
            if (compensation := self._compensation(experiment, pair)) is not None:
                yield compensation

    def _table(self, context: Context) -> "PairTable":
        return self.section(context.bench, context.experiment, context.calibrations, context.results)


@dataclass
class PairTable:
    """A section of the results: which pairs were measured, and what each figure is at least. Both parts by
    pair."""

    analysers: Mapping[str, tuple[str, str]]
    tallies: Mapping[str, PairTally]

    def to_results(self) -> dict[str, object]:
        found = self._found()
        measured = sum(1 for figures in found.values() if figures)
        table = {
            pair: {
                "analysers": list(self.analysers[pair]),
                **{figure: figures[figure] for figure in LEAST.values() if figure in figures},
            }
            for pair, figures in found.items()
        }
        least = {name: self._least(figure, found) for name, figure in LEAST.items()}
        count = {"value": measured, "error": 0.0, "of": len(self.analysers)}
        return {**unknown(list(LEAST)), **least, "pairs_measured": count, "node_pairs": table}

    def scans(self) -> Iterator[Scan]:
        """Each figure over all pairs, by their number in the plan."""
        found = self._found()
        for figure in LEAST.values():
            places = [
                (number, figures[figure])
                for number, figures in enumerate(found.values(), 1)
                if figures.get(figure, {}).get("value") is not None
            ]
            if places:
                numbers, values = zip(*places, strict=True)
                y = tuple(float(value["value"]) for value in values)
                yield Scan(
                    name=f"{figure} of all pairs",
                    x=tuple(float(number) for number in numbers),
                    y=y,
                    error=tuple(float(value["error"]) for value in values),
                    fit=(),
                    x_label="pair, by its number in the plan",
                    y_label=figure,
                    summary={"pairs": list(found)},
                )

    def _found(self) -> dict[str, Mapping[str, Any]]:
        """The figures of each pair; none of one that was not measured."""
        return {pair: tally.to_results() for pair, tally in self.tallies.items()}

    def _least(self, figure: str, found: Mapping[str, Mapping[str, Any]]) -> dict[str, object]:
        values = {
            pair: figures[figure]
            for pair, figures in found.items()
            if figures.get(figure, {}).get("value") is not None
        }
        if not values:
            return {"value": None, "error": None}
        pair = min(values, key=lambda name: float(values[name]["value"]))
        return {"value": values[pair]["value"], "error": values[pair]["error"], "pair": pair}
