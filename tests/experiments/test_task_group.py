"""A group of tasks in which one fails leaves no request for cancellation behind; one from outside stays."""

import asyncio

import pytest

from experiments.engine.task_group import TaskGroup


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("broken")


def requests() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


@pytest.mark.parametrize("leaving", [True, False])
async def test_a_failure_is_no_cancellation_whether_the_group_is_being_left_or_not(leaving: bool) -> None:
    async def work() -> None:
        async with TaskGroup() as group:
            group.create_task(fail())
            group.create_task(asyncio.sleep(3600))
            if not leaving:
                await asyncio.sleep(3600)

    with pytest.raises(ExceptionGroup):
        await work()
    assert requests() == 0


async def test_a_cancellation_from_outside_is_still_known_after_a_failure() -> None:
    seen = []

    async def work() -> None:
        try:
            async with TaskGroup() as group:
                group.create_task(fail())
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
        except BaseException:
            seen.append(requests())
            raise

    with pytest.raises((asyncio.CancelledError, ExceptionGroup)):
        await asyncio.create_task(work())
    assert seen == [1]
