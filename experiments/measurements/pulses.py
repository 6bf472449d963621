"""How far windows for accidentals are displaced: beyond everything true, and by whole pulses.

Light that comes in pulses leaves nothing between them. A window displaced by anything but whole pulses finds
too few accidentals there, by up to the period over the window; a continuous source has no such rule.
"""

from collections.abc import Callable

from experiments.config.lightpaths import source_into
from experiments.config.settings import PairSettings, source_of_pair
from experiments.config.testbed import Testbed
from experiments.engine.outcome import RunError
from experiments.engine.tags import PS

FAR_PS = 200_000
"""Displaced windows are so far away: beyond any correlation, dead time and afterpulse (`physics.md` 6,
Figures)."""


def far_ps(period_s: float | None) -> int:
    """So far, or about so far and by whole pulses, which come every `period_s` seconds."""
    if period_s is None:
        return FAR_PS
    return round(-(-FAR_PS // round(period_s * PS)) * period_s * PS)


def period_of_pair(testbed: Testbed, pair: PairSettings) -> float | None:
    """The time between the pulses of the pair's source in seconds; None if it is continuous. Raises RunError
    where pulsed sources stand, and none is the pair's."""
    both = " and ".join(pair.analysers)
    return _period(testbed, lambda: source_of_pair(testbed, pair.analysers, pair.switches), both)


def period_at_spoke(testbed: Testbed, spoke: str) -> float | None:
    """The same of the source that sends its signal to this analyser."""
    return _period(testbed, lambda: source_into(testbed, "signal", spoke), spoke)


def _period(testbed: Testbed, source: Callable[[], str | None], whose: str) -> float | None:
    if all(each.repetition_rate is None for each in testbed.sources.values()):
        return None
    name = source()
    if name is None:  # refused before a run by the `faults` of its settings
        raise RunError(
            f"no source of the testbed is that of {whose}: whether it is pulsed, and so what is accidental, "
            "cannot be told"
        )
    rate_hz = testbed.sources[name].repetition_rate
    return None if rate_hz is None else 1 / rate_hz
