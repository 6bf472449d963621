"""Calls into a maker's library: in a thread of its own, one after the other, and not for ever."""

import asyncio
import threading

import pytest

from drivers.errors import DeadlineError
from drivers.transports.library import LibraryThread


@pytest.fixture
def thread() -> LibraryThread:
    return LibraryThread("tagger", "usb:1", 5.0)


async def test_calls_are_made_in_one_other_thread(thread: LibraryThread) -> None:
    first = await thread.call("a", threading.get_ident)
    assert first != threading.get_ident()
    assert await thread.call("b", threading.get_ident) == first
    await thread.close(lambda: None)
    await thread.close(lambda: None)


async def test_what_a_call_raises_is_raised(thread: LibraryThread) -> None:
    with pytest.raises(ZeroDivisionError):
        await thread.call("divide", lambda: 1 // 0)
    await thread.close(lambda: 1 // 0)


async def test_a_call_that_does_not_return_ends_at_the_deadline_and_the_next_stays_behind_it(
    thread: LibraryThread,
) -> None:
    release, calls = threading.Event(), list[str]()
    with pytest.raises(DeadlineError, match=r"tagger \(usb:1\): hang: .* within 0\.1 s"):
        await thread.call("hang", lambda: release.wait(5), 0.1)
    with pytest.raises(DeadlineError, match="never"):
        await thread.call("never", lambda: calls.append("never"), 0.1)
    closing = asyncio.create_task(thread.close(lambda: calls.append("closed")))
    await asyncio.sleep(0)
    release.set()
    await closing
    assert calls == ["closed"]


async def test_a_call_after_closing_stays_behind_a_call_that_has_not_returned(thread: LibraryThread) -> None:
    release, calls = threading.Event(), list[str]()
    with pytest.raises(DeadlineError):
        await thread.call("hang", lambda: release.wait(5), 0.1)
    closing = asyncio.create_task(thread.close(lambda: calls.append("closed")))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(DeadlineError, match="never"):
        await thread.call("never", lambda: calls.append("never"), 0.1)
    opening = asyncio.create_task(thread.call("open", lambda: calls.append("opened")))
    await asyncio.sleep(0)
    release.set()
    await opening
    assert calls == ["closed", "opened"]
    await thread.close(lambda: None)


async def test_the_event_loop_goes_on_during_a_call(thread: LibraryThread) -> None:
    release = threading.Event()
    call = asyncio.create_task(thread.call("wait", lambda: release.wait(5)))
    await asyncio.sleep(0)
    release.set()
    assert await call is True
    await thread.close(lambda: None)
