"""What steps have found: calibrations by name and type, sections of the results by name of their step."""

from collections.abc import Mapping

import pytest

from experiments.config.plan import MeasureSwapping, PlanStep, result_names
from experiments.engine.findings import Calibrations, Results
from experiments.engine.outcome import RunError


class Other(PlanStep):
    """A step that adds a quantity which `measure_swapping` adds as well."""

    kind = "other"
    results = ("chsh_s", "loss_db")


class Found:
    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def to_results(self) -> Mapping[str, object]:
        return self.values


def swapping(name: str | None = None) -> MeasureSwapping:
    return MeasureSwapping.model_validate({"bases": ["CHSH"], "dwell": "1 s", "name": name})


def test_calibrations_are_had_by_name_as_what_they_are() -> None:
    calibrations = Calibrations()
    with pytest.raises(
        RunError, match="calibration of delays is needed here, and no step before has made it"
    ):
        calibrations.get("delays", dict)
    calibrations.put("delays", {"a": 1})
    calibrations.put("delays", {"a": 2})
    assert calibrations.get("delays", dict) == {"a": 2}
    with pytest.raises(TypeError, match="is a dict, not a int"):
        calibrations.get("delays", int)


def test_sections_stand_in_the_order_of_the_plan_and_only_what_was_measured() -> None:
    first, second = swapping("evening"), swapping("morning")
    results = Results([first, Other(), second])
    assert results.to_json() == {}
    later = results.section(second, Found)
    earlier = results.section(first, Found)
    assert results.section(swapping("evening"), Found) is earlier  # the same name adds to the same results
    results.section(Other(), Found)
    later.values, earlier.values = {"chsh_s": 2.5, "heralds": 7}, {"chsh_s": 2.4}
    assert list(results.to_json().items()) == [
        ("evening.chsh_s", 2.4),
        ("morning.chsh_s", 2.5),
        ("morning.heralds", 7),
    ]


def test_a_name_that_is_taken_gets_the_kind_of_its_step() -> None:
    plan = [swapping(), Other(), swapping()]
    results = Results(plan)
    results.section(plan[0], Found).values = {"chsh_s": 2.4, "live_time_s": 1.0}
    results.section(plan[1], Found).values = {"chsh_s": 2.0, "loss_db": 3.0}
    assert results.to_json() == {"chsh_s": 2.4, "live_time_s": 1.0, "other.chsh_s": 2.0, "loss_db": 3.0}
    names = result_names(plan)
    assert names == [*MeasureSwapping.results, "other.chsh_s", "loss_db"]
    assert "evening.chsh_s" in result_names([swapping("evening"), *plan])
