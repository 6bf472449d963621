"""A configuration that a run wrote down is read again as the same."""

import json
from pathlib import Path

import pytest
import yaml

from experiments.config.files import load_experiment
from experiments.config.resolved import read_resolved

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("*.yaml")))
def test_what_a_run_writes_down_is_read_as_the_same(name: str) -> None:
    loaded = load_experiment(CONFIGS / name)
    loaded = loaded.points[0] if loaded.points else loaded
    written = yaml.safe_dump(dict(loaded.resolved), sort_keys=False)
    again = read_resolved(yaml.safe_load(written), loaded.sources)
    assert again.experiment == loaded.experiment
    assert again.testbed == loaded.testbed
    assert again.inventory.drivers.keys() == loaded.inventory.drivers.keys()


def test_plain_numbers_are_si_units_and_must_still_be_allowed() -> None:
    loaded = load_experiment(CONFIGS / "nyc_swapping.yaml")
    resolved = json.loads(json.dumps(loaded.resolved))
    resolved["experiment"]["settings"]["bsm_window"] = 5e-10
    assert read_resolved(resolved, {}).experiment.swapping.bsm_window == 5e-10
    resolved["experiment"]["settings"]["bsm_window"] = -5e-10
    with pytest.raises(ValueError, match="bsm_window"):
        read_resolved(resolved, {})
    resolved["experiment"]["settings"]["bsm_window"] = "500 ps"
    assert read_resolved(resolved, {}).experiment.swapping.bsm_window == 5e-10
