"""What a format's decoder does for `timetags.files.record_file`: bytes in, tags in the order of the file
out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from timetags.block import Channels, Times
from timetags.files.places import Places

LATEST_PS = 1 << 62
"""Times beyond it (53 days) are not read: sums with them would leave int64."""


@dataclass(frozen=True)
class Fault:
    """Bytes that gave no tags though they should have: where in what was decoded, and why."""

    first: int
    size: int
    records: int
    reason: str


@dataclass(frozen=True)
class Decoded:
    """What one call of a decoder did."""

    consumed: int
    """Bytes taken, whole records; 0 if there is no whole record or no room for its tags."""
    tags: int
    reached_ps: int | None = None
    """The time the instrument had come to, if known: later records are not earlier, but for the tolerance."""
    lost: int = 0
    """Tags that the instrument says it dropped."""
    faults: Sequence[Fault] = ()
    stop: str | None = None
    """Why nothing behind can be read, if so."""


class Decoder(Protocol):
    """Decodes one file, from its first record to its last."""

    @property
    def record_bytes(self) -> int:
        """Length of a record; 1 where records are of different lengths."""

    @property
    def tags_per_record(self) -> int:
        """A record gives at most so many tags."""

    def decode(
        self, raw: NDArray[np.uint8], is_last: bool, times: Times, channels: Channels, places: Places
    ) -> Decoded:
        """Decode whole records at the start of `raw` as far as there is room, tags into the arrays from their
        start. `is_last` says that nothing comes behind `raw`. `places` has been begun, and gets to know in
        which record of `raw` (counted in `record_bytes`) each tag stands."""
