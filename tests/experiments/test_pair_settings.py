"""The section `pairs`: light of one source must get to both analysers, through switches as they are set."""

from pathlib import Path

import pytest

from experiments.config.files import load_testbed
from experiments.config.inventory import Inventory
from experiments.config.plan import PairStep
from experiments.config.settings import PairSettings, Sections, source_of_pair

CONFIGS = Path(__file__).parents[2] / "configs"
TO_N1_AND_N3 = {"n1_switch": {3: 1, 4: 2}, "n2_switch": {1: 2}, "n3_switch": {1: 1}}
"""On the loop: the signal stays at n1, the idler goes to the right by way of n2."""


@pytest.fixture(scope="module")
def loop() -> Inventory:
    return load_testbed(CONFIGS / "testbeds/loop.yaml").inventory


def faults(inventory: Inventory, **what: object) -> list[str]:
    settings = PairSettings.model_validate({"window": "1 ns", **what})
    return [fault.message for fault in settings.faults(inventory)]


def test_light_that_gets_to_both_is_right_whichever_photon_goes_where(loop: Inventory) -> None:
    for analysers in (("n1_analyser", "n3_analyser"), ("n3_analyser", "n1_analyser")):
        assert faults(loop, analysers=analysers, switches=TO_N1_AND_N3) == []
        assert source_of_pair(loop.testbed, analysers, TO_N1_AND_N3) == "source"
    # Without a word about switches they may be set to anything, so any two of a loop can share pairs.
    assert faults(loop, analysers=["n4_analyser", "n9_analyser"]) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"n2_switch": {1: 1}},
            "switched so, no source sends one photon each to n1_analyser and n3_analyser",
        ),
        ({"n1_switch": {3: 1, 4: 1}}, "output 1 of n1_switch is connected to another input already"),
        ({"n2_switch": {5: 2}}, "n2_switch has no input 5; allowed: 1, 2, 3, 4"),
        ({"n2_switch": {1: 9}}, "n2_switch has no output 9; allowed: 1, 2, 3, 4"),
        ({"n2_swich": {1: 2}}, "'n2_swich' is no instrument of this testbed"),
        ({"n1_paddles": {1: 2}}, "'n1_paddles' is a PolarizationController, here stands an OpticalSwitch"),
    ],
)
def test_switches_that_do_not_lead_there_are_named(
    loop: Inventory, changes: dict[str, dict[int, int]], message: str
) -> None:
    found = faults(loop, analysers=["n1_analyser", "n3_analyser"], switches=TO_N1_AND_N3 | changes)
    assert len(found) == 1
    assert message in found[0]


def test_analysers_that_share_no_source_are_named(loop: Inventory) -> None:
    assert faults(loop, analysers=["n1_analyser", "n1_analyser"])[0] == (
        "'n1_analyser' is the other analyser already"
    )
    assert "is no analyser of this testbed" in faults(loop, analysers=["n1_analyzer", "n2_analyser"])[0]
    nyc = load_testbed(CONFIGS / "testbeds/nyc.yaml").inventory
    assert faults(nyc, analysers=["alice_analyser", "bob_analyser"]) == [
        "no source sends one photon each to alice_analyser and bob_analyser"
    ]


@pytest.mark.parametrize(
    ("step", "pairs", "message"),
    [
        ({}, [], "needs the section pairs, which is missing; write there what to measure"),
        ({}, ["a", "b"], "which pair is missing; write pair: NAME, allowed: a, b"),
        ({"pair": "aa"}, ["aaa", "b"], "'aa' is no pair of pairs; allowed: aaa, b; did you mean 'aaa'?"),
        ({"pair": "a"}, ["a", "b"], ""),
        ({}, ["a"], ""),
    ],
)
def test_a_step_names_its_pair_unless_there_is_one_alone(
    loop: Inventory, step: dict[str, str], pairs: list[str], message: str
) -> None:
    class Measure(PairStep):
        kind = "measure"

    found = [
        f.message for f in Measure.model_validate(step).faults(loop, Sections(declared={"pairs": pairs}))
    ]
    assert len(found) == bool(message)
    assert all(message in text for text in found)
