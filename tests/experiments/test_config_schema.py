"""The JSON Schema of both files: as shipped it is that of the models, and it judges as the loader does."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from experiments.config.files import load
from experiments.config.include import read_whole
from experiments.config.loader import parse_document
from experiments.config.problems import ConfigError
from experiments.config.schema import Kind, schema_of

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = sorted(CONFIGS.rglob("*.yaml"))
EDITOR_LINE = re.compile(r"# yaml-language-server: \$schema=(\S+)")


def kind_of(data: dict[str, Any]) -> Kind:
    return "experiment" if "experiment" in data else "testbed"


@cache
def shipped(kind: Kind) -> Draft202012Validator:
    schema = json.loads((CONFIGS / f"schema/{kind}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def complaints(data: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in shipped(kind_of(data)).iter_errors(data)]


@pytest.mark.parametrize("kind", ["experiment", "testbed"])
def test_the_shipped_schema_is_that_of_the_models(kind: Kind) -> None:
    remedy = f"run: bellbench schema {kind} > configs/schema/{kind}.json"
    assert json.loads((CONFIGS / f"schema/{kind}.json").read_text()) == schema_of(kind), remedy


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_every_shipped_file_names_its_schema_and_keeps_to_it(file: Path) -> None:
    data = read_whole(file).data
    line = EDITOR_LINE.fullmatch(file.read_text().partition("\n")[0])
    assert line, "the first line is not the one for editors"
    assert (file.parent / line[1]).resolve() == CONFIGS / f"schema/{kind_of(data)}.json"
    assert complaints(data) == []


EXPERIMENT, TESTBED = CONFIGS / "nyc_swapping.yaml", CONFIGS / "testbeds/nyc.yaml"
WRONG = [
    # file, text, what it becomes, where the schema sees it
    (EXPERIMENT, "bsm_window: 800 ps", "bsm_window: 800 nm", "$.settings"),
    (EXPERIMENT, "bsm_window: 800 ps", "bsm_window: 800", "$.settings"),
    (EXPERIMENT, "bsm_window: 800 ps", "bsm_window: 0", "$.settings"),
    (EXPERIMENT, "bsm_window: 800 ps", "bsm_window: -800 ps", "$.settings"),
    (EXPERIMENT, "bsm_window: 800 ps", "bsm_windw: 800 ps", "$.settings"),
    (EXPERIMENT, "calibrate_delays: {", "calibrate_delay: {", "$.plan[1]"),
    (EXPERIMENT, "  - calibrate_delays: {duration: 2 s}", "  - measure_swapping", "$.plan[1]"),
    (EXPERIMENT, "bases: [ZZ, XX, CHSH]", "bases: [ZZ, XZ]", "$.plan[2]"),
    (EXPERIMENT, "bases: [ZZ, XX, CHSH], ", "", "$.plan[2]"),
    (EXPERIMENT, "tags: heralds", "tags: herald", "$.record.tags"),
    (EXPERIMENT, "experiment: nyc_swapping", "experiment: nyc swapping", "$.experiment"),
    (EXPERIMENT, "record:", "telemetry: {password: hunter2}\nrecord:", "$.telemetry.password"),
    (EXPERIMENT, "record:", "sweep: {seed: 3}\nrecord:", "$.sweep.seed"),
    (EXPERIMENT, "record:", "include: [/etc/passwd]\nrecord:", "$.include[0]"),
    (EXPERIMENT, "testbed: testbeds/nyc.yaml\n", "", "$"),
    (
        TESTBED,
        "model: singlequantum_websq",
        "model: singlequantum_webqs",
        "$.instruments.hub_nanowires.model",
    ),
    (TESTBED, "channels: 4, max_bias", "chanels: 4, max_bias", "$.instruments.hub_nanowires.settings"),
    (TESTBED, "max_power: 60 mW", "max_power: 60 nm", "$.instruments.alice_pump.settings.max_power"),
    (TESTBED, "{node: alice, model: toptica", "{noode: alice, model: toptica", "$.instruments.alice_pump"),
    (TESTBED, "tagger: alice_tagger.1}", "tagger: alice_tagger}", "$.detectors.alice_h.tagger"),
    (TESTBED, "alice_fibre: {from", "alice fibre: {from", "$.fibres"),
    (TESTBED, "fraction: 1 %", "fraction: 1 W", "$.beams.alice_pump_tap.fraction"),
    (TESTBED, "two_sided_exponential", "two_sided", "$.simulation"),
    (TESTBED, "nodes:", "sweep: {}\nnodes:", "$"),
]


@pytest.mark.parametrize(("file", "old", "new", "place"), WRONG)
def test_mistakes_are_seen_by_the_schema_and_by_the_loader(
    tmp_path: Path, file: Path, old: str, new: str, place: str
) -> None:
    text = file.read_text().replace("testbeds/nyc.yaml", str(TESTBED))
    old, new = (part.replace("testbeds/nyc.yaml", str(TESTBED)) for part in (old, new))
    assert old in text
    (tmp_path / "wrong.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError):
        load(tmp_path / "wrong.yaml")
    found = complaints(parse_document((tmp_path / "wrong.yaml").read_text(), "wrong.yaml").data)
    assert any(complaint.startswith(place) for complaint in found), found


RIGHT = [
    (EXPERIMENT, "  - calibrate_delays: {duration: 2 s}", "  - calibrate_delays"),
    (EXPERIMENT, "  - calibrate_delays: {duration: 2 s}", "  - calibrate_delays:"),
    (EXPERIMENT, "spoke_window_centre: 250 ps", "spoke_window_centre: 0"),
    (EXPERIMENT, "spoke_window_centre: 250 ps", "spoke_window_centre: -1e1 ps"),
    (EXPERIMENT, "record:", "telemetry: {password: '${file:~/broker}', username: '${env:USER}'}\nrecord:"),
    (EXPERIMENT, "record:", "sweep: {zip: true, seed: {from: 1, to: 3, steps: 3}}\nrecord:"),
    (EXPERIMENT, "alice_pump: 20 mW,", "alice_pump: 10 dBm,"),
    (EXPERIMENT, "alice_pump: 20 mW,", "alice_pump: -3 dBm,"),
    (TESTBED, "fraction: 1 %", "fraction: 0.01"),
    (TESTBED, "delay_per_kelvin: 0.33 ns", "delay_per_kelvin: 0"),
]


@pytest.mark.parametrize(("file", "old", "new"), RIGHT)
def test_what_the_loader_takes_the_schema_takes(tmp_path: Path, file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    (tmp_path / "testbeds").mkdir()
    (tmp_path / "testbeds/nyc.yaml").write_text(TESTBED.read_text())
    changed = tmp_path / ("right.yaml" if file is EXPERIMENT else "testbeds/nyc.yaml")
    changed.write_text(text.replace(old, new, 1))
    load(changed)
    assert complaints(read_whole(changed).data) == []


def test_an_editor_can_say_what_a_key_is_and_what_it_is_without() -> None:
    testbed, experiment = (json.loads((CONFIGS / f"schema/{kind}.json").read_text())["$defs"]
                           for kind in ("testbed", "experiment"))  # fmt: skip
    instrument = testbed["InstrumentEntry"]
    assert "toptica_dlcpro" in instrument["properties"]["model"]["enum"]
    record = experiment["Record"]["properties"]
    assert record["around"]["default"] == "50 ns"
    pair_rate = testbed["SimulatedSource"]["properties"]["pair_rate"]
    assert pair_rate["description"] == "Mean pairs per second, of a pulsed source too."
