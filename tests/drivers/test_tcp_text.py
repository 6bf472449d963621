"""Text lines over TCP; with a probe, the far end is an instrument behind a gateway, which does not notice
that a connection is made anew and answers everything in order."""

import pytest

from drivers.address import Address
from drivers.errors import DeadlineError
from drivers.transports.tcp_text import TcpTextLine
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.scripted_peer import ScriptedPeer, served

PROBE = (b"who?\n", b"me 42\n")


def line_to(port: int, probe: tuple[str, str] | None = ("who?", r"me \d+")) -> TcpTextLine:
    return TcpTextLine("unit", Address.parse(f"tcp://127.0.0.1:{port}"), PATIENT_S, ending="\n", probe=probe)


async def test_a_connection_begins_with_the_probe_once() -> None:
    async with served(ScriptedPeer([PROBE, (b"a\n", b""), (b"b?\n", b"2\n"), PROBE])) as (port,):
        line = line_to(port)
        await line.write("a")
        assert await line.query("b?") == "2"
        assert await line.query("who?") == "me 42"
        await line.close()
    assert not line.is_open


async def test_without_a_probe_nothing_is_asked_first() -> None:
    async with served(ScriptedPeer([(b"b?\n", b"me 42\n")])) as (port,):
        line = line_to(port, probe=None)
        assert await line.query("b?") == "me 42"
        await line.close()


async def test_a_late_answer_over_a_new_connection_is_old() -> None:
    peer = ScriptedPeer([PROBE, (b"a?\n", b"")], [(b"who?\n", b"rest\n1\nme 42\n"), (b"b?\n", b"2\n")])
    async with served(peer) as (port,):
        line = line_to(port)
        await line.open()
        with in_a_hurry(line), pytest.raises(DeadlineError, match=r"unit .*a\?.*was not answered"):
            await line.query("a?")
        assert await line.query("b?") == "2"
        await line.close()


async def test_a_late_answer_to_the_probe_itself_does_no_harm() -> None:
    peer = ScriptedPeer([(b"who?\n", b"")], [PROBE, (b"b?\n", b"me 42\n2\n"), (b"c?\n", b"3\n")])
    async with served(peer) as (port,):
        line = line_to(port)
        await line.open()
        with in_a_hurry(line), pytest.raises(DeadlineError, match="unit"):
            await line.query("a?")
        assert await line.query("b?") == "2"
        assert await line.query("c?") == "3"
        await line.close()
