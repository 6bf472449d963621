"""What a check of the light field finds, and when it has failed.

A check sets up a bench, works out what is to be seen on it from a closed formula or by an independent
calculation, and looks. It is written once: `pytest` runs it for a second or so and holds it to its findings,
`docs/make_validation.py` runs the same function for longer and prints them.

**False alarms.** Every finding has a probability to be as far off by chance. A check fails if that is less
than `FALSE_ALARM` divided by the number of its findings for any of them, so a check of a right simulation
fails with a probability of less than `FALSE_ALARM` for a new seed; that is ten times below what is allowed
(1e-6), because counts are only nearly normal in their tails. Seeds are fixed, so a check that passes once
passes always.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import erfc, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2 as chi2_distribution

Floats = NDArray[np.float64]

FALSE_ALARM = 1e-7
FEWEST = 25.0
"""Bins with fewer expected counts than this are left out of a chi-square: they are not normal."""


class Finding(Protocol):
    """One comparison."""

    @property
    def name(self) -> str: ...

    def cells(self) -> tuple[str, str, str, str]:
        """For the page: expected, simulated, standard error, verdict."""

    def chance(self) -> float:
        """How probable it is that chance alone takes it so far."""


@dataclass(frozen=True)
class Figure:
    """A number with a standard error. `allowance` is how far the formula itself may be off, where it is one
    to first order; the page shows it."""

    name: str
    expected: float
    found: float
    error: float
    unit: str = ""
    allowance: float = 0.0

    @property
    def pull(self) -> float:
        """Difference in standard errors, what is allowed taken off."""
        off = self.found - self.expected
        return float(np.sign(off)) * max(abs(off) - self.allowance, 0.0) / self.error

    def cells(self) -> tuple[str, str, str, str]:
        digits = significant(self.error)
        allowed = f" (±{self.allowance:.2g} allowed)" if self.allowance else ""
        return (
            f"{self.expected:{digits}} {self.unit}".strip(),
            f"{self.found:{digits}}",
            f"{self.error:.2g}",
            f"{self.pull:+.1f} σ{allowed}",
        )

    def chance(self) -> float:
        return erfc(abs(self.pull) / sqrt(2))


@dataclass(frozen=True)
class ChiSquare:
    """Many numbers at once."""

    name: str
    value: float
    freedom: int

    def cells(self) -> tuple[str, str, str, str]:
        per = self.value / self.freedom
        return (
            "χ²/n = 1",
            f"{per:.3f} (n = {self.freedom})",
            f"{sqrt(2 / self.freedom):.2g}",
            f"P = {self.chance():.2g}",
        )

    def chance(self) -> float:
        return float(chi2_distribution.sf(self.value, self.freedom))


@dataclass(frozen=True)
class Equal:
    """Numbers that agree but for rounding, or not at all."""

    name: str
    difference: float
    """The largest."""
    tolerance: float

    def cells(self) -> tuple[str, str, str, str]:
        return (
            "0",
            f"{self.difference:.1e}",
            f"< {self.tolerance:.0e}",
            "equal" if self.chance() else "differs",
        )

    def chance(self) -> float:
        return float(self.difference <= self.tolerance)


@dataclass(frozen=True)
class Excluded:
    """A control: a wrong theory that the check has to tell from the right one. `sigmas` is by how much it
    does, at least `least`, which is far below what is to be expected."""

    name: str
    sigmas: float
    least: float = 8.0

    def cells(self) -> tuple[str, str, str, str]:
        return "excluded", f"by {self.sigmas:.0f} σ", "", "excluded" if self.chance() else "NOT excluded"

    def chance(self) -> float:
        return float(self.sigmas >= self.least)


def counts_against(name: str, expected: Floats, found: NDArray[np.int64] | Floats) -> ChiSquare:
    """Counts of Poisson processes against their means."""
    enough = expected >= FEWEST
    value = float(((found - expected)[enough] ** 2 / expected[enough]).sum())
    return ChiSquare(name, value, int(enough.sum()))


def count(name: str, expected: float, found: float, unit: str = "", allowance: float = 0.0) -> Figure:
    """A number of events of a Poisson process."""
    return Figure(name, expected, found, sqrt(expected), unit, allowance)


def significant(error: float) -> str:
    """Format with which two digits of an error stand."""
    if error <= 0.0:
        return ".6g"
    decimals = 1 - int(np.floor(np.log10(error)))
    return f",.{max(decimals, 0)}f"


@dataclass(frozen=True)
class Line:
    """What theory says, for a plot."""

    label: str
    x: Floats
    y: Floats


@dataclass(frozen=True)
class Points:
    """What was simulated, with standard errors."""

    label: str
    x: Floats
    y: Floats
    error: Floats


@dataclass(frozen=True)
class Plot:
    """Theory and simulation in one picture."""

    x: str
    y: str
    lines: tuple[Line, ...]
    points: tuple[Points, ...]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Evidence:
    """What a check found."""

    findings: tuple[Finding, ...]
    plot: Plot | None = None

    def doubtful(self) -> list[Finding]:
        """Findings that chance does not explain, not even among so many."""
        return [f for f in self.findings if f.chance() < FALSE_ALARM / len(self.findings)]


@dataclass(frozen=True)
class Check:
    """A check. `look` takes the effort: 1 for the test suite, more for as many times the simulated time."""

    title: str
    formula: str
    """In LaTeX."""
    look: Callable[[float], Evidence]
    rows: tuple[int, ...] = ()
    """Of the table in section 4 of the design note on physics."""

    @property
    def name(self) -> str:
        """Of its function."""
        return self.look.__name__

    @property
    def text(self) -> str:
        """What is set up and where the formula is from: the docstring, as paragraphs."""
        paragraphs = (self.look.__doc__ or "").split("\n\n")
        return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


@dataclass(frozen=True)
class Chapter:
    """Checks of one subject, in the order in which they are defined."""

    title: str
    checks: list[Check]

    def check(
        self, title: str, formula: str, *rows: int
    ) -> Callable[[Callable[[float], Evidence]], Callable[[float], Evidence]]:
        """Make a function a check of this chapter."""

        def add(look: Callable[[float], Evidence]) -> Callable[[float], Evidence]:
            self.checks.append(Check(title, formula, look, rows))
            return look

        return add
