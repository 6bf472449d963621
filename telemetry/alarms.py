"""Alarms: what is wrong, how bad it is, what to do, and whether anybody has seen it.

An alarm is raised with a severity in the words of EPICS and latched: it stands until its cause is gone *and*
somebody has acknowledged it, in either order (IEC 62682 calls the state between "returned to normal,
unacknowledged"). Raised again, or worse, it must be acknowledged again. So a nanowire that latched at 3 a.m.
and recovered is still on the screen in the morning.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from telemetry.messages import AlarmFacts, AlarmState, Severity
from telemetry.topics import RUN
from telemetry.wire import rfc3339

SEVERITIES: tuple[Severity, ...] = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
"""From good to bad. MINOR: have a look in working hours. MAJOR: the run is hindered or data are lost, act
now. INVALID: an instrument does not answer, so that nothing is known of it."""


@dataclass(frozen=True)
class Alarm:
    """One alarm of one device."""

    name: str
    severity: Severity
    text: str
    """What is wrong."""
    action: str
    """What to do."""
    since: datetime
    active: bool = True
    acknowledged_by: str | None = None

    @property
    def stands(self) -> bool:
        return self.active or self.acknowledged_by is None


class Alarms:
    """The alarms of a run, by device; None is the run as a whole.

    `tell(device, state)` is called at each change of a device's alarms.
    """

    def __init__(
        self,
        tell: Callable[[str | None, AlarmState], None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tell, self._now = tell, now
        self._alarms: dict[str | None, dict[str, Alarm]] = {}

    def clean(self, devices: Mapping[str, object] | list[str | None]) -> None:
        """Say of these that they have no alarm: what an earlier run left with the broker is past."""
        for device in devices:
            self._tell(device, self.state(device))

    def raised(self, device: str | None, name: str, severity: Severity, text: str, action: str) -> None:
        """Something is wrong. One that stands keeps its time, and its acknowledgement unless it is worse now
        or its cause had gone."""
        before = self._alarms.setdefault(device, {}).get(name)
        alarm = Alarm(name, severity, text, action, self._now())
        if before is not None and before.stands:
            alarm = replace(alarm, since=before.since)
            if before.active and SEVERITIES.index(severity) <= SEVERITIES.index(before.severity):
                alarm = replace(alarm, acknowledged_by=before.acknowledged_by)
        if alarm != before:
            self._set(device, alarm)

    def cleared(self, device: str | None, name: str) -> None:
        """Its cause is gone; one that was not acknowledged stays, latched."""
        before = self._alarms.get(device, {}).get(name)
        if before is not None and before.active:
            self._set(device, replace(before, active=False))

    def acknowledge(self, by: str, device: str | None = None, name: str | None = None) -> int:
        """Somebody has seen the alarms of a device (`run` is the run as a whole, as in its topic), or one of
        them, or, without a device, all there are. Returns how many; raises LookupError when there is none
        that waits for it."""
        waiting = [
            (owner, alarm)
            for owner, alarms in self._alarms.items()
            for alarm in alarms.values()
            if alarm.acknowledged_by is None
            and device in (None, RUN if owner is None else owner)
            and name in (None, alarm.name)
        ]
        if not waiting:
            raise LookupError("there is no such alarm that waits to be acknowledged")
        for owner, alarm in waiting:
            self._set(owner, replace(alarm, acknowledged_by=by))
        return len(waiting)

    def state(self, device: str | None) -> AlarmState:
        """The alarms of a device as they are told."""
        alarms = self._alarms.get(device, {})
        worst = max(alarms.values(), key=lambda a: (SEVERITIES.index(a.severity), a.since), default=None)
        if worst is None:
            return AlarmState()
        return AlarmState(
            severity=worst.severity,
            text=f"{worst.text}. {worst.action}",
            unacknowledged=sum(alarm.acknowledged_by is None for alarm in alarms.values()),
            alarms={alarm.name: _facts(alarm) for alarm in alarms.values()},
        )

    def _set(self, device: str | None, alarm: Alarm) -> None:
        if alarm.stands:
            self._alarms[device][alarm.name] = alarm
        else:
            del self._alarms[device][alarm.name]
        self._tell(device, self.state(device))


def _facts(alarm: Alarm) -> AlarmFacts:
    return AlarmFacts(
        severity=alarm.severity,
        text=alarm.text,
        action=alarm.action,
        since=rfc3339(alarm.since),
        active=alarm.active,
        acknowledged=alarm.acknowledged_by is not None,
        acknowledged_by=alarm.acknowledged_by,
    )
