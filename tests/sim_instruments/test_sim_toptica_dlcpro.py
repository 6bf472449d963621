"""The simulated DLC pro, spoken to as bytes on sockets. Expected bytes are those of toptica_dlcpro.md."""

import asyncio
import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.lasers.dlcpro_parameters import PARAMETERS
from sim_instruments.lasers.toptica_dlcpro import SimTopticaDlcPro
from sim_instruments.ports import LaserPort
from tests.sim_instruments.raw_client import RawClient

GREETING_END = b"DeCoF Command Line\r\n> "
PROMPT = b"\n> "


class Client(RawClient):
    """Reads in the two ways that the two lines need: up to the prompt, and line by line."""

    async def ask(self, request: str) -> bytes:
        """The answer up to and with the prompt."""
        self.send(request.encode() + b"\n")
        return await self.until(PROMPT)

    async def line(self) -> bytes:
        return await self.until(b"\r\n")


@asynccontextmanager
async def command_line(port: int) -> AsyncIterator[Client]:
    async with Client.at(port) as client:
        await client.until(GREETING_END)
        yield client


class Bench:
    """One laser with a threshold of 60 mA, 0.8 W/A and at most 60 mW."""

    def __init__(self) -> None:
        self.port = LaserPort()
        self.laser = SimTopticaDlcPro(
            "pump",
            np.random.default_rng(1),
            self.port,
            threshold_a=60e-3,
            slope_w_per_a=0.8,
            max_power_w=60e-3,
        )

    async def __aenter__(self) -> "Bench":
        match = re.fullmatch(r"tcp://127\.0\.0\.1:(\d+)\?monitor=(\d+)", await self.laser.start())
        assert match is not None
        self.command, self.monitor = int(match[1]), int(match[2])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.laser.stop()


async def test_the_exchange_of_the_notes() -> None:
    async with Bench() as bench, Client.at(bench.command) as client:
        greeting = await client.until(GREETING_END)
        assert greeting.startswith(b"\r\nWelcome to ")
        assert re.fullmatch(rb'"DLC PRO_\d{6}"\n> ', await client.ask("(param-ref 'serial-number)"))
        assert await client.ask("(param-set! 'laser1:dl:cc:current-set 95.5)") == b"0\n> "
        assert await client.ask("(param-ref 'laser1:dl:cc:current-set)") == b"95.500000\n> "
        assert await client.ask("(param-gsv 'laser1:dl:cc:current-set)") == b"95.500000\n> "
        assert await client.ask("(param-set! 'laser1:dl:cc:current-set 999.0)") == b"-11\n> "
        assert await client.ask("(param-ref 'laser1:dl:cc:current-set)") == b"95.500000\n> "
        assert (await client.ask("(param-ref 'nosuch)")).startswith(b"Error: -2 ")


async def test_every_parameter_reads_with_its_type() -> None:
    shapes = {
        bool: rb"#[tf]",
        int: rb"-?\d+",
        float: rb"-?\d+\.\d{6}",
        str: rb'"[^"]*"',
    }
    async with Bench() as bench, command_line(bench.command) as client:
        for name, parameter in PARAMETERS.items():
            assert re.fullmatch(shapes[parameter.kind] + PROMPT, await client.ask(f"(param-ref '{name})")), (
                name
            )


async def test_light_follows_current_and_switch_at_once() -> None:
    async with Bench() as bench, command_line(bench.command) as client:
        assert await client.ask("(param-ref 'laser1:dl:cc:enabled)") == b"#f\n> "
        await client.ask("(param-set! 'laser1:dl:cc:current-set 85.0)")
        assert bench.port.power_w == 0.0
        await client.ask("(param-set! 'laser1:dl:cc:enabled #t)")
        assert bench.port.power_w == pytest.approx(20e-3)  # 0.8 W/A x 25 mA
        for name in ("emission", "laser1:emission", "laser1:dl:cc:emission"):
            assert await client.ask(f"(param-ref '{name})") == b"#t\n> "
        assert await client.ask("(param-ref 'laser1:dl:cc:current-act)") == b"85.000000\n> "
        await client.ask("(param-set! 'laser1:dl:cc:current-set 59.9)")
        assert bench.port.power_w == 0.0
        assert await client.ask("(param-ref 'emission)") == b"#f\n> "
        await client.ask("(param-set! 'laser1:dl:cc:current-set 135.0)")  # the clip: 60 mA + 60 mW / 0.8 W/A
        assert bench.port.power_w == pytest.approx(60e-3)
        assert await client.ask("(param-set! 'laser1:dl:cc:current-set 135.001)") == b"-11\n> "
        await client.ask("(param-set! 'laser1:dl:cc:current-clip 110.0)")
        assert bench.port.power_w == pytest.approx(40e-3)
        await client.ask("(param-set! 'laser1:dl:cc:enabled #f)")
        assert bench.port.power_w == 0.0


