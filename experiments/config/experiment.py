"""The experiment file: which testbed, with what settings, the plan of steps, and what to keep and to tell."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict, field_serializer, model_validator

from drivers.units import Seconds
from experiments.config.inventory import Inventory
from experiments.config.lightpaths import BSM_INPUTS, ends, source_into
from experiments.config.model import Name, NotNegative, Number, Part, Positive, Text
from experiments.config.plan import PlanStep
from experiments.config.problems import Fault, show_value
from experiments.config.references import Reference
from experiments.config.testbed import Testbed


class SwappingSettings(Part):
    """What an entanglement-swapping experiment measures with, and its coincidence windows.

    Windows are full widths: `bsm_window` on the difference of the two hub times, `spoke_window` on the
    spoke time after the mean of the two hub times, about `spoke_window_centre` after the correlation peak.
    """

    spokes: tuple[Name, Name]
    bell_state_measurement: Name
    bsm_window: Annotated[Seconds, Positive]
    spoke_window: Annotated[Seconds, Positive]
    spoke_window_centre: Seconds = 0.0

    def faults(self, inventory: Inventory) -> Iterator[Fault]:
        """What does not fit the testbed: names, and the light between spokes and hub."""
        for number, spoke in enumerate(self.spokes):
            if wrong := inventory.wrong_name("analysers", spoke):
                yield Fault(("spokes", number), wrong)
        if self.spokes[0] == self.spokes[1]:
            yield Fault(("spokes", 1), f"{show_value(self.spokes[1])} is the other spoke already")
        if wrong := inventory.wrong_name("bell_state_measurements", self.bell_state_measurement):
            yield Fault(("bell_state_measurement",), wrong)
            return
        testbed = inventory.testbed
        if len(testbed.sources) < len(inventory.declared.get("sources", ())):
            return  # a source with an error of its own; where its light goes is not known
        hub = self.bell_state_measurement
        if bsm := testbed.bell_state_measurements.get(hub):
            behind = bsm.outputs
            if apart := _taggers_apart(testbed, (behind.cH, behind.cV, behind.dH, behind.dV)):
                yield Fault(("bell_state_measurement",), f"the detectors of {hub} {apart}")
            if behind.cH == behind.cV or behind.dH == behind.dV:
                no_pbs = f"{hub} does not tell H from V, so it cannot tell Bell states apart"
                yield Fault(("bell_state_measurement",), no_pbs)
        inputs = {f"{self.bell_state_measurement}.{port}" for port in BSM_INPUTS}
        for number, spoke in enumerate(self.spokes):
            if spoke not in testbed.analysers:
                continue
            outputs = testbed.analysers[spoke].outputs
            if apart := _taggers_apart(testbed, (outputs.H, outputs.V)):
                yield Fault(("spokes", number), f"the detectors of {show_value(spoke)} {apart}")
            source = source_into(testbed, "signal", spoke)
            if source is None:
                yield Fault(("spokes", number), f"no source sends its signal to {show_value(spoke)}")
            elif not inputs & ends(testbed, testbed.sources[source].idler):
                yield Fault(
                    ("spokes", number), f"the source of {show_value(spoke)} does not send its idler to {hub}"
                )


def _taggers_apart(testbed: Testbed, detectors: Iterable[str]) -> str:
    """What is wrong when these detectors, which are timed against each other, feed several taggers."""
    taggers = sorted({testbed.detectors[d].tagger.instrument for d in detectors if d in testbed.detectors})
    return "" if len(taggers) < 2 else f"feed {' and '.join(taggers)}; allowed: one tagger for all of them"


class Record(Part):
    """Which tags a run keeps.

    `raw` keeps all, `heralds` those within +-`around` of a herald of the Bell-state measurement, `none`
    none; the first `raw` seconds of tags are kept whole in any case.
    """

    tags: Literal["raw", "heralds", "none"] = "heralds"
    raw: Annotated[Seconds, NotNegative] = 0.0
    around: Annotated[Seconds, Positive] = 50e-9


def _broker(url: str) -> str:
    from urllib.parse import urlsplit

    example = "write mqtt://HOST:PORT, like mqtt://localhost:1883"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{show_value(url)} is no address of a broker: {error}; {example}") from error
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            f"no user or password in the address of a broker, they have keys of their own; {example}"
        )
    if parts.scheme != "mqtt" or not parts.hostname or port == 0 or url != f"mqtt://{parts.netloc}":
        raise ValueError(f"{show_value(url)} is no address of a broker; {example}")
    return url


def _root(topic: str) -> str:
    if not topic or any(not level or set(level) & set("+#\0") for level in topic.split("/")):
        raise ValueError(f"{show_value(topic)} is no MQTT topic to begin with; allowed: words with / between")
    return topic


class Telemetry(Part):
    """Where telemetry goes. Without `broker`, to one inside bellbench that listens on this machine only."""

    broker: Annotated[str, AfterValidator(_broker)] | None = None
    root: Annotated[str, AfterValidator(_root)] = "bellbench"
    username: Reference | None = None
    password: Reference | None = None


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
    """What to do. `testbed` is a path relative to the experiment file."""

    experiment: Name
    title: Text = ""
    testbed: str
    settings: SwappingSettings
    plan: Annotated[tuple[PlanStep, ...], Field(min_length=1)]
    seed: Annotated[int, Strict(), Field(ge=0)] | None = None
    record: Record = Record()
    reconnection: Reconnection = Reconnection()
    telemetry: Telemetry = Telemetry()
    published: dict[str, Published] = Field(default_factory=dict)
    accept: dict[str, Accept] = Field(default_factory=dict)

    @field_serializer("plan")
    def _plan_as_written(self, plan: tuple[PlanStep, ...]) -> list[dict[str, Any]]:
        return [{step.kind: step.model_dump(mode="json")} for step in plan]
