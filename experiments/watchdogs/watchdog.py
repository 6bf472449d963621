"""What a watchdog is, and what it sees: the stays of a measurement, and whatever it reads from instruments.

A watchdog judges without changing anything of its own (`look`); only when all of them are content does it
take what it saw for good (`all_well`). So a look that an instrument interrupts can be made again.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from experiments.config.watchdogs import WatchdogSettings
from experiments.engine.step import Context
from experiments.watchdogs.rates import Reference
from experiments.watchdogs.subject import Subject

W = TypeVar("W", bound=WatchdogSettings)


@dataclass(frozen=True)
class Seen:
    """One stay whose tags are all in. `singles` by channel of the run, in `seconds`; `pairs` of each line
    with the hub, within the window, in the first `pairs_s` seconds; `fourfolds` (4, 2, 2) as in `Dwell`, of
    a measurement that counts them so."""

    setting: str
    begin_ps: int
    end_ps: int
    seconds: float
    singles: NDArray[np.int64]
    pairs: tuple[int, ...]
    pairs_s: float
    fourfolds: NDArray[np.int64] | None


@dataclass(frozen=True)
class Alarm:
    """What is wrong, in words, and the figures before the failure and in it. `device` is what it is about."""

    reason: str
    device: str
    figures: Mapping[str, object] = field(default_factory=dict)


class Watchdog(ABC, Generic[W]):
    """One of them, over what `subject` says. `fine_until_ps` is the hub time until which it has found nothing
    to complain of."""

    name: ClassVar[str]
    in_blocks: ClassVar[bool] = False
    """Whether it judges many stays together. Those at the end of a measurement are too few for that."""

    def __init__(self, settings: W, subject: Subject) -> None:
        self.settings, self.subject = settings, subject
        self.fine_until_ps = 0

    @abstractmethod
    async def look(self, stays: Sequence[Seen], now_ps: int, context: Context) -> Alarm | None:
        """Judge what has come since the last look, which may be nothing. Raises what instruments raise."""

    @abstractmethod
    def all_well(self, stays: Sequence[Seen], now_ps: int, context: Context) -> None:
        """The same stays, and nobody has found anything: move `fine_until_ps` on."""

    def forget(self, since_ps: int) -> None:
        """Stays that end after this hub time do not count, whoever has found that out. All others do."""

    def changes(self, alarm: Alarm, context: Context) -> set[str]:
        """The instruments that the remedy changes, besides those of the step."""
        del alarm, context
        return set()

    @abstractmethod
    async def remedy(self, alarm: Alarm, context: Context) -> Mapping[str, object]:
        """Carry out the remedy; returns figures after it. Raises RunError where it did not help. Never
        switches emission on."""


class CountingWatchdog(Watchdog[W]):
    """One that compares counts of stays with earlier ones: a stay is well beyond doubt only when the next is
    too, since what begins at its very end does not show."""

    def __init__(self, settings: W, subject: Subject) -> None:
        super().__init__(settings, subject)
        self.references: dict[object, Reference] = {}

    @abstractmethod
    def counted(self, stay: Seen, context: Context) -> Mapping[object, tuple[int, float]]:
        """What is compared: counts and seconds by a key of its own."""

    def singles(self, stay: Seen, detectors: Sequence[str], context: Context) -> tuple[int, float]:
        """Of these detectors together, and in how many seconds."""
        channels = [context.bench.channel(detector) for detector in detectors]
        return int(stay.singles[channels].sum()), stay.seconds

    def fell(self, key: object, counted: Mapping[object, tuple[int, float]], below: float) -> bool:
        """Whether one of the rates is below that fraction of its reference, beyond chance."""
        reference = self.references.get(key)
        return reference is not None and reference.fell(*counted[key], below)

    def hz(self, key: object, counted: Mapping[object, tuple[int, float]]) -> dict[str, float]:
        """A rate before and now."""
        counts, seconds = counted[key]
        return {"before_hz": self.references[key].rate_hz(), "now_hz": counts / seconds if seconds else 0.0}

    def all_well(self, stays: Sequence[Seen], now_ps: int, context: Context) -> None:
        del now_ps
        for stay in stays:
            for key, (counts, seconds) in self.counted(stay, context).items():
                self.references.setdefault(key, Reference()).add(counts, seconds)
            self.fine_until_ps = max(self.fine_until_ps, stay.begin_ps)
