"""What is told of a run that cannot tell it any more: that it was interrupted, and what became of its bench.

The guardian says it, in the name of the run: through the outbox that the run left in its folder, so that it
comes after the run's own last messages, and comes to the next run where no broker answers now.
"""

import asyncio
from pathlib import Path

from bellbench.broker_line import line_from
from telemetry.alarms import Alarms
from telemetry.messages import Event, RunState
from telemetry.outbox import FILE, Outbox
from telemetry.publisher import Publisher

ACTION = "Go and look at the bench before the next run"


def tell(folder: Path, message: str) -> None:
    """Tell what the guardian did for the run of this folder; takes a few seconds at most.

    Raises FileNotFoundError for a run without telemetry, and what opening its outbox and its line raise.
    """
    if not (folder / FILE).exists():
        raise FileNotFoundError(f"{folder / FILE}: the run left no outbox")
    asyncio.run(_tell(folder, message))


async def _tell(folder: Path, message: str) -> None:
    outbox = await asyncio.to_thread(Outbox, folder / FILE)
    about = outbox.about
    run = Publisher(
        line_from(about), site=str(about["site"]), run=folder.name, root=str(about["root"]), outbox=outbox
    )
    async with run:
        run.publish_state(RunState(state="interrupted", reason=message))
        run.publish_event(Event(level="error", text=message, event="guardian"))
        alarms = Alarms(lambda device, state: run.publish_alarm(None, device, state))
        alarms.raised(None, "guardian", "MAJOR", message, ACTION)
