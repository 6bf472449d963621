"""The catalogue page is what the code gives, and the code says of every driver where it is from."""

import pytest

from bellbench.model_facts import ModelFacts, facts_of
from docs.make_catalogue import PAGE, page
from drivers.catalog import find, models
from drivers.optics.thorlabs_pm100d import ThorlabsPm100d
from sim_instruments.catalog import models as simulated
from tests.docs.pages import TREE

OURS = [model for model in models() if find(model).__module__.startswith("drivers.")]


def test_the_page_is_what_the_code_gives() -> None:
    assert PAGE.read_text() == page(), "run .venv/bin/python -m docs.make_catalogue and commit the page"


@pytest.mark.parametrize("model", OURS)
def test_every_driver_says_where_it_is_from_and_how_it_was_tried(model: str) -> None:
    facts = facts_of(model)
    note, comma, rank = facts.protocol.partition(", completeness ")
    assert comma, f"{model}: `protocol` is like 'thorlabs_pm100d.md, completeness 3', not {facts.protocol!r}"
    assert ".md" in note
    assert rank[0] in "0123"
    assert all(doubt[0].isupper() and doubt.endswith(".") for doubt in facts.doubts)
    assert facts.tried.driver, f"tests/drivers/test_{model}.py says in its first paragraph how it is tried"
    assert facts.tried.conformance == (model in simulated())
    if facts.tried.conformance:
        assert facts.tried.simulator, f"tests/sim_instruments/test_sim_{model}.py says how it is tried"


def test_a_driver_that_does_not_say_it_stops_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ThorlabsPm100d, "protocol")
    with pytest.raises(ValueError, match=r"no `protocol` .*\['thorlabs_pm100d'\]"):
        page()


def controls(facts: ModelFacts) -> dict[str, str]:
    assert facts.controls is not None
    return {control.name: control.values for control in facts.controls}


def test_ranges_are_those_of_the_bench_of_one_of_each() -> None:
    """Bias by `max_bias: 20 uA` there; paddles by thorlabs_mpc320.md (170 degrees = 2.96706 rad); windows of
    whole ns by qubitekk_cc1.md; the PM100D's sensor has to be asked."""
    assert controls(facts_of("singlequantum_websq"))["bias.1 to bias.4"] == "0 A to 20 µA"
    assert controls(facts_of("thorlabs_mpc320"))["angle.1 to angle.3"] == "0 rad to 2.96706 rad"
    assert controls(facts_of("qubitekk_cc1"))["window"] == "0 s to 7 ns in steps of 1 ns"
    assert controls(facts_of("thorlabs_pm100d")) == {
        "wavelength": "in m, as far as the instrument says",
        "power": "in W, only to be read",
    }
    assert controls(facts_of("toptica_dlcpro"))["emission"] == "on or off"


def test_the_page_links_to_what_there_is() -> None:
    for target in ("configs/testbeds/one_of_each.yaml", "tests/hardware/README.md"):
        assert f"](../{target})" in page()
        assert (TREE / target).exists()
