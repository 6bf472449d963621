"""The far end of a serial line, as a pseudo-terminal, for the tests of the serial line and its drivers.

The near end is the device at `path`, which any serial program can open. What is said there comes to
`received`, in pieces that fall as they like.
"""

import asyncio
import os
import tty
from abc import ABC, abstractmethod


class PtyPeer(ABC):
    """Needs a running event loop, and wants `hang_up` at the end."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(
            self._master, lambda: self.received(os.read(self._master, 4096))
        )

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Something has been said to us."""

    def say(self, data: bytes) -> None:
        os.write(self._master, data)

    def hang_up(self) -> None:
        """Both ends are gone. May be repeated."""
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)
            self._master = -1
