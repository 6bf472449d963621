"""What WebSQ electronics do to the nanowires on their own: search a bias, scan a voltage curve, count.

All of them see only what a real read-out sees (clicks and voltage at its inputs) and only at the ends
of the bench's slices of time.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ports import DiodePort, NanowirePort

STEP_UA = 0.5
DWELL_NS = 100_000_000
"""Steps of the bias search, and the time at each: 20 uA take 4 s ("several seconds"; invented)."""


class PeriodCounter:
    """Counts clicks per measurement period, whatever slices the bench's time comes in.

    The world's counter is known at the ends of slices only. Where a period ends inside a slice, its
    share of the slice's clicks is drawn from the binomial distribution: exactly the one that a Poisson
    process has when its total is given.
    """

    def __init__(
        self, ports: Sequence[NanowirePort | DiodePort], rng: np.random.Generator, period_ns: int
    ) -> None:
        self._ports, self._rng = ports, rng
        self._seen = self._read()
        self._at_ns = 0
        self.restart(period_ns)

    def restart(self, period_ns: int) -> None:
        """Begin a new period of this length now; the one under way is dropped."""
        self._period_ns = period_ns
        self._end_ns = self._at_ns + period_ns
        self._partial = np.zeros_like(self._seen)

    def advance(self, now_ns: int) -> Iterator[tuple[int, list[int]]]:
        """Go on to `now_ns`; yields the end and the counts of every period that is over."""
        read = self._read()
        fresh, self._seen = read - self._seen, read
        while self._end_ns <= now_ns:
            share = (self._end_ns - self._at_ns) / max(now_ns - self._at_ns, 1)
            part = self._rng.binomial(fresh, share)
            yield self._end_ns, [int(c) for c in self._partial + part]
            fresh, self._partial = fresh - part, np.zeros_like(fresh)
            self._at_ns, self._end_ns = self._end_ns, self._end_ns + self._period_ns
        self._partial, self._at_ns = self._partial + fresh, now_ns

    def _read(self) -> NDArray[np.int64]:
        return np.array([p.clicks for p in self._ports], dtype=np.int64)


class BiasSearch:
    """Automatic bias: raises all wires step by step until each counts more than its target, or latches.

    The highest bias at which a wire did neither is its result. The search takes the counts as they
    are, with light on the wires too, as the real one does: it is meant to be run in the dark.
    """

    def __init__(
        self, ports: Sequence[NanowirePort], targets_hz: Sequence[float], limit_ua: float, now_ns: int
    ) -> None:
        self._ports, self._targets_hz, self._limit_ua = ports, targets_hz, limit_ua
        self.found_ua: list[float | None] = [None] * len(ports)
        self._bias_ua = 0.0  # a first dwell without bias lets every wire cool down
        self._begin_dwell(now_ns)

    def _begin_dwell(self, now_ns: int) -> None:
        for port, found in zip(self._ports, self.found_ua, strict=True):
            port.bias_a = 1e-6 * self._bias_ua if found is None else 0.0
        self._clicks = [p.clicks for p in self._ports]
        self._began_ns = now_ns

    def advance(self, now_ns: int) -> bool:
        """Returns whether the search is over; the wires are then without bias and have cooled down."""
        if now_ns - self._began_ns < DWELL_NS:
            return False
        if None not in self.found_ua:
            return True
        seconds = 1e-9 * (now_ns - self._began_ns)
        last = self._bias_ua + STEP_UA > self._limit_ua
        for i, port in enumerate(self._ports):
            if self.found_ua[i] is None:
                too_far = port.latched or (port.clicks - self._clicks[i]) / seconds > self._targets_hz[i]
                if too_far:
                    self.found_ua[i] = max(self._bias_ua - STEP_UA, 0.0)
                elif last:
                    self.found_ua[i] = self._bias_ua
        self._bias_ua += STEP_UA
        self._begin_dwell(now_ns)
        return False


class VoltageScan:
    """Steps all wires from one bias to another and notes the voltage across each."""

    def __init__(self, ports: Sequence[NanowirePort], biases_ua: Sequence[float], now_ns: int) -> None:
        self._ports, self._biases_ua = ports, biases_ua
        self.history: list[list[float]] = []
        """A row per step: bias in uA, then the voltage of each wire in V."""
        self._begin_dwell(now_ns)

    def _begin_dwell(self, now_ns: int) -> None:
        for port in self._ports:
            port.bias_a = 1e-6 * self._biases_ua[len(self.history)]
        self._began_ns = now_ns

    def advance(self, now_ns: int) -> bool:
        """Returns whether the scan is over."""
        if now_ns - self._began_ns < DWELL_NS:
            return False
        self.history.append([self._biases_ua[len(self.history)], *(p.voltage_v for p in self._ports)])
        if len(self.history) == len(self._biases_ua):
            return True
        self._begin_dwell(now_ns)
        return False
