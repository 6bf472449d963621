"""S and tomography against the true state of the light field, over 100 seeds: clicks are born in the
simulated world, counted and worked up by the measurements' own code, and their error bars are honest.

One source and two analysers, without wires: the world's ports are turned by hand. What is expected comes from
the layout in closed formulas. Detectors have dead time and dark counts, and both arms light without a
partner, so that there is an accidental for 26 pairs. At a CAR of 4 and of 1, with 2,000 pairs per setting,
the fidelity of a tomography had mean pulls of -0.4 and -0.25 (60 seeds, +-0.13); at 26 it has none that 260
seeds could show, and the concurrence the +0.2 that `estimators.tomography` warns of.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from math import cos, exp, sqrt

import numpy as np
import pytest

from experiments.calibrations.tracking import DelayTracker
from experiments.config.plan import MeasureTomography
from experiments.config.settings import PairSettings
from experiments.estimators.analyser import IDEAL, AnalyserOptics
from experiments.estimators.estimate import Estimate
from experiments.estimators.heralding import car
from experiments.measurements.analysers import CHSH, Setting
from experiments.measurements.chsh import ChshTally
from experiments.measurements.pair_dwell import PairSlice, Windows
from experiments.measurements.pair_tally import CountsOfPair
from experiments.measurements.tomography import NINE, NINE_SWAPPED, StateTally
from sim_instruments.ports import LaserPort, Ports, RotationPort, TaggerInput, TaggerPort, Tags
from sim_instruments.world.layout import (
    Analyser,
    Biphoton,
    Clock,
    Detector,
    Layout,
    PairSource,
    Tagger,
)
from sim_instruments.world.light_field import LightField
from tests.experiments.pulls import check, pull
from timetags.block import TagBlock
from timetags.merge import merge_channels

SEEDS = 100
SIDES = ("alice", "bob")
DETECTORS = tuple(f"{side}_{letter}" for side in SIDES for letter in "hv")
PAIR = PairSettings.model_validate({"analysers": list(SIDES), "window": "3 ns"})

PAIRS_HZ, UNPAIRED_HZ, EFFICIENCY, DARK_HZ = 5e5, 2e6, 0.6, 1000.0
LATE_PS, EARLY_PS, WINDOW_PS = 400.0, 150.0, 3000.0
DWELL_PS = 10**10
APART_PS = 2_000_000
"""Between a dwell and the settings before and after: further than any displaced window."""

WHITE, COLOURED, PHASE = 0.03, 0.04, 0.3
"""The state: HH + exp(i PHASE) VV, of which these shares have lost everything and the coherence alone."""
PURE = 1 - WHITE - COLOURED
TRUE_S = sqrt(2) * (1 - WHITE + PURE * cos(PHASE))
"""sqrt 2 (<ZZ> + <XX>) at the angles of CHSH (`physics.md` 5)."""
TRUE_STATE = {
    "fidelity": PURE * (1 + cos(PHASE)) / 2 + WHITE / 4 + COLOURED / 2,
    # Eigenvalues: along and against the phase, HV and VH.
    "purity": (PURE + WHITE / 4 + COLOURED / 2) ** 2 + (WHITE / 4 + COLOURED / 2) ** 2 + WHITE**2 / 8,
    # 2 (|rho_14| - sqrt(rho_22 rho_33)) of a state that looks like an X (T. Yu and J. H. Eberly, Quantum Inf.
    # Comput. 7, 459, 2007).
    "concurrence": PURE - WHITE / 2,
    "best_fidelity": PURE + WHITE / 4 + COLOURED / 2,
}
ACCEPTED = 1 - (LATE_PS * exp(-WINDOW_PS / 2 / LATE_PS) + EARLY_PS * exp(-WINDOW_PS / 2 / EARLY_PS)) / (
    LATE_PS + EARLY_PS
)
TRUE_CAR = (
    PAIRS_HZ * EFFICIENCY**2 * ACCEPTED
    / (((PAIRS_HZ + UNPAIRED_HZ) * EFFICIENCY + 2 * DARK_HZ) ** 2 * WINDOW_PS * 1e-12)
)  # fmt: skip
"""Dead time takes as much of the pairs as of the accidentals."""
GOOD = TRUE_CAR / (1 + TRUE_CAR)
"""The share of true pairs in all coincidences."""


def source() -> PairSource:
    vector = np.array([1, 0, 0, np.exp(1j * PHASE)], np.complex128) / sqrt(2)
    state = PURE * np.outer(vector, vector.conj()) + WHITE * np.eye(4) / 4
    state += COLOURED * np.diag([0.5, 0, 0, 0.5])
    biphoton = Biphoton("two_sided_exponential", LATE_PS * 1e-12, EARLY_PS * 1e-12)
    return PairSource(
        "source", "pump", 1e-3, PAIRS_HZ, state, biphoton, ("alice",), ("bob",),
        unpaired_signal_hz=UNPAIRED_HZ, unpaired_idler_hz=UNPAIRED_HZ,
    )  # fmt: skip


def counted(
    settings: Sequence[Setting],
    seed: int,
    efficiencies: Sequence[float] = (EFFICIENCY,) * 4,
    optics: Sequence[AnalyserOptics] = (IDEAL, IDEAL),
) -> list[CountsOfPair]:
    """Each setting for `DWELL_PS`, in one world."""
    layout = Layout(
        lights=(source(),),
        analysers=tuple(
            Analyser(
                side, f"{side}_qwp", f"{side}_hwp", (f"{side}_h", f"{side}_v"), extinction=known.extinction,
                qwp_error_rad=known.qwp_error_rad, hwp_error_rad=known.hwp_error_rad,
            )
            for side, known in zip(SIDES, optics, strict=True)
        ),
        detectors=tuple(
            Detector(name, "tagger", k, efficiency, DARK_HZ, 38e-12, 20e-9)
            for k, (name, efficiency) in enumerate(zip(DETECTORS, efficiencies, strict=True))
        ),
        taggers=(Tagger("tagger", Clock("clock", 0.0)),),
    )  # fmt: skip
    ports = Ports(
        lasers={"pump": LaserPort(1e-3)},
        rotations={f"{side}_{plate}": RotationPort() for side in SIDES for plate in ("qwp", "hwp")},
        taggers={"tagger": TaggerPort({k: TaggerInput() for k in range(4)}, recording=True)},
    )
    light = LightField(layout, ports, seed)
    every_ps = DWELL_PS + 2 * APART_PS
    seen: list[Tags] = []
    for setting in (*settings, settings[-1]):  # the last tags of a slice come out with the next one
        for side, analysis in zip(SIDES, setting.analyses, strict=True):
            ports.rotations[f"{side}_qwp"].angle_rad = analysis.qwp_rad
            ports.rotations[f"{side}_hwp"].angle_rad = analysis.hwp_rad
        span_ps = every_ps if len(seen) < len(settings) else APART_PS
        light.tune()
        clicks = light.expose(span_ps)
        light.settle(span_ps, clicks)
        seen.append(clicks["tagger"].tags)
    light.close()
    times, channels = merge_channels([np.concatenate([tags[k] for tags in seen]) for k in range(4)], range(4))
    stream = TagBlock(times, channels, 0, light.now_ps)
    return [
        dwelled(setting.name, stream, k * every_ps + APART_PS, (k + 1) * every_ps - APART_PS)
        for k, setting in enumerate(settings)
    ]


def dwelled(setting: str, stream: TagBlock, begin_ps: int, end_ps: int) -> CountsOfPair:
    delays = DelayTracker((0, 1), [(2, 3)], {}, time_ps=0, error_ps=1.0)
    piece = PairSlice(Windows.of(PAIR, None), delays, (begin_ps, end_ps))
    piece.add(stream.between(begin_ps - APART_PS, end_ps + APART_PS))
    piece.finish()
    singles = np.bincount(stream.between(begin_ps, end_ps).channels, minlength=4)
    return CountsOfPair(setting, end_ps - begin_ps, singles, piece.raw, piece.displaced, piece.peak)


@cache
def chsh_tallies() -> list[ChshTally]:
    tallies = []
    for seed in range(SEEDS):
        tally = ChshTally(DETECTORS, PAIR, None, "Phi+")
        for counts in counted(CHSH, seed):
            tally.take_over(counts, "the light field")
        tallies.append(tally)
    return tallies


def estimate(found: Mapping[str, object]) -> Estimate:
    return Estimate(float(found["value"]), float(found["error"]))  # type: ignore[arg-type]


def test_s_is_that_of_the_true_state_in_a_hundred_worlds() -> None:
    """Subtracted it is the state's; raw, less by the share of accidentals. 1,700 pairs per setting."""
    found = [tally.figures()["chsh_s"] for tally in chsh_tallies()]
    check(pull(estimate(s["subtracted"]), TRUE_S) for s in found)  # type: ignore[arg-type]
    check(pull(estimate(s), TRUE_S * GOOD) for s in found)
    # The error bar is that of 4 correlations of n pairs each.
    n = np.mean([tally.total.events for tally in chsh_tallies()]) / 4
    expected = sqrt((4 - (TRUE_S * GOOD) ** 2 / 4) / n)
    assert np.mean([estimate(s).error for s in found]) == pytest.approx(expected, rel=0.03)


