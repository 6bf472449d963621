"""Cutting what arrives into lines, for instruments that take CR, LF or both as the end of a command."""

import re

from sim_instruments.wire.tcp import LONGEST_REQUEST, Lines


class TextLines(Lines):
    """Cuts at CR, LF and CR LF alike; empty lines are dropped. Keeps no more than `LONGEST_REQUEST` bytes of
    a line that does not end."""

    _ENDS = re.compile(rb"[\r\n]+")

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the lines that `data` completes."""
        *lines, rest = self._ENDS.split(self._rest + data)
        self._rest = rest[:LONGEST_REQUEST]
        return [line for line in lines if line]
