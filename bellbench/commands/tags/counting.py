"""What `bellbench tags coincide` counts: the options made into an analysis, and its counts into rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, product
from math import sqrt
from typing import Any

import click

from timetags.analyses.accidentals import Accidentals, Counting, both_ways
from timetags.analyses.analysis import Analysis
from timetags.analyses.coincidences import Analyser, CoincidenceMatrix, Coincidences, all_folds
from timetags.analyses.heralded import HeraldedFolds

Make = Callable[[int], Counting]
"""Builds the analysis with its channels displaced by so many ps against each other; by 0 as it is meant."""


@dataclass(frozen=True)
class Request:
    """What to count: an analysis, the name of each of its counts in order, and the channels that it needs."""

    kind: str
    make: Make
    names: tuple[str, ...]
    channels: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One kind of coincidence: how often it was counted, and if measured, how often by accident."""

    name: str
    count: int
    rate_hz: float | None
    accidentals: float | None = None
    subtracted: float | None = None
    subtracted_error: float | None = None


class Windows:
    """The option --window: one for all channels, and others for some."""

    def __init__(self, given: Sequence[tuple[int | None, int]]) -> None:
        self._all = [width for channel, width in given if channel is None]
        self._own = {channel: width for channel, width in given if channel is not None}
        if len(self._all) + len(self._own) != len(given) or len(self._all) > 1:
            raise click.UsageError("--window: give one for all channels, and at most one for each")

    def of(self, channel: int) -> int:
        """Full width in ps. click.UsageError if none was given."""
        if channel not in self._own and not self._all:
            raise click.UsageError(f"--window: none is given for channel {channel}; for example --window 1ns")
        return self._own[channel] if channel in self._own else self._all[0]

    def of_all(self, channels: Iterable[int]) -> dict[int, int]:
        return {channel: self.of(channel) for channel in channels}


def folds(
    channels: tuple[int, ...] | None,
    numbers: Sequence[int],
    patterns: Sequence[tuple[int, ...]],
    windows: Windows,
    delays_ps: dict[int, int],
) -> Request:
    """Coincidences among `channels`, of so many each, or these `patterns`. ValueError if they are none."""
    if channels is not None:
        patterns = all_folds(channels, set(numbers) or set(range(2, len(channels) + 1)))
    if not patterns:
        raise ValueError(f"there is no coincidence of {min(numbers, default=2)} among so few channels")
    used = tuple(dict.fromkeys(chain(*patterns)))
    widths = windows.of_all(chain(*(partners for _, *partners in patterns)))

    def make(displacement_ps: int) -> Counting:
        displaced = {c: delays_ps.get(c, 0) + k * displacement_ps for k, c in enumerate(used)}
        return Coincidences(patterns, displaced, window_ps=widths)

    names = tuple(" & ".join(map(str, pattern)) for pattern in patterns)
    return Request("folds", make, names, used, (len(patterns),))


def matrix(parties: Sequence[tuple[int, ...]], windows: Windows, delays_ps: dict[int, int]) -> Request:
    """Coincidences by outcome of each party. ValueError if they make no sense."""
    if len(parties) < 2:
        raise ValueError("--party: a matrix has two parties at least")
    used = tuple(chain(*parties))
    widths = windows.of_all(chain(*parties[1:]))

    def make(displacement_ps: int) -> Counting:
        places = [(c, p) for p, party in enumerate(parties) for c in party]
        displaced = {c: delays_ps.get(c, 0) + p * displacement_ps for c, p in places}
        return CoincidenceMatrix(parties, displaced, window_ps=widths)

    names = tuple(" & ".join(map(str, outcome)) for outcome in product(*parties))
    return Request("matrix", make, names, used, tuple(map(len, parties)))


def heralded(
    hub: tuple[int, ...],
    spokes: Sequence[tuple[int, ...]],
    heralds: Sequence[str],
    bsm_ps: int | None,
    centre_ps: int,
    windows: Windows,
    delays_ps: dict[int, int],
) -> Request:
    """Clicks of all spokes with a herald of the hub. ValueError if they make no sense."""
    if bsm_ps is None:
        raise click.UsageError("--bsm-window: the window between the two clicks of a herald is needed")
    kinds = tuple(heralds) or ("Psi-", "Psi+")
    analysers = []
    for spoke in spokes:
        widths = {windows.of(channel) for channel in spoke}
        if len(widths) > 1:
            raise ValueError(f"--window: the outcomes {spoke} of one spoke have one window")
        analysers.append(Analyser(spoke, widths.pop(), centre_ps))

    def make(displacement_ps: int) -> Counting:
        # Each spoke against the hub, and against every other spoke.
        shifts = [displacement_ps * (p // 2 + 1) * (-1 if p % 2 else 1) for p in range(len(spokes))]
        return HeraldedFolds(
            hub, analysers, delays_ps, bsm_window_ps=bsm_ps, heralded_by=kinds, shifts_ps=shifts
        )

    outcomes = [" & ".join(map(str, outcome)) for outcome in product(*spokes)]
    names = tuple(f"{kind}: {outcome}".removesuffix(": ") for kind in kinds for outcome in outcomes)
    return Request("heralded", make, names, (*hub, *chain(*spokes)), (len(kinds), *map(len, spokes)))


class Count:
    """A request being counted, with its accidentals if `displacement_ps` says how to measure them."""

    def __init__(self, request: Request, displacement_ps: int | None, threads: int) -> None:
        self._names = request.names
        self._accidentals: Accidentals[Counting] | None = None
        if displacement_ps is not None:
            self._accidentals = Accidentals(request.make, both_ways(displacement_ps), threads=threads)
            self.counting = self._accidentals.undisplaced
        else:
            self.counting = request.make(0)

    @property
    def analysis(self) -> Analysis:
        """To be fed with the stream."""
        return self._accidentals or self.counting

    def rows(self, duration_s: float) -> list[Row]:
        """The counts by name, when the stream has ended."""
        counts = self.counting.counts.ravel().tolist()
        per_s = [count / duration_s if duration_s else None for count in counts]
        if self._accidentals is None:
            return [Row(*row) for row in zip(self._names, counts, per_s, strict=True)]
        measured = (self._accidentals.mean, self._accidentals.subtracted, self._accidentals.subtracted_error)
        columns: list[Any] = [values.ravel().tolist() for values in measured]
        return [Row(*row) for row in zip(self._names, counts, per_s, *columns, strict=True)]

    def total(self, rows: Sequence[Row], duration_s: float) -> Row:
        """All of them together."""
        count = sum(row.count for row in rows)
        accidentals = subtracted = error = None
        if self._accidentals is not None:
            accidentals = sum(row.accidentals or 0.0 for row in rows)
            subtracted = sum(row.subtracted or 0.0 for row in rows)
            error = sqrt(sum((row.subtracted_error or 0.0) ** 2 for row in rows))
        return Row("all", count, count / duration_s if duration_s else None, accidentals, subtracted, error)
