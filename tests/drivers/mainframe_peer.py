"""A SIM900 at the far end of a TCP or serial line, for the tests of the drivers of its modules: carries
text to modules that answer from a table. Its bytes are those of srs_sim900_sim928.md.
"""

import asyncio
import re

from tests.drivers.pty_peer import PtyPeer

IDN = b"Stanford_Research_Systems,SIM900,s/n152741,ver3.6\r\n"


def block(data: bytes) -> bytes:
    """How `GETN?` is answered."""
    return b"#3%03d" % len(data) + data + b"\r\n"


class Mainframe:
    """`modules` has the answers of each slot, with their line ends; an empty one, or none, is silence. What
    stands in `next` for a question comes first, one at a time."""

    def __init__(self, modules: dict[int, dict[str, bytes]]) -> None:
        self.modules = modules
        self.next: dict[tuple[int, str], list[bytes]] = {}
        self.waiting = dict.fromkeys(modules, b"")
        self.heard: list[str] = []
        """What was said to the mainframe."""
        self.told: list[tuple[int, str]] = []
        """What was said to the modules."""
        self.asked = asyncio.Event()
        self.idn = IDN
        self._pending = b""

    def answer(self, data: bytes) -> bytes:
        """What is said to these bytes."""
        *whole, self._pending = (self._pending + data).split(b"\n")
        return b"".join(self._answer(request.decode()) for request in whole)

    def _answer(self, request: str) -> bytes:
        self.heard.append(request)
        if request == "*IDN?":
            return self.idn
        if request == "CTCR?":
            return b"%d\r\n" % sum(1 << slot for slot in self.modules)
        if match := re.fullmatch(r'SNDT (\d),"(.*)"', request):
            slot, text = int(match[1]), match[2]
            self.told.append((slot, text))
            self.asked.set()
            if slot in self.modules:
                waiting = self.next.get((slot, text))
                self.waiting[slot] += waiting.pop(0) if waiting else self.modules[slot].get(text, b"")
            return b""
        if match := re.fullmatch(r"GETN\? (\d),128", request):
            slot = int(match[1])
            data, self.waiting[slot] = self.waiting[slot][:128], self.waiting[slot][128:]
            return block(data)
        raise AssertionError(request)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(self.answer(data))
        writer.close()


class SerialMainframe(PtyPeer):
    """The same at a pseudo-terminal."""

    def __init__(self, mainframe: Mainframe) -> None:
        super().__init__()
        self.mainframe = mainframe

    def received(self, data: bytes) -> None:
        if answer := self.mainframe.answer(data):
            self.say(answer)
