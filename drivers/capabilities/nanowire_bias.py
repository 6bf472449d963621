"""NanowireBias: feeds a bias current to each of its superconducting nanowires."""

from abc import abstractmethod
from functools import partial
from typing import ClassVar

from drivers.capabilities.instrument import Control, Limits
from drivers.capabilities.single_photon_detector import SinglePhotonDetector
from drivers.gate import sets


class NanowireBias(SinglePhotonDetector):
    """Bias electronics of superconducting nanowires. A bias is a current in amperes, whatever the electronics
    set: a source of voltage behind a series resistor counts for what it drives through a wire without
    resistance."""

    has_switch: ClassVar[bool] = True
    """Whether the bias can be disconnected while its set-points stay."""

    @property
    @abstractmethod
    def bias_limits(self) -> Limits:
        """The allowed bias current in amperes."""

    @abstractmethod
    @sets("bias.{}", energises=True)
    async def set_bias(self, channel: int, current_a: float) -> None:
        """Set the bias current of one channel in amperes. Raises LimitError, and RefusedError when the
        electronics did not take it."""

    @abstractmethod
    async def bias(self, channel: int) -> float:
        """The bias current set-point of one channel in amperes; 0.0 while it is disconnected."""

    @abstractmethod
    @sets("enabled", energises=True)
    async def set_enabled(self, on: bool) -> None:
        """Connect or disconnect the bias of all channels. Without a switch it is always connected:
        connecting then does nothing, and disconnecting sets every bias to zero."""

    @abstractmethod
    async def is_enabled(self) -> bool:
        """Whether the bias of any channel is connected, read from the instrument; without a switch always
        True."""

    def controls(self) -> tuple[Control, ...]:
        return (
            *(
                Control(
                    f"bias.{channel}",
                    self.bias_limits.unit,
                    partial(self.bias, channel),
                    partial(self.set_bias, channel),
                    self.bias_limits,
                    energises=True,
                )
                for channel in self.channels
            ),
            Control(
                "enabled", "", self.is_enabled, self.set_enabled if self.has_switch else None, energises=True
            ),
            *super().controls(),
        )
