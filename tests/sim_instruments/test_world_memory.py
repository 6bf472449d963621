"""A simulated day costs no more memory than an hour of it, and its clicks are right to the end."""

from pathlib import Path

import psutil
import pytest

from bellbench.simulation import bench_of
from experiments.config.files import load_testbed
from sim_instruments.ports import Ports

TESTBEDS = Path(__file__).parents[2] / "configs" / "testbeds"
SPAN_PS = 100 * 10**12
HOUR = 36
"""Slices."""


def switch_on(ports: Ports) -> None:
    """Little light, so that a day is quickly computed."""
    for laser in ports.lasers.values():
        laser.power_w = 1e-6
    for wire in ports.nanowires.values():
        wire.bias_a = 17e-6
    for tagger in ports.taggers.values():
        tagger.recording = True


@pytest.mark.parametrize("testbed", ["nyc", "chain"])
async def test_a_day_is_flat(testbed: str) -> None:
    bench = bench_of(load_testbed(TESTBEDS / f"{testbed}.yaml").testbed, seed=1)
    light = bench.light
    switch_on(bench.ports)
    process = psutil.Process()
    hours = 24 if testbed == "nyc" else 4
    last_ps: dict[tuple[str, int], int] = {}
    counted = expected = 0.0
    try:
        for number in range(hours * HOUR):
            light.tune()
            clicks = light.expose(SPAN_PS)
            light.settle(SPAN_PS, clicks)
            for tagger, seen in clicks.items():
                for channel, tags in seen.tags.items():
                    assert not len(tags) or tags[0] >= last_ps.get((tagger, channel), 0)
                    last_ps[tagger, channel] = int(tags[-1]) if len(tags) else 0
                    counted += len(tags)
            expected += sum(light.singles_hz.values()) * SPAN_PS * 1e-12
            if number == 2 * HOUR:
                early = process.memory_info().rss
        late = process.memory_info().rss
    finally:
        light.close()
    assert late - early < 16e6  # a byte kept of each click would be some 200 MB
    # Afterpulses (0.5 % of the spokes' clicks) and the taggers' own noise come on top of `singles_hz`; counts
    # of some 1e8 scatter by 1e-4.
    assert counted == pytest.approx(expected, rel=0.02)
