"""The dashboard's server: one page, the files that it is made of, and the documents of a run as server-sent
events.

It listens on this machine alone, answers questions that were asked by its own name alone (so that a page from
elsewhere cannot reach it through a name of its own, "DNS rebinding"), and changes nothing: there is no
request that does anything. The page may load nothing but what comes from here.

`/documents` sends an event `run` first, which says what comes, then documents: each message is a JSON array
of lines of the journal, and its id `RUN:LINE:SECONDS` names the last of them. A browser that has lost the
connection sends that id when it comes back, to this server or to the next on the same port. `?speed=` and
`?at=` ask for a replay.
"""

import asyncio
import json
import math
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bellbench.dashboard.stream import TICK_S, Document, DocumentFile, Live, Replay, batches, end_of
from experiments.archive.finding import read_about
from experiments.archive.recovery import is_dead
from experiments.engine.documents import DOCUMENTS

STATIC = Path(__file__).with_name("static")
LOOPBACK = "127.0.0.1"
NAMES = frozenset({LOOPBACK, "localhost", "[::1]"})
"""By which the page may be asked for. The port is free: it may be another at the far end of an ssh tunnel."""
RETRY_MS = 500
KEEP_ALIVE_S = 10.0
LOOK_S = 1.0
GRACE_S = 1
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

Source = Callable[[], Path | None]
"""Which run folder is shown; None while there is none."""


@dataclass(frozen=True)
class Place:
    """Where in which run a reader is: the last line that it got, and that line's time in the run."""

    run: str
    line: int
    time_s: float

    def __str__(self) -> str:
        return f"{self.run}:{self.line}:{self.time_s:g}"

    @classmethod
    def parse(cls, text: str) -> "Place | None":
        """None of what is no place."""
        run, _, rest = text.partition(":")
        line, _, time_s = rest.partition(":")
        try:
            return cls(run, int(line), float(time_s))
        except ValueError:
            return None


def listen(port: int = 0) -> socket.socket:
    """A socket on this machine alone; port 0 is any that is free. Raises OSError when it is taken."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


def url_of(listening: socket.socket) -> str:
    """What a browser is to be given."""
    return f"http://{LOOPBACK}:{listening.getsockname()[1]}/"


class DashboardServer:
    """Serves the page of the run that `source` names. `speed` is that of the replay with which a run that is
    over begins, in seconds of the run per second; None shows it whole."""

    def __init__(self, source: Source, speed: float | None = None) -> None:
        self._source, self._speed = source, speed
        routes = [
            Route("/", _page),
            Route("/documents", self._documents),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        config = uvicorn.Config(
            Guarded(Starlette(routes=routes)),
            log_level="critical",  # our readers come and go; what matters is on the page
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = uvicorn.Server(config)

    def serve(self, listening: socket.socket) -> None:
        """Answer until `stop`, or until Ctrl-C where this is the main thread."""
        self._server.run(sockets=[listening])

    def stop(self) -> None:
        """End; may be called from any thread."""
        self._server.should_exit = True

    async def _documents(self, request: Request) -> Response:
        query = request.query_params
        try:
            speed = _number(query.get("speed"))
            at_s = _number(query.get("at"))
        except ValueError as error:
            return PlainTextResponse(f"{error}\n", 400)
        place = Place.parse(request.headers.get("last-event-id") or query.get("after", ""))
        return StreamingResponse(self._events(place, speed, at_s), media_type="text/event-stream")

    async def _events(
        self, place: Place | None, speed: float | None, at_s: float | None
    ) -> AsyncIterator[str]:
        """The text of the events for one reader, until there will be no more or a newer run is shown."""
        yield f"retry: {RETRY_MS}\n\n"
        folder = self._source()
        if folder is None:
            yield _event("none", {})
        while folder is None and not self._over():
            await asyncio.sleep(LOOK_S)
            folder = self._source()
        if folder is None:
            return
        path = folder / DOCUMENTS
        if place is not None and place.run != folder.name:
            place, speed, at_s = None, None, None
        end_s, ended = await asyncio.to_thread(end_of, path)
        if speed is None and place is None and ended:
            speed = self._speed
        after = place.line if place else 0
        begin_s = place.time_s if place else at_s or 0.0
        replayed = speed is not None
        yield _event(
            "run",
            {"run": folder.name, "after": after, "end_s": end_s, "ended": ended, "speed": speed},
        )
        pace = Replay(begin_s, speed, time.monotonic) if speed is not None else Live()
        changed = _Slowly(lambda: self._source() not in (folder, None))
        died = _Slowly(lambda: is_dead(read_about(folder)))
        spoke = time.monotonic()
        async for batch in batches(
            DocumentFile(path, after), pace, lambda: self._over() or (not replayed and changed())
        ):
            if batch:
                yield _batch(folder.name, batch)
            elif not (replayed or ended) and died():
                ended = True
                yield _event("died", {})
            elif time.monotonic() - spoke > KEEP_ALIVE_S:
                yield ": still here\n\n"
            else:
                continue
            spoke = time.monotonic()
            if batch and batch[-1].is_last:
                yield _event("end", {})
        while not (self._over() or changed()):  # noqa: ASYNC110 - both are polled; a browser would come back
            await asyncio.sleep(TICK_S)

    def _over(self) -> bool:
        return bool(self._server.should_exit)


class _Slowly:
    """Whether something has come true, looked at once a second and not again when it has."""

    def __init__(self, look: Callable[[], bool]) -> None:
        self._look = look
        self._next = 0.0
        self._true = False

    def __call__(self) -> bool:
        if not self._true and time.monotonic() >= self._next:
            self._next = time.monotonic() + LOOK_S
            self._true = self._look()
        return self._true


class Guarded:
    """Refuses what was not asked by a name of this machine, and adds the headers that bind the page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_bound(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *ours]}
            await send(message)

        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or _name(hosts[0]) not in NAMES:
            refusal = PlainTextResponse(f"Ask by one of {', '.join(sorted(NAMES))}.\n", 421)
            await refusal(scope, receive, send_bound)
        else:
            await self._app(scope, receive, send_bound)


def _name(host: str) -> str:
    """A Host header without its port."""
    name, _, port = host.rpartition(":")
    return name if port.isdigit() else host


async def _page(request: Request) -> Response:
    del request
    return FileResponse(STATIC / "index.html")


def _number(text: str | None) -> float | None:
    """A query's number, not below 0."""
    if text is None:
        return None
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{text!r} is not a number from 0 on")
    return value


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def _batch(run: str, documents: list[Document]) -> str:
    last = documents[-1]
    lines = ",".join(document.text for document in documents)
    return f"id: {Place(run, last.number, last.time_s)}\ndata: [{lines}]\n\n"
