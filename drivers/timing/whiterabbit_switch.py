"""White Rabbit switch (WRS-3/18) as a clock: its status, read by SNMP v2c.

Written from the protocol notes (`whiterabbit_switch.md`) and WR-SWITCH-MIB, from which the numbers and names
below are; nothing is ever written. The switch collects most values every few seconds, so a change shows with
that delay (5 s in its agent's sources).
"""

from collections.abc import Mapping, Sequence
from itertools import count, islice

from drivers.address import Address
from drivers.capabilities import ClockMonitor, ClockStatus, Control, Identity, Settings
from drivers.errors import ConnectError, DeadlineError, LineError, ProtocolError, RefusedError
from drivers.timing.snmp import GetRequest, Oid, Response, Value, name
from drivers.transports.udp import UdpLine

SWITCH = name("1.3.6.1.4.1.96.100")
MANUFACTURER, SERIAL_NUMBER, BOARD, FIRMWARE = [(*SWITCH, 6, 3, n, 0) for n in (6, 7, 8, 1)]
"""wrsVersionManufacturer, ...SwitchSerialNumber, ...ScbVersion, ...SwVersion; the numbers of the first three
follow from their order in the agent's sources (M)."""
STATUSES = {
    "wrsMainSystemStatus": (*SWITCH, 6, 1, 1, 0),
    "wrsOSStatus": (*SWITCH, 6, 1, 2, 0),
    "wrsTimingStatus": (*SWITCH, 6, 1, 3, 0),
    "wrsNetworkingStatus": (*SWITCH, 6, 1, 4, 0),
    "wrsPTPStatus": (*SWITCH, 6, 2, 2, 1, 0),
    "wrsSoftPLLStatus": (*SWITCH, 6, 2, 2, 2, 0),
    "wrsSlaveLinksStatus": (*SWITCH, 6, 2, 2, 3, 0),
}
STATUS_WORDS = {
    0: "not available", 1: "ok", 2: "error", 3: "warning", 4: "warning, not available", 5: "bug",
    6: "first read",
}  # fmt: skip
MODE = (*SWITCH, 7, 3, 2, 1, 0)
GRANDMASTER, FREE_RUNNING, SLAVE = 1, 2, 3
MODE_WORDS = {
    GRANDMASTER: "grandmaster", FREE_RUNNING: "free-running master", SLAVE: "slave", 4: "disabled",
}  # fmt: skip
"""wrsSpllMode: what the switch's oscillator follows. A grandmaster follows 10 MHz and a pulse per second at
its front, a slave its uplink; a free-running master follows nothing."""
SERVO_STATE, CLOCK_OFFSET, ROUND_TRIP = [(*SWITCH, 7, 5, 1, column, 1) for column in (6, 10, 13)]
"""wrsPtpServoState, wrsPtpClockOffsetPs, wrsPtpRTT of the only servo there is. The offset comes as a 64-bit
counter that is meant with a sign; it is taken as slave minus master, the convention of IEEE 1588 (M)."""
TRACKING = "TRACK_PHASE"
TEMPERATURES = {
    f"temperature of {part}, degrees C": (*SWITCH, 7, 1, 3, n, 0)
    for n, part in enumerate(("FPGA", "PLL", "left power supply", "right power supply"), 1)
}
PORTS = 18
LINK, CONFIGURED_MODE, LOCKED = [(*SWITCH, 7, 6, 1, column) for column in (3, 4, 5)]
LINK_UP = 2
PORT_MODES = {1: "master", 2: "slave", 3: "no White Rabbit", 4: "auto", 5: "none"}
PORT_LOCKED = {1: "not locked", 2: "locked"}
NAMES_AT_ONCE = 20
"""So many names in one request: an answer must fit into one datagram. Ours to choose."""


class WhiteRabbitSettings(Settings):
    """How the switch is asked, and what hangs on it."""

    community: str = "public"
    taggers: tuple[str, ...] = ()
    """Time taggers that have their clock from it, by their names in the testbed file. The simulated bench
    takes their reference away while the switch is not locked; the driver has no use for it."""


