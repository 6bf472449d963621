"""One recording of an ID900, from its set-up until its last block has been taken.

How a recording becomes blocks (idq_id900.md, DataLink and Limits): the instrument cuts a recording into
sub-acquisitions, and the times of the tags count from the start of theirs. OUR READING, a doubt of rank
M: `REC:PPER` is the period between the starts of sub-acquisitions by the tagger's own clock, so that
sub-acquisition k, from 0, starts at k * PPER and a tag's absolute time is k * PPER + t. Each gives one block.
Events in the gap of 40 ns at the end of a period are never seen.

A block is whole, [k * PPER, (k + 1) * PPER), unless it is the last one of a recording that was stopped:
where exactly it stopped nobody tells, so that block ends one picosecond after its last tag, and a last
block without tags is left out.

The end of a recording is known by what the DataLink service counts, since the notes state no other sign.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from drivers.errors import DeadlineError, InstrumentError, LineError, ProtocolError, RefusedError
from drivers.time_taggers.idq_datalink import DataLink
from drivers.time_taggers.idq_scpi import Idq900Scpi
from drivers.time_taggers.tag_stream import SubAcquisitions
from drivers.transports.zmq import MessageStream, ZmqSockets
from timetags.block import TagBlock

PERIOD_PS = 500_000_000_000
"""Period of the sub-acquisitions, at least 0.2 s (M)."""
GAP_PS = 40_000
"""Rest between two sub-acquisitions, at least 40 ns (M)."""
READ_AHEAD = 2
"""How many sub-acquisitions may wait for the consumer, on each input."""
WAITING_MESSAGES = 16
"""How many messages may wait in a socket."""
QUIET_S = 0.1
"""After a stop, so long must the streams be quiet, with everything here that the service counts, until we
believe that the last tag has come (invented)."""


class Recording:
    """A recording on `ports`: input number -> TCP port for its stream on the computer `datalink_host`.

    `box` is the IP address of the instrument as the DataLink service sees it.
    """

    def __init__(
        self,
        scpi: Idq900Scpi,
        datalink: DataLink,
        sockets: ZmqSockets,
        box: str,
        datalink_host: str,
        ports: Mapping[int, int],
    ) -> None:
        self._scpi, self._datalink, self._sockets = scpi, datalink, sockets
        self._box, self._datalink_host, self._ports = box, datalink_host, ports
        self._stream_ids: dict[int, str] = {}
        self._sources: dict[int, MessageStream] = {}
        self._parts = SubAcquisitions(ports, PERIOD_PS, READ_AHEAD)
        self._lost = 0
        self._whole_below: int | None = None
        """Set when a stop begins: sub-acquisitions below this number had ended before it."""
        self.has_stopped = False
        """Whether the instrument has confirmed the stop."""

    async def start(self) -> None:
        """Set up the raw outputs, the streams and the recorder, and let it play."""
        command = self._scpi.command
        try:
            for input_, port in self._ports.items():
                await command(f"INPU{input_}:ENAB ON")
                await command(f"RAW{input_}:REF:LINK NONE")
                await command(f"RAW{input_}:STOP:LINK INPU{input_}")
                await command(f"RAW{input_}:ERRORS:CLEAR")
                self._stream_ids[input_] = await self._datalink.start_stream(self._box, input_, port)
                self._sources[input_] = await self._sockets.message_stream(
                    self._datalink_host, port, WAITING_MESSAGES
                )
                await command(f"RAW{input_}:SEND ON")
            self._parts.start(self._sources)
            await command("REC:ENAB ON")
            await command("REC:TRIG:ARM:MODE MANU")
            await command("REC:NUM INF")
            await command(f"REC:PPER {PERIOD_PS}")
            await command(f"REC:DUR {PERIOD_PS - GAP_PS}")
            await command("REC:PLAY")
        except BaseException:
            # Whether a command without an answer was obeyed is unknown; stopping is right in any case.
            with suppress(InstrumentError):
                await command("REC:STOP")
            await self.close()
            raise

    def begin_stop(self) -> None:
        """From now on a sub-acquisition that ends may have been cut short."""
        if self._whole_below is None:
            self._whole_below = self._parts.most_ends

    def end_stop(self) -> None:
        """The instrument has stopped."""
        self.has_stopped = True
        self._parts.wake()

    async def next_block(self) -> TagBlock | None:
        """The next block, None after the last. Raises LineError, ProtocolError, DeadlineError."""
        parts = self._parts
        messages_seen = -1
        while True:
            may_be_last = self._whole_below is not None and parts.taken >= self._whole_below
            if parts.has_next and (parts.goes_beyond_next or not may_be_last):
                return await self._block(is_whole=True)
            if self.has_stopped and parts.is_level and await self._nothing_is_under_way():
                last = await self._block(is_whole=False) if parts.has_next else None
                return last if last is not None and (len(last) or last.lost) else None
            if isinstance(parts.failure, ValueError):
                raise ProtocolError(*self._who, f"tag stream: {parts.failure}")
            if parts.failure is not None:
                raise parts.failure
            if not await parts.changed(self._sockets.deadline):
                if parts.messages == messages_seen:
                    await self._look_why_it_is_quiet()
                messages_seen = parts.messages

    async def close(self) -> None:
        """End the streams and free their ports; tags not yet taken are dropped. Never raises."""
        await self._parts.close(
            LineError(*self._who, "the recording was closed before its end", "Take its blocks first")
        )
        for source in self._sources.values():
            source.close()
        for stream_id in self._stream_ids.values():
            try:
                await self._datalink.stop(stream_id)
            except RefusedError:
                continue  # it has ended already
            except InstrumentError:
                break  # the service is gone, and its streams with it
        self._stream_ids.clear()

    @property
    def _who(self) -> tuple[str, str]:
        return self._sockets.name, self._sockets.address

    async def _block(self, is_whole: bool) -> TagBlock:
        # Ask before taking: when the tagger has gone silent, the tags are still here.
        lost = sum(await self._scpi.numbers(*(f"RAW{input_}:ERRORS?" for input_ in self._ports)))
        newly_lost, self._lost = max(0, round(lost) - self._lost), round(lost)
        start_ps = self._parts.taken * PERIOD_PS
        times, channels = await self._parts.merge_next(start_ps)
        self._parts.advance()
        after_last_ps = int(times[-1]) + 1 if len(times) else start_ps
        end_ps = start_ps + PERIOD_PS if is_whole else after_last_ps
        return TagBlock(times, channels, start_ps, end_ps, newly_lost)

    async def _nothing_is_under_way(self) -> bool:
        """Whether everything is here that the DataLink service counts, and nothing comes for a while."""
        messages = self._parts.messages
        await asyncio.sleep(QUIET_S)
        for input_, stream_id in self._stream_ids.items():
            stream, status = self._parts.streams[input_], await self._datalink.status(stream_id)
            if stream.ends < status.acquisitions or stream.tags < status.tags:
                return False
        return self._parts.messages == messages

    async def _look_why_it_is_quiet(self) -> None:
        """Nothing has come for a deadline's time: raise, unless the instrument still records."""
        if self.has_stopped:
            here = ", ".join(
                f"input {input_} has {stream.ends} sub-acquisitions and {stream.tags} tags"
                for input_, stream in self._parts.streams.items()
            )
            raise DeadlineError(
                *self._who,
                f"REC:STOP: the recording has stopped, but its end did not come within "
                f"{self._sockets.deadline:g} s: {here}",
                "The tags of the last sub-acquisition are lost; check DataLinkTargetService",
            )
        if not await self._scpi.is_recording():
            if self._whole_below is not None:
                self.has_stopped = True  # by a stop whose confirmation did not come through
                return
            raise LineError(
                *self._who,
                "the recording has ended by itself",
                "Somebody else may have stopped it, or the tagger has restarted: start it again",
            )
        for input_, stream_id in self._stream_ids.items():
            status = await self._datalink.status(stream_id)
            if status.errors:
                raise LineError(
                    *self._who,
                    f"DataLinkTargetService reports for input {input_}: {'; '.join(status.errors)}",
                    "Check the network between the tagger and the service",
                )
