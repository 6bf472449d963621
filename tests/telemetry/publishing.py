"""A process that publishes until it is stopped or killed: `python publishing.py PORT OUTBOX COUNT`. It prints
the number of an event now and then, once that and all before are in its outbox."""

import asyncio
import sys
from pathlib import Path

from telemetry.line import Line
from telemetry.messages import Event, RunState
from telemetry.outbox import Outbox
from telemetry.publisher import Publisher


async def main(port: int, path: Path, count: int) -> None:
    outbox = Outbox(path)
    async with Publisher(
        Line("127.0.0.1", port), site="nyc", run="r1", keepalive_s=1, outbox=outbox
    ) as publisher:
        publisher.publish_state(RunState(state="running"))
        for number in range(1, count + 1):
            publisher.publish_event(Event(level="info", text=str(number)))
            if number % 20 == 0:
                await publisher.stored()
                sys.stdout.write(f"{number}\n")
                sys.stdout.flush()
        await asyncio.sleep(3600)


asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
