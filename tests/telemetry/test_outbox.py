"""What waits for the broker: on disk, bounded, least important dropped first, newest state only."""

import os
import signal
import sqlite3
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from telemetry.contract import Importance
from telemetry.outbox import Outbox, OutboxBusyError, Outgoing

FIGURE, EVENT, WARNING, KEPT = Importance


def messages(*importances_and_topics: tuple[Importance, str]) -> list[Outgoing]:
    numbers = count(1)
    return [
        Outgoing(next(numbers), topic, b"x" * 10, importance, retain=importance is KEPT)
        for importance, topic in importances_and_topics
    ]


def test_comes_out_in_order_and_stays_until_it_is_delivered() -> None:
    box = Outbox()
    sent = messages((FIGURE, "a"), (EVENT, "b"), (KEPT, "c"), (FIGURE, "a"))
    box.put(sent)
    assert box.take(3) == box.take(3) == sent[:3]
    box.delivered(sent[:3])
    assert box.take(3) == sent[3:]
    box.delivered(sent[3:])
    assert box.take(3) == []
    assert len(box) == 0


def test_a_newer_state_replaces_the_older_and_goes_last() -> None:
    box = Outbox()
    old, event, new = messages((KEPT, "s"), (EVENT, "e"), (KEPT, "s"))
    for message in (old, event, new):
        box.put([message])
    assert box.take(9) == [event, new]
    assert not any(box.dropped.values())
    box.put([old])  # again, after the broker was away
    assert box.take(9) == [event, new]


def test_oldest_figures_go_first_then_oldest_events_then_warnings_never_states() -> None:
    box = Outbox(max_messages=3)
    state, tele_1, event_1, tele_2, warning, event_2, event_3 = messages(
        (KEPT, "s"), (FIGURE, "t"), (EVENT, "e"), (FIGURE, "t"), (WARNING, "e"), (EVENT, "e"), (EVENT, "e")
    )
    box.put([state, tele_1, event_1, tele_2])
    assert box.take(9) == [state, event_1, tele_2]
    box.delivered([])
    box.put([warning])
    assert box.take(9) == [state, event_1, warning]
    box.delivered([])
    box.put([event_2, event_3])
    assert box.take(9) == [state, warning, event_3]
    assert box.dropped == {FIGURE: 2, EVENT: 2, WARNING: 0, KEPT: 0}


def test_bounded_in_bytes_too() -> None:
    box = Outbox(max_bytes=35)
    sent = messages(*[(FIGURE, "t")] * 4)
    box.put(sent)
    assert box.take(9) == sent[1:]
    assert box.dropped[FIGURE] == 1


def test_what_is_on_its_way_is_not_dropped() -> None:
    box = Outbox(max_messages=2)
    first, second, third = messages((FIGURE, "t"), (FIGURE, "t"), (FIGURE, "t"))
    box.put([first])
    assert box.take(1) == [first]
    box.put([second, third])
    assert box.take(9) == [first, third]


def test_topics_that_are_denied_are_left_out() -> None:
    box = Outbox()
    good, bad = messages((EVENT, "good"), (EVENT, "bad"))
    box.put([good, bad])
    assert box.take(9, without=("bad",)) == [good]


def test_a_later_process_finds_everything(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    sent = messages((KEPT, "s"), (EVENT, "e"), (FIGURE, "t"), (FIGURE, "t"))
    box = Outbox(path, max_messages=3, about={"host": "lab", "port": 1883})
    box.put(sent)
    box.close()
    again = Outbox(path)
    assert again.about == {"host": "lab", "port": 1883}
    assert again.take(9) == [sent[0], sent[1], sent[3]]
    assert again.dropped[FIGURE] == 1  # the count goes on as well
    again.delivered(sent)
    again.close()
    assert list(tmp_path.iterdir()) == []  # nothing waits, nothing is left


def test_survives_kill_minus_9(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    code = (
        "import os, sys, signal, pathlib\n"
        "from telemetry.outbox import Outbox, Outgoing\n"
        "from telemetry.contract import Importance\n"
        "box = Outbox(pathlib.Path(sys.argv[1]))\n"
        "for n in range(1, 501):\n"
        "    box.put([Outgoing(n, 't', b'%d' % n, Importance.FIGURE)])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    box = Outbox(path)
    assert [message.payload for message in box.take(999)] == [b"%d" % n for n in range(1, 501)]
    box.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    box = Outbox(path)
    with pytest.raises(OutboxBusyError, match="in use by another process"):
        Outbox(path)
    box.close()
    Outbox(path).close()


def test_a_file_that_is_none_of_ours_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 40)
    with pytest.raises(sqlite3.DatabaseError):
        Outbox(path)


def test_goes_on_in_memory_when_the_disk_fails(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    first, *more = messages((EVENT, "a"), *[(EVENT, "b")] * 400)
    box = Outbox(path)
    box.put([first])
    box._db.execute("PRAGMA max_page_count = 8")  # SQLite's own way to say that the disk is full
    box.put(more)
    assert box.take(999) == [first, *more]
    assert box.trouble is not None
    assert "full" in box.trouble
    box.delivered([first, *more])
    assert len(box) == 0
    box.close()


def test_a_new_run_has_an_outbox_wherever_it_is_put(tmp_path: Path) -> None:
    box = Outbox.for_run(tmp_path / "absent" / "outbox.sqlite", {"host": "lab"})
    assert box.trouble is not None
    box.put(messages((EVENT, "a")))
    assert len(box) == 1
    box.close()
