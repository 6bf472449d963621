"""What shall be other than in the run when its tags are counted again: windows, their middle, delays.

It guarantees that nothing is asked in vain: what the run does not count with, and what its stored tags cannot
tell, is refused with the reason.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.archive.counting import Counting, Measurement, ReplayError
from experiments.archive.delays import SliceDelays
from experiments.archive.stored import PS
from experiments.config.experiment import Experiment
from experiments.config.inventory import Inventory
from experiments.config.settings import Sections
from experiments.engine.bench import Bench
from experiments.measurements.dwell import MARGIN_PS
from experiments.measurements.pair_measurement import PairStep
from timetags.analyses.heralds import PATTERNS

FURTHEST_PS = MARGIN_PS // 20
"""Windows, their middles and delays of up to 50 us: displaced windows, twelve widths away, with a middle and
the delays of two detectors stay within what a slice sees around it."""
CENTRES = ("spoke_window_centre", "window_centre")


@dataclass(frozen=True)
class Changes:
    """What shall be other, in ps; None: as in the run. `bsm_window_ps` and `spoke_window_ps` are for
    measurements behind a Bell-state measurement, `window_ps` is for those on pairs: on `pair`, or on all. The
    middle of the window is `centre_ps`, after the correlation peak. `delays_ps` is added to the times of a
    detector, besides its calibrated delay."""

    bsm_window_ps: int | None = None
    spoke_window_ps: int | None = None
    window_ps: int | None = None
    centre_ps: int | None = None
    pair: str | None = None
    delays_ps: Mapping[str, int] = field(default_factory=dict)

    def of(self, counting: Counting) -> Experiment:
        """The experiment with these changes. Raises ReplayError for those that do not fit what it has
        counted."""
        self._check_delays(counting.bench)
        experiment, windows = counting.experiment, self._windows(counting)
        taken: set[str] = set()
        for step in counting.measured:
            if isinstance(step, PairStep) and self.pair not in (None, _pair_name(step, experiment)):
                continue
            mine = {name: ps / PS for name, ps in windows.items() if name in step.window_names}
            taken |= mine.keys()
            experiment = step.with_windows(experiment, mine)
        for name in windows.keys() - taken:
            raise ReplayError(f"{name} is nothing that {counting.run} counted with; {_takes(counting)}")
        for step in counting.measured:
            before = set(_faults(step, counting.bench, counting.experiment))
            for fault in _faults(step, counting.bench, experiment):
                if fault not in before:
                    raise ReplayError(f"{step.kind}: {fault}")
        return experiment

    def _windows(self, counting: Counting) -> dict[str, int]:
        """The windows that are given, by their names in the experiment file."""
        given = {
            "bsm_window": self.bsm_window_ps,
            "spoke_window": self.spoke_window_ps,
            "window": self.window_ps,
        }
        if self.pair is not None:
            names = {_pair_name(s, counting.experiment) for s in counting.measured if isinstance(s, PairStep)}
            if self.pair not in names:
                there = f"those are {', '.join(sorted(names))}" if names else "it counted on none"
                raise ReplayError(f"{counting.run} did not count on a pair {self.pair}; {there}")
            if self.window_ps is None and self.centre_ps is None:
                raise ReplayError(f"nothing is to be other for the pair {self.pair}: give a window")
        if self.centre_ps is not None:
            given[self._centre(counting)] = self.centre_ps
        windows = {name: ps for name, ps in given.items() if ps is not None}
        for name, ps in windows.items():
            _check_furthest(name, ps)
        return windows

    def _centre(self, counting: Counting) -> str:
        """Of which window the centre is given: of the one that the run counted with, or that is given too."""
        behind_hub, of_pair = CENTRES
        there = {name for step in counting.measured for name in step.window_names} & set(CENTRES)
        if len(there) == 1:
            return there.pop()
        if self.pair is not None or (self.window_ps is not None and self.spoke_window_ps is None):
            return of_pair
        if self.spoke_window_ps is not None and self.window_ps is None:
            return behind_hub
        raise ReplayError(
            f"{counting.run} counted with windows of spokes and of pairs: give the centre with the one "
            "window that it is of, or with a pair"
        )

    def _check_delays(self, bench: Bench) -> None:
        if unknown := self.delays_ps.keys() - set(bench.detectors):
            known = ", ".join(bench.detectors)
            raise ReplayError(f"no detector {', '.join(sorted(unknown))}; there are {known}")
        for detector, ps in self.delays_ps.items():
            _check_furthest(f"the delay of {detector}", ps)


def check_reach(
    before: Experiment, now: Experiment, begin: SliceDelays, delays: SliceDelays, more_ps: Mapping[int, int]
) -> None:
    """Refuse what tags around heralds cannot tell: heralds that the run did not look for, and clicks of
    spokes further away than it kept. `before` is how it counted, `begin` are the delays with which it kept
    the tags of a dwell; `more_ps` is added to delays, by channel."""
    hub = [more_ps.get(channel, 0) for channel in delays.hub]
    kept_ps = round(before.swapping.bsm_window * PS)
    window_ps = round(now.swapping.bsm_window * PS)
    apart = max(abs(hub[one] - hub[other]) for one, other in PATTERNS)
    if window_ps + 2 * apart > kept_ps:
        raise ReplayError(
            f"tags were kept around heralds of a window of {kept_ps} ps; {window_ps} ps, shifted by up "
            f"to {apart} ps, needs heralds outside. Only a run with record: {{tags: raw}} can tell"
        )
    channels = [channel for spoke in delays.spokes for channel in spoke]
    drift = max(abs(delays.found[channel] - begin.found[channel]) for channel in channels)
    shift = max(
        abs(more_ps.get(channel, 0) - (hub[one] + hub[other]) / 2)
        for channel in channels
        for one, other in PATTERNS
    )
    centre_ps = round(now.swapping.spoke_window_centre * PS)
    reach = round(now.swapping.spoke_window * PS) / 2 + abs(centre_ps) + shift + drift + 1
    around_ps = round(before.record.around * PS)
    if reach > around_ps:
        raise ReplayError(
            f"tags were kept within {around_ps} ps of a herald; these windows and delays "
            f"reach {reach:.0f} ps. Only a run with a larger record: {{around: ...}} or raw tags can tell"
        )


def _check_furthest(what: str, ps: int) -> None:
    if abs(ps) > FURTHEST_PS:
        raise ReplayError(f"{what} of {ps} ps is too large to count with; allowed: up to {FURTHEST_PS} ps")


def _pair_name(step: PairStep[Any], experiment: Experiment) -> str:
    return step.parameters.pair or next(iter(experiment.pairs))


def _takes(counting: Counting) -> str:
    """What the measurements of a run count with, for people."""
    by_kind = {step.kind: ", ".join(step.window_names) for step in counting.measured}
    return "; ".join(f"{kind} counts with {names}" for kind, names in by_kind.items())


def _faults(step: Measurement, bench: Bench, experiment: Experiment) -> Iterator[str]:
    """What is wrong with a step in an experiment."""
    declared = {"settings": (), "pairs": tuple(experiment.pairs)}
    sections = Sections(experiment.settings, experiment.pairs, declared=declared)
    for fault in step.parameters.faults(Inventory(bench.testbed, {}, {}), sections):
        yield fault.message
