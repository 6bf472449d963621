"""ClickCounter: detector electronics that count the clicks of their channels themselves.

Where they do not, clicks are counted by the time tagger at their output.
"""

from abc import abstractmethod
from functools import partial

from drivers.capabilities.instrument import Control
from drivers.capabilities.single_photon_detector import SinglePhotonDetector


class ClickCounter(SinglePhotonDetector):
    """Detector electronics with a counter of their own."""

    @abstractmethod
    async def count_rate(self, channel: int) -> float:
        """The count rate of one channel in 1/s over a whole counting period of the instrument: the last one,
        or, where it counts only when asked, the next. Takes no longer than that period and the deadline."""

    def controls(self) -> tuple[Control, ...]:
        return (
            *super().controls(),
            *(
                Control(f"count_rate.{channel}", "Hz", partial(self.count_rate, channel))
                for channel in self.channels
            ),
        )
