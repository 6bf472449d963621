"""asyncio's TaskGroup without a mistake that it has until Python 3.13.

When a task fails while the group is being left, the older ones cancel the task that leaves it and never take
that back: `Task.cancelling()` counts a request for ever that nobody made (CPython gh-116720). A run tells by
that number whether somebody asked it to end, or something broke.
"""

import asyncio
import sys
from types import TracebackType


class TaskGroup(asyncio.TaskGroup):
    """Leaves no request for cancellation behind."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asked_before = self._parent_cancel_requested  # type: ignore[attr-defined]
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            asked = self._parent_cancel_requested and not asked_before  # type: ignore[attr-defined]
            if asked and sys.version_info < (3, 13):
                self._parent_task.uncancel()  # type: ignore[attr-defined]
