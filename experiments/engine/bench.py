"""The bench of a run: the testbed with its instruments, and the run's numbering of its detectors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from drivers.capabilities import Instrument
from experiments.config.testbed import Testbed
from experiments.engine.outcome import RunError

I = TypeVar("I", bound=Instrument)  # noqa: E741


@dataclass(frozen=True)
class Bench:
    """A testbed and an instrument object for each of its names."""

    testbed: Testbed
    instruments: Mapping[str, Instrument]
    zeros_rad: dict[str, float] = field(default_factory=dict)
    """Where the fast axis of a wave plate stands, from H, while its mount stands at zero, as far as it is
    calibrated: by mount."""

    @property
    def detectors(self) -> tuple[str, ...]:
        """The detectors in the order of the testbed file; a detector's channel is its place in it."""
        return tuple(self.testbed.detectors)

    def channel(self, detector: str) -> int:
        """The channel of a detector in the run's tags."""
        return self.detectors.index(detector)

    def inputs(self, tagger: str) -> dict[int, int]:
        """The wired inputs of a tagger, each with the channel of its detector."""
        return {
            detector.tagger.number: channel
            for channel, detector in enumerate(self.testbed.detectors.values())
            if detector.tagger.instrument == tagger
        }

    def spoke_detectors(self, analyser: str) -> tuple[str, str]:
        """The detectors behind the outputs H and V of an analyser."""
        outputs = self.testbed.analysers[analyser].outputs
        return outputs.H, outputs.V

    def hub_detectors(self, measurement: str) -> tuple[str, str, str, str]:
        """The detectors cH, cV, dH, dV of a Bell-state measurement."""
        outputs = self.testbed.bell_state_measurements[measurement].outputs
        return outputs.cH, outputs.cV, outputs.dH, outputs.dV

    def tagger_of(self, detector: str) -> str:
        """The name of the tagger that a detector feeds."""
        return self.testbed.detectors[detector].tagger.instrument

    def get(self, name: str, kind: type[I]) -> I:
        """An instrument as the capability that is needed. RunError when it is none."""
        instrument = self.instruments[name]
        if not isinstance(instrument, kind):
            raise RunError(f"{name} ({instrument.model}) is no {kind.__name__}")
        return instrument

    def all_of(self, kind: type[I]) -> list[I]:
        """All instruments with a capability, in the order of the testbed file."""
        return [i for i in self.instruments.values() if isinstance(i, kind)]
