"""A configuration as a run has written it down, read again: everything filled in, numbers in SI units.

What comes out is equal to what was written. A configuration that no longer fits this version of bellbench, or
that somebody has changed by hand into one that was never run, raises ValueError.
"""

from collections.abc import Mapping
from typing import Any

from drivers.units import AS_SI
from experiments.config.experiment import Experiment
from experiments.config.files import LoadedExperiment
from experiments.config.inventory import Inventory, construct, driver_of
from experiments.config.plan import STEPS
from experiments.config.testbed import Testbed


def read_resolved(resolved: Mapping[str, Any], sources: Mapping[str, str]) -> LoadedExperiment:
    """The experiment of which `LoadedExperiment.resolved` was written. `sources` are the texts of its
    files."""
    experiment, testbed = _stated(resolved["experiment"]), _stated(resolved["testbed"])
    instruments = {
        name: entry | {"settings": _settings(entry["model"], entry.get("settings", {}))}
        for name, entry in testbed["instruments"].items()
    }
    stands = Testbed.model_validate(testbed | {"instruments": instruments}, context=AS_SI)
    plan = tuple(
        STEPS[kind].model_validate(parameters, context=AS_SI)
        for step in experiment["plan"]
        for kind, parameters in step.items()
    )
    what = Experiment.model_validate(experiment | {"plan": plan}, context=AS_SI)
    drivers = {name: construct(name, entry) for name, entry in stands.instruments.items()}
    return LoadedExperiment(what, stands, Inventory(stands, drivers, {}), sources, resolved)


def _settings(model: str, data: object) -> object:
    return driver_of(model).settings_model.model_validate(data, context=AS_SI)


def _stated(data: Any) -> Any:
    """Without what was not given: a key without a value is not the same as one that is missing."""
    if isinstance(data, Mapping):
        return {key: _stated(value) for key, value in data.items() if value is not None}
    return [_stated(item) for item in data] if isinstance(data, list) else data
