"""How fast the tag engine is on one core, beside what labs use now and beside plain C.

Ours takes the stream in blocks of a million tags, as it comes from a tagger or a file; the others have all of
it at once. All take the same stream of eight channels with the same delays, and what each counts is checked
against ours before any time is taken; one that counts something else is named apart and never the "best".
The peers are installed into an environment of their own at first use; one that cannot be is named. Times are
those that a core has worked, so that what else the machine does at the same time counts little.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks import memory, numpy_ways, our_ways
from benchmarks.c_ways import PlainC
from benchmarks.cores import cores
from benchmarks.figure import Figure, interleaved
from benchmarks.peers.correlations import NEAREST_ONLY, WAYS, Task
from benchmarks.peers.process import Peer, PeerError, set_up
from benchmarks.peers.ptu_readers import READERS
from benchmarks.work import BIN_PS, BINS, DELAYS_PS, FIRST, RANGE_PS, SECOND, Array, Stream, draw
from timetags.files.opening import open_tags

# The part of the stream that a long file repeats.
UNIT = 10_000_000
# Ways that take seconds for what others do in milliseconds work on the beginning of the stream.
SLOW, SLOW_SIZE = ("pycorrelate",), 1_000_000
TASK = Task(FIRST, SECOND, DELAYS_PS[FIRST], DELAYS_PS[SECOND], RANGE_PS[0], BIN_PS, BINS)

Say = Callable[[str], None]
Counts = Array | Sequence[Any]


@dataclass(frozen=True)
class Way:
    """Something to measure: `run` does it and gives what it has counted, or, for a peer, the seconds of a
    core that it took. `mtags` is what it works on."""

    name: str
    run: Callable[[], Any]
    mtags: float
    of_peer: bool = False

    def seconds(self) -> float:
        """Do it once; what it took of a core's time."""
        begun = process_time()
        answer = self.run()
        return float(answer) if self.of_peer else process_time() - begun


