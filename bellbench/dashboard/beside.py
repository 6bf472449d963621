"""The dashboard of a run beside the run: served by a process of its own, which has a lower priority, so
that the run is not slowed, and which ends with it, however it ends."""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from bellbench.dashboard.server import listen, url_of
from experiments.engine.events import RunEvent, StateChanged

NICENESS = 10
PATIENCE_S = 3.0
"""Wall time for it to end by itself."""


class DashboardBeside:
    """A context manager around a run, and an observer of it: the first thing that the run says names its
    folder, and then its dashboard begins. `url` can be opened at once; it answers a moment later."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._listening = listen()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = url_of(self._listening)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()  # which ends it
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def notify(self, event: RunEvent) -> None:
        if isinstance(event, StateChanged) and self._process is None:
            self._process = self._serve(event.run)

    def _serve(self, run: str) -> subprocess.Popen[bytes]:
        descriptor = self._listening.fileno()
        command = [sys.executable, "-m", "bellbench.dashboard", str(self._runs / run), str(descriptor)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            start_new_session=True,  # Ctrl-C is for the run
        )
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        return process
