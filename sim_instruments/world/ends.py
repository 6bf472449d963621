"""Where light ends."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AtDetector:
    name: str


@dataclass(frozen=True)
class AtHub:
    """An input of a Bell-state measurement: 0 for a, 1 for b."""

    name: str
    side: int


@dataclass(frozen=True)
class AtMeter:
    name: str


@dataclass(frozen=True)
class AtPolarimeter:
    name: str


End = AtDetector | AtHub | AtMeter | AtPolarimeter
