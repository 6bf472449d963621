"""The DataLinkTargetService of an ID900: text requests, JSON replies, acquisitions to files and streams.

Source: idq_id900.md, DataLink. An acquisition takes the tags of one RAW channel while a recording plays:
a file gets them appended, a stream gets them as ZMQ messages with an empty one after each
sub-acquisition. The service knows the one box it belongs to, whatever `--address` says.

A stream's port stays bound when its acquisition stops, but its reader is sent off, as if the service had
closed and bound it again: a reader of the next acquisition is never one that is about to leave.
A stream without a reader: after `start-stream` the first tags wait up to `FIRST_READER_S` for a reader
to connect; later, tags that nobody is there to read are dropped at once and counted as `RAWn:ERRORS?`.
"""

import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sim_instruments.time_taggers.idq_id900_model import RAWS
from sim_instruments.wire.faults import Faults
from sim_instruments.wire.zmq import PairStream

FIRST_READER_S = 5.0
"""Wall time: ZeroMQ connects in the background, so a client that has sent `start-stream` and `REC:PLAY`
may not be connected yet when the first tags are born."""

Words = NDArray[np.uint64]
"""Tags as they go out: u64 little endian, picoseconds since the sub-acquisition's start; with reference
index, rows of time and index."""


class RequestError(Exception):
    """A request that the service refuses; the text is the description in its reply."""


class Acquisition(ABC):
    """The tags of one channel on their way somewhere."""

    def __init__(self, channel: int, with_index: bool) -> None:
        self.channel = channel
        self.with_index = with_index
        self.acquisitions = 0
        self.timestamps = 0
        self.last_active_ps = 0
        self.errors: list[str] = []

    @abstractmethod
    async def ready(self) -> None:
        """Wait, at most for a while, until tags can be taken."""

    @abstractmethod
    def put(self, words: Words) -> bool:
        """Hand tags over without waiting; False if they are lost."""

    def end(self) -> None:
        """A sub-acquisition is over."""
        self.acquisitions += 1

    @abstractmethod
    async def drain(self) -> None:
        """Wait until a slow receiver has caught up."""

    @abstractmethod
    async def close(self) -> None:
        """Nothing comes any more."""


class FileAcquisition(Acquisition):
    """To a file: `bin` as the stream sends it, `ascii` one tag a line (invented: `time index` with an
    index). Sub-acquisitions follow each other without a mark."""

    def __init__(self, channel: int, with_index: bool, path: Path, text: bool) -> None:
        super().__init__(channel, with_index)
        self._text = text
        self._file: BinaryIO = path.open("wb")

    async def ready(self) -> None:
        pass  # a file always is, and `put` has written when it returns

    async def drain(self) -> None:
        pass

    def put(self, words: Words) -> bool:
        try:
            if self._text:
                rows = words.reshape(len(words), -1).tolist()
                self._file.write("".join(" ".join(map(str, row)) + "\n" for row in rows).encode())
            else:
                self._file.write(words.data)
            self._file.flush()
        except OSError as error:
            if not self.errors:
                self.errors.append(str(error))
            return False
        return True

    async def close(self) -> None:
        self._file.close()


class StreamAcquisition(Acquisition):
    """To whoever has connected to a PAIR stream."""

    def __init__(self, channel: int, with_index: bool, stream: PairStream) -> None:
        super().__init__(channel, with_index)
        self.stream = stream
        self._awaited = False

    async def ready(self) -> None:
        if not self._awaited:
            await self.stream.has_reader(FIRST_READER_S)
            self._awaited = True

    def put(self, words: Words) -> bool:
        return self.stream.write(words.reshape(-1).view(np.uint8).data)

    def end(self) -> None:
        super().end()
        self.stream.write(b"")

    async def drain(self) -> None:
        await self.stream.drain()

    async def close(self) -> None:
        self.stream.dismiss()


def parse_options(words: list[str], valued: set[str], flags: set[str]) -> dict[str, str]:
    """`--key value` and `--flag` words as a mapping."""
    options: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        key = word.removeprefix("--")
        if key == word or key not in valued | flags:
            raise RequestError(f"unknown argument {word}")
        value = next(rest, None) if key in valued else ""
        if value is None:
            raise RequestError(f"{word} needs a value")
        options[key] = value
    return options


