"""Keysight (Agilent) N7764A optical attenuator, one of its channels, SCPI over VISA or TCP.

Written from the protocol notes (`keysight_n77xx.md`) and the N77xx programming guide (N7744-90C, chapters 3
and 4), which has the forms of `:INPut`, `:OUTPut` and `:STATus`. A channel is an attenuator of its own in the
testbed file: several of them give the same address with different channels, and each has its own connection.
"""

from pydantic import Field

from drivers.address import Address
from drivers.capabilities import Attenuator, Identity, Limits, Settings
from drivers.errors import RefusedError
from drivers.making_safe import insist
from drivers.scpi import Scpi, text_line
from drivers.units import Decibel

SETTLING = 1 << 1
"""Bit of a slot's operation condition while the filter moves. SCPI's own bit for settling; the guide shows
the bits of attenuators only in a drawing, so this one is uncertain (M)."""
TAKEN_DB = 0.01
"""How far the attenuation taken may be from the one sent; our choice. It is sent to 1 mdB."""


class N7764aSettings(Settings):
    """Which channel, and what the guide's "attenuation" leaves out."""

    channel: int = Field(default=1, ge=1, le=4)
    insertion_loss: Decibel = Field(default=0.0, ge=0)
    """Loss at 0 dB of filter attenuation; 0 dB where the instrument's own offset makes up for it."""


class KeysightN7764a(Attenuator):
    """Address `visa:TCPIP0::HOST::INSTR` (VXI-11), `visa:USB0::...::INSTR`, or `tcp://HOST:5025`.

    The limits are the channel's, read on opening; before that they are unknown and open. The related
    N7751A to N7768A answer the same and are accepted.
    """

    model = "keysight_n7764a"
    manufacturer = "Keysight Technologies"
    schemes = ("visa", "tcp")
    protocol = "keysight_n77xx.md, completeness 2, and the N77xx programming guide N7744-90C"
    doubts = (
        "Which bit says that the filter moves is only in a drawing of the guide; SCPI's own bit for it is "
        "used.",
    )
    settings_model = N7764aSettings
    settings: N7764aSettings

    def __init__(self, name: str, address: Address, settings: N7764aSettings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = text_line(name, address, deadline)
        self._scpi = Scpi(name, address, self._line)
        n = settings.channel
        self._attenuation, self._shutter = f":INP{n}:ATT", f":OUTP{n}:STAT"
        self._condition = f":STAT{n}:OPER:COND?"
        self._limits = Limits(0.0, float("inf"), "dB")

    async def open(self) -> None:
        """Connect, see that an N77xx attenuator answers, and read the channel's limits."""
        await self._line.open()
        identity = await self._scpi.identity()
        maker, model = identity.manufacturer.casefold(), identity.model.upper()
        if not maker.startswith(("agilent", "keysight")) or not model.startswith(("N775", "N776")):
            raise await self._scpi.stranger(
                f"a {identity.manufacturer} {identity.model} answers",
                "Give the address of a Keysight N775xA or N776xA attenuator",
            )
        low, high = [await self._scpi.number(f"{self._attenuation}? {end}") for end in ("MIN", "MAX")]
        loss = self.settings.insertion_loss
        self._limits = Limits(low + loss, high + loss, "dB")

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        return await self._scpi.identity()

    @property
    def attenuation_limits(self) -> Limits:
        return self._limits

    @property
    def has_shutter(self) -> bool:
        return True

    async def home(self) -> None:
        """Does nothing: the attenuator needs no homing."""

    async def is_homed(self) -> bool:
        return True

    async def set_attenuation(self, attenuation_db: float) -> None:
        if not self._line.is_open:
            await self.open()  # for the limits, which follow the offset that somebody may have set
        self.check_limit("attenuation", attenuation_db, self.attenuation_limits)
        command = f"{self._attenuation} {attenuation_db - self.settings.insertion_loss:.3f}"
        await self._scpi.tell(command)
        if abs((taken := await self.attenuation()) - attenuation_db) > TAKEN_DB:
            raise RefusedError(self.name, str(self.address), f"{command} left it at {taken:g} dB")

    async def attenuation(self) -> float:
        return self.settings.insertion_loss + await self._scpi.number(f"{self._attenuation}?")

    async def set_open(self, is_open: bool) -> None:
        """Open or close the shutter, and see that it does. It opens at the speed of the filter."""
        command = f"{self._shutter} {'ON' if is_open else 'OFF'}"
        await self._scpi.tell(command)
        if await self.is_open() is not is_open:
            raise RefusedError(self.name, str(self.address), f"{command} did not move the shutter")

    async def is_open(self) -> bool:
        return (await self._scpi.ask(f"{self._shutter}?", r"\+?[01]")).endswith("1")

    async def is_settled(self) -> bool:
        """Whether the filter stands still."""
        condition = int(await self._scpi.ask(self._condition, r"\+?\d{1,5}"))
        return not condition & SETTLING

    async def make_safe(self) -> None:
        """Close the shutter of this channel, and see that it is closed."""
        await insist(self, lambda: self.set_open(False), was_open=self._line.is_open)
