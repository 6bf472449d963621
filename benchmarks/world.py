"""How fast the light field is: simulated seconds per second of wall time, with both cores in use.

Beside it stands what numpy alone takes to draw the same number of uniform times and sort them, a Poisson
process without any physics.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from bellbench.simulation import layout_of
from benchmarks.figure import Figure, interleaved
from experiments.config.files import load_testbed
from sim_instruments.ports import (
    LaserPort,
    MeterPort,
    NanowirePort,
    PaddlesPort,
    RotationPort,
    TaggerInput,
    TaggerPort,
)
from sim_instruments.world.layout import Analyser, Biphoton, Detector, Layout, Source, Tagger
from sim_instruments.world.light_field import LightField, Ports

TESTBEDS = Path(__file__).parents[1] / "configs/testbeds"
SLICE_PS = 250_000_000_000
SLICES = 4
SECONDS = SLICES * SLICE_PS * 1e-12


def figures() -> Iterator[Figure]:
    """`world.<what>.realtime_factor`."""
    for name, layout in (
        ("nyc", shipped("nyc")),
        ("local", shipped("local")),
        ("one_source_1mcps", one_source()),
    ):
        light = LightField(layout, operating(layout), seed=1)
        clicks = run(light)
        taken, sorting = interleaved([partial(run, light), partial(draw_and_sort, clicks)])
        light.close()
        yield Figure(
            f"world.{name}.realtime_factor",
            SECONDS / taken,
            f"{clicks / SECONDS * 1e-6:.2f} Mclicks per simulated second, "
            f"{clicks / taken * 1e-6:.1f} Mclicks/s; numpy draws and sorts as many on one core at "
            f"{taken / sorting:.2f} of that pace",
        )


def draw_and_sort(clicks: int) -> None:
    """As many uniform times, sorted."""
    np.sort(np.random.default_rng(1).uniform(0.0, SECONDS, clicks))


def run(light: LightField) -> int:
    """`SECONDS` of light; the number of clicks."""
    clicks = 0
    for _ in range(SLICES):
        light.tune()
        seen = light.expose(SLICE_PS)
        light.settle(SLICE_PS, seen)
        clicks += sum(len(times) for tagger in seen.values() for times in tagger.tags.values())
    return clicks


def shipped(name: str) -> Layout:
    """The layout of a shipped testbed."""
    testbed = load_testbed(TESTBEDS / f"{name}.yaml").testbed
    assert testbed.simulation is not None
    return layout_of(testbed, testbed.simulation)


def one_source() -> Layout:
    """One source and two analysers, 1 Mcps on each of four detectors."""
    source = Source(
        "source", "pump", 20e-3, 780e-9, 4e6, 0.97, Biphoton("two_sided_exponential", 400e-12, 150e-12),
        0.5, 0.5, 0.0, 0.0, ("alice",), ("bob",),
    )  # fmt: skip
    sides = ("alice", "bob")
    return Layout(
        sources=(source,),
        fibres=(),
        paddles=(),
        analysers=tuple(Analyser(n, f"{n}_qwp", f"{n}_hwp", 1.0, (f"{n}_h", f"{n}_v")) for n in sides),
        measurements=(),
        detectors=tuple(
            Detector(f"{n}_{letter}", "tagger", 1 + 2 * i + j, 1.0, 100.0, 38e-12, 20e-9)
            for i, n in enumerate(sides)
            for j, letter in enumerate("hv")
        ),
        taggers=(Tagger("tagger", 0.0, 0.0),),
    )


def operating(layout: Layout) -> Ports:
    """All instruments of a layout at their operating points, everybody looking."""
    return Ports(
        lasers={s.pump: LaserPort(s.pump_power_w) for s in layout.sources},
        rotations={plate: RotationPort() for a in layout.analysers for plate in (a.qwp, a.hwp)},
        paddles={name: PaddlesPort() for name in layout.paddles},
        nanowires={d.nanowire: NanowirePort(d.operating_bias_a) for d in layout.detectors if d.nanowire},
        taggers={
            tagger.name: TaggerPort({i: TaggerInput() for i in range(1, 5)}, recording=True)
            for tagger in layout.taggers
        },
        meters={t.meter: MeterPort() for t in layout.taps},
    )
