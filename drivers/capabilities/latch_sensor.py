"""LatchSensor: detector electronics that see when a nanowire has latched.

Where they do not, a latched wire shows in the counts alone: it makes none.
"""

from abc import abstractmethod
from functools import partial

from drivers.capabilities.instrument import Control
from drivers.capabilities.single_photon_detector import SinglePhotonDetector


class LatchSensor(SinglePhotonDetector):
    """Detector electronics that measure the voltage across their wires."""

    @abstractmethod
    async def is_latched(self, channel: int) -> bool:
        """Whether the wire of one channel has gone normal and stays blind until its bias is lowered."""

    def controls(self) -> tuple[Control, ...]:
        return (
            *super().controls(),
            *(
                Control(f"latched.{channel}", "", partial(self.is_latched, channel))
                for channel in self.channels
            ),
        )