@pytest.mark.parametrize(
    ("ends", "name", "restore"),
    [
        ("open_interlock", "interlock-open", "close_interlock"),
        ("lock_key", "frontkey-locked", "unlock_key"),
        ("press_emission_button", "emission-button-enabled", "press_emission_button"),
    ],
)
async def test_a_safety_condition_forces_emission_off_and_says_so(ends: str, name: str, restore: str) -> None:
    async with Bench() as bench, command_line(bench.command) as client, Client.at(bench.monitor) as watcher:
        await client.ask("(param-set! 'laser1:dl:cc:current-set 85.0)")
        await client.ask("(param-set! 'laser1:dl:cc:enabled #t)")
        watcher.send(f"(add 'emission)\n(add '{name})\n".encode())
        assert (await watcher.line()).endswith(b" 'emission #t)\r\n")
        before = (await watcher.line()).split()[-1]
        getattr(bench.laser, ends)()
        assert bench.port.power_w == 0.0
        assert (await watcher.line()) == b"(2026-01-31T12:00:00.000Z 'emission #f)\r\n"
        changed = await watcher.line()
        assert f" '{name} ".encode() in changed
        assert changed.split()[-1] != before
        assert await client.ask("(param-ref 'laser1:dl:cc:forced-off)") == b"#t\n> "
        # It does not come back by itself, nor while the condition holds.
        await client.ask("(param-set! 'laser1:dl:cc:enabled #t)")
        assert bench.port.power_w == 0.0
        getattr(bench.laser, restore)()
        assert bench.port.power_w == 0.0
        await client.ask("(param-set! 'laser1:dl:cc:enabled #t)")
        assert bench.port.power_w == pytest.approx(20e-3)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("(param-set! 'emission #t)", b"-3\n> "),  # read-only
        ("(param-set! 'laser1:dl:cc:current-set 95)", b"-4\n> "),  # reals always have a dot
        ("(param-set! 'laser1:dl:cc:enabled 1)", b"-4\n> "),
        ("(param-set! 'laser1:dl:cc:current-set -0.1)", b"-11\n> "),
        ("(param-set! 'laser1:dl:cc:current-set 1e999)", b"-11\n> "),
        ("(param-set! 'nosuch 1)", b"-2\n> "),
        (r"""(param-set! 'laser1:label "a \"b\" \\ c")""", b"0\n> "),
        ("(exec 'nosuch 1)", b"Error: -2 command 'nosuch' not found\n> "),
        ("(param-ref serial-number)", b"Error: -1 syntax error\n> "),
        ("hello", b"Error: -1 syntax error\n> "),
        ("", b"Error: -1 syntax error\n> "),
    ],
)
async def test_what_is_refused_and_what_is_not(request_: str, answer: bytes) -> None:
    async with Bench() as bench, command_line(bench.command) as client:
        assert await client.ask(request_) == answer


async def test_strings_keep_quotes_and_backslashes() -> None:
    async with Bench() as bench, command_line(bench.command) as client:
        await client.ask(r"""(param-set! 'laser1:label "a \"b\" \\ c")""")
        assert await client.ask("(param-ref 'laser1:label)") == rb'"a \"b\" \\ c"' + PROMPT


async def test_user_levels_belong_to_the_session() -> None:
    write = "(param-set! 'laser1:dl:cc:voltage-clip 3.5)"
    async with Bench() as bench, command_line(bench.command) as one, command_line(bench.command) as two:
        assert await one.ask("(param-ref 'ul)") == b"3\n> "
        assert await one.ask(write) == b"-3\n> "
        assert await one.ask("""(exec 'change-ul 2 "wrong")""") == b"3\n> "
        assert await one.ask("""(exec 'change-ul 2 "CAUTION")""") == b"2\n> "
        assert await one.ask(write) == b"0\n> "
        assert await two.ask("(param-ref 'ul)") == b"3\n> "
        assert await two.ask(write) == b"-3\n> "
        assert await two.ask("(exec 'change-ul 4)") == b"4\n> "
        assert await two.ask("(param-set! 'laser1:dl:cc:enabled #t)") == b"-3\n> "


async def test_display_lists_a_subtree() -> None:
    async with Bench() as bench, command_line(bench.command) as client:
        lines = (await client.ask("(param-disp 'laser1:dl:tc)")).splitlines()
        assert b"laser1:dl:tc:temp-set = 25.000000" in lines
        assert all(line.startswith(b"laser1:dl:tc:") for line in lines[:-1])


