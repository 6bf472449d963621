"""Accidentals of pulsed sources: which measurement displaces its windows by how much."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.config.files import LoadedExperiment, load_experiment
from experiments.config.plan import (
    CharacterizePair,
    MeasureChsh,
    MeasureHom,
    MeasureTomography,
    MeasureVisibility,
)
from experiments.config.testbed import Testbed
from experiments.engine.bench import Bench
from experiments.engine.findings import Calibrations
from experiments.engine.outcome import RunError
from experiments.engine.registry import make_step
from experiments.measurements import hom, pair_dwell
from experiments.measurements.pulses import far_ps, period_at_spoke, period_of_pair

CONFIGS = Path(__file__).parents[2] / "configs"


class Delays:
    hub, spokes = (0, 1, 2, 3), ((4, 5), (6, 7))

    def delays_at(self, time_ps: int) -> dict[int, int]:
        del time_ps
        return {}


@pytest.fixture(scope="module")
def one_source() -> LoadedExperiment:
    return load_experiment(CONFIGS / "one_source_chsh.yaml")


def pulsed(testbed: Testbed, rate_hz: float = 76e6) -> Testbed:
    sources = {
        name: source.model_copy(update={"repetition_rate": rate_hz})
        for name, source in testbed.sources.items()
    }
    return testbed.model_copy(update={"sources": sources})


@pytest.mark.parametrize("step", [CharacterizePair, MeasureVisibility, MeasureChsh, MeasureTomography])
def test_slices_and_figures_of_a_pair_go_by_its_pulses(one_source: LoadedExperiment, step: Any) -> None:
    """At 76 MHz 16 to 26 pulses of 13158 ps away, either way; a continuous source has 400 windows of 2.5 ns
    within a microsecond, and one more, either way."""
    measurement: Any = make_step(step.model_validate({"pair": "link", "dwell": "1 s"}))
    for testbed, windows in ((one_source.testbed, 802), (pulsed(one_source.testbed), 22)):
        bench, experiment = Bench(testbed, {}), one_source.experiment
        piece: pair_dwell.PairSlice = measurement.new_slice(bench, experiment, Delays(), (0, 10**12))
        assert piece._windows.displacements == windows
        tally = measurement.new_tally(bench, experiment, Calibrations())
        assert tally.pair_counts(tally.nothing("ZZ")).displacements == windows
    starts = np.array([start for start, _ in piece._windows.ranges_ps])
    pulses = (starts - starts[11]) / (1e12 / 76e6)
    assert pulses == pytest.approx([*range(-26, -15), 0, *range(16, 27)], abs=1e-3)


@pytest.mark.parametrize(("rate_hz", "far"), [(None, 200_000), (80e6, 200_000), (76e6, 210_526)])
def test_signals_of_a_dip_are_displaced_by_their_pulses(rate_hz: float | None, far: int) -> None:
    """To 200 ns, which are 16 pulses at 80 MHz, or to the 16th at 76 MHz."""
    loaded = load_experiment(CONFIGS / "hom_scan.yaml")
    testbed = loaded.testbed if rate_hz is None else pulsed(loaded.testbed, rate_hz)
    measurement: Any = make_step(MeasureHom.model_validate({"dwell": "1 s"}))
    piece: hom.HomSlice = measurement.new_slice(Bench(testbed, {}), loaded.experiment, Delays(), (0, 10**12))
    assert piece._far_ps == (far, far)


def test_a_source_that_is_not_known_is_refused_where_it_might_be_pulsed(one_source: LoadedExperiment) -> None:
    pair, testbed = one_source.experiment.pair("link"), one_source.testbed
    stranger = pair.model_copy(update={"analysers": ("alice_analyser", "carol_analyser")})
    assert period_of_pair(testbed, pair) is period_of_pair(testbed, stranger) is None
    assert period_of_pair(pulsed(testbed), pair) == pytest.approx(13.158e-9, abs=1e-12)
    with pytest.raises(RunError, match="no source of the testbed is that of alice_analyser and carol_analys"):
        period_of_pair(pulsed(testbed), stranger)
    with pytest.raises(RunError, match="what is accidental, cannot be told"):
        period_at_spoke(pulsed(testbed), "carol_analyser")


def test_far_is_far_for_pulses_of_any_rate() -> None:
    for period_s in (1e-9, 13.158e-9, 150e-9, 1e-6):
        assert 200_000 <= far_ps(period_s) + 16 <= 200_016 + period_s * 1e12
