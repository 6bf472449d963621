"""TimeTagger: inputs with thresholds, and a stream of time tags in blocks."""

from abc import abstractmethod
from collections.abc import AsyncIterator
from functools import partial

from drivers.capabilities.instrument import Control, Instrument, Limits
from drivers.gate import sets
from timetags.block import TagBlock


class TimeTagger(Instrument):
    """A time tagger with inputs numbered from 1. Safe state: not recording."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[int, ...]:
        """The input numbers."""

    @property
    @abstractmethod
    def threshold_limits(self) -> Limits:
        """The allowed trigger thresholds in volts."""

    @abstractmethod
    async def resolution_ps(self) -> int:
        """The bin width of a tag in picoseconds."""

    @abstractmethod
    @sets("threshold.{}")
    async def set_threshold(self, input_: int, threshold_v: float) -> None:
        """Set the trigger threshold of one input in volts. Raises LimitError."""

    @abstractmethod
    async def threshold(self, input_: int) -> float:
        """The trigger threshold of one input in volts."""

    @abstractmethod
    async def start(self, inputs: tuple[int, ...]) -> None:
        """Begin to record on these inputs, until `stop()`. Time zero of the tags is the start of the
        recording by the tagger's own clock. Raises RefusedError when already recording."""

    @abstractmethod
    def blocks(self) -> AsyncIterator[TagBlock]:
        """The tags of the recording under way, block after block, without gap or overlap, sorted in
        each block and from block to block; ends after `stop()` when the last tag has come.

        A block carries `start_ps <= t < end_ps`, so a block without tags still says how far time has
        gone. The consumer's pace holds the instrument's stream back (bounded memory); a tag that the
        instrument had to drop is counted in `TagBlock.lost`.
        """

    @abstractmethod
    async def stop(self) -> None:
        """End the recording; the tags until now still come through `blocks()`."""

    @abstractmethod
    async def count_rate(self, input_: int) -> float:
        """Clicks per second on one input over the last whole second, from the tagger's counters."""

    def controls(self) -> tuple[Control, ...]:
        return tuple(
            control
            for input_ in self.inputs
            for control in (
                Control(
                    f"threshold.{input_}",
                    "V",
                    partial(self.threshold, input_),
                    partial(self.set_threshold, input_),
                    self.threshold_limits,
                ),
                Control(f"count_rate.{input_}", "Hz", partial(self.count_rate, input_)),
            )
        )
