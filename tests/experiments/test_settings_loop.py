"""What a measurement in settings makes of its stays while watchdogs take their time to judge: when it has
counted enough, and what goes into the books."""

from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments.config.plan import MeasureSwapping
from experiments.engine.books import Books
from experiments.engine.events import Happened
from experiments.engine.findings import Results
from experiments.measurements import settings_loop
from experiments.measurements.swapping import MeasureSwappingStep
from experiments.measurements.tally import Tally

PS = 10**12
NAMES = ("ZZ", "XX")
RATE_HZ = 1.5
"""Four-folds: 15 in a stay of ten seconds."""


class Stay:
    """A dwell that has counted what comes in its time at `RATE_HZ`, and all of it at its end."""

    def __init__(self, setting: str, begin_ps: int, seconds: float) -> None:
        self.setting, self.begin_ps, self.end_ps = setting, begin_ps, begin_ps + round(seconds * PS)
        self.window = {"setting": setting, "begin_ps": begin_ps, "end_ps": self.end_ps}
        self.live_ps, self.is_in = self.end_ps - begin_ps, True
        self.singles, self.heralds = np.zeros(1, np.int64), np.zeros(4, np.int64)
        self.fourfolds = np.zeros((4, 2, 2), np.int64)
        self.fourfolds[0, 0, 0] = round(RATE_HZ * seconds)

    async def all_in(self, context: Any) -> None:
        assert self.is_in, "tags of another recording never come"

    async def cut_short(self, tags: Any) -> None: ...


@dataclass
class Watch:
    """Watchdogs that have found nothing out yet."""

    fine_until_ps: int = 0
    holds_run = False
    has_judged_all = True
    followed: list[Stay] = field(default_factory=list)
    duty: list[str] = field(default_factory=list)

    def follow(self, dwell: Stay) -> None:
        self.followed.append(dwell)

    def forget(self, dwell: Stay) -> None:
        self.followed.remove(dwell)

    def come_due(self) -> None: ...

    def go_on(self) -> None:
        self.duty.append("goes on")

    def end(self) -> None:
        self.duty.append("ends")


class Loop(MeasureSwappingStep):
    """The loop on no bench: `now_ps` is the hub time, `at_safe_point` what is done at each safe point, by the
    number of stays before."""

    def __init__(self, dwell: object, watch: Watch | None) -> None:
        super().__init__(MeasureSwapping.model_validate({"bases": [*NAMES], "dwell": dwell}))
        self.looks_on, self.now_ps, self.stays = watch, 0, list[Stay]()
        self.at_safe_point: dict[int, Any] = {}
        self.said: list[Happened] = []
        self.context: Any = SimpleNamespace(
            seed=1, books=Books(), results=Results([self.parameters]), recordings=0, bench=None,
            experiment=None, calibrations=None, clock=None, folder=SimpleNamespace(name="run"),
            tags=SimpleNamespace(lasts=lambda seconds: seconds), announce=self.said.append,
            progress=lambda doing: None, store_results=lambda: None, undisturbed_s=lambda: 60.0,
            safe_point=self.safe_point, let_pass=self.let_pass,
        )  # fmt: skip

    def settings(self) -> list[Any]:
        return [SimpleNamespace(name=name, angles=lambda *_: {}) for name in NAMES]

    def analysers(self, experiment: Any) -> tuple[str, str]:
        return "alice", "bob"

    def new_tally(self, *_: Any) -> Tally:
        return Tally(["h"])

    def watch(self, context: Any) -> Any:
        return self.looks_on

    def open_dwell(self, context: Any, setting: str, seconds: float) -> Any:
        self.stays.append(Stay(setting, self.now_ps, seconds))
        return self.stays[-1]

    def show(self, context: Any) -> None: ...

    def _record_tracks(self, context: Any) -> dict[str, Any]:
        return {}

    async def safe_point(self) -> None:
        if act := self.at_safe_point.pop(len(self.stays), None):
            await act()

    async def let_pass(self, seconds: float, doing: str, show: Any) -> None:
        self.now_ps += round(seconds * PS)

    def named(self, event: str) -> list[dict[str, Any]]:
        return [dict(said.details) for said in self.said if said.event == event]


@pytest.fixture(autouse=True)
def no_wave_plates(monkeypatch: pytest.MonkeyPatch) -> None:
    async def turn(angles: Any, clock: Any) -> None: ...

    monkeypatch.setattr(settings_loop, "turn", turn)


UNTIL_100 = {"counts": 100, "at_most": "1 h"}


@pytest.mark.parametrize("watched", [False, True])
async def test_enough_is_counted_while_nobody_has_judged_it(watched: bool) -> None:
    """100 of 15 in ten seconds: seven stays. With a watchdog that needs half an hour to judge too."""
    loop = Loop(UNTIL_100, Watch() if watched else None)
    await loop.run(loop.context)
    assert Counter(stay.setting for stay in loop.stays) == {"ZZ": 7, "XX": 7}
    assert loop.tally(loop.context).live_s == 140.0


async def test_counts_that_are_forgotten_do_not_decide() -> None:
    loop = Loop(UNTIL_100, Watch())

    async def forget() -> None:
        """All but the first two stays, in the third of the second setting."""
        assert await loop.forget_since(loop.context, 20 * PS) == 80.0

    loop.at_safe_point[10] = forget
    await loop.run(loop.context)
    assert len(loop.named("vetoed")) == 8
    counted = [(entry["setting"], entry["begin_ps"] // PS) for entry in loop.named("counted")]
    assert counted == [
        *((loop.stays[0].setting, at) for at in (0, 10, 100, 110, 120, 130, 140)),
        *((loop.stays[-1].setting, at) for at in (150, 160, 170, 180, 190, 200, 210)),
    ]


class LineBrokeError(Exception):
    """Of a tagger."""


@pytest.mark.parametrize("cut_short", [False, True])
async def test_a_recording_that_breaks_makes_no_stay_fine(cut_short: bool) -> None:
    """The watchdogs stay on duty, with what they know of better times, and judge what was counted before. A
    stay of which the last tags did not come any more is measured again."""
    loop = Loop("10 s", watch := Watch())

    async def line_breaks() -> None:
        if cut_short:
            loop.stays[-1].live_ps -= PS // 4
        loop.context.recordings += 1
        raise LineBrokeError

    loop.at_safe_point[1] = line_breaks
    with pytest.raises(LineBrokeError):
        await loop.run(loop.context)
    assert loop.named("counted") == []
    booked: list[list[Any]] = []

    async def look_at_books() -> None:
        booked.append(loop.named("counted"))

    loop.at_safe_point[1] = look_at_books
    await loop.run(loop.context)
    assert booked == [[]]
    assert watch.duty == ["goes on", "ends"]
    first, *others = loop.stays
    assert [stay.setting for stay in others].count(first.setting) == cut_short
    assert loop.named("vetoed") == ([first.window] if cut_short else [])
    assert watch.followed == (others if cut_short else loop.stays)
    assert loop.tally(loop.context).live_s == 20.0
