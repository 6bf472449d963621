"""Novoptel EPC1000 and EPS1000: seven electro-optic wave plates in one crystal, binary registers over TCP.

Written from the protocol notes (`novoptel_epc.md`). The protocol has no frames, checksums or errors, so
nothing tells what an answer of two bytes answers. Therefore every reading begins and ends with the firmware
register, and counts only when both are the same and nothing more has come.
"""

import math
from collections.abc import Mapping, Sequence

from drivers.address import Address
from drivers.capabilities import Identity, Limits, PolarizationController, Settings
from drivers.errors import ConnectError, DeadlineError, ProtocolError, RefusedError
from drivers.making_safe import insist
from drivers.transports.tcp import Peer, TcpLine

FIRMWARE, SERIAL_NUMBER, TEMPERATURE = 84, 91, 181
MODULE_TYPE = range(96, 112)
"""Two ASCII characters in each."""
POSITIONS = 40
"""Of plate 0; those of the others follow. The registers by which the plates turn are 0 to 6."""
BEAM_ORDER = (1, 2, 3, 0, 4, 5, 6)
"""Numbers of the plates as the light meets them: three quarter-wave plates, the half-wave plate (0), three
quarter-wave plates. Source: the maker's page on scrambling, novoptel.eu/Scrambling/Scrambling_en.php (M)."""
STEPS = 65536
RADIANS_PER_STEP = math.pi / STEPS
"""That the 16 bits of a position are one electrical period is inferred (L); that such a period is half a
turn of the plate is on the maker's page (M)."""
STOP = 0
STANDING = (0, 2)
WORD = 2
LARGEST = 0xFFFF


class NovoptelEpc1000(PolarizationController):
    """Address `tcp://HOST:5025`.

    An angle is the orientation of a plate, reached in microseconds. The instrument must not be tracking by
    itself: whether it does, the notes name no register that would say.
    """

    model = "novoptel_epc1000"
    manufacturer = "Novoptel"
    schemes = ("tcp",)
    protocol = "novoptel_epc.md, completeness 2"
    doubts = (
        "That the 16 bits of a position are one electrical period is inferred.",
        "That such a period is half a turn of the plate, and the order of the plates, is from the maker's "
        "web page.",
        "No register is known that says whether the instrument is tracking by itself.",
    )

    def __init__(self, name: str, address: Address, settings: Settings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = TcpLine(name, address, deadline)

    async def open(self) -> None:
        """Connect and see that a polarization controller or scrambler answers. Raises ConnectError."""
        await self._line.open()
        remedy = "Give the address of an EPC1000 or EPS1000"
        try:
            identity = await self.identity()
        except (DeadlineError, ProtocolError) as error:
            await self.close()
            raise ConnectError(self.name, str(self.address), error.problem, remedy) from error
        if not identity.model.upper().startswith(("EPC", "EPS")):
            await self.close()
            raise ConnectError(self.name, str(self.address), f"a {identity.model!r} answers", remedy)

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        serial_number, *module = await self._read(SERIAL_NUMBER, *MODULE_TYPE)
        text = b"".join(word.to_bytes(WORD) for word in module).decode("ascii", "replace")
        (firmware,) = await self._read(FIRMWARE)
        digits = ".".join(f"{firmware:x}")  # "firmware (hex digits)": 01 09 is 1.0.9
        return Identity(self.manufacturer, text.strip("\0 "), str(serial_number), digits)

    @property
    def actuators(self) -> int:
        return len(BEAM_ORDER)

    @property
    def angle_limits(self) -> Limits:
        return Limits(0.0, LARGEST * RADIANS_PER_STEP, "rad")

    async def home(self) -> None:
        """All plates to 0."""
        await self.set_angles([0.0] * self.actuators)

    async def is_homed(self) -> bool:
        """Always: the orientation of an electro-optic plate is that of a field."""
        return True

    async def is_settled(self) -> bool:
        """Always: the plates are faster than the line."""
        return True

    async def set_angles(self, angles_rad: Sequence[float]) -> None:
        """Stop the plates and set their orientations in radians, to 48 urad. Raises LimitError,
        RefusedError."""
        self.check_angles(angles_rad)
        positions = {
            POSITIONS + plate: round(angle / RADIANS_PER_STEP)
            for plate, angle in zip(BEAM_ORDER, angles_rad, strict=True)
        }
        await self._stop()
        await self._write(positions)
        taken = await self._read(*positions)
        if taken != list(positions.values()):
            raise RefusedError(
                self.name, str(self.address),
                f"registers {list(positions)}: {list(positions.values())} written, {taken} read back",
                "See that it does not track by itself",
            )  # fmt: skip

    async def angles(self) -> tuple[float, ...]:
        rotations = await self._read(*BEAM_ORDER)
        if any(rotation not in STANDING for rotation in rotations):
            raise RefusedError(
                self.name, str(self.address), "it scrambles: its plates turn",
                "Set angles, or make it safe, to end that",
            )  # fmt: skip
        positions = await self._read(*(POSITIONS + plate for plate in BEAM_ORDER))
        return tuple(position * RADIANS_PER_STEP for position in positions)

    async def temperature(self) -> float:
        """Of the module, in kelvin."""
        return 273.15 + (await self._read(TEMPERATURE))[0] / 16

    async def make_safe(self) -> None:
        """All plates standing where they are, verified."""
        await insist(self, self._stop, was_open=self._line.is_open)

    async def _stop(self) -> None:
        # One by one: of register 7, for all, the notes and the client that they quote give two meanings.
        await self._write(dict.fromkeys(sorted(BEAM_ORDER), STOP))
        rotations = await self._read(*sorted(BEAM_ORDER))
        if any(rotation not in STANDING for rotation in rotations):
            raise RefusedError(
                self.name, str(self.address), f"plates still turn after they were stopped: {rotations}"
            )

    async def _read(self, *registers: int) -> list[int]:
        """What the registers hold. Raises ProtocolError when the answers are out of step."""

        async def dialogue(peer: Peer) -> list[int]:
            first, *values, last = [
                await _ask(peer, register) for register in (FIRMWARE, *registers, FIRMWARE)
            ]
            if first != last or peer.unread:
                raise ProtocolError(
                    self.name, str(self.address),
                    f"reading registers {registers}: the firmware is {first:#x} before and {last:#x} after, "
                    f"and {peer.unread} bytes too many have come",
                )  # fmt: skip
            return values

        return await self._line.converse(f"reading registers {registers}", dialogue, retry=True)

    async def _write(self, values: Mapping[int, int]) -> None:
        async with self._line.exchange(f"writing registers {dict(values)}") as peer:
            for register, value in values.items():
                peer.send(b"W" + register.to_bytes(WORD) + value.to_bytes(WORD))


async def _ask(peer: Peer, register: int) -> int:
    peer.send(b"R" + register.to_bytes(WORD))
    return int.from_bytes(await peer.read_exactly(WORD))
