"""Where light goes: splitters, switches, rings; and paths that are refused."""

from math import pi
from typing import Any

import numpy as np
import pytest

from sim_instruments.ports import AttenuatorPort, MeterPort, PlatesPort, Ports, RotationPort, SwitchPort
from sim_instruments.world.ends import AtDetector, AtHub, AtMeter
from sim_instruments.world.fibre import DriftingFibre
from sim_instruments.world.layout import (
    Analyser,
    Attenuator,
    Beam,
    BellStateMeasurement,
    Biphoton,
    ClassicalChannel,
    Controller,
    Fibre,
    Filter,
    Layout,
    PairSource,
    Plate,
    Splitter,
    Switch,
)
from sim_instruments.world.optics import Optics
from sim_instruments.world.polarization import werner_state
from sim_instruments.world.randomness import generator
from tests.sim_instruments.optical_bench import WAVELENGTH_M, Bench, detector, weights


def test_a_plain_splitter_divides_any_polarization() -> None:
    bench = Bench(
        ("s",), Ports(), "t r", splitters=(Splitter("s", "plain", ("t",), ("r",), 0.3, transmission=0.9),)
    )
    for light in ((1, 0), (0, 1), (0.6, 0.8j)):
        assert bench.clicks(light) == pytest.approx({"t": 0.63, "r": 0.27})


def test_a_polarizing_splitter_sends_h_on_and_v_aside_but_for_its_extinction() -> None:
    splitter = Splitter("s", "polarizing", ("t",), ("r",), extinction=0.02, transmission=0.9)
    bench = Bench(("s",), Ports(), "t r", splitters=(splitter,))
    assert bench.clicks((1, 0)) == pytest.approx({"t": 0.9 * 0.98, "r": 0.9 * 0.02})
    assert bench.clicks((0, 1)) == pytest.approx({"t": 0.9 * 0.02, "r": 0.9 * 0.98})


def test_splitters_behind_splitters_and_outputs_in_the_dark() -> None:
    """Half, then half of that: one quarter of H, and one of V, is dumped."""
    splitters = (
        Splitter("first", "plain", ("pbs",), ("a",)),
        Splitter("pbs", "polarizing", ("f", "b"), ()),
    )
    bench = Bench(("first",), Ports(), "a b", splitters=splitters, fibres=(Fibre("f", 0.0, 3.0, 1e-6),))
    assert weights(bench.leaves()) == pytest.approx({AtDetector("a"): 0.5, AtDetector("b"): 0.25 * 10**-0.3})
    delays = {leaf.end: leaf.delay_ps for leaf in bench.leaves()}
    assert delays == {AtDetector("a"): 0.0, AtDetector("b"): pytest.approx(1e6)}


def test_a_switch_leads_every_input_to_its_output_and_a_little_astray() -> None:
    """1 dB of loss, crosstalk of 20 dB: what goes astray is missing in what is led."""
    port = SwitchPort({1: 2, 2: 1, 3: 3})
    switch = Switch("x", {1: ("a",), 2: ("b",), 3: ()}, insertion_loss_db=1.0, crosstalk_db=20.0)
    bench = Bench(("x.1",), Ports(switches={"x": port}), "a b", switches=(switch,))
    led = 10**-0.1 * 0.99
    a, b = AtDetector("a"), AtDetector("b")
    assert weights(bench.leaves()) == pytest.approx({a: 0.01, b: led})
    assert weights(bench.leaves(("x.2",))) == pytest.approx({a: led, b: 0.01})
    for nowhere in ("x.3", "x.4"):  # one output in the dark, one input that is not connected
        assert weights(bench.leaves((nowhere,))) == pytest.approx({a: 0.01, b: 0.01})
    first = bench.optics.setting()
    port.connected[1] = 1
    assert bench.optics.setting() != first
    assert weights(bench.leaves()) == pytest.approx({a: led, b: 0.01})


NODES = 10


def ring() -> tuple[Bench, list[SwitchPort]]:
    """Ten nodes in a ring. Each has a switch: input 1 from its own source, 2 from the fibre in front of it;
    output 1 to the fibre behind it, 2 to its own detector."""
    ports = [SwitchPort({1: 1, 2: 1}) for _ in range(NODES)]
    bench = Bench(
        ("node0.1",),
        Ports(switches={f"node{i}": port for i, port in enumerate(ports)}),
        " ".join(f"d{i}" for i in range(NODES)),
        fibres=tuple(Fibre(f"f{i}", 1e3, 1.0, 5e-6, scrambled=True) for i in range(NODES)),
        switches=tuple(
            Switch(f"node{i}", {1: (f"f{i}", f"node{(i + 1) % NODES}.2"), 2: (f"d{i}",)}, 0.5)
            for i in range(NODES)
        ),
    )
    return bench, ports