def figures(size: int, memory_size: int, say: Say) -> Iterator[Figure]:
    """`timetags.<work>.vs_<whom>` on `size` tags, and what stands beside them; `say` tells of waits."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        missing = set_up(say)
        say(f"drawing {size:,} tags")
        stream = draw(size)
        with cores(1):
            peers = stack.enter_context(_Peers(folder, missing))
            c = _plain_c(folder, say)
            say("correlation of one pair")
            yield from _correlation(stream, peers, c, folder)
            say("heralded four-folds")
            yield from _fourfold(stream, c)
            say("all pairs")
            yield from _all_pairs(stream, c)
            say("reading of PTU files")
            yield from _ptu_read(stream, peers, folder, say)
        say("two cores, memory")
        yield from _two_cores(stream)
        yield _memory_bandwidth()
        yield _memory(stream, memory_size, folder, say)


def _plain_c(folder: Path, say: Say) -> PlainC | None:
    try:
        return PlainC(folder)
    except FileNotFoundError:
        say("there is no gcc here: nothing is compared with plain C")
        return None


def _correlation(stream: Stream, peers: "_Peers", c: PlainC | None, folder: Path) -> Iterator[Figure]:
    blocks = our_ways.cut(stream)
    ours = our_ways.correlation(blocks)
    ways = [
        Way("ours", partial(our_ways.correlation, blocks), stream.mtags),
        Way("numpy searchsorted", partial(numpy_ways.correlation, stream), stream.mtags),
    ]
    _same(numpy_ways.correlation(stream), ours, "numpy")
    if c is not None:
        ways.append(Way("C", partial(c.correlation, stream), stream.mtags))
        _same(c.correlation(stream), ours, "C")
    absent = {}
    for name in WAYS:
        part = Stream(stream.times[:SLOW_SIZE], stream.channels[:SLOW_SIZE]) if name in SLOW else stream
        try:
            peer = peers.start(name)
            peer.ask(prepare=name, **_saved(part, folder), task=asdict(TASK), folder=str(folder))
            peer.ask(correlate=name)
            if name != NEAREST_ONLY:
                same_count = our_ways.correlation_in_steps if name == "tttrlib" else our_ways.correlation
                _same(peer.made(), [same_count(our_ways.cut(part))], name)
            ways.append(Way(name, partial(peer.ask, correlate=name), part.mtags, of_peer=True))
        except (PeerError, _DifferentError) as error:
            absent[name] = str(error)
    rates = _rates(ways)
    yield _against_best(
        "timetags.correlation.vs_best_peer",
        rates,
        absent,
        note="eight channels in one stream, of which each takes out two; +-100 ns, bins of 100 ps",
    )
    if c is not None:
        yield _against("timetags.correlation.vs_c", rates, "C")


def _fourfold(stream: Stream, c: PlainC | None) -> Iterator[Figure]:
    blocks = our_ways.cut(stream)
    ours = our_ways.fourfolds(blocks)
    ways = [
        Way("ours", partial(our_ways.fourfolds, blocks), stream.mtags),
        Way("numpy searchsorted", partial(numpy_ways.fourfolds, stream), stream.mtags),
    ]
    if c is not None:
        ways.append(Way("C", partial(c.fourfolds, stream), stream.mtags))
    for way in ways[1:]:
        _same(way.run(), ours, way.name)
    rates = _rates(ways)
    note = f"{ours[0].sum():,} heralds, {ours[1].sum():,} four-folds"
    yield _against("timetags.fourfold.vs_numpy", rates, "numpy searchsorted", note)
    if c is not None:
        yield _against("timetags.fourfold.vs_c", rates, "C")


def _all_pairs(stream: Stream, c: PlainC | None) -> Iterator[Figure]:
    blocks = our_ways.cut(stream)
    ours = our_ways.all_pairs(blocks)
    ways = [
        Way("ours", partial(our_ways.all_pairs, blocks), stream.mtags),
        Way("numpy searchsorted", partial(numpy_ways.all_pairs, stream), stream.mtags),
        Way("numpy by neighbours", partial(numpy_ways.all_pairs_by_neighbours, stream), stream.mtags),
    ]
    if c is not None:
        ways.append(Way("C", partial(c.all_pairs, stream), stream.mtags))
    for way in ways[1:]:
        _same(way.run(), ours, way.name)
    rates = _rates(ways, rounds=3)
    yield _against("timetags.allpairs.vs_numpy", rates, "numpy searchsorted", f"{ours.sum():,} pairs")
    if c is not None:
        yield _against("timetags.allpairs.vs_c", rates, "C")


def _ptu_read(stream: Stream, peers: "_Peers", folder: Path, say: Say) -> Iterator[Figure]:
    path = folder / "tags.ptu"
    memory.write_long(path, Stream(stream.times, stream.channels + np.uint8(1)), len(stream))
    blocks = list(open_tags(path))
    times = np.concatenate([block.times for block in blocks])
    channels = np.concatenate([block.channels for block in blocks])
    _same((times, channels), (stream.times, stream.channels + 1), "ours")
    ways, absent = [Way("ours", partial(_read, path), stream.mtags)], {}
    for name in READERS:
        try:
            peer = peers.start(name)
            peer.ask(read=name, path=str(path))
            peer_times, peer_channels = peer.made()
            # What a peer calls the first input differs: 0 or 1.
            _same((peer_times, peer_channels - peer_channels.min()), (times, channels - channels.min()), name)
            ways.append(Way(name, partial(peer.ask, read=name, path=str(path)), stream.mtags, of_peer=True))
        except (PeerError, _DifferentError) as error:
            absent[name] = str(error)
    if len(ways) == 1:
        say(f"nothing reads PTU files here but ours ({absent})")
        return
    yield _against_best("timetags.ptu_read.vs_best_peer", _rates(ways), absent, note="T2, 32-bit records")


def _read(path: Path) -> int:
    return sum(len(block) for block in open_tags(path))


def _two_cores(stream: Stream) -> Iterator[Figure]:
    blocks = our_ways.cut(stream)
    load = _load()
    with cores(2) as number:
        if number < 2:
            return
        one, two = interleaved([partial(our_ways.two_correlations, blocks, threads) for threads in (1, 2)])
    yield Figure(
        "timetags.two_cores",
        one / two,
        f"two correlations in one pass: {stream.mtags / one:.0f} Mtags/s on one thread, "
        f"{stream.mtags / two:.0f} on two; {load:.1f} threads ran or waited before",
    )


def _load() -> float:
    """How many threads ran or waited for a core over the last minute; 0 where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _memory_bandwidth() -> Figure:
    # Larger than any cache.
    numbers = np.ones(100_000_000, np.int64)
    with cores(1):
        (taken,) = interleaved([numbers.sum])
    rate = len(numbers) / taken
    return Figure(
        "timetags.memory_bandwidth",
        numbers.nbytes / taken * 1e-9,
        f"GB/s of one core that reads: {rate * 1e-6:.0f} Mtags/s is the limit for 8 bytes a tag, "
        f"{rate * 8 / 9 * 1e-6:.0f} with the channels",
    )


