"""Alarms: severities of EPICS, latched until the cause is gone and somebody has seen them (IEC 62682)."""

from datetime import UTC, datetime, timedelta

import pytest

from telemetry.alarms import Alarms
from telemetry.messages import AlarmState

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


class Screen:
    """What is told, and a clock of its own."""

    def __init__(self) -> None:
        self.told: list[tuple[str | None, AlarmState]] = []
        self.minutes = 0
        self.alarms = Alarms(lambda device, state: self.told.append((device, state)), now=self.now)

    def now(self) -> datetime:
        return START + timedelta(minutes=self.minutes)

    def raised(self, severity: str = "MAJOR", name: str = "latched", device: str | None = "wires") -> None:
        self.alarms.raised(device, name, severity, f"{name} now", "Do this")  # type: ignore[arg-type]

    @property
    def last(self) -> AlarmState:
        return self.told[-1][1]


def test_it_says_what_is_wrong_and_what_to_do() -> None:
    screen = Screen()
    screen.raised()
    assert screen.told[-1][0] == "wires"
    assert (screen.last.severity, screen.last.text) == ("MAJOR", "latched now. Do this")
    alarm = screen.last.alarms["latched"]
    assert (alarm.since, alarm.active, alarm.acknowledged) == ("2026-11-22T03:00:00.000000Z", True, False)


def test_it_stands_until_it_is_over_and_seen_in_either_order() -> None:
    for acknowledged_first in (True, False):
        screen = Screen()
        screen.raised()
        for step in (0, 1):
            if (step == 0) is acknowledged_first:
                assert screen.alarms.acknowledge("ann") == 1
            else:
                screen.alarms.cleared("wires", "latched")
            assert (screen.last.severity == "NO_ALARM") is (step == 1)
        assert screen.last == AlarmState()


def test_raised_again_it_must_be_seen_again() -> None:
    screen = Screen()
    screen.raised()
    screen.alarms.cleared("wires", "latched")
    screen.minutes = 5
    screen.raised()
    alarm = screen.last.alarms["latched"]
    assert (alarm.since, alarm.active) == ("2026-11-22T03:00:00.000000Z", True)  # of the first time
    screen.alarms.acknowledge("ann")
    screen.alarms.cleared("wires", "latched")
    screen.raised()
    assert screen.last.unacknowledged == 1
    assert screen.last.alarms["latched"].since == "2026-11-22T03:05:00.000000Z"


def test_worse_must_be_seen_again_and_better_not() -> None:
    screen = Screen()
    screen.raised("MINOR")
    screen.alarms.acknowledge("ann")
    screen.raised("MAJOR")
    assert screen.last.unacknowledged == 1
    screen.alarms.acknowledge("bob")
    screen.raised("MINOR")
    assert screen.last.unacknowledged == 0
    assert screen.last.alarms["latched"].acknowledged_by == "bob"


def test_the_worst_stands_for_the_device_in_the_order_of_epics() -> None:
    screen = Screen()
    for name, severity in (("a", "MINOR"), ("b", "INVALID"), ("c", "MAJOR")):
        screen.raised(severity, name)
    assert (screen.last.severity, screen.last.text, screen.last.unacknowledged) == (
        "INVALID",
        "b now. Do this",
        3,
    )


def test_the_same_again_is_told_once() -> None:
    screen = Screen()
    screen.raised()
    screen.raised()
    assert len(screen.told) == 1


def test_acknowledging_one_a_device_or_all() -> None:
    screen = Screen()
    screen.raised(name="a")
    screen.raised(name="b")
    screen.raised(name="a", device="pump")
    screen.raised(name="paused", device=None)
    assert screen.alarms.acknowledge("ann", "wires", "a") == 1
    assert screen.alarms.acknowledge("ann", "wires") == 1
    assert screen.alarms.acknowledge("ann") == 2
    with pytest.raises(LookupError):
        screen.alarms.acknowledge("ann")
    with pytest.raises(LookupError):
        screen.alarms.acknowledge("ann", "nothing")


def test_the_run_s_own_are_acknowledged_by_the_name_that_their_topic_has() -> None:
    screen = Screen()
    screen.raised(name="latched")
    screen.raised(name="paused", device=None)
    assert screen.alarms.acknowledge("ann", "run") == 1
    assert screen.told[-1][0] is None
    with pytest.raises(LookupError):
        screen.alarms.acknowledge("ann", "run")
    assert screen.alarms.acknowledge("ann") == 1  # that of the wires still waited


def test_over_without_having_been_is_nothing() -> None:
    screen = Screen()
    screen.alarms.cleared("wires", "latched")
    assert screen.told == []


def test_what_an_earlier_run_left_is_wiped() -> None:
    screen = Screen()
    screen.alarms.clean([None, "wires"])
    assert screen.told == [(None, AlarmState()), ("wires", AlarmState())]