@pytest.mark.parametrize("drop", [1, 5, 9])
def test_light_in_a_ring_goes_to_the_node_that_takes_it(drop: int) -> None:
    bench, ports = ring()
    ports[drop].connected[2] = 2
    seen = weights(bench.leaves())
    led = 10 ** -((drop * 1.5 + 0.5) / 10)  # that many fibres, one switch more
    assert seen.pop(AtDetector(f"d{drop}")) == pytest.approx(led, rel=2e-5)  # crosstalk: 2e-6 per switch
    (leaf,) = [leaf for leaf in bench.leaves() if leaf.end == AtDetector(f"d{drop}")][:1]
    assert leaf.delay_ps == pytest.approx(drop * 5e6)
    for i in range(drop):  # nodes on the way see the crosstalk of their switches
        assert seen.pop(AtDetector(f"d{i}")) == pytest.approx(1e-6 * 10 ** (-i * 0.15), rel=2e-5)
    assert max(seen.values(), default=0.0) < 1e-6


def test_light_in_a_closed_ring_is_lost_but_for_crosstalk() -> None:
    bench, _ = ring()
    seen = weights(bench.leaves())
    assert seen.pop(AtDetector("d0")) == pytest.approx(1e-6 * (1 + 10**-1.5), rel=1e-4)  # leaving and coming
    assert seen[AtDetector("d9")] == pytest.approx(1e-6 * 10**-1.35, rel=1e-4)
    assert max(seen.values()) < 1e-6


def test_raman_noise_comes_from_a_fibre_to_which_the_switch_does_not_lead_the_light() -> None:
    fibre = Fibre("f", 10e3, 0.0, 0.0, classical=ClassicalChannel(1e-3, 1550e-9, 1e-4, 1e-9))
    switch = Switch("x", {1: ("a",), 2: ("f", "b")}, crosstalk_db=200.0)
    port = SwitchPort({1: 1})
    bench = Bench(("x.1",), Ports(switches={"x": port}), "a b", fibres=(fibre,), switches=(switch,))
    away = {leaf.end: leaf for leaf in bench.leaves()}
    port.connected[1] = 2
    there = {leaf.end: leaf for leaf in bench.leaves()}
    assert away[AtDetector("a")].noise_hz == 0.0
    assert away[AtDetector("b")].noise_hz == there[AtDetector("b")].noise_hz > 1e3
    assert weights(away.values()) == pytest.approx({AtDetector("a"): 1.0, AtDetector("b"): 0.0})


def test_no_bench_makes_light() -> None:
    """The sum of K^+ K over all leaves is at most 1, for 30 random benches of everything that there is."""
    rng = np.random.default_rng(1)

    def some(largest: float) -> float:
        return float(rng.uniform(0, largest))

    for _ in range(30):
        detectors = "dh dv e g"
        bench = Bench(
            ("f", "c", "first"),
            Ports(
                plates={"c": PlatesPort([(some(7), some(3)) for _ in range(4)])},
                rotations={name: RotationPort(some(3)) for name in "qhm"},
                switches={"x": SwitchPort({1: int(rng.integers(1, 5))})},
            ),
            detectors,
            fibres=(Fibre("f", 1e4, some(0.1), 0.0, scrambled=True, pdl_db=some(1), pmd_s=1e-12),),
            controllers=(Controller("c", 1.0, (some(0.1),), (some(0.1), some(0.1))),),
            plates=(Plate("p", "m", "half", some(1), some(0.3)),),
            analysers=(Analyser("a", "q", "h", ("dh", "dv"), extinction=some(0.1), hwp_error_rad=some(0.2)),),
            filters=(Filter("l", "lorentzian", 1e9, 1.0, some(1e9)),),
            splitters=(
                Splitter("first", "polarizing", ("p", "x.1"), ("l", "second"), extinction=some(0.2)),
                Splitter("second", "plain", ("x.2",), ("g",), some(1)),
            ),
            switches=(Switch("x", {1: ("a",), 2: ("e",), 3: ()}, some(0.1), 3 + some(30)),),
        )
        leaves = bench.leaves(None, some(1e9), 1324e-9 + some(1e-9))
        total = sum(leaf.matrix.conj().T @ leaf.matrix for leaf in leaves)
        assert np.linalg.eigvalsh(total).max() <= 1 + 1e-12
        assert np.trace(total).real > 0.2


def parts(**changes: Any) -> Layout:
    """A bench that is right, with some parts changed."""
    right: dict[str, Any] = {
        "lights": (Beam("probe", "laser", WAVELENGTH_M, (1, 0), ("v", "x.1")),),
        "detectors": tuple(detector(name) for name in "cd"),
        "taggers": (),
        "attenuators": (Attenuator("v"),),
        "controllers": (Controller("c1"),),
        "switches": (Switch("x", {1: ("s",), 2: ("pm",)}),),
        "splitters": (Splitter("s", "plain", ("a",), ("bsm.b",)),),
        "analysers": (Analyser("a", "q", "h", ("c", "d")),),
        "measurements": (BellStateMeasurement("bsm", ("c", "c", "d", "d")),),
    }
    return Layout(**(right | changes))


