"""amqtt's broker with its faults mended, as far as a loopback broker needs it. Imports amqtt: import late.

Seen in amqtt 0.12.1 (ecosystem.md 1.3, and its source):
- on every CONNECT the broker sends the new client the retained messages of topics that *others* have
  subscribed to;
- a client that falls silent is never disconnected, so its last will is never sent.

The overridden methods are private to amqtt: the dependency is pinned below 0.13, and tests hold both.
"""

import asyncio

from amqtt.adapters import ReaderAdapter, WriterAdapter
from amqtt.broker import Broker
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.session import Session


class LoopbackHandler(BrokerProtocolHandler):  # type: ignore[misc]  # amqtt ships no types
    """One client's connection."""

    def handle_read_timeout(self) -> None:
        """Silence beyond the keep-alive time is the end of the connection (MQTT 3.1.1, section 3.1.2.10)."""
        self._ending = asyncio.ensure_future(self.handle_connection_closed())  # kept: a lone task may vanish


class LoopbackBroker(Broker):  # type: ignore[misc]
    """amqtt's broker, mended."""

    async def _initialize_client_session(
        self, reader: ReaderAdapter, writer: WriterAdapter, remote_address: str, remote_port: int
    ) -> tuple[BrokerProtocolHandler, Session]:
        handler, session = await super()._initialize_client_session(
            reader, writer, remote_address, remote_port
        )
        handler.__class__ = LoopbackHandler  # amqtt names its own class in the code and offers no way in
        return handler, session

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        holders = self._subscriptions.get(subscription[0], [])
        if any(holder.client_id == session.client_id for holder, _ in holders):
            await super()._publish_retained_messages_for_subscription(subscription, session)
