"""One source, two analysers: a Bell test on the light field, straight from a layout.

Bounds are 5.5 standard errors or more (false alarm below 4e-8 each) at fixed seeds; counting is numpy's.
"""

from dataclasses import replace
from itertools import product
from math import cos, pi, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from sim_instruments.ports import LaserPort, Ports, RotationPort, TaggerInput, TaggerPort
from sim_instruments.world.layout import (
    Analyser,
    BellStateMeasurement,
    Biphoton,
    Clock,
    Detector,
    Fibre,
    Layout,
    PairSource,
    Tagger,
)
from sim_instruments.world.light_field import LightField
from sim_instruments.world.polarization import werner_state

RATE_HZ, EFFICIENCY, DARK_HZ = 2e6, 0.5, 1000.0
FIDELITY = 0.97
DELAY_PS = 43_100_000
SIDES = ("alice", "bob")


def bench(fibre: bool = False, idler_end: str = "bob") -> tuple[LightField, Ports]:
    biphoton = Biphoton("two_sided_exponential", 400e-12, 150e-12)
    signal_path = ("fibre", "alice") if fibre else ("alice",)
    state = werner_state(FIDELITY)
    source = PairSource("source", "pump", 20e-3, RATE_HZ, state, biphoton, signal_path, (idler_end,))
    layout = Layout(
        lights=(source,),
        fibres=(Fibre("fibre", 0.0, 0.0, DELAY_PS * 1e-12),) if fibre else (),
        analysers=tuple(Analyser(n, f"{n}_qwp", f"{n}_hwp", (f"{n}_h", f"{n}_v")) for n in SIDES),
        detectors=tuple(
            Detector(f"{side}_{letter}", "tagger", 1 + 2 * i + j, EFFICIENCY, DARK_HZ, 38e-12, 0.0)
            for i, side in enumerate(SIDES)
            for j, letter in enumerate("hv")
        ),
        taggers=(Tagger("tagger", Clock("clock", 0.0)),),
    )
    ports = Ports(
        lasers={"pump": LaserPort(20e-3)},
        rotations={f"{n}_{plate}": RotationPort() for n in SIDES for plate in ("qwp", "hwp")},
        taggers={"tagger": TaggerPort({i: TaggerInput() for i in range(1, 5)}, recording=True)},
    )
    return LightField(layout, ports, seed=11), ports


def watch(light: LightField, seconds: float) -> dict[int, NDArray[np.int64]]:
    tags: dict[int, list[NDArray[np.int64]]] = {i: [] for i in range(1, 5)}
    for _ in range(round(seconds / 0.1)):
        light.tune()
        clicks = light.expose(10**11)
        light.settle(10**11, clicks)
        for input_, times in clicks["tagger"].tags.items():
            tags[input_].append(times)
    light.close()
    return {input_: np.concatenate(times) for input_, times in tags.items()}


def coincidences(signal: NDArray[np.int64], idler: NDArray[np.int64], delay_ps: int = 0) -> float:
    """Pairs with the signal 0 to 10 ns late or up to 5 ns early, accidentals 1 us away subtracted."""

    def count(shift: int) -> int:
        low, high = np.searchsorted(signal - delay_ps - shift, (idler - 5000, idler + 10_000))
        return int((high - low).sum())

    return count(0) - (count(1_000_000) + count(-1_000_000)) / 2


@pytest.mark.parametrize(("a", "b"), list(product((0.0, 45.0), (22.5, 67.5))))
def test_correlations_of_a_werner_state_at_the_angles_of_chsh(a: float, b: float) -> None:
    """E = l cos 2(a - b) with l = (4F - 1) / 3; all four give S = 2 sqrt 2 l = 2.708 at F = 0.97
    (physics.md 4, row 10). 500,000 coincidences over accidentals: a standard error of 0.0015."""
    light, ports = bench()
    for side, angle in zip(SIDES, (a, b), strict=True):
        ports.rotations[f"{side}_qwp"].angle_rad = np.deg2rad(angle)
        ports.rotations[f"{side}_hwp"].angle_rad = np.deg2rad(angle) / 2
    tags = watch(light, 1.0)
    n = {(u, v): coincidences(tags[1 + u], tags[3 + v]) for u, v in product((0, 1), repeat=2)}
    total = sum(n.values())
    assert total == pytest.approx(RATE_HZ * EFFICIENCY**2, abs=6 * sqrt(3 * RATE_HZ * EFFICIENCY**2))
    correlation = (n[0, 0] + n[1, 1] - n[0, 1] - n[1, 0]) / total
    assert correlation == pytest.approx((4 * FIDELITY - 1) / 3 * cos(2 * (a - b) * pi / 180), abs=0.012)


def test_singles_count_every_photon_and_the_dark_counts() -> None:
    light, _ = bench()
    light.tune()
    expected = RATE_HZ / 2 * EFFICIENCY + DARK_HZ
    assert light.singles_hz["bob_v"] == pytest.approx(expected)
    for times in watch(light, 1.0).values():
        assert len(times) == pytest.approx(expected, abs=6 * sqrt(expected))


def test_a_fibre_on_the_signal_s_path_delays_it_and_loses_none() -> None:
    light, _ = bench(fibre=True)
    tags = watch(light, 1.0)
    expected = RATE_HZ * EFFICIENCY**2 * (1 + (4 * FIDELITY - 1) / 3) / 4
    assert coincidences(tags[1], tags[3], DELAY_PS) == pytest.approx(expected, abs=8 * sqrt(expected))
    assert abs(coincidences(tags[1], tags[3])) < 8 * sqrt(expected)


def test_a_path_that_leads_nowhere_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="source, idler path: there is nothing called 'nowhere'"):
        bench(idler_end="nowhere")


def test_a_bell_state_measurement_without_light_hurts_nobody() -> None:
    light, ports = bench()
    layout = light.layout
    light.close()
    hub = tuple(Detector(f"hub_{k}", "hub", k + 1, 0.9, 100.0, 0.0, 0.0) for k in range(4))
    dark = replace(
        layout,
        measurements=(BellStateMeasurement("bsm", ("hub_0", "hub_1", "hub_2", "hub_3")),),
        detectors=layout.detectors + hub,
        taggers=(*layout.taggers, Tagger("hub", Clock("hub_clock", 0.0))),
    )
    ports.taggers["hub"] = TaggerPort({i: TaggerInput() for i in range(1, 5)})
    light = LightField(dark, ports, seed=1)
    light.tune()
    clicks = light.expose(10**12)["hub"].tags
    light.close()
    for times in clicks.values():
        assert len(times) == pytest.approx(100, abs=60)