def build(layout: Layout) -> Optics:
    ports = Ports(
        attenuators={"v": AttenuatorPort()},
        plates={"c1": PlatesPort()},
        rotations={"q": RotationPort(), "h": RotationPort(pi)},
        switches={"x": SwitchPort()},
        meters={"pm": MeterPort()},
    )
    return Optics(layout, ports, {})


def lit(*path: str) -> dict[str, Any]:
    return {"lights": (Beam("probe", "laser", WAVELENGTH_M, (1, 0), path),)}


def pairs(signal: tuple[str, ...], idler: tuple[str, ...]) -> dict[str, Any]:
    biphoton = Biphoton("gaussian", 1e-10)
    return {"lights": (PairSource("source", "pump", 1.0, 1e6, werner_state(1.0), biphoton, signal, idler),)}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such thing": (lit("w", "d"), "probe, path: there is nothing called 'w'"),
    "no such thing behind an idler": (pairs(("d",), ("u",)), "source, idler path: .* 'u'"),
    "no such thing behind a signal": (pairs(("u",), ("d",)), "source, signal path: .* 'u'"),
    "stops short": (lit("v"), "stops behind 'v'"),
    "goes on behind an end": (lit("d", "v"), "'d' ends the path, which yet goes on to 'v'"),
    "goes on behind a splitter": (lit("s", "v", "d"), "'s' ends the path"),
    "twice through the same": (lit("v", "v", "d"), "comes to 'v' a second time"),
    "a third input": (lit("bsm.c"), "light enters at 'bsm.a' or 'bsm.b'"),
    "no input of a measurement": (lit("bsm"), "light enters at 'bsm.a' or 'bsm.b'"),
    "no input of a switch": (lit("v", "x"), "'x' is no input"),
    "a splitter's loop": (
        {"splitters": (Splitter("s", "plain", ("v", "s"), ("d",)),)},
        "s, transmitted: light comes to 's' a second time",
    ),
    "a loop over two splitters": (
        {"splitters": (Splitter("s", "plain", ("t",), ("d",)), Splitter("t", "plain", (), ("s",)))},
        "light comes to 's' a second time",
    ),
    "an element in front of a splitter and behind it": (
        {"splitters": (Splitter("s", "plain", ("v", "d"), ()),), **lit("v", "s")},
        "comes to 'v' a second time",
    ),
    "behind a switch": ({"switches": (Switch("x", {2: ("v",)}),)}, "x, output 2: it stops behind 'v'"),
    "an analyser's detector": (
        {"analysers": (Analyser("a", "q", "h", ("c", "e")),)},
        "a: .* detector called 'e'",
    ),
    "an analyser's mount": ({"analysers": (Analyser("a", "q", "p", ("c", "d")),)}, "a: .* mount called 'p'"),
    "a measurement's detector": (
        {"measurements": (BellStateMeasurement("bsm", ("c", "d", "e", "f")),)},
        "bsm: .* detector called 'e'",
    ),
    "a controller without an instrument": ({"controllers": (Controller("c2"),)}, "controller called 'c2'"),
    "an attenuator without an instrument": ({"attenuators": (Attenuator("w"),)}, "attenuator called 'w'"),
    "a switch without an instrument": ({"switches": (Switch("y"),), **lit("d")}, "switch called 'y'"),
    "a filter's heater": ({"filters": (Filter("f", "gaussian", 1e9, heater="oven"),)}, "called 'oven'"),
    "a fibre that was not built": ({"fibres": (Fibre("f", 1.0, 0.0, 0.0),)}, "fibre called 'f'"),
    "twins": ({"attenuators": (Attenuator("v"), Attenuator("v"))}, "2 parts of this bench are called 'v'"),
    "crosstalk of more than there is": (
        {"switches": (Switch("x", {1: ("s",), 2: ("pm",)}, crosstalk_db=2.0),)},
        "x: by crosstalk",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_bench_that_cannot_be_is_refused(case: str) -> None:
    changes, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        build(parts(**changes))


def test_the_bench_that_those_were_made_of_is_right() -> None:
    optics = build(parts())
    ends = {leaf.end for leaf in optics.trace(("v", "x.1"), WAVELENGTH_M).leaves}
    assert ends == {AtDetector("c"), AtDetector("d"), AtHub("bsm", 1), AtMeter("pm")}


def test_the_laser_of_a_classical_channel_must_be_there() -> None:
    fibre = Fibre("f", 1.0, 0.0, 0.0, classical=ClassicalChannel(1e-3, 1.55e-6, 1e-4, 1e-9, laser="cw"))
    with pytest.raises(ValueError, match="f: there is no laser called 'cw'"):
        Optics(parts(fibres=(fibre,)), Ports(), {"f": DriftingFibre(fibre, generator(1, "f"))})
