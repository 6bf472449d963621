"""Where in a file the tags of a stretch stand. Nearly always one record follows the other, so only exceptions
are noted: this costs nothing per tag, and is looked up only when something is wrong.

`places` is an int64 array of at least as many rows as there are tags, and 4 more. Row 0 holds the number of
notes; each later row is a note (tag, record): tag number `tag` stands in record number `record`, the next
tags in the next records, up to the next note. Of several notes for one tag the last one counts.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from timetags.jit import inline_kernel

Places = NDArray[np.int64]


def begin_places(places: Places) -> None:
    """Forget all notes but that tag 0 stands in record 0."""
    places[0] = 1, 0
    places[1] = 0, 0


@inline_kernel
def note_place(places: Places, tag: int | np.int64, record: int | np.int64) -> None:
    """Note that tag number `tag`, perhaps still to come, stands in this record. In the order of the tags."""
    if places[places[0, 0], 0] != tag:
        places[0, 0] += 1
    places[places[0, 0], 0] = tag
    places[places[0, 0], 1] = record


def notes_in_bytes(places: Places, first_tag: int, first_byte: int, record_bytes: int) -> Places:
    """The notes alone, of tags counted on from `first_tag`, with the byte offsets of their records."""
    notes = places[1 : 1 + places[0, 0]].copy()
    notes[:, 0] += first_tag
    notes[:, 1] = first_byte + record_bytes * notes[:, 1]
    return notes


def offsets_of(
    tags: NDArray[np.integer], notes_of_all: Sequence[Places], record_bytes: int
) -> NDArray[np.int64]:
    """The byte offsets of the records of these tags, from such notes in the order of the tags."""
    if len(tags) == 0:
        return np.empty(0, np.int64)
    notes = np.concatenate(notes_of_all)
    last = np.searchsorted(notes[:, 0], tags, side="right") - 1
    offsets: NDArray[np.int64] = notes[last, 1] + record_bytes * (tags - notes[last, 0])
    return offsets
