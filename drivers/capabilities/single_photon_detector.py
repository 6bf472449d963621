"""SinglePhotonDetector: what all electronics of single-photon detectors have in common.

What a bias is depends on the kind of detector, so it is stated by the two capabilities that derive from this
one: a current through a nanowire (`NanowireBias`) or a voltage across an avalanche diode (`DiodeBias`). What
only some electronics can tell are capabilities of their own: `ClickCounter` and `LatchSensor`.
"""

from abc import abstractmethod

from drivers.capabilities.instrument import Instrument
from drivers.errors import LimitError


class SinglePhotonDetector(Instrument):
    """Electronics with detector channels, each at a bias of its own. Safe state: every bias at zero, and
    disconnected where it can be."""

    @property
    @abstractmethod
    def channels(self) -> tuple[int, ...]:
        """The channel numbers, from the settings (and checked against the instrument on open)."""

    def check_channel(self, channel: int) -> None:
        """Raise LimitError for a channel that is not there."""
        if channel not in self.channels:
            numbers = ", ".join(map(str, self.channels))
            raise LimitError(
                self.name, str(self.address), f"there is no channel {channel}", f"There are {numbers}"
            )
