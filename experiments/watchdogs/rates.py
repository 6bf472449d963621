"""Whether a rate of clicks has fallen: an exact test of two Poisson counts, with a stated false-alarm rate.

Of n counts in T seconds after m counts in t seconds, n is binomial among n + m when the rates have a fixed
ratio, whatever they are (J. Przyborowski and H. Wilenski, Biometrika 31, 313 (1940)). So no rate needs to be
known, and few counts just never say anything.
"""

from dataclasses import dataclass

FALSE_ALARM = 1e-9
"""The greatest probability with which chance alone makes a watchdog bark at one look."""
MEMORY_S = 600.0
"""A reference is made of about so much of the latest data: it follows what changes slowly."""


def chance_of_so_few(counts: int, seconds: float, earlier: int, earlier_s: float, ratio: float) -> float:
    """The probability of at most `counts` in `seconds` after `earlier` in `earlier_s`, all told, if the rate
    is at least `ratio` (0 to 1) of what it was; 1 where there is nothing to compare."""
    from scipy.special import betainc

    if seconds <= 0 or earlier_s <= 0 or ratio <= 0 or earlier <= 0:
        return 1.0
    # The binomial distribution as an incomplete beta function (Abramowitz and Stegun 26.5.24): scipy's own
    # takes its numbers for C integers, of which 2^31 clicks, some minutes of a bright hub, are too many.
    share = ratio * seconds / (ratio * seconds + earlier_s)
    return float(betainc(earlier, counts + 1, 1 - share))


def chance_of_so_many(counts: int, trials: int, share: float) -> float:
    """The probability of at least `counts` of `trials` if each counts with probability `share` at most."""
    from scipy.special import betainc

    return 1.0 if counts <= 0 else float(betainc(counts, trials - counts + 1, share))


@dataclass
class Reference:
    """What was counted while all was well."""

    counts: int = 0
    seconds: float = 0.0

    def add(self, counts: int, seconds: float) -> None:
        """Count on. What is old is thinned out by half, which leaves a Poisson count no broader than one."""
        self.counts, self.seconds = self.counts + counts, self.seconds + seconds
        if self.seconds > MEMORY_S:
            self.counts, self.seconds = self.counts // 2, self.seconds / 2

    def fell(self, counts: int, seconds: float, below: float) -> bool:
        """Whether the rate is below that fraction of the reference, beyond chance."""
        return chance_of_so_few(counts, seconds, self.counts, self.seconds, below) < FALSE_ALARM

    def rate_hz(self) -> float:
        return self.counts / self.seconds if self.seconds > 0 else 0.0
