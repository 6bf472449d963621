"""PicoQuant MultiHarp 150 and 160: see `drivers.time_taggers.picoquant_harp`."""

from drivers.capabilities import Limits
from drivers.time_taggers.picoquant_harp import PicoQuantHarp
from drivers.time_taggers.picoquant_library import Family


class PicoQuantMultiHarp(PicoQuantHarp):
    """Its inputs trigger on an edge at a level."""

    model = "picoquant_multiharp"
    family = Family(
        "MultiHarp", "MH_", "libmh150.so", "mhlib64.dll",
        record_type=0x00010207, most_records=1_048_576, is_told_the_size=False, has_edges=True,
    )  # fmt: skip

    @property
    def threshold_limits(self) -> Limits:
        return Limits(-1.2, 1.2, "V")
