"""Steps that look at the interference of the two idlers at the hub: the dip, and what windows make of it."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

from drivers.units import Seconds
from experiments.config.inventory import Inventory
from experiments.config.model import Positive
from experiments.config.plan.measuring import SETTINGS_OF, Basis, MeasureInSettings
from experiments.config.plan.step import SwappingStep
from experiments.config.problems import Fault
from experiments.config.settings import Sections

MOST_BINS = 10_000


class MeasureHom(MeasureInSettings, SwappingStep):
    """The Hong-Ou-Mandel dip of the two idlers, heralded by both signals: four-folds against the difference
    of the two clicks at the hub, up to `reach` either way in bins of `bin`, those with equal polarizations
    against those with crossed ones. `tau` is the decay of the dip, where it is known and not to be fitted:
    some hundred four-folds do not tell it."""

    kind = "measure_hom"
    needs = ("calibrate_delays",)
    results = ("hom_visibility", "hom_dip_visibility", "hom_dip_tau_ps", "hom_dip_centre_ps")
    bin: Annotated[Seconds, Positive] = 50e-12
    reach: Annotated[Seconds, Positive] = 3e-9
    tau: Annotated[Seconds, Positive] | None = None

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        bins = 2 * self.reach / self.bin
        if abs(bins - round(bins)) > 1e-6 or not 5 <= round(bins) <= MOST_BINS:
            yield Fault(("bin",), f"from -reach to reach there are {bins:g} bins; allowed: 5 to 10000, whole")
        if sections.settings is not None and sections.settings.bsm_window > 2 * self.reach:
            yield Fault(("reach",), "bsm_window reaches further; make reach at least half of it")

    @property
    def settings(self) -> int:
        return 1


def _rising(windows: tuple[float, ...]) -> tuple[float, ...]:
    if any(b <= a for a, b in pairwise(windows)):
        raise ValueError("windows are given from narrow to wide, each once")
    return windows


class ScanBsmWindow(MeasureInSettings, SwappingStep):
    """Swap rate, S and fidelity against the full width of the Bell-state measurement's window: all `windows`
    count the same tags, in each basis."""

    kind = "scan_bsm_window"
    needs = ("calibrate_delays",)
    results = ("widest_window_s",)
    windows: Annotated[
        tuple[Annotated[Seconds, Positive], ...], Field(min_length=2, max_length=50), AfterValidator(_rising)
    ]
    bases: Annotated[tuple[Basis, ...], Field(min_length=1)] = ("CHSH",)

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        if len(set(self.bases)) < len(self.bases):
            yield Fault(("bases",), "one basis stands there twice; choose a longer dwell, or rounds")

    @property
    def settings(self) -> int:
        return sum(SETTINGS_OF[basis] for basis in self.bases)
