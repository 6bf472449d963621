"""Read PicoQuant PTU files, T2 and T3, of every record type in picoquant_tttr.md.

Channels in the blocks: 0 is the sync input (T2 only: in T3 the syncs are counted, not recorded), k input k
(from 1), and 64 + k marker input k (1 to 4); a record with several marker bits gives a tag for each.

Times are ps since the start of the measurement. In T2 a tag's time is its count of MeasDesc_GlobalResolution.
In T3 it is nsync * sync period + dtime * MeasDesc_Resolution, where the period is MeasDesc_GlobalResolution:
the mean period, as the instrument measured it, so that times between syncs far apart are only as good as the
laser's clock. Both numbers are taken as the decimal number that the header's double stands for, so that times
add up exactly.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from timetags.block import Channels, Times
from timetags.files import ptu_records as rec
from timetags.files.decoder import LATEST_PS, Decoded, Fault
from timetags.files.places import Places
from timetags.files.ptu_header import MAGIC, Header, parse
from timetags.files.record_file import RecordFile
from timetags.files.tag_file import Damage, TagFileError, TagFileInfo

RECORD_BYTES: Final = 4

ORIGIN_TAG: Final = "Bellbench_OriginPs"
"""A header tag of ours: the time of the stream (ps) that is time 0 of a T2 file. Added to all times."""

MARKER_TOLERANCE_PS: Final = 1_000_000
"""In PicoQuant's words (Read_PTU.py in their file format demos), markers "may appear in the file slightly out
of order with respect to regular (photon) event records. This is by design." How far that is, they do not say:
INVENTED."""


@dataclass(frozen=True)
class RecordType:
    """How the records of one TTResultFormat_TTTRRecType are decoded."""

    device: str
    is_t3: bool
    is_pico: bool = False
    """The layout of the PicoHarp rather than the HydraHarp's."""
    is_packed: bool = True
    """An overflow record holds their number."""
    inputs: int = 64


RECORD_TYPES: Final = {
    0x00010203: RecordType("PicoHarp", False, is_pico=True, inputs=4),
    0x00010303: RecordType("PicoHarp", True, is_pico=True, inputs=4),
    0x00010204: RecordType("HydraHarp V1", False, is_packed=False),
    0x00010304: RecordType("HydraHarp V1", True, is_packed=False),
    0x01010204: RecordType("HydraHarp V2", False),
    0x01010304: RecordType("HydraHarp V2", True),
    0x00010205: RecordType("TimeHarp 260N", False),
    0x00010305: RecordType("TimeHarp 260N", True),
    0x00010206: RecordType("TimeHarp 260P", False),
    0x00010306: RecordType("TimeHarp 260P", True),
    0x00010207: RecordType("MultiHarp", False),
    0x00010307: RecordType("MultiHarp", True),
}


def open_ptu(path: Path) -> RecordFile:
    """The tags of a PTU file. TagFileError if its header cannot be read, or its records are of an unknown
    type."""
    try:
        with path.open("rb") as file:
            header = parse(file)
        kind, unit, step = _needed(header)
    except ValueError as error:
        raise TagFileError(path, str(error)) from error
    origin = _origin(header, kind)
    size = path.stat().st_size
    records, end, known = _extent(header, size)
    if kind.is_t3:
        longest = (0xFFF if kind.is_pico else 0x7FFF) * step
        tolerance = MARKER_TOLERANCE_PS + math.ceil(max(unit, longest))
    else:
        tolerance = MARKER_TOLERANCE_PS
    return RecordFile(
        TagFileInfo(
            path=path,
            format=f"PicoQuant PTU, {kind.device} {'T3' if kind.is_t3 else 'T2'}",
            size_bytes=size,
            channels=_channels(header, kind),
            resolution_ps=float(step if kind.is_t3 else unit),
            records=records,
            duration_ps=_duration(header),
            header=header.tags,
        ),
        partial(PtuDecoder, kind, unit, step, origin),
        begin=header.length,
        end=end,
        start_ps=origin,
        tolerance_ps=tolerance,
        known=known,
    )


