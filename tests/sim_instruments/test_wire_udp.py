"""Datagrams over the simulated wire: what the faults mean for them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sim_instruments.wire.faults import Faults
from sim_instruments.wire.udp import MOST_PEERS, UdpServer


class Client(asyncio.DatagramProtocol):
    """What arrived, datagram by datagram."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.heard.put_nowait(data)

    async def hears(self, *expected: bytes) -> None:
        for datagram in expected:
            assert await asyncio.wait_for(self.heard.get(), 5) == datagram


class Bench:
    """A server that answers with the request in capitals, and nothing to `quiet`."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.server = UdpServer(self.faults, lambda data: None if data == b"quiet" else data.upper())
        self.clients: list[asyncio.DatagramTransport] = []

    async def client(self) -> tuple[asyncio.DatagramTransport, Client]:
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_datagram_endpoint(
            Client, remote_addr=("127.0.0.1", self.server.port)
        )
        self.clients.append(transport)
        return transport, client


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.server.start()
    yield bench
    for transport in bench.clients:
        transport.close()
    await bench.server.stop()
    await bench.server.stop()


async def test_each_client_hears_its_own_answers(bench: Bench) -> None:
    (say, client), (say_too, other) = await bench.client(), await bench.client()
    say.sendto(b"quiet")
    say.sendto(b"one")
    say_too.sendto(b"two")
    await client.hears(b"ONE")
    await other.hears(b"TWO")


async def test_the_port_stays_after_a_stop(bench: Bench) -> None:
    port = bench.server.port
    await bench.server.stop()
    assert await bench.server.start() == port


async def test_late_and_unsolicited_are_datagrams_of_their_own(bench: Bench) -> None:
    say, client = await bench.client()
    bench.faults.late, bench.faults.unsolicited, bench.faults.piece_bytes = 1, b"trap", 1
    say.sendto(b"one")
    say.sendto(b"two")
    await client.hears(b"ONE", b"trap", b"TWO")


async def test_silence_swallows_requests(bench: Bench) -> None:
    say, client = await bench.client()
    bench.faults.silent = True
    say.sendto(b"one")
    for _ in range(20):  # the datagram is on this machine: so many turns are plenty
        await asyncio.sleep(0)
    bench.faults.silent = False
    say.sendto(b"two")
    await client.hears(b"TWO")


async def test_latency_and_jitter_keep_the_order(bench: Bench) -> None:
    say, client = await bench.client()
    bench.faults.latency_s, bench.faults.jitter_s = 1e-3, 5e-3
    for n in range(20):
        say.sendto(f"a{n}".encode())
    await client.hears(*(f"A{n}".encode() for n in range(20)))


async def test_bytes_are_lost_or_garbled_in_whole_datagrams(bench: Bench) -> None:
    say, client = await bench.client()
    bench.faults.lost = 0.25
    say.sendto(b"x" * 1000)
    # Binomial with standard deviation 14: six of them happen by chance once in 5e8 seeds; the seed is fixed.
    assert abs(len(await asyncio.wait_for(client.heard.get(), 5)) - 750) < 6 * 13.7
    bench.faults.lost, bench.faults.garbled = 0.0, 1.0
    say.sendto(b"x" * 1000)
    garbled = await asyncio.wait_for(client.heard.get(), 5)
    assert len(garbled) == 1000
    assert b"X" not in garbled


async def test_a_power_cycle_forgets_what_is_on_its_way(bench: Bench) -> None:
    say, client = await bench.client()
    bench.faults.late = 1
    say.sendto(b"one")
    for _ in range(20):
        await asyncio.sleep(0)
    bench.server.forget()
    say.sendto(b"two")
    await client.hears(b"TWO")


async def test_only_so_many_clients_are_remembered(bench: Bench) -> None:
    for _ in range(MOST_PEERS + 6):
        say, client = await bench.client()
        say.sendto(b"one")
        await client.hears(b"ONE")
    assert len(bench.server._peers) == MOST_PEERS