def _memory(stream: Stream, tags: int, folder: Path, say: Say) -> Figure:
    say(f"writing a file of {tags:,} tags, and analysing it")
    path = folder / "long.ptu"
    part = Stream(stream.times[:UNIT], stream.channels[:UNIT] + np.uint8(1))
    memory.write_long(path, part, tags)
    peak = memory.peak_mb(path)
    return Figure(
        "timetags.memory_mb",
        peak,
        f"MB at most: singles, correlation, all pairs and four-folds of a PTU file of {tags:,} tags "
        f"({path.stat().st_size * 1e-9:.1f} GB)",
    )


class _Peers:
    """The workers that are running; `missing` says why a package could not be installed."""

    def __init__(self, folder: Path, missing: dict[str, str]) -> None:
        self._folder, self._missing = folder, missing
        self._running: list[Peer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for peer in self._running:
            peer.close()

    def start(self, name: str) -> Peer:
        """A worker for a peer, by the name of its package and what else is said of it after a comma."""
        package = name.partition(",")[0].lower()
        if package in self._missing:
            raise PeerError(f"could not be installed: {self._missing[package]}")
        self._running.append(Peer(self._folder))
        return self._running[-1]


class _DifferentError(Exception):
    """A way does not count what ours does."""


def _same(theirs: Counts, ours: Counts, name: str) -> None:
    if len(theirs) != len(ours) or not all(
        np.array_equal(one, other) for one, other in zip(theirs, ours, strict=True)
    ):
        raise _DifferentError(f"{name} counts differently")


def _saved(stream: Stream, folder: Path) -> dict[str, str]:
    paths = {}
    for name, array in (("times", stream.times), ("channels", stream.channels)):
        path = folder / f"{name}-{len(stream)}.npy"
        if not path.exists():
            np.save(path, array)
        paths[name] = str(path)
    return paths


def _rates(ways: Sequence[Way], rounds: int = 5) -> dict[str, float]:
    """Mtags/s of each: the median of so many rounds, in each of which all run once. A first one, in which
    kernels are loaded and memory is touched, does not count."""
    taken = np.array([[way.seconds() for way in ways] for _ in range(rounds + 1)])
    seconds = np.median(taken[1:], axis=0)
    return {way.name: way.mtags / float(s) for way, s in zip(ways, seconds, strict=True)}


def _against(name: str, rates: dict[str, float], whom: str, note: str = "") -> Figure:
    return Figure(name, rates["ours"] / rates[whom], _told(rates, note))


def _against_best(name: str, rates: dict[str, float], absent: dict[str, str], note: str) -> Figure:
    """Against the fastest of those that do the same work; plain C is nobody's tool."""
    peers = {peer: rate for peer, rate in rates.items() if peer not in ("ours", "C", NEAREST_ONLY)}
    best = max(peers, key=peers.__getitem__)
    text = f"{_told(rates, note)}; the best peer is {best}"
    if absent:
        text += "; not compared: " + "; ".join(f"{peer} ({reason})" for peer, reason in absent.items())
    return Figure(name, rates["ours"] / rates[best], text)


def _told(rates: dict[str, float], note: str) -> str:
    fastest_first = sorted(rates.items(), key=lambda pair: -pair[1])
    told = "Mtags/s: " + ", ".join(f"{name} {rate:.3g}" for name, rate in fastest_first)
    return f"{told} ({note})" if note else told
