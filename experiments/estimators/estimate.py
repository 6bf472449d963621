"""An estimate: a figure with its standard error, and the two elementary ones, a correlation and a rate.

Error bars hold for any number of counts, also none. Where the textbook error is zero although little
is known (no counts, or all counts alike), the one used here stays finite; for many counts both agree.
"""

from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Estimate:
    """A figure and its standard error (one sigma), in the same unit."""

    value: float
    error: float

    def to_json(self) -> dict[str, float | None]:
        """`{"value": ..., "error": ...}` as results are stored."""
        return {"value": self.value, "error": self.error}

    def times(self, factor: float) -> "Estimate":
        """The figure in another unit, or with its sign turned."""
        return Estimate(self.value * factor, self.error * abs(factor))


@dataclass(frozen=True)
class RawAndSubtracted:
    """A figure twice: from the counts as they are, and with the measured accidentals taken off them.

    The raw one says what a user of the pairs gets, the other one what the source gives. They are never mixed
    in one number; what a table shows without a word is the raw one."""

    raw: Estimate
    subtracted: Estimate

    def to_json(self) -> dict[str, object]:
        """`{"value": ..., "error": ..., "subtracted": {"value": ..., "error": ...}}`: a reader that knows of
        no subtraction finds the raw figure."""
        return {**self.raw.to_json(), "subtracted": self.subtracted.to_json()}


def correlation(agree: int, differ: int) -> Estimate:
    """The correlation E = (agree - differ) / N of two two-valued outcomes, N = agree + differ.

    Variance (1 - E~^2) / (N + 1) with E~ = (agree - differ) / (N + 1): the binomial (1 - E^2) / N of
    `physics.md` 6 with the pseudo-counts of Agresti and Coull (Am. Stat. 52, 119, 1998) for z = 1, half a
    count on either side. It shrinks to the binomial for many counts, is sqrt(2)/N for N counts that all
    agree, and 1 without any count: E = 0 +- 1 says that nothing is known.
    """
    total = agree + differ
    value = (agree - differ) / total if total else 0.0
    shrunk = (agree - differ) / (total + 1)
    return Estimate(value, sqrt((1 - shrunk**2) / (total + 1)))


def rate(counts: int, seconds: float) -> Estimate:
    """Counts per second in 1/s. ValueError unless `seconds` > 0.

    The error is sqrt(counts + 1) / seconds, the standard deviation of the Poisson mean given the counts
    (a gamma distribution, flat prior): sqrt(counts) for many counts, and 1 / seconds for none.
    """
    if seconds <= 0:
        raise ValueError(f"a rate over {seconds} s")
    return Estimate(counts / seconds, sqrt(counts + 1) / seconds)


def add(*terms: Estimate) -> Estimate:
    """The sum of independent estimates."""
    return Estimate(sum(term.value for term in terms), sqrt(sum(term.error**2 for term in terms)))
