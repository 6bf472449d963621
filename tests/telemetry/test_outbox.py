"""What waits for the broker: bounded, least important dropped first, newest state only."""

from itertools import count
from typing import Literal

from telemetry.outbox import Outbox, Outgoing

Kind = Literal["tele", "event", "retained"]


def messages(*kinds_and_topics: tuple[Kind, str]) -> list[Outgoing]:
    numbers = count(1)
    return [Outgoing(next(numbers), topic, b"", kind) for kind, topic in kinds_and_topics]


def test_comes_out_in_order() -> None:
    box = Outbox(10)
    sent = messages(("tele", "a"), ("event", "b"), ("retained", "c"), ("tele", "a"))
    box.put(*sent)
    assert box.take(3) == sent[:3]
    assert box.take(3) == sent[3:]
    assert box.take(3) == []


def test_a_newer_state_replaces_the_older_and_goes_last() -> None:
    box = Outbox(10)
    old, event, new = messages(("retained", "s"), ("event", "e"), ("retained", "s"))
    for message in (old, event, new):
        box.put(message)
    assert box.take(9) == [event, new]
    assert box.dropped == 0


def test_oldest_figures_go_first_then_oldest_events_never_states() -> None:
    box = Outbox(3)
    state, tele_1, event_1, tele_2, event_2, event_3 = messages(
        ("retained", "s"), ("tele", "t"), ("event", "e"), ("tele", "t"), ("event", "e"), ("event", "e")
    )
    box.put(state, tele_1, event_1, tele_2)
    assert [box.dropped, len(box)] == [1, 3]
    box.put(event_2)
    assert box.dropped == 2
    box.put(event_3)
    assert box.take(9) == [state, event_2, event_3]
    assert box.dropped == 3


def test_put_back_keeps_order_and_the_newer_state() -> None:
    box = Outbox(10)
    old_state, event, new_state, tele = messages(
        ("retained", "s"), ("event", "e"), ("retained", "s"), ("tele", "t")
    )
    box.put(old_state, event)
    taken = box.take(2)
    box.put(new_state, tele)
    box.put(*taken)
    assert box.take(9) == [event, new_state, tele]
