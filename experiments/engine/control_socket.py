"""The Unix socket in a run's folder over which other programs ask the run: one JSON line each way.

    {"command": "pause", "why": "lunch", "wait": false}
    {"run": "2026-...", "accepted": true, "state": "running", "leads_to": "paused", "message": "..."}

With `wait` the answer comes when the run has got there, or has ended otherwise. `status` asks for nothing.
Only the user who started the run can reach it. A folder on a file system without sockets, such as some
network shares, leaves the run without this, never without the rest.
"""

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from experiments.engine.control import Answer, RunControl, Word
from experiments.engine.outcome import State

SOCKET = "control.sock"
STATUS = "status"
LONGEST_LINE = 4096
LONGEST_PATH = 100
"""Bytes of a path that every system takes as the address of a socket (Linux takes 107, macOS 103)."""
READING_S = 10.0
"""Wall time for a command to come in whole."""
CLOSING_S = 2.0
"""Wall time for the last answers to go out."""


class GoneError(Exception):
    """Nobody answers at the socket of a run: its process is gone, or it never had one."""


class ControlServer:
    """Answers commands for one run. `open` may raise OSError; `close` may be called in any case."""

    def __init__(self, folder: Path, control: RunControl) -> None:
        self._path, self._control = folder / SOCKET, control
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        with _reachable(self._path) as address:
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                listening.bind(address)
                self._path.chmod(0o600)
                self._server = await asyncio.start_unix_server(self._talk, sock=listening, limit=LONGEST_LINE)
            except OSError:
                listening.close()
                raise

    async def close(self) -> None:
        """End it, once the answers that are still due have gone out."""
        if self._server is None:
            return
        self._server.close()
        if self._talks:
            await asyncio.wait(self._talks, timeout=CLOSING_S)
        for talk in self._talks:
            talk.cancel()
        with suppress(OSError):
            self._path.unlink()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)
        try:
            async with asyncio.timeout(READING_S):
                line = await reader.readline()
            answer = await self._answer(line)
            writer.write(json.dumps({"run": self._path.parent.name, **answer.to_json()}).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # whoever asked is gone, or talks something else
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        control = self._control
        try:
            asked = json.loads(line)
            command, why = asked["command"], str(asked.get("why", ""))
            word = None if command == STATUS else Word(command)
        except (ValueError, TypeError, KeyError, AttributeError):
            words = ", ".join([*Word, STATUS])
            return Answer(False, control.state, control.state, f"no command; allowed: {words}")
        if word is None:
            return Answer(True, control.state, control.state, control.why_held)
        answer = control.ask(word, why or "somebody asked for it")
        if answer.accepted and asked.get("wait") is True:
            await control.until(lambda: control.state is answer.leads_to or control.state.final)
            there = control.state is answer.leads_to
            message = f"the run {'is' if there else 'has ended otherwise:'} {control.state}"
            return Answer(there, control.state, answer.leads_to, message)
        return answer


def ask(folder: Path, command: str, why: str = "", *, wait: bool = False, deadline_s: float = 10.0) -> Answer:
    """Ask the run in a folder; `command` is a `Word` or "status". Blocks, with `wait` without a deadline.

    Raises GoneError when nobody answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(None if wait else deadline_s)
        try:
            with _reachable(folder / SOCKET) as address:
                line.connect(address)
            line.sendall(json.dumps({"command": command, "why": why, "wait": wait}).encode() + b"\n")
            with line.makefile("rb") as answers:
                found = json.loads(answers.readline())
        except (OSError, ValueError) as error:
            raise GoneError(str(error)) from error
    return Answer(found["accepted"], State(found["state"]), State(found["leads_to"]), found["message"])


@contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """An address for this path that is not too long for a socket: where it is, by way of a link."""
    address = os.path.abspath(path)  # noqa: PTH100 - links in the path shall stay as they are
    if len(os.fsencode(address)) <= LONGEST_PATH:
        yield address
        return
    with tempfile.TemporaryDirectory(prefix="bellbench-", dir="/tmp") as short:
        link = Path(short) / "run"
        link.symlink_to(Path(address).parent)
        yield str(link / path.name)
