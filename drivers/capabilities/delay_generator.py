"""DelayGenerator: electrical pulses at set times after a trigger that repeats."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import partial

from drivers.capabilities.instrument import Control, Instrument, Limits
from drivers.gate import sets


@dataclass(frozen=True)
class Pulse:
    """When an output is active after each trigger: from `delay_s` on, for `width_s`, both in seconds."""

    delay_s: float
    width_s: float


class DelayGenerator(Instrument):
    """A generator with an internal trigger and outputs numbered from 1. Safe state: not running."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[int, ...]:
        """The output numbers."""

    @property
    @abstractmethod
    def rate_limits(self) -> Limits:
        """The allowed rate of the internal trigger in hertz."""

    @property
    @abstractmethod
    def delay_limits(self) -> Limits:
        """The allowed time in seconds from the trigger to either edge of a pulse."""

    @abstractmethod
    @sets("rate")
    async def set_rate(self, rate_hz: float) -> None:
        """Set the rate of the internal trigger in hertz. Does not start it. Raises LimitError."""

    @abstractmethod
    async def rate(self) -> float:
        """The rate of the internal trigger in hertz, whether or not it runs."""

    @abstractmethod
    async def set_pulse(self, output: int, pulse: Pulse) -> None:
        """Set both edges of an output's pulse. Raises LimitError when either edge, or the number of the
        output, is outside."""

    @abstractmethod
    async def pulse(self, output: int) -> Pulse:
        """The pulse of an output, read from the instrument. Raises LimitError."""

    @abstractmethod
    @sets("running", energises=True)
    async def set_running(self, on: bool) -> None:
        """Start or stop the internal trigger, and so the pulses of all outputs."""

    @abstractmethod
    async def is_running(self) -> bool:
        """Whether pulses come from the internal trigger, read from the instrument."""

    def controls(self) -> tuple[Control, ...]:
        # Half of the way for each, so that whatever is set of the two, the end of the pulse is inside.
        half = Limits(self.delay_limits.low, self.delay_limits.high / 2, "s")

        async def read(output: int, edge: str) -> float:
            return float(getattr(await self.pulse(output), edge))

        async def write(output: int, edge: str, seconds: float) -> None:
            self.check_limit(edge, seconds, self.delay_limits)
            self.check_limit(edge.removesuffix("_s"), seconds, half)
            await self.set_pulse(output, replace(await self.pulse(output), **{edge: seconds}))

        return (
            Control("rate", "Hz", self.rate, self.set_rate, self.rate_limits),
            Control("running", "", self.is_running, self.set_running, energises=True),
            *(
                Control(f"{name}.{n}", "s", partial(read, n, edge), partial(write, n, edge), half)
                for n in self.outputs
                for name, edge in (("delay", "delay_s"), ("width", "width_s"))
            ),
        )
