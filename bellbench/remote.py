"""What may be asked of a run over telemetry, and what each word does. All of it calms a run down: there is no
word here that goes on, sets or switches on, whatever an experiment file allows."""

from collections.abc import Callable, Sequence

from experiments.engine.control import Answer, RunControl
from telemetry.alarms import Alarms
from telemetry.commands import CommandDesk, Handler, Refused, Request
from telemetry.messages import CommandWord


def desk_for(words: Sequence[CommandWord], control: RunControl, alarms: Alarms) -> CommandDesk | None:
    """Takes these words for one run; None when there are none."""

    def asks(wish: Callable[[str], Answer]) -> Handler:
        async def handle(request: Request) -> str:
            answer = wish(f"{request.command} by {request.by} over telemetry")
            if not answer.accepted:
                raise Refused(answer.message)
            return answer.message

        return handle

    async def acknowledge(request: Request) -> str:
        try:
            count = alarms.acknowledge(request.by, request.device, request.alarm)
        except LookupError as error:
            raise Refused(str(error)) from error
        return f"{count} alarm{'' if count == 1 else 's'} acknowledged"

    handlers: dict[CommandWord, Handler] = {
        "pause": asks(lambda why: control.pause(why)),
        "stop": asks(control.stop),
        "safe": asks(control.abort),
        "acknowledge": acknowledge,
    }
    return CommandDesk({word: handlers[word] for word in words}) if words else None