def needed(options: dict[str, str], key: str) -> str:
    if key not in options:
        raise RequestError(f"--{key} is missing")
    return options[key]


def whole(options: dict[str, str], key: str, low: int, high: int) -> int:
    text = needed(options, key)
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not low <= int(text) <= high:
        raise RequestError(f"--{key} must be {low} to {high}, not {text}")
    return int(text)


class DataLink:
    """The service's requests. `streams` are those that stand already; one for another port is added when a
    request names it."""

    def __init__(self, faults: Faults, streams: list[PairStream], now_ps: Callable[[], int]) -> None:
        self._faults = faults
        self._streams = streams
        self._now_ps = now_ps
        self._started = 0
        self.acquisitions: dict[str, Acquisition] = {}
        self.table: dict[str, Callable[[list[str]], Awaitable[Any]]] = {
            "start-save": self._start_save,
            "start-stream": self._start_stream,
            "status": self._status,
            "stop": self._stop,
            "list": self._list,
        }

    async def answer(self, request: str) -> str:
        """The JSON reply to a request."""
        try:
            command, *words = shlex.split(request) or [""]
            if command not in self.table:
                raise RequestError(f"unknown command {command!r}")
            reply = await self.table[command](words)
        except (RequestError, OSError, ValueError) as error:  # ValueError: an open quote
            reply = {"error": {"description": str(error)}}
        return json.dumps(reply)

    async def close(self) -> None:
        """End all acquisitions and free all streams' ports."""
        while self.acquisitions:
            await self.acquisitions.popitem()[1].close()
        for stream in self._streams:
            await stream.close()

    def _begin(self, acquisition: Acquisition) -> dict[str, str]:
        self._started += 1
        acquisition.last_active_ps = self._now_ps()
        self.acquisitions[id_ := f"{self._started:08x}"] = acquisition
        return {"id": id_}

    async def _start_save(self, words: list[str]) -> dict[str, str]:
        options = parse_options(words, {"address", "channel", "filename", "format"}, {"with-ref-index"})
        needed(options, "address")
        channel = whole(options, "channel", 1, RAWS)
        if (form := needed(options, "format")) not in ("bin", "ascii"):
            raise RequestError(f"--format must be bin or ascii, not {form}")
        path = Path(needed(options, "filename"))
        return self._begin(FileAcquisition(channel, "with-ref-index" in options, path, form == "ascii"))

    async def _start_stream(self, words: list[str]) -> dict[str, str]:
        options = parse_options(words, {"address", "channel", "stream-port"}, {"with-ref-index"})
        needed(options, "address")
        channel = whole(options, "channel", 1, RAWS)
        port = whole(options, "stream-port", 1, 65535)
        running = [a for a in self.acquisitions.values() if isinstance(a, StreamAcquisition)]
        if any(acquisition.stream.port == port for acquisition in running):
            raise RequestError(f"port {port} is in use by another acquisition")
        stream = next((stream for stream in self._streams if stream.port == port), None)
        if stream is None:
            stream = PairStream(self._faults)
            await stream.open(port)
            self._streams.append(stream)
        return self._begin(StreamAcquisition(channel, "with-ref-index" in options, stream))

    def _find(self, words: list[str]) -> tuple[str, Acquisition]:
        id_ = needed(parse_options(words, {"id"}, set()), "id")
        if id_ not in self.acquisitions:
            raise RequestError(f"no acquisition {id_}")
        return id_, self.acquisitions[id_]

    async def _status(self, words: list[str]) -> dict[str, Any]:
        """Inactivity in seconds of the tagger's clock; `acquisitions_count` counts those that ended."""
        _, acquisition = self._find(words)
        return {
            "acquisitions_count": acquisition.acquisitions,
            "timestamps_count": acquisition.timestamps,
            "inactivity": (self._now_ps() - acquisition.last_active_ps) / 1e12,
            "errors": acquisition.errors,
        }

    async def _stop(self, words: list[str]) -> dict[str, Any]:
        id_, acquisition = self._find(words)
        status = await self._status(words)
        del self.acquisitions[id_]
        await acquisition.close()
        return {"status": status}

    async def _list(self, words: list[str]) -> list[str]:
        parse_options(words, set(), set())
        return list(self.acquisitions)
