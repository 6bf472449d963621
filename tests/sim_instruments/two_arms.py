"""The two parameter sets of physics.md 5 as layouts, and counting of coincidences in plain numpy."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ports import (
    LaserPort,
    NanowirePort,
    PlatesPort,
    Ports,
    RotationPort,
    TaggerInput,
    TaggerPort,
)
from sim_instruments.world.layout import (
    Analyser,
    BellStateMeasurement,
    Biphoton,
    Clock,
    Controller,
    Detector,
    Fibre,
    Layout,
    PairSource,
    Tagger,
)
from sim_instruments.world.light_field import LightField
from sim_instruments.world.polarization import werner_state

Times = NDArray[np.int64]
Slice = dict[str, Times]
"""Detector name -> tags of a slice of time."""

PUMP_W = 0.02
ARMS = ("alice", "bob")
SPOKES = tuple(f"{arm}_{port}" for arm in ARMS for port in "HV")
HUB = ("cH", "cV", "dH", "dV")
OPERATING_BIAS_A = 17e-6


@dataclass(frozen=True)
class Column:
    """A column of physics.md 5: parameters, windows (full, ps) and what is predicted (rates in 1/s).

    The source and the detectors are prototypes: `layout` gives them their names and places.
    """

    source: PairSource
    analyser_transmission: float
    hub_transmission: float
    spoke: Detector
    hub: Detector
    fibre_loss_db: float = 0.0
    delays_s: tuple[float, float] = (0.0, 0.0)
    mode_overlap: float = 0.90
    bsm_window_ps: int = 0
    spoke_window_ps: int = 0
    spoke_centre_ps: int = 0
    spoke_singles_hz: float = 0.0
    hub_singles_hz: float = 0.0
    heralds_hz: float = 0.0
    heralds_tolerance: float = 0.0
    arm_pairs_hz: float = 0.0
    arm_correlation: float = 0.0


def emitted(clicks_hz: float, transmission: float) -> float:
    """Photons that set out where so many are to click."""
    return clicks_hz / transmission


NANOWIRE = Detector("", "", 0, 0.90, 100.0, 38e-12, 20e-9, operating_bias_a=17e-6, switching_current_a=19e-6)
AVALANCHE_DIODE = Detector(
    "", "", 0, 0.65, 500.0, 149e-12, 25e-9, afterpulsing=0.005, afterpulse_time_s=30e-9
)

LOCAL = Column(
    source=PairSource(
        name="",
        pump="",
        pump_power_w=PUMP_W,
        pair_rate_hz=1.30e7,
        state=werner_state(0.98),
        biphoton=Biphoton("two_sided_exponential", 400e-12, 150e-12),
        signal_transmission=0.45,
        idler_transmission=0.45,
        unpaired_signal_hz=emitted(3e5, 0.45 * 0.84 * 0.90),
        unpaired_idler_hz=emitted(2e5, 0.45 * 0.79 * 0.90),
        signal_path=(),
        idler_path=(),
    ),
    analyser_transmission=0.84,
    hub_transmission=0.79,
    spoke=NANOWIRE,
    hub=NANOWIRE,
    bsm_window_ps=600,
    spoke_window_ps=1600,
    spoke_centre_ps=150,
    spoke_singles_hz=2.252e6,
    hub_singles_hz=2.086e6,
    heralds_hz=5225.0,
    heralds_tolerance=0.02,
    arm_pairs_hz=1.266e6,
    arm_correlation=0.950,
)
NYC = Column(
    source=replace(
        LOCAL.source,
        pair_rate_hz=9.2e6,
        biphoton=Biphoton("two_sided_exponential", 700e-12, 300e-12),
        signal_transmission=0.45 * 0.50,
        unpaired_signal_hz=emitted(1e5, 0.45 * 0.50 * 0.85 * 0.65),
        unpaired_idler_hz=emitted(2e4, 0.45 * 0.79 * 10**-0.674 * 0.80),
    ),
    analyser_transmission=0.85,
    hub_transmission=0.79,
    spoke=AVALANCHE_DIODE,
    hub=replace(NANOWIRE, efficiency=0.80),
    fibre_loss_db=3.74 + 3.0,
    delays_s=(43.1e-6, 43.1e-6),
    bsm_window_ps=800,
    spoke_window_ps=2200,
    spoke_centre_ps=250,
    spoke_singles_hz=6.154e5,  # the prototype's figure: the other one leaves afterpulses out
    hub_singles_hz=2.855e5,
    heralds_hz=130.0,
    heralds_tolerance=0.03,
    arm_pairs_hz=6.10e4,
    arm_correlation=0.949,
)
PERFECT = Detector("", "", 0, 1.0, 0.0, 0.0, 0.0, operating_bias_a=17e-6, switching_current_a=19e-6)
"""Every photon clicks, at once, and nothing else does."""
IDEAL = replace(
    LOCAL,
    source=replace(
        LOCAL.source,
        state=werner_state(1.0),
        signal_transmission=1.0,
        idler_transmission=1.0,
        unpaired_signal_hz=0.0,
        unpaired_idler_hz=0.0,
    ),
    analyser_transmission=1.0,
    hub_transmission=1.0,
    spoke=PERFECT,
    hub=PERFECT,
    mode_overlap=1.0,
)


def layout(column: Column) -> Layout:
    """Two sources `alice` and `bob`, a tagger each, and the hub's Bell-state measurement."""
    sources, fibres, analysers, detectors = [], [], [], []
    for arm, side, delay_s in zip(ARMS, "ab", column.delays_s, strict=True):
        sources.append(
            replace(
                column.source,
                name=arm,
                pump=f"{arm}_pump",
                signal_path=(f"{arm}_analyser",),
                idler_path=(f"{arm}_fibre", f"{arm}_paddles", f"hub.{side}"),
            )
        )
        fibres.append(Fibre(f"{arm}_fibre", 0.0, column.fibre_loss_db, delay_s))
        ends = (f"{arm}_H", f"{arm}_V")
        analysers.append(
            Analyser(f"{arm}_analyser", f"{arm}_qwp", f"{arm}_hwp", ends, column.analyser_transmission)
        )
        detectors += [replace(column.spoke, name=n, tagger=arm, input=k) for k, n in enumerate(ends, 1)]
    detectors += [
        replace(column.hub, name=n, tagger="hub", input=k, control=("hub_nanowires", k))
        for k, n in enumerate(HUB, 1)
    ]
    return Layout(
        lights=tuple(sources),
        fibres=tuple(fibres),
        controllers=tuple(Controller(f"{arm}_paddles") for arm in ARMS),
        analysers=tuple(analysers),
        measurements=(BellStateMeasurement("hub", HUB, column.hub_transmission, column.mode_overlap),),
        detectors=tuple(detectors),
        taggers=tuple(Tagger(name, Clock(name, 0.0)) for name in (*ARMS, "hub")),
    )


