"""Steps on one pair of analysers: their delays, the source as such, CHSH S, visibilities, tomography."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from drivers.units import Hertz
from experiments.config.inventory import Inventory
from experiments.config.model import Name, NotNegative
from experiments.config.plan.measuring import MeasureInSettings, SeekDelays
from experiments.config.plan.step import PairStep
from experiments.config.problems import Fault
from experiments.config.settings import Sections


class CalibratePairDelays(SeekDelays, PairStep):
    """Find the delays of the detectors behind both analysers from tags of `duration`, within +-`search` of
    each other. Where the taggers' clocks run free, rates up to +-`max_skew` of each other are looked for too;
    what was found for other pairs is given up then."""

    kind = "calibrate_pair_delays"


class MeasurePair(MeasureInSettings, PairStep):
    """Count coincidences of both analysers in some settings. `state` is the Bell state that is expected: the
    figures are those towards it."""

    needs = ("calibrate_pair_delays",)
    state: Literal["Phi+", "Phi-", "Psi+", "Psi-"] = "Phi+"


class CharacterizePair(MeasurePair):
    """The source as such, both analysers at H and V: rates, accidentals, CAR, heralding efficiencies, width
    of the correlation. `dark_counts` are those of detectors, where they are known."""

    kind = "characterize_pair"
    results = (
        "pair_rate_hz",
        "car",
        "g_si",
        "fidelity_by_car",
        "heralding_first",
        "heralding_second",
        "correlation_width_ps",
    )
    dark_counts: dict[Name, Annotated[Hertz, NotNegative]] = Field(default_factory=dict)

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        for name in self.dark_counts:
            if wrong := inventory.wrong_name("detectors", name):
                yield Fault(("dark_counts", name), wrong, at_key=True)

    @property
    def settings(self) -> int:
        return 1


class MeasureChsh(MeasurePair):
    """CHSH S from its four settings."""

    kind = "measure_chsh"
    results = ("chsh_s", "pair_rate_hz")

    @property
    def settings(self) -> int:
        return 4


TwoPhotonBasis = Literal["ZZ", "XX", "YY"]


def _with_z_and_x(bases: tuple[TwoPhotonBasis, ...]) -> tuple[TwoPhotonBasis, ...]:
    if not {"ZZ", "XX"} <= set(bases) or len(set(bases)) < len(bases):
        raise ValueError("a visibility in one basis proves nothing; give ZZ and XX, or ZZ, XX and YY")
    return bases


class MeasureVisibility(MeasurePair):
    """Visibilities in two bases or three, with all four outcomes in each; bounds on the fidelity, or with YY
    the fidelity itself; QBER and key fraction."""

    kind = "measure_visibility"
    results = (
        "visibility_zz",
        "visibility_xx",
        "visibility_yy",
        "fidelity_three_bases",
        "fidelity_lower",
        "fidelity_upper",
        "qber_z",
        "qber_x",
        "key_fraction",
        "pair_rate_hz",
    )
    bases: Annotated[tuple[TwoPhotonBasis, ...], AfterValidator(_with_z_and_x)] = ("ZZ", "XX")

    @property
    def settings(self) -> int:
        return len(self.bases)


class MeasureTomography(MeasurePair):
    """The state of the pairs, by maximum likelihood from nine settings. With `swap_outputs` each is measured
    a second time with the outputs of both analysers exchanged, which tells the detectors' relative
    efficiencies. Errors are those of so many `resamples`."""

    kind = "measure_tomography"
    results = ("fidelity", "purity", "concurrence", "largest_s", "best_fidelity", "pair_rate_hz")
    swap_outputs: Annotated[bool, Strict()] = False
    resamples: Annotated[int, Strict(), Field(ge=100)] = 200

    @property
    def settings(self) -> int:
        return 18 if self.swap_outputs else 9
