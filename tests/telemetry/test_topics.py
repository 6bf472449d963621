"""The topic tree as issue G states it."""

import pytest

from telemetry.contract import KINDS, kind_of
from telemetry.topics import Place, Topics, parse

NYC = Topics("bellbench", "nyc")


@pytest.mark.parametrize(
    ("topic", "expected", "place"),
    [
        (NYC.status("hub"), "bellbench/v1/nyc/hub/status", Place("nyc", "hub", "", "status")),
        (
            NYC.device("hub", "hub_tagger", "tele"),
            "bellbench/v1/nyc/hub/hub_tagger/tele",
            Place("nyc", "hub", "hub_tagger", "tele"),
        ),
        (
            NYC.run("r-7f3a", "state"),
            "bellbench/v1/nyc/run/r-7f3a/state",
            Place("nyc", "run", "r-7f3a", "state"),
        ),
        (
            NYC.device("hub", "hub_tagger", "alarm"),
            "bellbench/v1/nyc/hub/hub_tagger/alarm",
            Place("nyc", "hub", "hub_tagger", "alarm"),
        ),
        (
            f"{NYC.run('r1', 'answer')}/ann",
            "bellbench/v1/nyc/run/r1/answer/ann",
            Place("nyc", "run", "r1", "answer"),
        ),
    ],
)
def test_topics(topic: str, expected: str, place: Place) -> None:
    assert topic == expected
    assert parse("bellbench", topic) == place


def test_a_root_of_several_levels() -> None:
    topic = Topics("lab/3/", "nyc").status("hub")
    assert topic == "lab/3/v1/nyc/hub/status"
    assert parse("lab/3", topic) == Place("nyc", "hub", "", "status")


@pytest.mark.parametrize("name", ["a/b", "#", "+", "", "a b", "\x00", "ü"])
def test_no_name_breaks_the_tree(name: str) -> None:
    topic = Topics("bellbench", name).device(name, name, "tele")
    assert topic.count("/") == 5
    assert not set(topic) & set("#+\x00 ")
    assert "//" not in topic


def test_a_node_cannot_pass_for_a_run() -> None:
    assert NYC.device("run", "x", "state") != NYC.run("x", "state")


def test_every_kind_is_known_by_its_topic() -> None:
    for kind in KINDS:
        topic = f"bellbench/v1/{kind.topic.format(site='nyc', node='hub', device='tagger', run='r1')}"
        place = parse("bellbench", topic)
        assert place is not None
        assert kind_of(place) is kind
    assert kind_of(Place("nyc", "hub", "tagger", "mood")) is None  # of a later version


@pytest.mark.parametrize(
    "topic", ["bellbench/v1/nyc", "bellbench/v2/nyc/hub/status", "other/v1/nyc/hub/status"]
)
def test_foreign_topics_are_not_ours(topic: str) -> None:
    assert parse("bellbench", topic) is None
