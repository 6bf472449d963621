"""Simulated ID Quantique ID900 time controller with its DataLinkTargetService, on ZeroMQ.

Source: idq_id900.md. SCPI is in `idq_id900_scpi`, the DataLink requests in `idq_id900_datalink`, what the
box does with clicks in `idq_id900_model`; here they meet the clicks of the light field. Everything a
slice of time sends is handed to the streams in one go, without waiting in between, so that a request
always finds the box between two slices; then `take` waits for slow readers.
"""

import asyncio
from typing import ClassVar, Self

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import Ports, TaggerInput, TaggerPort, Tags
from sim_instruments.time_taggers.idq_id900_datalink import Acquisition, DataLink
from sim_instruments.time_taggers.idq_id900_model import RAWS, Box, Segment
from sim_instruments.time_taggers.idq_id900_scpi import execute
from sim_instruments.wire.zmq import PairStream, ReplyService
from timetags.block import Times

LOOK_PS = 10_000_000_000_000
"""How long the world goes on to compute clicks after somebody asked for a counter: 10 s of the tagger's
clock. A counter that is asked for after a quiet spell says 0 until its first whole period has passed."""


class SimIdqId900(SimInstrument):
    """Four inputs and START, histograms, recordings, and a stream for each RAW channel.

    Somebody looks at the clicks (`port.recording`) while a recording plays, while a histogram has both its
    links, and for `LOOK_PS` after a counter was asked for. Time tags and recordings start on multiples of
    `resolution_ps`.
    """

    model: ClassVar[str] = "idq_id900"

    def __init__(
        self, name: str, rng: np.random.Generator, port: TaggerPort,
        *, start_latency_s: float, resolution_ps: int,
    ) -> None:  # fmt: skip
        super().__init__(name, rng)
        self.port = port
        self.start_latency_s = start_latency_s
        self.resolution_ps = resolution_ps
        # `IDQ ID900` is known (M), the rest of the line is not.
        self.identity = f"IDQ ID900 {2_000_000 + int(rng.integers(1_000_000))} 1.0.0"
        self.box = Box(port.inputs)
        self._until_ps = 0
        self._look_until_ps = 0
        self._lost = dict(port.lost)
        self._streams = [PairStream(self.faults) for _ in range(RAWS)]
        self._datalink = DataLink(self.faults, self._streams, self.now_ps)
        self._scpi = ReplyService(self.faults, self._execute)
        self._service = ReplyService(self.faults, self._datalink.answer)

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = TaggerPort({number: TaggerInput() for number in range(1, 5)})
        ports.taggers[placed.name] = port
        return cls(
            placed.name,
            rng,
            port,
            start_latency_s=placed.settings.get("start_latency", 0.0),
            resolution_ps=int(placed.settings.get("resolution_ps", 1)),
        )

    async def start(self) -> str:
        scpi, service = await self._scpi.open(), await self._service.open()
        streams = [str(await stream.open()) for stream in self._streams]
        return f"zmq://127.0.0.1:{scpi}?datalink=127.0.0.1:{service}&streams={','.join(streams)}"

    async def stop(self) -> None:
        await self._scpi.close()
        await self._service.close()
        await self._datalink.close()

    def advance(self, seconds: float) -> None:  # noqa: ARG002
        """The box lives by its own clock, `port.clock_ps`; only the interest in its clicks may lapse."""
        self._show_interest()

    def power_cycle(self) -> None:
        """Inputs as last saved (here: as they were); the recording and all acquisitions are gone."""
        self.box = Box(self.port.inputs)
        self._datalink.acquisitions.clear()
        self._look_until_ps = 0
        for socket in (self._scpi, self._service, *self._streams):
            socket.hang_up()
        self._show_interest()

    async def take(self, tags: Tags, until_ps: int) -> None:
        active = list(self._datalink.acquisitions.values())
        if self.box.recorder.playing:
            await asyncio.gather(*(acquisition.ready() for acquisition in active))
        self._slice(tags, until_ps)
        for acquisition in active:
            await acquisition.drain()

    def _slice(self, tags: Tags, until_ps: int) -> None:
        """Let the clicks before `until_ps` take their effect."""
        times = self.box.blocks(tags, until_ps)
        self.box.count(times, until_ps)
        since_ps, self._until_ps = self._until_ps, until_ps
        self._count_losses()
        for segment in self.box.recorder.segments(since_ps, until_ps):
            for n, raw in self.box.raws.items():
                takers = [a for a in self._datalink.acquisitions.values() if a.channel == n and raw.send]
                self._send(n, segment, times[raw.stop], times[raw.reference], takers)
            if segment.ends:
                self._end_acquisitions()
        self._show_interest()

    def _count_losses(self) -> None:
        """Tags that found no room on their way to the DataLink service. That the box has a limit (about 10
        million events a second) the note says, and that RAWn:ERRORS? exists, but neither what that counts nor
        whether the stream itself shows a gap: that the first tells of the second is our reading of them. A
        gap in the stream has no mark."""
        lost, self._lost = self._lost, dict(self.port.lost)
        for raw in self.box.raws.values():
            source = self.box.source(raw.stop)
            if raw.send and self.box.recorder.playing and source is not None:
                raw.errors += self._lost.get(source, 0) - lost.get(source, 0)

    def _send(
        self, n: int, segment: Segment, times: Times, references: Times, takers: list[Acquisition]
    ) -> None:
        raw = self.box.raws[n]
        low, high = np.searchsorted(times, (segment.low_ps, segment.high_ps))
        first, last = np.searchsorted(references, (segment.low_ps, segment.high_ps))
        if low < high and takers:
            words = (times[low:high] - segment.begin_ps).view(np.uint64).astype("<u8", copy=False)
            for taker in takers:
                if taker.with_index:
                    before = np.searchsorted(references[first:last], times[low:high], side="right")
                    index = (raw.references_seen + before).astype("<u8")
                    delivered = taker.put(np.column_stack((words, index)))
                else:
                    delivered = taker.put(words)
                if delivered:
                    taker.timestamps += int(high - low)
                    taker.last_active_ps = self._until_ps
                else:
                    raw.errors += int(high - low)
        raw.references_seen += int(last - first)

    def _end_acquisitions(self) -> None:
        """A sub-acquisition is over: every acquisition whose channel sends is told."""
        for acquisition in self._datalink.acquisitions.values():
            if self.box.raws[acquisition.channel].send:
                acquisition.end()
        for raw in self.box.raws.values():
            raw.references_seen = 0

    # What the SCPI commands act upon.

    async def _execute(self, request: str) -> str:
        reply = execute(self, request)
        self._show_interest()
        return reply

    def now_ps(self) -> int:
        return max(self.port.clock_ps, self._until_ps)

    def look(self) -> None:
        self._look_until_ps = self.now_ps() + LOOK_PS
        self._show_interest()

    def play(self) -> None:
        latency_ps = round(self.rng.uniform(0.0, self.start_latency_s) * 1e12)
        ticks = -(-(self.now_ps() + latency_ps) // self.resolution_ps)
        self.box.recorder.play(ticks * self.resolution_ps)

    def end_recording(self) -> None:
        if self.box.recorder.playing:
            self.box.recorder.playing = False
            self._end_acquisitions()

    def _show_interest(self) -> None:
        looking = (
            self.box.recorder.playing
            or self.now_ps() < self._look_until_ps
            or any(histogram.linked for histogram in self.box.histograms.values())
        )
        if looking and not self.port.recording:
            for counter in self.box.counters:
                counter.begin_period(self.now_ps())
        self.port.recording = looking