async def test_temperature_lags_and_is_watched_no_faster_than_asked() -> None:
    async with Bench() as bench, command_line(bench.command) as client, Client.at(bench.monitor) as watcher:
        watcher.send(b"(add 'laser1:dl:tc:temp-act 200)\n")
        assert await watcher.line() == b"(2026-01-31T12:00:00.000Z 'laser1:dl:tc:temp-act 25.000000)\r\n"
        await client.ask("(param-set! 'laser1:dl:tc:temp-set 26.0)")
        assert await client.ask("(param-ref 'laser1:dl:tc:ready)") == b"#f\n> "
        for _ in range(5):
            bench.laser.advance(0.1)
        pushed = [await watcher.line(), await watcher.line()]
        assert [p[1:25] for p in pushed] == [b"2026-01-31T12:00:00.200Z", b"2026-01-31T12:00:00.400Z"]
        rise = 1 - math.exp(-0.2 / 5.0)  # the lag that dlcpro_device.TEMPERATURE_LAG_S states
        assert float(pushed[0].split()[-1][:-1]) == pytest.approx(25 + rise, abs=1e-5)
        watcher.send(b"(remove 'laser1:dl:tc:temp-act)\n(add 'uptime)\n")
        assert (await watcher.line()).endswith(b" 'uptime 0)\r\n")
        bench.laser.advance(60.0)
        assert await watcher.line() == b"(2026-01-31T12:01:00.500Z 'uptime 60)\r\n"
        assert await client.ask("(param-ref 'laser1:dl:tc:ready)") == b"#t\n> "


async def test_a_threshold_holds_small_changes_back() -> None:
    async with Bench() as bench, command_line(bench.command) as client, Client.at(bench.monitor) as watcher:
        watcher.send(b"(add 'laser1:dl:cc:current-set 0 1.0)\n")
        assert (await watcher.line()).endswith(b"60.000000)\r\n")
        for current in ("60.5", "60.9", "61.5"):
            await client.ask(f"(param-set! 'laser1:dl:cc:current-set {current})")
        assert (await watcher.line()).endswith(b"61.500000)\r\n")


async def test_errors_of_the_monitoring_line() -> None:
    async with Bench() as bench, Client.at(bench.monitor) as watcher:
        watcher.send(b"(add 'nosuch)\n")
        assert (await watcher.line()).startswith(b"(Error: -2 (2026-01-31T12:00:00.000Z 'nosuch) ")


async def test_silence_swallows_requests_without_effect() -> None:
    async with Bench() as bench, command_line(bench.command) as client, Client.at(bench.monitor) as watcher:
        await client.ask("(param-set! 'laser1:dl:cc:current-set 85.0)")
        watcher.send(b"(add 'uptime)\n")
        await watcher.line()
        bench.laser.faults.silent = True
        assert await client.last_words(b"(param-set! 'laser1:dl:cc:enabled #t)\n") == b""
        bench.laser.advance(2.0)
        assert await watcher.last_words(b"") == b""
        assert bench.port.power_w == 0.0
        async with Client.at(bench.command) as late:
            assert await late.last_words(b"(param-ref 'ul)\n") == b""


async def test_refused_connections_and_old_ones() -> None:
    async with Bench() as bench, command_line(bench.command) as old:
        bench.laser.faults.refuse = True
        async with Client.at(bench.command) as late:
            assert await late.rest() == b""
        assert await old.ask("(param-ref 'ul)") == b"3\n> "


NOISE = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet="()'\"\\#tf 0189.-+e:!&\r\nparm-setadclu", max_size=200).map(str.encode),
)


@settings(max_examples=60, deadline=None)
@given(noise=NOISE)
def test_any_bytes_leave_it_able_to_answer(noise: bytes) -> None:
    async def scenario() -> None:
        async with Bench() as bench:
            async with Client.at(bench.command) as client:
                await client.last_words(noise + b"\n")
            async with Client.at(bench.monitor) as client:
                await client.last_words(noise + b"\n")
            async with command_line(bench.command) as client:
                assert await client.ask("(param-ref 'system-type)") == b'"DLCpro"\n> '
            async with Client.at(bench.monitor) as client:
                client.send(b"(add 'fw-ver)\n")
                assert await client.line() == b'(2026-01-31T12:00:00.000Z \'fw-ver "3.3.3")\r\n'

    asyncio.run(scenario())


async def test_an_own_error_refuses_a_setting_which_has_no_effect() -> None:
    async with Bench() as bench, command_line(bench.command) as client:
        bench.laser.faults.own_errors = 1
        refused = await client.ask("(param-set! 'laser1:dl:cc:current-set 95.5)")
        assert int(refused.removesuffix(PROMPT)) < 0
        assert await client.ask("(param-set! 'laser1:dl:cc:current-clip 99.0)") == b"0" + PROMPT
        assert await client.ask("(param-ref 'laser1:dl:cc:current-set)") != b"95.500000" + PROMPT
