"""How fast the light field is: simulated seconds per second of wall time, with both cores in use.

Beside it stands what numpy alone takes to draw the same number of uniform times and sort them, a Poisson
process without any physics.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from bellbench.layout import layout_of
from benchmarks.figure import Figure, interleaved
from experiments.config.files import load_testbed
from experiments.config.polarization import PairState
from sim_instruments.ports import (
    LaserPort,
    MeterPort,
    NanowirePort,
    PlatesPort,
    Ports,
    RotationPort,
    TaggerInput,
    TaggerPort,
)
from sim_instruments.world.layout import (
    Analyser,
    Beam,
    Biphoton,
    Clock,
    Detector,
    Layout,
    PairSource,
    Tagger,
)
from sim_instruments.world.light_field import LightField

TESTBEDS = Path(__file__).parents[1] / "configs/testbeds"
SLICE_PS = 250_000_000_000
SLICES = 4
SECONDS = SLICES * SLICE_PS * 1e-12


def figures() -> Iterator[Figure]:
    yield from _realtime_factors()
    yield _cost(
        "world.emitted_x10.cost", sources(1), sources(1, losses=10.0), 1.0,
        "ten times the pairs, a tenth of the transmission in both paths: cost per slice, relative",
    )  # fmt: skip
    yield _cost(
        "world.links_x4.cost_per_link", sources(1), sources(4), 4.0,
        "four sources with two analysers each beside one: cost per source, relative",
    )  # fmt: skip


def _cost(name: str, one: Layout, other: Layout, share: float, text: str) -> Figure:
    """What the second layout costs, divided by `share`, relative to the first."""
    lights = [LightField(layout, operating(layout), seed=1) for layout in (one, other)]
    clicks = [run(light) for light in lights]
    taken = interleaved([partial(run, light) for light in lights])
    for light in lights:
        light.close()
    counts = (
        f"{clicks[0] / SECONDS * 1e-6:.2f} and {clicks[1] / SECONDS * 1e-6:.2f} Mclicks per simulated second"
    )
    return Figure(name, taken[1] / taken[0] / share, f"{text}; {counts}")


def _realtime_factors() -> Iterator[Figure]:
    """`world.<what>.realtime_factor`."""
    for name, layout in (
        ("nyc", shipped("nyc")),
        ("local", shipped("local")),
        ("one_source_1mcps", sources(1)),
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


def sources(links: int, losses: float = 1.0) -> Layout:
    """Sources with two analysers each, 1 Mcps on each of their four detectors; with `losses` so many times
    the pairs, and so much less transmission for either photon."""
    sides = [(f"alice{k}", f"bob{k}") for k in range(links)]
    return Layout(
        lights=tuple(
            PairSource(
                f"source{k}",
                pump="pump",
                pump_power_w=20e-3,
                pair_rate_hz=4e6 * losses,
                state=PairState(fidelity=0.97).density_matrix,
                biphoton=Biphoton("two_sided_exponential", 400e-12, 150e-12),
                signal_path=(alice,),
                idler_path=(bob,),
                signal_transmission=0.5 / losses,
                idler_transmission=0.5 / losses,
            )
            for k, (alice, bob) in enumerate(sides)
        ),
        detectors=tuple(
            Detector(f"{n}_{letter}", f"tagger{k}", 1 + 2 * i + j, 1.0, 100.0, 38e-12, 20e-9)
            for k, pair in enumerate(sides)
            for i, n in enumerate(pair)
            for j, letter in enumerate("hv")
        ),
        taggers=tuple(Tagger(f"tagger{k}", Clock("clock", 0.0)) for k in range(links)),
        analysers=tuple(
            Analyser(n, f"{n}_qwp", f"{n}_hwp", (f"{n}_h", f"{n}_v")) for pair in sides for n in pair
        ),
    )


def operating(layout: Layout) -> Ports:
    """All instruments of a layout of pair sources at their operating points, everybody looking."""
    pumped = [light for light in layout.lights if isinstance(light, PairSource)]
    taps = [light for light in layout.lights if isinstance(light, Beam)]
    return Ports(
        lasers={s.pump: LaserPort(s.pump_power_w) for s in pumped},
        rotations={plate: RotationPort() for a in layout.analysers for plate in (a.qwp, a.hwp)},
        plates={controller.name: PlatesPort() for controller in layout.controllers},
        nanowires={d.control: NanowirePort(d.operating_bias_a) for d in layout.detectors if d.control},
        taggers={
            tagger.name: TaggerPort({i: TaggerInput() for i in range(1, 5)}, recording=True)
            for tagger in layout.taggers
        },
        meters={tap.path[-1]: MeterPort() for tap in taps},
    )
