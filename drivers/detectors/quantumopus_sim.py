"""Quantum Opus bias and amplifier modules ("QO-AMP-SIM") in a SIM900 mainframe, one nanowire each.

Written from the protocol notes (`quantumopus_sim.md`). Commands are silent, also when they are not taken. A
module has no counter: clicks go from its amplifier to a counter or time tagger.

What this driver leaves alone: the automatic bias (`+G`), which would ramp the current beyond any limit of
the testbed file, and the bias in flash memory (`+H`).
"""

from pydantic import Field

from drivers.capabilities import LatchSensor
from drivers.detectors.latching import looks_latched
from drivers.detectors.sim900_bias import Sim900Bias, Sim900BiasSettings
from drivers.errors import RefusedError
from drivers.units import Amperes

FULL_SCALE_A = 25e-6
"""2.5 V over 100 kOhm."""
STEPS = 65535
HIGH_GAIN_V = 1.1
"""Full scale of the ADC in high gain. In low gain it is 5.0 V, and the gain cannot be read."""
COUNT = r"\d{1,5}"


class QuantumOpusSettings(Sim900BiasSettings):
    """Where the modules are, and how far their wires may be biased."""

    max_bias: Amperes = Field(gt=0, le=FULL_SCALE_A)


class QuantumOpusSim(Sim900Bias, LatchSensor):
    """The bias is rounded to 0.4 nA."""

    model = "quantumopus_sim"
    manufacturer = "Quantum Opus"
    protocol = "quantumopus_sim.md, completeness 3 (mainframe: srs_sim900_sim928.md)"
    doubts = (
        "That the voltage read is the one across the wire, by which a latch is known, is our reading.",
        "The gain of the ADC cannot be read, so the high one is taken.",
    )
    settings_model = QuantumOpusSettings
    settings: QuantumOpusSettings
    module = "QO-AMP-SIM"
    probe = ("+A?", r".*[A-Za-z].*")  # "identification text"; all other answers are numbers
    is_module = probe[1]
    has_switch = False

    async def bias(self, channel: int) -> float:
        self.check_channel(channel)
        return FULL_SCALE_A * await self._count(channel, "+B?") / STEPS

    async def set_enabled(self, on: bool) -> None:
        """A module has no switch: off is zero bias, and on does nothing."""
        if not on:
            await self._all_to_zero()

    async def is_enabled(self) -> bool:
        return True

    async def is_latched(self, channel: int) -> bool:
        """By the voltage across the wire. Which full scale it is in cannot be read, so the smaller is taken,
        which makes the voltage of a latched wire in low gain a fifth of what it is: still more than any
        superconducting wire has."""
        self.check_channel(channel)
        voltage_v = HIGH_GAIN_V * await self._count(channel, "+C?") / STEPS
        return looks_latched(voltage_v, await self.bias(channel))

    async def reset(self, channel: int) -> None:
        """Begin a reset event, which makes a latched wire superconducting: its bias goes to zero for the
        duration that is set in the module, and comes back."""
        self.check_channel(channel)
        await self._frame.tell(channel, "+F;")

    async def _feed(self, slot: int, current_a: float) -> None:
        count = round(STEPS * current_a / FULL_SCALE_A)
        await self._set_count(slot, count)
        await self._check_count(slot, count)

    async def _all_to_zero(self) -> None:
        for slot in self.channels:
            await self._set_count(slot, 0)
        for slot in self.channels:
            await self._check_count(slot, 0)

    async def _set_count(self, slot: int, count: int) -> None:
        await self._frame.tell(slot, f"+B{count};")

    async def _check_count(self, slot: int, count: int) -> None:
        taken = await self._count(slot, "+B?")
        if taken != count:
            raise RefusedError(
                self.name, str(self.address),
                f"+B{count}; left it at {taken} of {STEPS} in slot {slot}",
                "See whether it is in a reset event or ramps its bias by itself",
            )  # fmt: skip

    async def _count(self, slot: int, question: str) -> int:
        return int(await self._frame.ask(slot, question, COUNT))
