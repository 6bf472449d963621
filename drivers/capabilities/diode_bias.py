"""DiodeBias: puts a bias voltage on each of its avalanche diodes."""

from abc import abstractmethod
from functools import partial

from drivers.capabilities.instrument import Control, Limits
from drivers.capabilities.single_photon_detector import SinglePhotonDetector
from drivers.gate import sets


class DiodeBias(SinglePhotonDetector):
    """Bias electronics of single-photon avalanche diodes. The bias is the whole voltage across the diode,
    not its excess over breakdown, which the electronics do not know."""

    @property
    @abstractmethod
    def bias_voltage_limits(self) -> Limits:
        """The allowed bias voltage in volts."""

    @abstractmethod
    @sets("bias_voltage.{}", energises=True)
    async def set_bias_voltage(self, channel: int, voltage_v: float) -> None:
        """Set the bias voltage of one channel in volts. Raises LimitError, and RefusedError when the
        electronics did not take it."""

    @abstractmethod
    async def bias_voltage(self, channel: int) -> float:
        """The bias voltage of one channel in volts, read from the instrument."""

    def controls(self) -> tuple[Control, ...]:
        return (
            *(
                Control(
                    f"bias_voltage.{channel}",
                    self.bias_voltage_limits.unit,
                    partial(self.bias_voltage, channel),
                    partial(self.set_bias_voltage, channel),
                    self.bias_voltage_limits,
                    energises=True,
                )
                for channel in self.channels
            ),
            *super().controls(),
        )
