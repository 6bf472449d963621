"""PicoQuant HydraHarp 400: see `drivers.time_taggers.picoquant_harp`."""

from drivers.capabilities import Limits
from drivers.time_taggers.picoquant_harp import PicoQuantHarp
from drivers.time_taggers.picoquant_library import Family


class PicoQuantHydraHarp(PicoQuantHarp):
    """Its inputs have constant-fraction discriminators for negative pulses."""

    model = "picoquant_hydraharp"
    doubts = (
        *PicoQuantHarp.doubts,
        "The range of the discriminator's level, and its zero crossing of 10 mV, are not in the notes.",
    )
    family = Family(
        "HydraHarp", "HH_", "libhh400.so", "hhlib64.dll",
        record_type=0x01010204, most_records=131_072, is_told_the_size=True, has_edges=False,
    )  # fmt: skip

    @property
    def threshold_limits(self) -> Limits:
        """The level of the discriminator, which is 0 to 1000 mV below zero (L, not in the notes)."""
        return Limits(-1.0, 0.0, "V")
