"""Faults at the wire, switched by a test or a testbed file while the instrument serves."""

from dataclasses import dataclass


@dataclass
class Faults:
    """How a server misbehaves. Every server in `sim_instruments.wire` obeys these."""

    silent: bool = False
    """Requests arrive, are swallowed and have no effect; nothing is sent any more."""
    refuse: bool = False
    """New connections are closed at once."""
