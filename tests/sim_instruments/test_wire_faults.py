"""Faults on the way of an answer: what leaves, in which order, and what comes back under the same path."""

import asyncio
import os

import pytest

from sim_instruments.wire.delivery import Delivery
from sim_instruments.wire.faults import Faults
from sim_instruments.wire.pty import SerialLine


class Client:
    """What arrived, in pieces as they arrived."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.news = asyncio.Event()

    def take(self, data: bytes) -> None:
        self.pieces.append(data)
        self.news.set()

    @property
    def all(self) -> bytes:
        return b"".join(self.pieces)

    async def wait_for(self, size: int) -> None:
        async with asyncio.timeout(5):
            while len(self.all) < size:
                self.news.clear()
                await self.news.wait()


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def delivery(client: Client, faults: Faults) -> Delivery:
    return Delivery(faults, client.take)


def test_without_faults_bytes_leave_at_once(delivery: Delivery, client: Client) -> None:
    delivery.send(b"42\r\n")
    assert client.pieces == [b"42\r\n"]


def test_a_late_answer_leaves_before_the_next_one(delivery: Delivery, client: Client, faults: Faults) -> None:
    faults.late = 1
    delivery.send(b"first\n")
    assert client.pieces == []
    delivery.send(b"second\n")
    assert client.all == b"first\nsecond\n"


async def test_latency_and_jitter_keep_the_order(delivery: Delivery, client: Client, faults: Faults) -> None:
    faults.latency_s, faults.jitter_s = 1e-3, 5e-3
    answers = [f"{number}\n".encode() for number in range(50)]
    for answer in answers:
        delivery.send(answer)
    assert client.pieces == []
    faults.latency_s = faults.jitter_s = 0.0
    delivery.send(b"end")  # must not overtake
    await client.wait_for(len(b"".join(answers)) + 3)
    assert client.pieces == [*answers, b"end"]


async def test_answers_come_in_pieces(delivery: Delivery, client: Client, faults: Faults) -> None:
    faults.piece_bytes = 3
    delivery.send(b"abcdefgh")
    await client.wait_for(8)
    assert client.pieces == [b"abc", b"def", b"gh"]


def test_bytes_are_lost_and_garbled_with_their_probabilities(
    delivery: Delivery, client: Client, faults: Faults
) -> None:
    faults.lost = 0.25
    delivery.send(b"x" * 10_000)
    # Binomial with standard deviation 43: six of them happen by chance once in 5e8 seeds; the seed is fixed.
    assert abs(len(client.all) - 7500) < 6 * 43.3
    faults.lost, faults.garbled = 0.0, 0.25
    client.pieces.clear()
    delivery.send(b"x" * 10_000)
    assert len(client.all) == 10_000
    assert abs(client.all.count(b"x") - 7500) < 6 * 43.3


def test_something_unasked_comes_before_the_answer(
    delivery: Delivery, client: Client, faults: Faults
) -> None:
    faults.unsolicited = b"EVENT 7\n"
    delivery.send(b"42\n")
    assert client.all == b"EVENT 7\n42\n"


def test_own_errors_are_counted_down(faults: Faults) -> None:
    faults.own_errors = 2
    assert [faults.take_own_error() for _ in range(4)] == [True, True, False, False]


async def test_a_serial_line_that_hangs_up_comes_back_under_its_path() -> None:
    heard: list[bytes] = []
    line = SerialLine(Faults(), heard.append)
    path = line.open()
    client = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    line.hang_up()
    with pytest.raises(OSError, match="Input/output"):
        os.write(client, b"x")
    os.close(client)
    client = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    line.send(b"back")
    assert os.read(client, 10) == b"back"
    os.close(client)
    line.close()
    line.close()
    with pytest.raises(FileNotFoundError):
        os.open(path, os.O_RDWR)