def test_accidentals_in_displaced_windows_are_those_of_the_light() -> None:
    check(pull(car(tally.coincident(tally.total)), TRUE_CAR) for tally in chsh_tallies())


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_tomography_finds_the_true_state_in_a_hundred_worlds() -> None:
    """Detectors of unequal efficiency, told apart by the swapped settings, and plates and splitters with
    errors that are known. 1,600 pairs in each of 18 settings."""
    optics = AnalyserOptics(0.0, 0.0, 0.08, -0.05, 0.002), AnalyserOptics(0.0, 0.0, -0.06, 0.04, 0.003)
    parameters = MeasureTomography.model_validate(
        {"state": "Phi+", "dwell": "1 s", "swap_outputs": True, "resamples": 100}
    )
    found = []
    for seed in range(SEEDS):
        tally = StateTally(DETECTORS, PAIR, None, parameters, [(0, 1), (2, 3)], optics)
        for counts in counted([*NINE, *NINE_SWAPPED], 1000 + seed, (0.6, 0.5, 0.55, 0.65), optics):
            tally.take_over(counts, "the light field")
        found.append(tally.figures())
    for name, truth in TRUE_STATE.items():
        check(pull(estimate(each[name]["subtracted"]), truth) for each in found)  # type: ignore[arg-type]
    # What is not subtracted is as much for every outcome: white noise, a quarter of it in Phi+.
    raw = GOOD * TRUE_STATE["fidelity"] + (1 - GOOD) / 4
    check(pull(estimate(each["fidelity"]), raw) for each in found)