def ports(*, recording: bool = True) -> Ports:
    """Everything switched on, paddles and plates at zero."""
    return Ports(
        lasers={f"{arm}_pump": LaserPort(PUMP_W) for arm in ARMS},
        rotations={f"{arm}_{plate}": RotationPort() for arm in ARMS for plate in ("qwp", "hwp")},
        plates={f"{arm}_paddles": PlatesPort() for arm in ARMS},
        nanowires={("hub_nanowires", k): NanowirePort(OPERATING_BIAS_A) for k in range(1, 5)},
        taggers={
            name: TaggerPort({k: TaggerInput() for k in range(1, 5)}, recording) for name in (*ARMS, "hub")
        },
    )


def watch(light: LightField, seconds: float, slice_ps: int = 10**11) -> Iterator[Slice]:
    """Let so much time pass, in slices."""
    names = {(d.tagger, d.input): d.name for d in light.layout.detectors}
    for _ in range(round(seconds * 1e12 / slice_ps)):
        light.tune()
        clicks = light.expose(slice_ps)
        light.settle(slice_ps, clicks)
        yield {name: clicks[tagger].tags[k] for (tagger, k), name in names.items() if tagger in clicks}


def pairs(a: Times, b: Times, low_ps: float, high_ps: float) -> int:
    """How many (i, j) have low <= b[j] - a[i] < high; both sorted."""
    return int((np.searchsorted(b, a + high_ps) - np.searchsorted(b, a + low_ps)).sum())


def polarizations(tags: Slice) -> tuple[Times, Times]:
    """All H and all V clicks of the hub, sorted."""
    h, v = (np.sort(np.concatenate([tags["c" + p], tags["d" + p]]), kind="stable") for p in "HV")
    return h, v
