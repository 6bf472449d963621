"""`measure_visibility`: visibilities in two or three bases, and what they say of the pairs.

All four outcomes count in each basis. Two bases bound the fidelity (`estimators.pairs.two_basis_bounds`); the
bounds are results of their own, each with its own error, and never shown as an error bar. With YY there is
the fidelity itself.

A link that drifts looks like an eavesdropper. Where all compensated links that the photons pass have been
looked at with probes, the results say how much of the QBER they explain at most, as they were seen last.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from experiments.calibrations.polarization.step import KEPT, KeptLinks
from experiments.config.compensation import Compensation
from experiments.config.experiment import Experiment
from experiments.config.lightpaths import PHOTONS, met
from experiments.config.plan import MeasureVisibility
from experiments.config.settings import PairSettings, source_of_pair
from experiments.config.testbed import Testbed
from experiments.engine.bench import Bench
from experiments.engine.findings import Calibrations
from experiments.estimators import pairs
from experiments.estimators.bell import BellState
from experiments.estimators.estimate import Estimate
from experiments.estimators.polarization_error import most_qber_of_links
from experiments.measurements.analysers import ZZ_XX_YY, Setting
from experiments.measurements.pair_measurement import PairStep
from experiments.measurements.pair_tally import PairTally, unknown


class MeasureVisibilityStep(PairStep[MeasureVisibility]):
    """`measure_visibility`."""

    live = ("visibility_zz", "visibility_xx", "fidelity_lower", "fidelity_upper", "pair_rate_hz")

    def settings(self) -> list[Setting]:
        return [ZZ_XX_YY[basis] for basis in self.parameters.bases]

    def new_tally(self, bench: Bench, experiment: Experiment, calibrations: Calibrations) -> PairTally:
        pair, period_s = self.pair(experiment), self.period_s(bench, experiment)
        passed = links_of_pair(bench.testbed, pair, experiment.compensation)
        links = partial(_pair_fidelities, passed, calibrations)
        return VisibilityTally(bench.detectors, pair, period_s, self.parameters.state, links)


FIGURES = tuple(name for name in MeasureVisibility.results if name != "pair_rate_hz")


class VisibilityTally(PairTally):
    """Visibilities, bounds and QBER towards a Bell state, raw and with accidentals subtracted."""

    def __init__(
        self,
        detectors: Sequence[str],
        pair: PairSettings,
        period_s: float | None,
        state: BellState,
        links: Callable[[], Mapping[str, float]],
    ) -> None:
        """`links` tells the pair fidelity of each link that the photons pass, as far as that is known of all
        of them; else nothing."""
        super().__init__(detectors, pair, period_s)
        self._state, self._links = state, links

    def figures(self) -> Mapping[str, Mapping[str, object]]:
        counts = self.by_setting_as_pairs
        raw = pairs.figures({name: n.as_counted for name, n in counts.items()}, self._state)
        less = pairs.figures({name: n.subtracted for name, n in counts.items()}, self._state)
        return {**unknown(FIGURES), **pairs.to_json(raw, less)}

    def to_results(self) -> dict[str, object]:
        found, links = super().to_results(), self._links()
        if not (found and links):
            return found
        most = most_qber_of_links(links.values())
        less = pairs.figures(
            {name: n.subtracted for name, n in self.by_setting_as_pairs.items()}, self._state
        )
        rest = {
            name: Estimate(error.value - most, error.error).to_json()
            for name, error in (("qber_z", less.qber_z), ("qber_x", less.qber_x))
            if error is not None
        }
        explained = {
            "links": dict(links),
            "explained_at_most": most,
            "unexplained_at_least": rest,
            "takes": "accidentals subtracted; the errors of the source itself are not explained",
        }
        return {**found, "qber_of_links": explained}


def links_of_pair(
    testbed: Testbed, pair: PairSettings, compensation: Mapping[str, Compensation]
) -> list[str]:
    """The links of the section `compensation` whose controllers photons of the pair can pass."""
    source = source_of_pair(testbed, pair.analysers, pair.switches)
    if source is None:
        return []
    ways = (getattr(testbed.sources[source], photon) for photon in PHOTONS)
    passed = {stage.name for way in ways for stage in met(testbed, way, pair.switches)}
    return [name for name, link in compensation.items() if link.controller in passed]


def _pair_fidelities(names: Sequence[str], calibrations: Calibrations) -> dict[str, float]:
    """As probes saw these links last; nothing unless all were seen so. What pairs see of a link has the
    errors of their source in it."""
    kept = calibrations.find(KEPT, KeptLinks)
    found = {}
    for name in names:
        upkeep = kept.links.get(name) if kept is not None else None
        last = upkeep.books.last if upkeep is not None and upkeep.settings.probes else None
        if last is None or last.after.pair_fidelity is None:
            return {}
        found[name] = last.after.pair_fidelity
    return found
