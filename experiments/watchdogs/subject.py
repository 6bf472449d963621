"""What a measurement looks at, as watchdogs see it: whose detectors share photon pairs with whose, which
source makes them, and how their delays are found anew.

One description serves measurements behind a Bell-state measurement, where each spoke shares pairs with the
hub, and those on one pair of analysers, where the second shares them with the first.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from experiments.calibrations.delay_step import TRACKED_DELAYS
from experiments.calibrations.pair_delays import tracked_delays
from experiments.config.plan import MeasureSwapping, PlanStep
from experiments.config.settings import source_of_pair
from experiments.engine.step import Context
from experiments.watchdogs.remedies import calibrate_delays_anew, calibrate_pair_delays_anew

Anew = Callable[[Context], Awaitable[Mapping[str, object]]]


@dataclass(frozen=True)
class Line:
    """An analyser that shares pairs with the hub of its subject. `detectors` are behind it. `source` makes
    the pairs, and lights each analyser of `lit`, detectors by name, alone; empty where nobody knows."""

    name: str
    detectors: tuple[str, ...]
    source: str
    lit: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Subject:
    """What is watched.

    `hub` are the detectors against which each of `lines` is timed, with a coincidence window of `window` and
    `window_centre` in seconds; `tracked` is the name of the `DelayTracker`, which has the lines in this
    order. `find_delays` calibrates the delays as the plan does. `shows_overlap`: its four-folds tell whether
    photons of different sources can be told apart."""

    hub: tuple[str, ...]
    lines: tuple[Line, ...]
    window: float
    window_centre: float
    tracked: str
    find_delays: Anew
    shows_overlap: bool


def behind_hub(step: PlanStep, context: Context) -> Subject:
    """What a step on the section `settings` looks at."""
    bench, settings = context.bench, context.experiment.swapping
    lines = []
    for spoke in settings.spokes:
        detectors = tuple(bench.spoke_detectors(spoke))
        sources = bench.testbed.sources.items()
        source = next((name for name, s in sources if spoke in (*s.signal, *s.idler)), "")
        lines.append(Line(spoke, detectors, source, {spoke: detectors} if source else {}))
    return Subject(
        tuple(bench.hub_detectors(settings.bell_state_measurement)),
        tuple(lines),
        settings.spoke_window,
        settings.spoke_window_centre,
        TRACKED_DELAYS,
        calibrate_delays_anew,
        isinstance(step, MeasureSwapping) and {"ZZ", "XX"} <= set(step.bases),
    )


def of_pair(name: str | None, context: Context) -> Subject:
    """What a step on a pair of the section `pairs` looks at."""
    bench, pair = context.bench, context.experiment.pair(name)
    first, second = pair.analysers
    lit = {analyser: tuple(bench.spoke_detectors(analyser)) for analyser in pair.analysers}
    source = source_of_pair(bench.testbed, pair.analysers, pair.switches) or ""
    return Subject(
        lit[first],
        (Line(second, lit[second], source, lit if source else {}),),
        pair.window,
        pair.window_centre,
        tracked_delays(pair.analysers),
        lambda context: calibrate_pair_delays_anew(name, context),
        shows_overlap=False,
    )
