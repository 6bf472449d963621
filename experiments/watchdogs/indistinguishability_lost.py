"""Photons of the two sources can be told apart: the visibility in XX is gone while that in ZZ is as before.

Nothing faster shows it: heralds come as often as ever (testbeds.md 1.8), and so do four-folds. So it is a
matter of counting four-folds in XX, of which chance makes fewer correlated than the limit allows with a
probability below 1e-9. At the deployed 1.5 swaps per second, of which one in six is in XX, that takes half an
hour; until a block of four-folds is judged to be fine, the stays that it is made of are held back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.config.watchdogs import IndistinguishabilityLost
from experiments.engine.step import Context
from experiments.estimators.swapping import SIGNS
from experiments.watchdogs.rates import FALSE_ALARM, chance_of_so_many
from experiments.watchdogs.remedies import compensate, links
from experiments.watchdogs.subject import Subject
from experiments.watchdogs.watchdog import Alarm, Seen, Watchdog

FEWEST = 30
"""Four-folds in ZZ without which nobody can say that ZZ is fine."""


@dataclass(frozen=True)
class Correlated:
    """Four-folds of one basis, and those of them against the expected correlation."""

    events: int = 0
    wrong: int = 0

    def plus(self, stay: Seen) -> "Correlated":
        assert stay.fourfolds is not None
        by_state = stay.fourfolds.reshape(2, 2, 2, 2).sum(axis=1)
        wrong = sum(
            int(n[0, 1] + n[1, 0]) if sign > 0 else int(n[0, 0] + n[1, 1])
            for n, sign in zip(by_state, SIGNS[stay.setting], strict=True)
        )
        return Correlated(self.events + int(by_state.sum()), self.wrong + wrong)

    @property
    def visibility(self) -> float:
        return 1 - 2 * self.wrong / self.events if self.events else 0.0

    def below(self, visibility: float) -> bool:
        """Whether the true visibility is below that, beyond chance."""
        return chance_of_so_many(self.wrong, self.events, (1 - visibility) / 2) < FALSE_ALARM


class IndistinguishabilityLostWatchdog(Watchdog[IndistinguishabilityLost]):
    """`indistinguishability_lost`."""

    name = "indistinguishability_lost"

    def __init__(self, settings: IndistinguishabilityLost, subject: Subject) -> None:
        super().__init__(settings, subject)
        self._counts = {"XX": Correlated(), "ZZ": Correlated()}
        self._block_from_ps: int | None = None

    async def look(self, stays: Sequence[Seen], now_ps: int, context: Context) -> Alarm | None:
        del now_ps, context
        counts = self._with(stays)
        limit = self.settings.visibility
        if counts["XX"].below(limit) and counts["ZZ"].events >= FEWEST and counts["ZZ"].visibility > limit:
            figures = {f"visibility_{basis.lower()}": each.visibility for basis, each in counts.items()}
            said = ", ".join(f"{each.visibility:.2f} in {basis}" for basis, each in counts.items())
            reason = f"photons can be told apart: visibility {said}, {counts['XX'].events} four-folds in XX"
            return Alarm(reason, "", {**figures, "events": counts["XX"].events})
        return None

    def all_well(self, stays: Sequence[Seen], now_ps: int, context: Context) -> None:
        del context
        if not self.subject.shows_overlap:
            self.fine_until_ps = now_ps  # nobody can tell
            return
        self._counts = self._with(stays)
        if self._block_from_ps is None and stays:
            self._block_from_ps = stays[0].begin_ps
        enough = self._counts["XX"].events >= self.settings.events and self._counts["ZZ"].events >= FEWEST
        if self._block_from_ps is not None and enough:
            self.fine_until_ps = self._block_from_ps
            self.forget()

    def forget(self) -> None:
        self._counts, self._block_from_ps = {"XX": Correlated(), "ZZ": Correlated()}, None

    def _with(self, stays: Sequence[Seen]) -> dict[str, Correlated]:
        counts = dict(self._counts)
        for stay in stays:
            if stay.setting in counts and stay.fourfolds is not None:
                counts[stay.setting] = counts[stay.setting].plus(stay)
        return counts

    def changes(self, alarm: Alarm, context: Context) -> set[str]:
        del alarm
        return {name for link in links(context) for name in link.changes}

    async def remedy(self, alarm: Alarm, context: Context) -> Mapping[str, object]:
        del alarm
        figures: dict[str, object] = {}
        for link in links(context):
            figures.update(await compensate(link, context))
        return {**figures, **await self.subject.find_delays(context)}
