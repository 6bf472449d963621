"""The benchmarks run, and measure what their names say. How fast, no test asks."""

import json

import pytest
from click.testing import CliRunner

from benchmarks import figure, world
from benchmarks.__main__ import main
from sim_instruments.world.light_field import LightField


def test_each_figure_is_a_json_object_with_name_and_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "SLICES", 1)
    monkeypatch.setattr(figure.interleaved, "__defaults__", (1,))
    done = CliRunner().invoke(main, ["--only", "world", "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    figures = [json.loads(line) for line in done.output.splitlines()]
    assert [f["name"] for f in figures] == [
        "world.nyc.realtime_factor",
        "world.local.realtime_factor",
        "world.one_source_1mcps.realtime_factor",
        "world.emitted_x10.cost",
        "world.links_x4.cost_per_link",
    ]
    assert all(f["value"] > 0 for f in figures)


def test_one_source_gives_a_million_clicks_per_second_on_each_detector() -> None:
    layout = world.sources(1)
    light = LightField(layout, world.operating(layout), seed=1)
    light.tune()
    light.close()
    for singles in light.singles_hz.values():
        assert singles == pytest.approx(1e6, rel=0.03)
