"""The experiment file: which testbed, with what settings, the plan of steps, and what to keep and to tell."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, Strict, field_serializer, model_validator

from drivers.units import Seconds
from experiments.config.calibrations import CalibrationPolicy
from experiments.config.compensation import Compensation
from experiments.config.interlocks import Interlock, Limit
from experiments.config.model import Name, NotNegative, Number, Part, Positive, Text
from experiments.config.plan import PlanStep
from experiments.config.settings import PairSettings, SwappingSettings
from experiments.config.telemetry import Telemetry
from experiments.config.watchdogs import Watchdogs


class Record(Part):
    """Which tags a run keeps.

    `raw` keeps all, `heralds` those within +-`around` of a herald of the Bell-state measurement, `none`
    none; the first `raw` seconds of tags are kept whole in any case.
    """

    tags: Literal["raw", "heralds", "none"] = "heralds"
    raw: Annotated[Seconds, NotNegative] = 0.0
    around: Annotated[Seconds, Positive] = 50e-9


class Reconnection(Part):
    """What happens when an instrument loses its power or its line in the middle of a run: the run waits as
    long as `deadline` for it to come back, or, with `0 s`, ends at once."""

    deadline: Annotated[Seconds, NotNegative] = 120.0


class Published(Part):
    """A published figure for comparison: a value, or a bound that it is above or below."""

    value: Number | None = None
    above: Number | None = None
    below: Number | None = None
    error: Annotated[Number, NotNegative] | None = None
    source: Annotated[Text, Field(min_length=1)]

    @model_validator(mode="after")
    def _one_figure(self) -> "Published":
        if sum(figure is not None for figure in (self.value, self.above, self.below)) != 1:
            raise ValueError("a published figure is given as one of value, above and below")
        if self.error is not None and self.value is None:
            raise ValueError("an error belongs to a value; a bound has none")
        return self


class Accept(Part):
    """Bounds within which a figure is accepted; a run with a figure outside ends with exit code 5."""

    above: Number | None = None
    below: Number | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> "Accept":
        if self.above is None and self.below is None:
            raise ValueError("give a bound: above, below or both")
        return self

    def problem(self, figure: str, value: float | None) -> str:
        """What is wrong with a figure, or nothing. One that was not measured is not accepted."""
        if value is None:
            return f"{figure} was not measured"
        if self.above is not None and not value > self.above:
            return f"{figure} is {value:.4g}, not above {self.above:g}"
        if self.below is not None and not value < self.below:
            return f"{figure} is {value:.4g}, not below {self.below:g}"
        return ""


class Experiment(Part):
    """What to do. `testbed` is a path relative to the experiment file.

    `settings` are those of a swapping experiment, `pairs` those of measurements on two analysers that share
    the photon pairs of one source; which of them there must be depends on the steps of the plan.
    """

    earlier: ClassVar[tuple[str, ...]] = ("include", "sweep")

    experiment: Name
    title: Text = ""
    testbed: str
    settings: SwappingSettings | None = None
    pairs: dict[Name, PairSettings] = Field(default_factory=dict)
    compensation: dict[Name, Compensation] = Field(default_factory=dict)
    """The links that are kept free of polarization rotations, by names that are theirs alone."""
    watchdogs: Watchdogs = Watchdogs()
    """Failures that the run watches for while it measures, and what it does about them."""
    calibrations: dict[str, CalibrationPolicy] = Field(default_factory=dict)
    """Which calibrations of earlier runs may be used, and how old they may be."""
    plan: Annotated[tuple[PlanStep, ...], Field(min_length=1)]
    seed: Annotated[int, Strict(), Field(ge=0)] | None = None
    record: Record = Record()
    interlocks: dict[Name, Interlock] = Field(default_factory=dict)
    limits: dict[str, Limit] = Field(default_factory=dict)
    """By the setting, such as `alice_pump.power`; they come on top of the testbed's."""
    reconnection: Reconnection = Reconnection()
    pause: Literal["lit", "dark"] = "lit"
    """Whether a pause leaves the light as it is, or switches lasers off until a person resumes the run."""
    telemetry: Telemetry = Telemetry()
    published: dict[str, Published] = Field(default_factory=dict)
    accept: dict[str, Accept] = Field(default_factory=dict)

    @field_serializer("plan")
    def _plan_as_written(self, plan: tuple[PlanStep, ...]) -> list[dict[str, Any]]:
        return [{step.kind: step.model_dump(mode="json", exclude_none=True)} for step in plan]

    @property
    def swapping(self) -> SwappingSettings:
        """The settings of a swapping experiment, for steps that are refused without (`PlanStep.faults`)."""
        assert self.settings is not None
        return self.settings

    def pair(self, name: str | None) -> PairSettings:
        """The settings of a pair; without a name those of the only one."""
        if name is not None:
            return self.pairs[name]
        (only,) = self.pairs.values()
        return only
