"""Print what every run does, as it does it: `python examples/subscriber.py [HOST [PORT]]`."""

import asyncio
import json
import sys

import aiomqtt  # or any other client: the messages are plain JSON


async def main(host: str = "127.0.0.1", port: str = "18830") -> None:
    seen = set()
    async with aiomqtt.Client(host, int(port)) as client:
        await client.subscribe("bellbench/v1/#", qos=1)
        async for message in client.messages:
            try:
                site, *place, kind = message.topic.value.split("/")[2:]
                fields = json.loads(message.payload)
                time, boot, seq, _ = map(fields.pop, ("time", "boot", "seq", "change"))
                new = (boot, seq) not in seen  # a message may come twice
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # a command to a run, or somebody else's
            if new:
                seen.add((boot, seq))
                print(time, site, *place, kind, fields, flush=True)  # noqa: T201


asyncio.run(main(*sys.argv[1:]))
