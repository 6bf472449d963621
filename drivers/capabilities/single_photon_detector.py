"""SinglePhotonDetector: a driver unit with one or more detector channels under bias."""

from abc import abstractmethod
from functools import partial

from drivers.capabilities.instrument import Control, Instrument, Limits


class SinglePhotonDetector(Instrument):
    """Detector electronics with channels numbered from 1. Safe state: every bias at zero."""

    @property
    @abstractmethod
    def channels(self) -> tuple[int, ...]:
        """The channel numbers, from the settings (and checked against the instrument on open)."""

    @property
    @abstractmethod
    def bias_limits(self) -> Limits:
        """The allowed bias current in amperes."""

    @abstractmethod
    async def set_bias(self, channel: int, current_a: float) -> None:
        """Set the bias current of one channel in amperes. Raises LimitError."""

    @abstractmethod
    async def bias(self, channel: int) -> float:
        """The bias current set-point of one channel in amperes; 0.0 while the outputs are disabled."""

    @abstractmethod
    async def set_enabled(self, on: bool) -> None:
        """Connect or disconnect the bias of all channels."""

    @abstractmethod
    async def count_rate(self, channel: int) -> float:
        """The count rate of one channel in 1/s over the instrument's last whole counting period."""

    @abstractmethod
    async def is_latched(self, channel: int) -> bool:
        """Whether the channel has gone normal and stays blind until its bias is lowered."""

    def controls(self) -> tuple[Control, ...]:
        return tuple(
            control
            for channel in self.channels
            for control in (
                Control(
                    f"bias.{channel}",
                    self.bias_limits.unit,
                    partial(self.bias, channel),
                    partial(self.set_bias, channel),
                    self.bias_limits,
                    energises=True,
                ),
                Control(f"count_rate.{channel}", "Hz", partial(self.count_rate, channel)),
                Control(f"latched.{channel}", "", partial(self.is_latched, channel)),
            )
        )