def looks_like_ptu(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a PTU file."""
    return head.startswith(MAGIC)


class PtuDecoder:
    """Decodes the records of one file; `unit` and `step` are MeasDesc_GlobalResolution and _Resolution in
    ps."""

    record_bytes = RECORD_BYTES
    tags_per_record = rec.MARKERS

    def __init__(self, kind: RecordType, unit: Fraction, step: Fraction, origin: int = 0) -> None:
        self._unit = unit
        self._state = np.zeros(rec.STATE_SIZE, np.int64)
        self._state[rec.BASE] = math.floor(origin / unit)
        # In T2 the kernels count units, and what comes out is scaled if a unit is not 1 ps.
        self._scale = None if kind.is_t3 or unit == 1 else _parts(unit)
        limit = int(LATEST_PS / max(unit, Fraction(1)))
        in_ps = (*_parts(unit), *_parts(step))
        self._decode: Callable[..., tuple[int | np.uint64, np.uint64]]
        self._rule: tuple[int | float, ...]
        match kind.is_pico, kind.is_t3:
            case False, False:
                wrap = rec.HYDRA_T2_WRAP if kind.is_packed else rec.HYDRA_T2_WRAP_V1
                self._decode, self._rule = rec.decode_hydra_t2, (limit, wrap, kind.is_packed)
            case False, True:
                self._decode = rec.decode_hydra_t3
                self._rule = (limit, rec.HYDRA_T3_WRAP, kind.is_packed, *in_ps)
            case True, False:
                self._decode, self._rule = rec.decode_pico_t2, (limit,)
            case _:
                self._decode, self._rule = rec.decode_pico_t3, (limit, *in_ps)

    def decode(
        self,
        raw: NDArray[np.uint8],
        is_last: bool,  # noqa: ARG002 - records are of one length
        times: Times,
        channels: Channels,
        places: Places,
    ) -> Decoded:
        """See `timetags.files.decoder.Decoder`."""
        records = raw[: len(raw) // RECORD_BYTES * RECORD_BYTES].view("<u4")
        self._state[rec.INVALID] = 0
        taken, given = self._decode(records, self._state, times, channels, places, *self._rule)
        used, tags = int(taken), int(given)
        if self._scale is not None:
            rec.scale(times[:tags], *self._scale)
        _, invalid, first_invalid, last_invalid = self._state.tolist()
        faults = []
        if invalid:
            size = (last_invalid - first_invalid + 1) * RECORD_BYTES
            faults.append(Fault(first_invalid * RECORD_BYTES, size, invalid, "records of no known kind"))
        # The kernel stops early where the room may be too small for the markers of one record, and at an
        # overflow beyond the limit.
        is_beyond = used < len(records) and len(times) - tags >= rec.MARKERS
        return Decoded(
            used * RECORD_BYTES,
            tags,
            reached_ps=int(self._state[rec.BASE] * self._unit),
            faults=faults,
            stop="from here on, times are beyond 2^62 ps" if is_beyond else None,
        )


def _parts(number: Fraction) -> tuple[int, float]:
    whole = math.floor(number)
    return whole, float(number - whole)


def _needed(header: Header) -> tuple[RecordType, Fraction, Fraction]:
    """The type of the records, the unit of their times and the step of dtime (ps). ValueError says what is
    wrong."""
    code = header.number("TTResultFormat_TTTRRecType")
    kind = RECORD_TYPES.get(int(code)) if code is not None and math.isfinite(code) else None
    if kind is None:
        told = "does not say of what type" if code is None else f"says that type {int(code):08X} is"
        raise ValueError(f"the PTU header {told} the records are")
    bits = header.number("TTResultFormat_BitsPerRecord")
    if bits not in (None, 8 * RECORD_BYTES):
        raise ValueError(f"the PTU header speaks of records of {bits} bits; they should have 32")
    # The bounds keep every sum of times within int64, and no instrument comes near them.
    unit = _ps(header, "MeasDesc_GlobalResolution", 10**13 if kind.is_t3 else 10**9)
    return kind, unit, _ps(header, "MeasDesc_Resolution", 10**12) if kind.is_t3 else Fraction(0)


def _ps(header: Header, name: str, most: int) -> Fraction:
    seconds = header.number(name)
    if seconds is None or not 0 < seconds <= most * 1e-12:
        raise ValueError(f"the PTU header gives {name} as {seconds}; it should be seconds above 0")
    return Fraction(repr(float(seconds))) * 10**12


def _extent(header: Header, size: int) -> tuple[int, int, list[Damage]]:
    """How many records to read, the byte behind them, and in what the file is not as its header says."""
    there = (size - header.length) // RECORD_BYTES
    stated = header.number("TTResult_NumberOfRecords")
    if stated is None or not stated > 0:
        # 0 is what a crash leaves (picoquant_tttr.md), and beyond 2^31 records some programs state less than
        # 0.
        return there, size, []
    end = header.length + int(stated) * RECORD_BYTES
    if end > size:
        reason = f"the header states {int(stated):,} records, but the file ends"
        return there, size, [Damage(size, end - size, int(stated) - there, reason)]
    if end < size:
        reason = f"behind the {int(stated):,} records that the header states"
        return int(stated), end, [Damage(end, size - end, (size - end) // RECORD_BYTES, reason)]
    return there, size, []


def _origin(header: Header, kind: RecordType) -> int:
    origin = header.tags.get(ORIGIN_TAG)
    if isinstance(origin, int) and abs(origin) < LATEST_PS and not kind.is_t3:
        return origin
    return 0


def _duration(header: Header) -> int | None:
    # Not in the notes. "TTResult_StopAfter" is the time measured, in ms, to every program that uses it (M).
    stop_ms = header.number("TTResult_StopAfter")
    return round(stop_ms * 10**9) if stop_ms is not None and 0 < stop_ms < LATEST_PS / 10**9 else None


def _channels(header: Header, kind: RecordType) -> dict[int, str]:
    stated = header.number("HW_InpChannels")
    inputs = int(stated) if stated is not None and 0 < stated <= kind.inputs else kind.inputs
    is_off = {k for k in range(inputs) if header.tags.get(f"HWInpChan_Enabled({k})") is False}
    channels = {} if kind.is_t3 else {0: "sync"}
    channels |= {k + 1: f"input {k + 1}" for k in range(inputs) if k not in is_off}
    return channels | {rec.MARKER_CHANNEL + k: f"marker {k + 1}" for k in range(rec.MARKERS)}
