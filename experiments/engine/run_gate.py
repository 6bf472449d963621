"""The gate of a run: what has to be true before a driver sends a set-point.

What emits or biases may be set while the run holds its lease and no interlock is tripped, every number within
the limits of testbed and experiment. It stands in the driver's path (`drivers.gate`), so no step can pass it.
"""

from collections.abc import Mapping, Sequence

from drivers.capabilities import Instrument
from drivers.errors import LimitError, RefusedError
from drivers.units import format_si
from experiments.config.interlocks import Limit, controls_of, limits_on
from experiments.engine.interlocks import Interlocks
from experiments.engine.lease import Lease


class InterlockedError(RefusedError):
    """An interlock that has tripped keeps a set-point from being sent."""


class RunGate:
    """Asked before anything is set on the instruments of a run (see `drivers.gate.Gate`)."""

    def __init__(self, lease: Lease, interlocks: Interlocks, limits: Sequence[Mapping[str, Limit]]) -> None:
        self._lease, self._interlocks, self._limits = lease, interlocks, limits

    def check(self, instrument: Instrument, control: str, value: float | bool, *, energises: bool) -> None:
        """Raises RefusedError without lease, InterlockedError with an interlock tripped, LimitError outside a
        limit."""
        where = instrument.name, str(instrument.address)
        if energises:
            if why := self._lease.why_not:
                problem = f"{control} was not set: no lease on emission and bias, {why}"
                raise RefusedError(*where, problem, "Only a run that is alive switches on; run again")
            if why := self._interlocks.why_not:
                raise InterlockedError(
                    *where, f"{control} was not set: {why}", "See to its cause, then run again"
                )
        if not isinstance(value, bool):
            self._check_limits(instrument, control, value)

    def _check_limits(self, instrument: Instrument, control: str, value: float) -> None:
        for limits in self._limits:
            # Most instruments have none: their front panels are not asked for.
            if not any(name.startswith(f"{instrument.name}.") for name in limits):
                continue
            unit = controls_of(instrument)[control].unit
            for limit, bounds in limits_on(limits, instrument.name, control, unit):
                if value not in bounds:
                    problem = f"{control} {format_si(value, unit)} is outside the limit {limit}: {bounds}"
                    remedy = "Choose a value inside, or change `limits` in the testbed or experiment file"
                    raise LimitError(instrument.name, str(instrument.address), problem, remedy)
