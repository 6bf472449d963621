"""The recording of a run: all its taggers, begun together and, when a tag stream broke, given up together.

Times of a later recording go on where those of the first would be, so that a time has one meaning in the
whole run.
"""

import asyncio
from collections.abc import Callable

from drivers.capabilities import TimeTagger
from experiments.config.experiment import Experiment
from experiments.engine.bench import Bench
from experiments.engine.clock import RunClock
from experiments.engine.events import Happened
from experiments.engine.feed import Feed
from experiments.engine.reconnection import start_afresh
from experiments.engine.tag_files import TagFiles
from experiments.engine.tags import PS, TagCollector
from experiments.engine.task_group import TaskGroup


class Recording:
    """Every tagger of the bench that a detector feeds; `number` recordings have been begun."""

    def __init__(
        self, bench: Bench, experiment: Experiment, clock: RunClock, announce: Callable[[Happened], None]
    ) -> None:
        self._clock, self._announce = clock, announce
        self._detectors = bench.detectors
        self._feeds = [
            Feed(tagger, inputs, len(bench.detectors))
            for tagger in bench.all_of(TimeTagger)
            if (inputs := bench.inputs(tagger.name))
        ]
        self._reference = _reference_tagger(bench, experiment, self._feeds)
        self._began = 0.0
        self.tags = self._collector()
        self.number = 0
        self.goes_on = False

    async def begin(self, tag_files: TagFiles, beside: TaskGroup) -> None:
        """Begin to record; what collects the tags is a task of `beside`."""
        now = self._clock.now()
        if self.number:
            origin_ps = round((now - self._began) * PS)
            self._feeds = [feed.again(origin_ps) for feed in self._feeds]
            self.tags = self._collector()
        else:
            self._began = now
        self.number += 1
        tag_files.keep_raw(self._feeds)
        await self.tags.start()
        self.goes_on = True
        beside.create_task(self.tags.run(), name="collect tags")
        names = ", ".join(feed.tagger.name for feed in self._feeds)
        self._announce(Happened("recording", f"recording: {names}"))

    async def give_up(self) -> None:
        """Keep what has come in of a recording that broke, and get its taggers ready for another."""
        await asyncio.to_thread(self.tags.close)
        await asyncio.gather(*(start_afresh(feed.tagger) for feed in self._feeds))
        self.goes_on = False

    def singles_hz(self) -> dict[str, float] | None:
        """Singles per second of each detector, over its tagger's last block; None until all have one."""
        if not (self.goes_on and all(feed.blocks for feed in self._feeds)):
            return None
        return dict(zip(self._detectors, self.tags.rates_hz().tolist(), strict=True))

    def _collector(self) -> TagCollector:
        return TagCollector(self._feeds, self._reference, self._clock, self._lost)

    def _lost(self, tagger: str, tags: int) -> None:
        details = {"instrument": tagger, "tags": tags}
        self._announce(Happened("tags lost", f"{tagger} dropped {tags} tags", details, "warning"))


def _reference_tagger(bench: Bench, experiment: Experiment, feeds: list[Feed]) -> str:
    """The tagger whose time merged tags have: that of the Bell-state measurement, of the first analyser of
    the first pair where there is none, or any. Empty on a bench without a tagger."""
    if settings := experiment.settings:
        return bench.tagger_of(bench.hub_detectors(settings.bell_state_measurement)[0])
    for pair in experiment.pairs.values():
        return bench.tagger_of(bench.spoke_detectors(pair.analysers[0])[0])
    return next((feed.name for feed in feeds), "")
