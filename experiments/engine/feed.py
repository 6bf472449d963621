"""A feed: the tag stream of one tagger on its way into a run, still in that tagger's own time.

It guarantees that blocks follow each other without gap (or says so by ProtocolError), renumbers the
tagger's inputs to the run's channels, counts singles and lost tags, and shows every block to the gates
that are set on the tagger's own time (captures before the delays are known, raw recording).
"""

import numpy as np
from numpy.typing import NDArray

from drivers.capabilities import TimeTagger
from drivers.errors import ProtocolError
from experiments.engine.gates import Gate
from timetags.block import TagBlock


class Feed:
    """One tagger and its detectors. `channel_of` gives for each input number the channel of the run (0 to
    `channels` - 1) of the detector that feeds it.

    `origin_ps` is added to every time: where the times of this recording begin."""

    def __init__(
        self, tagger: TimeTagger, channel_of: dict[int, int], channels: int, origin_ps: int = 0
    ) -> None:
        self.tagger = tagger
        self.origin_ps = origin_ps
        self.inputs = tuple(sorted(channel_of))
        self.gates: list[Gate] = []
        """Stretches of this tagger's own time that somebody wants."""
        self.reach_ps = origin_ps
        """How far the stream has come, in the tagger's own time."""
        self.blocks = 0
        self.lost = 0
        self.counts: NDArray[np.int64] = np.zeros(channels, np.int64)
        """Singles per channel since the start."""
        self.rates_hz: NDArray[np.float64] = np.zeros(channels)
        """Singles per channel and second over the last block."""
        self._wiring = channel_of
        self._channel_of = bytes(channel_of.get(input_, 0) for input_ in range(256))
        self._channels = [channel_of[input_] for input_ in self.inputs]
        self._wired = np.isin(np.arange(256), self.inputs)

    @property
    def name(self) -> str:
        return self.tagger.name

    def again(self, origin_ps: int) -> "Feed":
        """The feed of a new recording of the same tagger, its times from `origin_ps` on. Losses add up."""
        feed = Feed(self.tagger, self._wiring, len(self.counts), origin_ps)
        feed.lost = self.lost
        return feed

    def take_in(self, block: TagBlock, gates: tuple[Gate, ...] = ()) -> TagBlock:
        """Count and renumber the next block, and show it to these gates. Runs in a worker thread.

        Raises ProtocolError when the block does not begin where the last one ended.
        """
        start_ps, end_ps = block.start_ps + self.origin_ps, block.end_ps + self.origin_ps
        if self.blocks and start_ps != self.reach_ps:
            raise ProtocolError(
                self.name,
                str(self.tagger.address),
                f"the tag stream jumps from {self.reach_ps} ps to {start_ps} ps",
                "Tags are missing or doubled; run again, and look at the tagger's stream",
            )
        from timetags.analyses.rates import count

        times, inputs = block.times, block.channels
        if self.origin_ps:
            times = times + self.origin_ps
        by_input = np.zeros(256, np.int64)
        count(inputs, by_input)
        if by_input[~self._wired].any():
            # An input that no detector feeds was recorded; its clicks belong to nobody.
            keep = self._wired[inputs]
            times, inputs = times[keep], inputs[keep]
        # bytes.translate is a look-up table at memory speed, five times faster than indexing an array.
        channels = np.frombuffer(bytearray(inputs.tobytes()).translate(self._channel_of), np.uint8)
        block = TagBlock(times, channels, start_ps, end_ps, block.lost)
        self.lost += block.lost
        counts = np.zeros_like(self.counts)
        counts[self._channels] = by_input[list(self.inputs)]
        self.counts += counts
        if block.end_ps > block.start_ps:
            self.rates_hz = counts / ((block.end_ps - block.start_ps) * 1e-12)
        for gate in gates:
            gate.offer(block)
        # Last, since whoever waits for this takes what the gates have then.
        self.blocks += 1
        self.reach_ps = block.end_ps
        return block
