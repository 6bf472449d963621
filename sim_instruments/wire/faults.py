"""Faults at the wire, switched by a test or a testbed file while the instrument serves.

All of them happen between an instrument that works and a client that does not know: the instrument's model
never sees them. Times are wall time, since the deadlines of clients are.
"""

from dataclasses import dataclass


@dataclass
class Faults:
    """How a server misbehaves. Every server in `sim_instruments.wire` obeys these."""

    silent: bool = False
    """Requests arrive, are swallowed and have no effect; nothing is sent any more."""
    refuse: bool = False
    """New connections are closed at once."""
    latency_s: float = 0.0
    """Every answer leaves so much later."""
    jitter_s: float = 0.0
    """And later again by a uniform time up to this; the order stays."""
    piece_bytes: int = 0
    """Answers leave in pieces of so many bytes, each in a turn of the event loop of its own; 0: whole."""
    lost: float = 0.0
    """Probability that a byte of an answer is lost."""
    garbled: float = 0.0
    """Probability that a byte of an answer arrives as another."""
    late: int = 0
    """So many of the next answers are held back until the client has asked again (and leave before that
    answer), as from an instrument that was busy."""
    unsolicited: bytes = b""
    """Sent unasked in front of every answer: a status line, an event, the tail of an old answer."""
    own_errors: int = 0
    """So many of the next commands the instrument answers by its own error reply, without effect. In
    most dialects questions count too, never those about identity. An instrument whose protocol has no error
    reply (`SimInstrument.has_error_reply`) leaves the number as it is."""

    def take_own_error(self) -> bool:
        """For dialects, before they execute a command: whether it is to be answered by an error reply."""
        if self.own_errors <= 0:
            return False
        self.own_errors -= 1
        return True
