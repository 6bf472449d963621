"""A disk that is full at a chosen moment, for tests: the n-th writing call of the program fails with ENOSPC,
and with it every later one until there is room again. A write that fails may have written a part."""

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class FullDisk:
    """Counts writing calls; `full` from number `at` (from 0) on."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0
        self.room = False

    def take(self, part: Callable[[], object] = lambda: None) -> None:
        """One more call. Raises OSError, after doing a part of it, when the disk is full."""
        number, self.calls = self.calls, self.calls + 1
        if not self.room and number >= self.at:
            part()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @property
    def was_full(self) -> bool:
        return self.calls > self.at


@contextmanager
def full_disk(at: int) -> Iterator[FullDisk]:
    """While it lasts, `os.write`, `os.fsync`, `os.replace` and the writing of files opened by `Path.open` go
    through the disk."""
    disk = FullDisk(at)
    write, fsync, replace, io_open = os.write, os.fsync, os.replace, io.open

    def short_write(file: int, data: Any) -> int:
        disk.take(lambda: write(file, bytes(data)[: len(data) // 2]))
        return write(file, data)

    def checked_fsync(file: int) -> None:
        disk.take()
        fsync(file)

    def checked_replace(*names: Any, **more: Any) -> None:
        disk.take()
        replace(*names, **more)

    def checked_open(*arguments: Any, **more: Any) -> Any:
        file = io_open(*arguments, **more)
        mode = arguments[1] if len(arguments) > 1 else more.get("mode", "r")
        if not set("wax+") & set(mode):
            return file
        inner = file.write

        def partial_write(data: Any) -> int:
            disk.take(lambda: inner(data[: len(data) // 2]))
            return int(inner(data))

        file.write = partial_write
        return file

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", short_write)
        patch.setattr(os, "fsync", checked_fsync)
        patch.setattr(os, "replace", checked_replace)
        patch.setattr(io, "open", checked_open)
        patch.setattr(builtins, "open", checked_open)
        yield disk
