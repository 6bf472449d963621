"""Steps that look at the interference of the two idlers at the hub: the dip, and what windows make of it."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from drivers.capabilities import DelayLine
from drivers.units import Seconds, format_si
from experiments.config.inventory import Inventory
from experiments.config.lightpaths import met, source_into
from experiments.config.model import Name, NotNegative, Positive
from experiments.config.plan.measuring import SETTING_S, SETTINGS_OF, Basis, MeasureInSettings
from experiments.config.plan.step import SetPoint, SwappingStep
from experiments.config.problems import Fault, choices, show_value
from experiments.config.settings import Sections, SwappingSettings
from experiments.config.testbed import Testbed

MOST_BINS = 10_000
FEWEST_DELAYS, MOST_DELAYS = 7, 1000
MOVE_S = 5.0
"""An estimate for moving a delay line to its next place: a line of 20 mm/s goes a third of 200 mm on average
in shuffled order, and there is the wait for the last tags."""


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


class ScanHomDelay(SwappingStep):
    """The Hong-Ou-Mandel dip of two pulsed sources: a delay line in the arm of one of them goes to `points`
    delays from `start` to `stop`, in shuffled order, `dwell` each, and clicks of equal polarization behind
    both outputs of the hub are counted together with those of `heralds`: both spokes if nothing is said, or
    one, or none (whose dip is a third deep at best). `window` is the full width, about where they are
    expected, of all times: longer than a pulse, shorter than to the next. `width` is that of the dip, where
    it is known and not to be fitted: the standard deviation of a gaussian, the decay of an exponential.
    With `go_to_dip` the line stays at the centre of the dip, else where it was."""

    kind = "scan_hom_delay"
    needs = ("calibrate_delays",)
    results = ("hom_scan_visibility", "hom_scan_centre_ps", "hom_scan_width_ps")
    delay_line: Name
    start: Annotated[Seconds, NotNegative]
    stop: Annotated[Seconds, Positive]
    points: Annotated[int, Strict(), Field(ge=FEWEST_DELAYS, le=MOST_DELAYS)]
    dwell: Annotated[Seconds, Positive]
    window: Annotated[Seconds, Positive]
    heralds: Annotated[tuple[Name, ...], Field(max_length=2)] | None = None
    shape: Literal["gaussian", "exponential"] = "gaussian"
    width: Annotated[Seconds, Positive] | None = None
    go_to_dip: bool = True

    @property
    def delays(self) -> tuple[float, ...]:
        """In seconds, rising."""
        return tuple(
            self.start + (self.stop - self.start) * k / (self.points - 1) for k in range(self.points)
        )

    @property
    def spacing(self) -> float:
        return (self.stop - self.start) / (self.points - 1)

    def set_points(self, inventory: Inventory) -> Iterator[SetPoint]:
        line = inventory.drivers.get(self.delay_line)
        if isinstance(line, DelayLine):
            for end in (self.start, self.stop):  # what is allowed is an interval
                yield SetPoint("delay", self.delay_line, end, line.delay_limits)

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        if self.stop <= self.start:
            yield Fault(("stop",), "the scan goes from start up to stop; make stop greater")
            return
        if wrong := inventory.wrong_instrument(self.delay_line, DelayLine):
            yield Fault(("delay_line",), wrong)
        for key, point in zip(("start", "stop"), self.set_points(inventory), strict=False):
            if not point.allowed:
                wrong = f"{point.shown} is outside the limits of {point.instrument}; allowed: {point.range}"
                yield Fault((key,), wrong)
        if self.window < 2 * (self.stop - self.start):
            yield Fault(
                ("window",),
                "photons would leave it while the line moves; make it at least "
                f"{format_si(2 * (self.stop - self.start), 's')}, twice the scan",
            )
        if sections.settings is not None:
            yield from self._wrong_heralds(sections.settings)
            yield from self._wrong_light(inventory, sections.settings)

    def _wrong_heralds(self, settings: SwappingSettings) -> Iterator[Fault]:
        for number, spoke in enumerate(self.heralds or ()):
            if spoke not in settings.spokes:
                wrong = f"{show_value(spoke)} is no spoke of settings; {choices(spoke, settings.spokes)}"
                yield Fault(("heralds", number), wrong)
            elif spoke in (self.heralds or ())[:number]:
                yield Fault(("heralds", number), f"{show_value(spoke)} stands there already")

    def _wrong_light(self, inventory: Inventory, settings: SwappingSettings) -> Iterator[Fault]:
        testbed = inventory.testbed
        sources = [source_into(testbed, "signal", spoke) for spoke in settings.spokes]
        if None in sources or self.delay_line not in inventory.drivers:
            return  # an error of its own
        arms = arms_through(testbed, settings.spokes, self.delay_line)
        if len(arms) != 1:
            where = "both idlers" if arms else "no idler"
            yield Fault(
                ("delay_line",), f"{where} of {' and '.join(map(str, sources))} pass it; one of them has to"
            )
        rates = [testbed.sources[name].repetition_rate for name in sources if name]
        if None in rates:
            yield Fault(
                (),
                "the sources are continuous, and no delay changes their interference; take measure_hom, "
                "which finds the dip in the differences of the clicks",
                at_key=True,
            )
        elif len(set(rates)) > 1:
            yield Fault((), "the sources' pulses do not meet: their repetition_rate differs", at_key=True)
        elif rates[0] is not None and self.window >= 1 / rates[0]:
            wrong = f"it reaches the next pulse; make it less than {format_si(1 / rates[0], 's')}"
            yield Fault(("window",), wrong)

    @property
    def recording_s(self) -> float:
        return self.points * self.dwell

    @property
    def estimated_s(self) -> float:
        return self.recording_s + self.points * MOVE_S + SETTING_S


def arms_through(testbed: Testbed, spokes: Sequence[str], name: str) -> list[int]:
    """The spokes, by their numbers, of which the source's idler can pass this on its way."""
    found = []
    for number, spoke in enumerate(spokes):
        source = source_into(testbed, "signal", spoke)
        if source and any(stage.name == name for stage in met(testbed, testbed.sources[source].idler)):
            found.append(number)
    return found
