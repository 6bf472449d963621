"""Driver of the ID Quantique ID900 time controller: SCPI over ZeroMQ, tags through the DataLink service.

Address: `zmq://HOST:5555?datalink=HOST:6060&streams=P1,P2,P3,P4`. `datalink` is where IDQ's program
DataLinkTargetService runs (default 127.0.0.1:6060), `streams` are the TCP ports that it shall use for the
inputs 1 to 4. Taggers that share a service need ports of their own each.

Protocol: idq_id900.md. How a recording becomes blocks, and the doubts in that, are in
`drivers.time_taggers.idq_recording`.
"""

from collections.abc import AsyncIterator

from drivers.address import Address
from drivers.capabilities import Identity, Limits, Settings, TimeTagger
from drivers.errors import ConnectError, DeadlineError, LimitError, LineError, ProtocolError, RefusedError
from drivers.time_taggers.idq_datalink import DataLink
from drivers.time_taggers.idq_recording import Recording
from drivers.time_taggers.idq_scpi import Idq900Scpi
from drivers.transports.zmq import ZmqSockets
from timetags.block import TagBlock

INPUTS = (1, 2, 3, 4)
COUNTING_PERIOD_S = 1.0
THRESHOLD_V = 2.0
"""Greatest threshold either way. Not in the notes; from memory of the data sheet (L)."""
NAMES = ("ID900", "ID1000", "IDQ")
"""What `*IDN?` must contain one of (M)."""
DATALINK = "127.0.0.1:6060"
STREAM_PORTS = "4241,4242,4243,4244"
"""Ours; the service uses whatever port it is told."""


