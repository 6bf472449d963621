"""The TCP server under simulated instruments: many clients, rude clients, stop and start again."""

import asyncio
import socket

import pytest

from sim_instruments.wire import tcp
from sim_instruments.wire.faults import Faults
from sim_instruments.wire.tcp import Line, Lines, TcpServer


class Echo:
    def __init__(self, line: Line) -> None:
        self.line = line

    def received(self, data: bytes) -> None:
        self.line.send(data.upper())


async def close(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.transport.abort()
    await asyncio.gather(*(w.wait_closed() for w in writers), return_exceptions=True)


async def test_clients_are_served_side_by_side_and_forgotten() -> None:
    server = TcpServer(Faults(), Echo)
    port = await server.start()
    clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    for i, (_, writer) in enumerate(clients):
        writer.write(f"hello {i}".encode())
    for i, (reader, _) in enumerate(clients):
        assert await asyncio.wait_for(reader.readexactly(7), 5) == f"HELLO {i}".encode()
    assert len(server.dialects) == 5
    # One says goodbye: when the server has closed too, it has forgotten it.
    clients[0][1].write_eof()
    assert await asyncio.wait_for(clients[0][0].read(), 5) == b""
    server.send_all(b"news")
    for reader, _ in clients[1:]:
        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"news"
    assert len(server.dialects) == 4
    await server.stop()
    await server.stop()
    assert server.dialects == ()
    for reader, _ in clients:
        assert await asyncio.wait_for(reader.read(), 5) == b""
    await close(*(w for _, w in clients))


async def test_it_returns_to_its_port_after_a_power_cycle() -> None:
    server = TcpServer(Faults(), Echo)
    port = await server.start()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    assert await server.start() == port
    reader, again = await asyncio.open_connection("127.0.0.1", port)
    again.write(b"x")
    assert await asyncio.wait_for(reader.readexactly(1), 5) == b"X"
    await server.stop()
    await close(writer, again)


async def test_stop_right_after_a_connection_leaves_nothing_open() -> None:
    server = TcpServer(Faults(), Echo)
    port = await server.start()
    with socket.create_connection(("127.0.0.1", port)) as client:
        await server.stop()
        client.settimeout(5)
        try:
            end = client.recv(1)
        except ConnectionResetError:  # it was never accepted
            end = b""
        assert end == b""


async def test_answers_leave_without_delay() -> None:
    options = []

    class Peek(Echo):
        def __init__(self, line: Line) -> None:
            super().__init__(line)
            peer = line._transport.get_extra_info("socket")
            options.append(peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    server = TcpServer(Faults(), Peek)
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start())
    writer.write(b"x")
    await asyncio.wait_for(reader.readexactly(1), 5)
    assert options
    assert options[0] != 0
    await server.stop()
    await close(writer)


async def test_flush_waits_for_a_slow_reader_and_drops_a_dead_one(monkeypatch: pytest.MonkeyPatch) -> None:
    server = TcpServer(Faults(), Echo)
    port = await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x")
    await reader.readexactly(1)
    much = 32 << 20  # beyond what the loopback's buffers take
    server.send_all(bytes(much))
    flushing = asyncio.create_task(server.flush())
    assert len(await asyncio.wait_for(reader.readexactly(much), 20)) == much
    await flushing
    assert len(server.dialects) == 1
    monkeypatch.setattr(tcp, "PATIENCE_S", 0.05)
    server.send_all(bytes(much))
    await server.flush()
    await server.stop()  # returns only when the dead client is gone
    assert server.dialects == ()
    await close(writer)


def test_lines_are_cut_wherever_the_bytes_are() -> None:
    stream = b"one\r\ntwo\n\nthree\nrest"
    for step in range(1, len(stream) + 1):
        lines = Lines()
        got = [line for i in range(0, len(stream), step) for line in lines.feed(stream[i : i + step])]
        assert got == [b"one", b"two", b"", b"three"]


def test_a_line_without_end_costs_no_memory() -> None:
    lines = Lines()
    for _ in range(10):
        assert lines.feed(b"x" * tcp.LONGEST_REQUEST) == []
    (line,) = lines.feed(b"\n")
    assert len(line) == tcp.LONGEST_REQUEST
