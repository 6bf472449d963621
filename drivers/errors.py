"""What can go wrong between a run and an instrument, as exceptions that say what to do.

Every message names the instrument, its address, the command and what came back.
"""


class InstrumentError(Exception):
    """Something went wrong with one instrument; the message names it and the remedy."""

    def __init__(self, name: str, address: str, problem: str, remedy: str = "") -> None:
        self.name, self.address, self.problem, self.remedy = name, address, problem, remedy
        text = f"{name} ({address}): {problem}"
        super().__init__(f"{text}. {remedy}" if remedy else text)


class ConnectError(InstrumentError):
    """The instrument could not be reached at its address."""


class DeadlineError(InstrumentError):
    """The instrument stayed silent, or answered half, until the deadline."""


class LineError(InstrumentError):
    """The line to the instrument closed or broke."""


class ProtocolError(InstrumentError):
    """The answer is not one that the protocol allows."""


class RefusedError(InstrumentError):
    """The instrument understood the command and refused it."""


class LimitError(InstrumentError, ValueError):
    """A set-point is outside the instrument's limits; nothing was sent."""
