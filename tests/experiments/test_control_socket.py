"""Asking a run over the socket in its folder."""

import asyncio
import json
import socket
import stat
from pathlib import Path

import pytest

from experiments.engine import control_socket
from experiments.engine.control import Answer, RunControl
from experiments.engine.control_socket import SOCKET, ControlServer, GoneError, ask
from experiments.engine.outcome import State


@pytest.fixture
def control() -> RunControl:
    control = RunControl()
    control.take_charge(lambda: None)
    control.entered(State.RUNNING)
    return control


async def asked(folder: Path, command: str, *, wait: bool = False) -> Answer:
    return await asyncio.to_thread(ask, folder, command, "a test", wait=wait)


@pytest.mark.parametrize("depth", [1, 20])
async def test_a_command_is_answered_wherever_the_folder_is(
    tmp_path: Path, control: RunControl, depth: int
) -> None:
    folder = tmp_path.joinpath(*["a folder of runs"] * depth)
    folder.mkdir(parents=True)
    server = ControlServer(folder, control)
    await server.open()
    try:
        assert stat.S_IMODE((folder / SOCKET).stat().st_mode) == 0o600
        answer = await asked(folder, "pause")
        assert answer == Answer(True, State.RUNNING, State.PAUSED, "the run pauses at its next safe point")
        assert control.why_held == "a test"
        assert (await asked(folder, "status")).message == "a test"
        assert (await asked(folder, "resume")).leads_to is State.RUNNING
        assert not (await asked(folder, "resume")).accepted
    finally:
        await server.close()
    assert not (folder / SOCKET).exists()
    with pytest.raises(GoneError):
        await asked(folder, "pause")


async def test_the_answer_can_wait_until_the_run_has_got_there(tmp_path: Path, control: RunControl) -> None:
    server = ControlServer(tmp_path, control)
    await server.open()
    waiting = asyncio.create_task(asked(tmp_path, "pause", wait=True))
    await control.until(lambda: bool(control.holds))
    assert not waiting.done()
    control.entered(State.PAUSED)
    answer = await waiting
    assert answer.accepted
    assert answer.state is State.PAUSED
    # One that ends otherwise is told as well, before the socket is closed.
    waiting = asyncio.create_task(asked(tmp_path, "resume", wait=True))
    await control.until(lambda: not control.holds)
    control.entered(State.FAILED)
    await server.close()
    answer = await waiting
    assert not answer.accepted
    assert answer.message == "the run has ended otherwise: failed"


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[]\n",
        b"pause\n",
        b'{"command": "explode"}\n',
        b'{"command": ["pause"]}\n',
        b"\xff\xfe\n",
        b"{}",
    ],
)
async def test_what_is_no_command_does_no_harm(tmp_path: Path, control: RunControl, line: bytes) -> None:
    server = ControlServer(tmp_path, control)
    await server.open()
    try:
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET)
        writer.write(line)
        writer.write_eof()
        answer = json.loads(await reader.readline())
        writer.close()
        assert answer["accepted"] is False
        assert answer["message"] == "no command; allowed: pause, resume, stop, abort, status"
        assert (await asked(tmp_path, "status")).accepted
    finally:
        await server.close()
    assert not control.holds


async def test_a_line_without_end_and_a_caller_that_goes_away_do_no_harm(
    tmp_path: Path, control: RunControl
) -> None:
    server = ControlServer(tmp_path, control)
    await server.open()
    try:
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET)
        writer.write(b"x" * 10 * control_socket.LONGEST_LINE)
        assert await reader.read() == b""
        writer.close()
        _, writer = await asyncio.open_unix_connection(tmp_path / SOCKET)
        writer.close()
        assert (await asked(tmp_path, "status")).accepted
    finally:
        await server.close()


def test_a_socket_that_nobody_serves_is_gone(tmp_path: Path) -> None:
    with pytest.raises(GoneError):
        ask(tmp_path, "pause")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET))  # its process was killed
    with pytest.raises(GoneError):
        ask(tmp_path, "pause")
