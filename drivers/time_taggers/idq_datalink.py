"""Client of IDQ's DataLinkTargetService, the program that fetches time tags from an ID900 and streams them.

Protocol: idq_id900.md, DataLink. Commands are text, answers JSON; anything wrong comes back as
`{"error": {"description": ...}}` and is raised as RefusedError.
"""

import json
from dataclasses import dataclass
from typing import Any

from drivers.errors import ProtocolError, RefusedError
from drivers.transports.zmq import RequestLine

DEAD_S = 2.0
"""A stream is dead when nothing has come for so many seconds. Ours to choose: a recording is cut into
sub-acquisitions of half a second (`idq_recording`), and each of them is activity."""


@dataclass(frozen=True)
class StreamStatus:
    """What the service says of one stream. That it counts ended sub-acquisitions and the tags in them, as
    they come from the instrument, is our reading of the names; the notes do not say (M)."""

    acquisitions: int
    tags: int
    errors: tuple[str, ...]


class DataLink:
    """The service on one line; `name` and `address` are the instrument's, for errors."""

    def __init__(self, line: RequestLine, name: str, address: str) -> None:
        self._line, self._name, self._address = line, name, address

    async def streams(self) -> list[str]:
        """The ids of everything that the service does now."""
        answer = await self._ask("list")
        if not isinstance(answer, list):
            raise self._nonsense("list", answer)
        return [str(id_) for id_ in answer]

    async def start_stream(self, box: str, channel: int, port: int) -> str:
        """Make the service listen to RAW `channel` of the instrument at IP address `box`, and bind a PAIR
        socket to TCP `port`. Returns the id of the stream. When it is refused, streams that nobody has ended
        are, and it is asked once more."""
        command = f"start-stream --address {box} --channel {channel} --stream-port {port}"
        try:
            answer = await self._ask(command)
        except RefusedError:
            if not await self._end_dead_streams():
                raise
            answer = await self._ask(command)
        if not isinstance(answer, dict) or "id" not in answer:
            raise self._nonsense(command, answer)
        return str(answer["id"])

    async def status(self, stream_id: str) -> StreamStatus:
        """How far a stream is."""
        command = f"status --id {stream_id}"
        answer = await self._ask(command)
        try:
            return StreamStatus(
                int(answer["acquisitions_count"]),
                int(answer["timestamps_count"]),
                tuple(str(error) for error in answer["errors"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._nonsense(command, answer) from error

    async def _end_dead_streams(self) -> bool:
        """End the streams to which nothing has come for long: those of a program that was killed, which hold
        their ports. One that is in use, of this or another instrument, is active several times a second.
        Returns whether there were any."""
        found = False
        for stream_id in await self.streams():
            answer = await self._ask(f"status --id {stream_id}")
            inactivity_s = answer.get("inactivity") if isinstance(answer, dict) else None
            if isinstance(inactivity_s, int | float) and inactivity_s > DEAD_S:
                await self.stop(stream_id)
                found = True
        return found

    async def stop(self, stream_id: str) -> None:
        """End a stream and free its port."""
        await self._ask(f"stop --id {stream_id}")

    async def _ask(self, command: str) -> Any:
        text = await self._line.exchange(command)
        try:
            answer = json.loads(text)
        except ValueError as error:
            raise self._nonsense(command, text) from error
        if isinstance(answer, dict) and "error" in answer:
            complaint = answer["error"]
            description = complaint.get("description") if isinstance(complaint, dict) else complaint
            raise RefusedError(
                self._name, self._address, f"DataLinkTargetService refused {command!r}: {description}",
                "A stream left over by another program holds its port until the service is restarted; "
                "other ports can be named in the address (streams=P1,P2,P3,P4)",
            )  # fmt: skip
        return answer

    def _nonsense(self, command: str, answer: object) -> ProtocolError:
        return ProtocolError(
            self._name, self._address, f"DataLinkTargetService answered {command!r} with {answer!r}",
            "Check that the port in the address (datalink=HOST:PORT) is the service's",
        )  # fmt: skip