class WhiteRabbitSwitch(ClockMonitor):
    """Address `udp://HOST:161`.

    The clock is locked when its oscillator follows a reference without complaint: a grandmaster's by its
    soft PLL, a slave's when in addition the servo tracks the phase of its uplink.
    """

    model = "whiterabbit_switch"
    manufacturer = "White Rabbit (CERN open hardware)"
    schemes = ("udp",)
    protocol = "whiterabbit_switch.md, completeness 2, and WR-SWITCH-MIB; bytes of SNMP by pysnmp"
    doubts = (
        "The numbers of three names of the identity follow from their order in the agent's sources.",
        "The sign of the clock offset is taken as slave minus master, the convention of IEEE 1588.",
    )
    settings_model = WhiteRabbitSettings
    settings: WhiteRabbitSettings

    def __init__(
        self, name: str, address: Address, settings: WhiteRabbitSettings, deadline: float = 2.0
    ) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = UdpLine(name, address, deadline)
        self._numbers = count(1)

    async def open(self) -> None:
        """See that a White Rabbit switch answers at the address."""
        try:
            await self.identity()
        except (DeadlineError, LineError) as error:
            await self.close()
            raise ConnectError(
                self.name, str(self.address), f"nobody answers: {error.problem}",
                "See that the switch is on, that its address is right, and its community in the settings",
            ) from error  # fmt: skip

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        """Raises ConnectError when what answers is no White Rabbit switch."""
        values = await self._get([MANUFACTURER, BOARD, SERIAL_NUMBER, FIRMWARE])
        if values[FIRMWARE] is None:
            await self.close()
            raise ConnectError(
                self.name, str(self.address), "what answers has no values of a White Rabbit switch",
                "Give the address of the switch",
            )  # fmt: skip
        board = _text(values[BOARD])
        return Identity(
            _text(values[MANUFACTURER]),
            f"White Rabbit switch, board {board}" if board else "White Rabbit switch",
            _text(values[SERIAL_NUMBER]),
            _text(values[FIRMWARE]),
        )

    async def is_settled(self) -> bool:
        """Always: nothing is ever set."""
        return True

    async def make_safe(self) -> None:
        """Does nothing: a clock that is only looked at is never unsafe."""

    async def status(self) -> ClockStatus:
        core = [*STATUSES.values(), MODE, SERVO_STATE, CLOCK_OFFSET, ROUND_TRIP, *TEMPERATURES.values()]
        ports = [
            (*column, port) for port in range(1, PORTS + 1) for column in (LINK, CONFIGURED_MODE, LOCKED)
        ]
        values = await self._get([*core, *ports])
        mode, servo = self._whole(values, MODE), _text(values[SERVO_STATE])
        details = {
            status: STATUS_WORDS.get(self._whole(values, asked), "unknown")
            for status, asked in STATUSES.items()
            if values[asked] is not None
        }
        details["wrsSpllMode"] = MODE_WORDS.get(mode, f"{mode}")
        if servo:
            details["wrsPtpServoState"] = servo
        if values[ROUND_TRIP] is not None:
            details["wrsPtpRTT, ps"] = f"{self._whole(values, ROUND_TRIP)}"
        details |= {
            what: f"{self._whole(values, asked)}"
            for what, asked in TEMPERATURES.items()
            if values[asked] is not None
        }
        details |= {
            f"port {port}": ", ".join(self._port(values, port))
            for port in range(1, PORTS + 1)
            if self._whole(values, (*LINK, port)) == LINK_UP
        }
        follows = mode == GRANDMASTER or (mode == SLAVE and servo == TRACKING)
        locked = follows and details.get("wrsSoftPLLStatus") == STATUS_WORDS[1]
        return ClockStatus(locked, self._offset(values) if mode == SLAVE else None, details)

    def controls(self) -> tuple[Control, ...]:
        async def offset() -> float:
            if (found := (await self.status()).offset_s) is None:
                raise RefusedError(
                    self.name, str(self.address), "has no offset: it is no slave of another switch"
                )
            return found

        return (*super().controls(), Control("offset", "s", offset))

    def _port(self, values: Mapping[Oid, Value], port: int) -> list[str]:
        mode = self._whole(values, (*CONFIGURED_MODE, port))
        locked = PORT_LOCKED.get(self._whole(values, (*LOCKED, port)))
        return ["up", PORT_MODES.get(mode, "mode unknown"), *([locked] if locked else [])]

    def _offset(self, values: Mapping[Oid, Value]) -> float | None:
        if values[CLOCK_OFFSET] is None:
            return None
        raw = self._whole(values, CLOCK_OFFSET) % 2**64
        return 1e-12 * (raw - 2**64 if raw >= 2**63 else raw)

    def _whole(self, values: Mapping[Oid, Value], asked: Oid) -> int:
        """A value that is a number, 0 where there is none (0 is "not available" all through the MIB)."""
        value = values[asked]
        if value is None or isinstance(value, int):
            return value or 0
        dotted = ".".join(str(n) for n in asked)
        raise ProtocolError(self.name, str(self.address), f"{dotted} was answered by {value!r}, no number")

    async def _get(self, names: Sequence[Oid]) -> Mapping[Oid, Value]:
        values: dict[Oid, Value] = {}
        left = iter(names)
        while some := list(islice(left, NAMES_AT_ONCE)):
            values |= await self._get_some(some)
        return values

    async def _get_some(self, names: Sequence[Oid]) -> Mapping[Oid, Value]:
        request_id = next(self._numbers) % 2**31
        request = GetRequest(self.settings.community, request_id, names)
        command = f"GET {'.'.join(str(n) for n in names[0])}" + (" ..." if len(names) > 1 else "")

        def accept(datagram: bytes) -> Response | None:
            """Ours, and whole; what is garbled on the way is no answer, as if it had been lost."""
            try:
                response = Response.from_bytes(datagram)
            except ValueError:
                return None
            if response.request_id != request_id:
                return None
            return response if response.error or set(response.values) == set(names) else None

        response = await self._line.ask(request.to_bytes(), accept, command, retry=True)
        if response.error:
            raise RefusedError(self.name, str(self.address), f"{command} was refused: {response.error}")
        return response.values


def _text(value: Value) -> str:
    return value.decode(errors="replace").strip("\0 ") if isinstance(value, bytes) else ""
