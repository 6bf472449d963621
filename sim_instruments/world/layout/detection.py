"""Where photons become tags: detectors and taggers."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Gate:
    """A detector that sees only within gates of a train."""

    period_s: float
    width_s: float
    phase_s: float = 0.0
    """Time of a gate's opening after the world's time zero."""
    generator: tuple[str, int] | None = None
    """A delay generator and its output (a `GatePort`) that say instead when gates open."""


@dataclass(frozen=True)
class Detector:
    """A single-photon detector on an input of a tagger.

    `control` names the unit and channel that bias it (a `NanowirePort` or a `DiodePort`); None stands for
    a module without a control line, at its operating point for ever.
    """

    name: str
    tagger: str
    input: int
    efficiency: float
    """At the operating point."""
    dark_counts_hz: float
    """At the operating point."""
    jitter_s: float
    """Standard deviation of the Gaussian part."""
    dead_time_s: float
    kind: Literal["nanowire", "avalanche_diode"] = "nanowire"
    jitter_tail: float = 0.0
    """Fraction of clicks that come later by an exponential time besides."""
    jitter_tail_s: float = 0.0
    """Mean of that time."""
    afterpulsing: float = 0.0
    afterpulse_time_s: float = 0.0
    control: tuple[str, int] | None = None
    operating_bias_a: float = 0.0
    """Nanowire: the bias at which efficiency and dark counts are those stated."""
    switching_current_a: float = 0.0
    """Nanowire: above it the wire goes normal and stays so until the bias is lowered."""
    operating_excess_v: float = 0.0
    """Avalanche diode: excess bias over breakdown at which efficiency and dark counts are those stated."""
    operating_temperature_k: float = 233.15
    """Avalanche diode: temperature at which dark counts are those stated."""
    max_rate_hz: float = float("inf")
    """A nanowire that absorbs more photons than this latches, a diode saturates. [assumed]"""
    ambient_hz: float = 0.0
    """Clicks by stray light at full efficiency."""
    gate: Gate | None = None


@dataclass(frozen=True)
class Clock:
    """A node's clock: its frequency error begins as a normal number times `frequency_error` (relative, one
    standard deviation) and wanders; its phase does a random walk."""

    name: str
    frequency_error: float
    phase_walk: float = 0.0
    """Phase noise (white FM) in s/sqrt(s): standard deviation of the phase after one second."""
    frequency_walk: float = 0.0
    """Random walk of the frequency, in 1/sqrt(s)."""


@dataclass(frozen=True)
class Tagger:
    """A time tagger. Taggers at one node may share a clock."""

    name: str
    clock: Clock
    noise_counts_hz: float = 0.0
    """The tagger's own counts per input, with or without a detector."""
    resolution_ps: int = 1
    dead_time_s: float = 0.0
    """Per input; clicks that come sooner than this after one are not recorded."""
    max_rate_hz: float = float("inf")
    """Tags per second, all inputs together, that its link carries away."""
    buffer_tags: int = 2**62
    """What its buffer holds when more come; tags that do not fit are lost, and counted."""