class IdqId900(TimeTagger):
    """Four inputs. Opening changes nothing; `start` sets up the inputs that it records, the counters of
    all inputs and the recorder."""

    model = "idq_id900"
    manufacturer = "ID Quantique"
    schemes = ("zmq",)
    protocol = "idq_id900.md, completeness 3"
    doubts = (
        "That a sub-acquisition k begins k * REC:PPER after the recording is our reading of the notes.",
        "What the DataLink service's counters count is our reading of their names.",
        "The greatest threshold, 2 V either way, is from memory of the data sheet.",
    )

    def __init__(self, name: str, address: Address, settings: Settings, deadline: float = 2.0) -> None:
        """ValueError when the options of the address are not as the module describes them."""
        super().__init__(name, address, settings, deadline)
        host, _, port = address.options.get("datalink", DATALINK).rpartition(":")
        ports = address.options.get("streams", STREAM_PORTS).split(",")
        if not host or len(ports) != len(INPUTS) or not all(p.isdigit() for p in (port, *ports)):
            raise ValueError(
                f"'{address}': write zmq://HOST:5555?datalink=HOST:6060&streams=P1,P2,P3,P4 with four ports"
            )
        self._datalink_host, self._datalink_port = host, int(port)
        self._stream_ports = dict(zip(INPUTS, map(int, ports), strict=True))
        self._sockets: ZmqSockets | None = None
        self._scpi: Idq900Scpi | None = None
        self._datalink: DataLink | None = None
        self._counters_set: set[int] = set()
        self._recording: Recording | None = None

    async def open(self) -> None:
        """Connect to the instrument and to the DataLink service; both are only asked who they are.
        Raises ConnectError, and ProtocolError when something else answers."""
        if self._sockets is not None:
            return
        self._sockets = sockets = self._new_sockets()
        self._scpi = scpi = self._scpi_over(sockets)
        service = sockets.request_line(self._datalink_host, self._datalink_port)
        self._datalink = DataLink(service, self.name, str(self.address))
        self._counters_set.clear()
        try:
            text = await scpi.query("*IDN?")
            if not any(name in text for name in NAMES):
                raise ProtocolError(
                    self.name, str(self.address), f"{text!r} answers instead of an ID900",
                    "Check the address, or the model in the testbed file",
                )  # fmt: skip
            await self._datalink.streams()
        except DeadlineError as error:
            await self.close()
            raise ConnectError(
                self.name, str(self.address), error.problem,
                "Check that the tagger is on, that DataLinkTargetService runs, and both addresses",
            ) from error  # fmt: skip
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect. A recording goes on in the instrument, but its streams end and their ports are free;
        its tags are dropped. Never raises."""
        await self._drop_recording()
        sockets, self._sockets, self._scpi, self._datalink = self._sockets, None, None, None
        if sockets is not None:
            sockets.close()

    async def identity(self) -> Identity:
        """What `*IDN?` says: four fields with commas between them or, failing that, blanks (M); what is
        missing stays empty."""
        text = await self._opened().query("*IDN?")
        fields = text.split(",") if "," in text else text.split(maxsplit=3)
        manufacturer, model, serial_number, firmware = ([f.strip() for f in fields] + [""] * 4)[:4]
        return Identity(manufacturer, model, serial_number, firmware)

    async def is_settled(self) -> bool:
        """A tagger has no inertia."""
        return True

    async def make_safe(self) -> None:
        """Stop the recording, whoever began it, and verify it. The tags until now still come through
        `blocks()`. Safety does not depend on the DataLink service."""
        if self._scpi is not None:
            await self._stop(self._scpi)
            return
        sockets = self._new_sockets()
        try:
            await self._stop(self._scpi_over(sockets))
        finally:
            sockets.close()

    @property
    def inputs(self) -> tuple[int, ...]:
        return INPUTS

    @property
    def threshold_limits(self) -> Limits:
        return Limits(-THRESHOLD_V, THRESHOLD_V, "V")

    async def resolution_ps(self) -> int:
        return round(await self._opened().number("DEVI:RES:BWID?"))

    async def set_threshold(self, input_: int, threshold_v: float) -> None:
        self._check_input(input_)
        self.check_limit("threshold", threshold_v, self.threshold_limits)
        await self._opened().command(f"INPU{input_}:THRE {threshold_v * 1e3:.6g}mV")

    async def threshold(self, input_: int) -> float:
        """In which unit the instrument answers, the notes do not say: `100mV`, `0.1V` and `0.1` are all
        read as 0.1 V."""
        self._check_input(input_)
        return await self._opened().number(f"INPU{input_}:THRE?")

    async def count_rate(self, input_: int) -> float:
        """Clicks per second over the counter's last whole second. The counter is set to count by the second
        at `start`, or else by the first call, whose value and those of the following second then
        still count over the period that was set before."""
        self._check_input(input_)
        await self._set_counter(input_)
        return await self._opened().number(f"INPU{input_}:COUN?") / COUNTING_PERIOD_S

    async def start(self, inputs: tuple[int, ...]) -> None:
        """Begin to record. What is left of an earlier recording is dropped. Raises RefusedError when the
        instrument records already, whoever began that, or when a stream's port is taken."""
        if not inputs:
            raise LimitError(self.name, str(self.address), "no inputs to record", "Name at least one")
        for input_ in inputs:
            self._check_input(input_)
        scpi = self._opened()
        if await scpi.is_recording():
            raise RefusedError(
                self.name, str(self.address), "REC:PLAY: it is recording already",
                "Stop that recording first; make_safe() stops it, whoever began it",
            )  # fmt: skip
        await self._drop_recording()
        assert self._datalink is not None
        assert self._sockets is not None
        for input_ in INPUTS:
            await self._set_counter(input_)
            if input_ not in inputs:
                await scpi.command(f"RAW{input_}:SEND OFF")
        ports = {input_: port for input_, port in self._stream_ports.items() if input_ in inputs}
        recording = Recording(
            scpi, self._datalink, self._sockets, self.address.host, self._datalink_host, ports
        )
        await recording.start()
        self._recording = recording

    async def blocks(self) -> AsyncIterator[TagBlock]:
        """One block for each sub-acquisition of half a second, for one consumer. `lost` is what the counters
        of dropped events (`RAWn:ERRORS?`) have grown by when the block is made: one more question per
        block, by which a tagger that has gone silent is noticed as well. Raises RefusedError when
        nothing is being recorded."""
        recording = self._recording
        if recording is None:
            raise RefusedError(
                self.name, str(self.address), "nothing is being recorded", "Call start() first"
            )
        while (block := await recording.next_block()) is not None:
            yield block
        await self._drop_recording()

    async def stop(self) -> None:
        """End the recording and verify it; without one, nothing happens."""
        if self._recording is not None and not self._recording.has_stopped:
            await self._stop(self._opened())

    async def _stop(self, scpi: Idq900Scpi) -> None:
        if self._recording is not None:
            self._recording.begin_stop()
        await scpi.stop_recorder()
        if self._recording is not None:
            self._recording.end_stop()

    async def _drop_recording(self) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            await recording.close()

    async def _set_counter(self, input_: int) -> None:
        if input_ not in self._counters_set:
            await self._opened().command(f"INPU{input_}:COUN:MODE CYCL;INTE {COUNTING_PERIOD_S * 1e3:.0f}")
            self._counters_set.add(input_)

    def _check_input(self, input_: int) -> None:
        if input_ not in INPUTS:
            raise LimitError(
                self.name, str(self.address), f"there is no input {input_}", "The inputs are 1, 2, 3 and 4"
            )

    def _new_sockets(self) -> ZmqSockets:
        return ZmqSockets(self.name, str(self.address), self.deadline)

    def _scpi_over(self, sockets: ZmqSockets) -> Idq900Scpi:
        line = sockets.request_line(self.address.host, self.address.port)
        return Idq900Scpi(line, self.name, str(self.address), self.deadline)

    def _opened(self) -> Idq900Scpi:
        if self._scpi is None:
            raise LineError(self.name, str(self.address), "the instrument is not open", "Open it first")
        return self._scpi
