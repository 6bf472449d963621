"""Photons of the two sources can be told apart: the visibility in XX is gone while that in ZZ is as before.

Nothing faster shows it: heralds come as often as ever (testbeds.md 1.8), and so do four-folds. So it is a
matter of counting four-folds in XX, of which chance makes fewer correlated than the limit allows with a
probability below 1e-9. At the deployed 1.5 swaps per second, of which one in six is in XX, that takes half an
hour; until a block of four-folds is judged to be fine, the stays of the one before are held back: a loss that
begins at its end does not show in it.
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
    in_blocks = True

    def __init__(self, settings: IndistinguishabilityLost, subject: Subject) -> None:
        super().__init__(settings, subject)
        self._block: list[Seen] = []
        """The stays that count since the last block that was fine, in their order."""

    async def look(self, stays: Sequence[Seen], now_ps: int, context: Context) -> Alarm | None:
        del now_ps, context
        counts = _in_all([*self._block, *stays])
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
        self._block.extend(stays)
        counts = _in_all(self._block)
        if counts["XX"].events >= self.settings.events and counts["ZZ"].events >= FEWEST:
            self.fine_until_ps = self._block[0].begin_ps
            self._block = []

    def forget(self, since_ps: int) -> None:
        self._block = [stay for stay in self._block if stay.end_ps <= since_ps]

    def changes(self, alarm: Alarm, context: Context) -> set[str]:
        del alarm
        return {name for link in links(context) for name in link.changes}

    async def remedy(self, alarm: Alarm, context: Context) -> Mapping[str, object]:
        del alarm
        figures: dict[str, object] = {}
        for link in links(context):
            figures.update(await compensate(link, context))
        return {**figures, **await self.subject.find_delays(context)}


def _in_all(stays: Sequence[Seen]) -> dict[str, Correlated]:
    """Four-folds of these stays together, by basis."""
    counts = {"XX": Correlated(), "ZZ": Correlated()}
    for stay in stays:
        if stay.setting in counts and stay.fourfolds is not None:
            counts[stay.setting] = counts[stay.setting].plus(stay)
    return counts
