"""Kernels that decode PicoQuant TTTR records, 32 bits each, into times and channels.

Source: picoquant_tttr.md, "Record types". There are two layouts, of the PicoHarp and of everything since
the HydraHarp, each for T2 (every tag has its own time) and T3 (a count of sync periods, and a time within).

Each kernel decodes `records` until they or the room in `times` and `channels` (of equal length) are used up,
and returns how many records it took and how many tags it gave. `places` says which record gave which tag (see
`timetags.files.places`). `state` keeps what goes on from call to call, and what the call noticed: see the
constants. Times are in the order of the file; nothing here sorts.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from timetags.block import Channels, Times
from timetags.files.places import Places, note_place
from timetags.jit import inline_kernel, kernel

Records = NDArray[np.uint32]
State = NDArray[np.int64]

BASE: Final = 0
"""state: the sum of the overflows, in units of time (T2) or sync periods (T3)."""
INVALID: Final = 1
"""state: how many records were of no known kind, and the indices of the first and last of them."""
FIRST_INVALID: Final = 2
LAST_INVALID: Final = 3
STATE_SIZE: Final = 4

MARKER_CHANNEL: Final = 65
"""Marker input k (1 to 4, bit k-1 of a marker record) becomes channel 64 + k, above input 64."""
MARKERS: Final = 4

ONE: Final = np.uint64(1)
"""Places in the arrays are unsigned: numba tests a signed index for being negative, which costs a third."""

GROUP: Final = np.uint64(64)
SYNC_END: Final = np.uint32(0x82000000)
"""T2 records of the HydraHarp kind below this are photons and, from 0x80000000 on, syncs."""

HYDRA_T2_WRAP_V1: Final = 33_552_000
HYDRA_T2_WRAP: Final = 33_554_432
HYDRA_T3_WRAP: Final = 1024
PICO_T2_WRAP: Final = 210_698_240
PICO_T3_WRAP: Final = 65_536


@inline_kernel
def _mark(
    bits: np.int64,
    time: np.int64,
    index: int | np.int64,
    n: np.uint64,
    times: Times,
    channels: Channels,
    places: Places,
) -> np.uint64:
    """Put a tag for each marker whose bit is set, from place n on; the next free place."""
    for marker in range(MARKERS):
        if bits >> marker & 1:
            times[n] = time
            channels[n] = MARKER_CHANNEL + marker
            note_place(places, np.int64(n), index)
            n += ONE
    note_place(places, np.int64(n), index + 1)
    return n


@inline_kernel
def _t2_channel(record: np.uint32) -> np.uint32:
    """The channel of a photon or sync of the HydraHarp kind."""
    is_photon = np.uint32(record < np.uint32(0x80000000))
    return ((record >> np.uint32(25)) + np.uint32(1)) * is_photon


@inline_kernel
def _note_invalid(state: State, places: Places, n: np.uint64, index: int | np.int64) -> None:
    if state[INVALID] == 0:
        state[FIRST_INVALID] = index
    state[INVALID] += 1
    state[LAST_INVALID] = index
    note_place(places, np.int64(n), index + 1)


@kernel
def decode_hydra_t2(
    records: Records,
    state: State,
    times: Times,
    channels: Channels,
    places: Places,
    limit: int,
    wrap: int,
    is_packed: bool,
) -> tuple[np.uint64, np.uint64]:
    """Special bit, 6 bits of channel, 25 of time. A photon on field c is channel c + 1, a sync channel 0.

    An overflow adds `wrap` to the base, times its time field (0 counts as 1) if `is_packed`. Stops before an
    overflow that would take the base above `limit`.
    """
    base = state[BASE]
    n, room = np.uint64(0), np.uint64(len(times))
    index, end = np.uint64(0), np.uint64(len(records))
    is_done = False
    while not is_done and index < end and n < room:
        stop = min(index + GROUP, end, index + (room - n))
        if stop == index + GROUP:
            # Groups of photons and syncs alone, as most are at high rates: loops without a branch, which
            # become vector code.
            highest = np.uint32(0)
            for k in range(GROUP):
                highest = max(highest, records[index + k])
            if highest < SYNC_END:
                for k in range(GROUP):
                    times[n + k] = base + np.int64(records[index + k] & np.uint32(0x1FFFFFF))
                for k in range(GROUP):
                    channels[n + k] = _t2_channel(records[index + k])
                index += GROUP
                n += GROUP
                continue
        while index < stop:
            record = records[index]
            time = np.int64(record & np.uint32(0x1FFFFFF))
            if record < SYNC_END:
                times[n] = base + time
                channels[n] = _t2_channel(record)
                n += ONE
            elif record >= np.uint32(0xFE000000):
                added = wrap * time if is_packed and time > 1 else np.int64(wrap)
                if base + added > limit:
                    is_done = True
                    break
                base += added
                note_place(places, np.int64(n), np.int64(index) + 1)
            elif record < np.uint32(0xA0000000):
                if n + np.uint64(MARKERS) > room:
                    is_done = True
                    break
                bits = np.int64(record >> np.uint32(25)) & 15
                n = _mark(bits, base + time, np.int64(index), n, times, channels, places)
                stop = index + ONE  # it may have given several tags: look again how many there is room for
            else:
                _note_invalid(state, places, n, np.int64(index))
            index += ONE
    state[BASE] = base
    return index, n


@kernel
def decode_hydra_t3(
    records: Records,
    state: State,
    times: Times,
    channels: Channels,
    places: Places,
    limit: int,
    wrap: int,
    is_packed: bool,
    period: int,
    period_part: float,
    step: int,
    step_part: float,
) -> tuple[int, np.uint64]:
    """Special bit, 6 bits of channel, 15 of dtime, 10 of nsync; see `decode_hydra_t2`.

    A sync period is `period + period_part` ps, a step of dtime `step + step_part` ps: whole numbers, which
    sum exactly, and what is over, from 0 to 1.
    """
    base = state[BASE]
    n, room = np.uint64(0), np.uint64(len(times))
    taken = len(records)
    for index in range(len(records)):
        if n >= room:
            taken = index
            break
        record = records[index]
        nsync = np.int64(record & np.uint32(0x3FF))
        syncs = base + nsync
        if record < np.uint32(0x80000000):
            dtime = np.int64(record >> np.uint32(10)) & 0x7FFF
            over = np.int64(np.rint(syncs * period_part + dtime * step_part))
            times[n] = syncs * period + dtime * step + over
            channels[n] = (record >> np.uint32(25)) + np.uint32(1)
            n += ONE
        elif record >= np.uint32(0xFE000000):
            added = wrap * nsync if is_packed and nsync > 1 else np.int64(wrap)
            if base + added > limit:
                taken = index
                break
            base += added
            note_place(places, np.int64(n), index + 1)
        elif np.uint32(0x82000000) <= record < np.uint32(0xA0000000):
            if n + np.uint64(MARKERS) > room:
                taken = index
                break
            time = syncs * period + np.int64(np.rint(syncs * period_part))
            bits = np.int64(record >> np.uint32(25)) & 15
            n = _mark(bits, time, index, n, times, channels, places)
        else:
            _note_invalid(state, places, n, index)
    state[BASE] = base
    return taken, n


@kernel
def decode_pico_t2(
    records: Records,
    state: State,
    times: Times,
    channels: Channels,
    places: Places,
    limit: int,
) -> tuple[int, np.uint64]:
    """4 bits of channel, 28 of time. Channel 0 is the sync, 1 to 4 are inputs; 15 is a marker, whose bits are
    the lowest 4 of the time and missing in it, or an overflow when they are 0. See `decode_hydra_t2`."""
    base = state[BASE]
    n, room = np.uint64(0), np.uint64(len(times))
    taken = len(records)
    for index in range(len(records)):
        if n >= room:
            taken = index
            break
        record = records[index]
        channel = record >> np.uint32(28)
        time = np.int64(record & np.uint32(0xFFFFFFF))
        if channel <= np.uint32(4):
            times[n] = base + time
            channels[n] = channel
            n += ONE
        elif channel < np.uint32(15):
            _note_invalid(state, places, n, index)
        elif time & 15 == 0:
            if base + PICO_T2_WRAP > limit:
                taken = index
                break
            base += PICO_T2_WRAP
            note_place(places, np.int64(n), index + 1)
        else:
            if n + np.uint64(MARKERS) > room:
                taken = index
                break
            n = _mark(time & 15, base + (time & ~15), index, n, times, channels, places)
    state[BASE] = base
    return taken, n


@kernel
def decode_pico_t3(
    records: Records,
    state: State,
    times: Times,
    channels: Channels,
    places: Places,
    limit: int,
    period: int,
    period_part: float,
    step: int,
    step_part: float,
) -> tuple[int, np.uint64]:
    """4 bits of channel, 12 of dtime, 16 of nsync. Channels 1 to 4 are inputs; 15 is a marker, whose bits are
    dtime, or an overflow when that is 0. See `decode_hydra_t3`."""
    base = state[BASE]
    n, room = np.uint64(0), np.uint64(len(times))
    taken = len(records)
    for index in range(len(records)):
        if n >= room:
            taken = index
            break
        record = records[index]
        channel = record >> np.uint32(28)
        dtime = np.int64(record >> np.uint32(16)) & 0xFFF
        syncs = base + np.int64(record & np.uint32(0xFFFF))
        if np.uint32(1) <= channel <= np.uint32(4):
            over = np.int64(np.rint(syncs * period_part + dtime * step_part))
            times[n] = syncs * period + dtime * step + over
            channels[n] = channel
            n += ONE
        elif channel == np.uint32(15) and dtime == 0:
            if base + PICO_T3_WRAP > limit:
                taken = index
                break
            base += PICO_T3_WRAP
            note_place(places, np.int64(n), index + 1)
        elif channel == np.uint32(15) and dtime <= 15:
            if n + np.uint64(MARKERS) > room:
                taken = index
                break
            time = syncs * period + np.int64(np.rint(syncs * period_part))
            n = _mark(dtime, time, index, n, times, channels, places)
        else:
            _note_invalid(state, places, n, index)
    state[BASE] = base
    return taken, n


@kernel
def scale(times: Times, unit: int, unit_part: float) -> None:
    """Turn times in units of `unit + unit_part` ps into ps, in place."""
    for k in range(len(times)):
        times[k] = times[k] * unit + np.int64(np.rint(times[k] * unit_part))
