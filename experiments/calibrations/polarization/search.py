"""The search for angles at which a link turns nothing: what is measured, when it is enough, what came out.

A strategy is a generator that says where to look and is sent what was seen there. It knows nothing of
drivers, of time or of when to end: `search` carries it out, remembers the best angles, and ends it. So the
same strategy runs on glass, on the simulated bench, and on a page of numpy.
"""

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from experiments.calibrations.polarization.plates import Plates
from experiments.calibrations.polarization.sphere import (
    Floats,
    nearest_rotation,
    pair_fidelity,
    probe_fidelity,
)


@dataclass(frozen=True)
class Look:
    """What was seen at one place. `error` is what strategies bring down: the mean over probes of 1 - F, or
    over bases of the QBER; about 1/2 of a link that turns at random. `settings` says how often something was
    set and light was measured for it: one for each reading of a polarimeter, three for a Stokes vector by an
    analyser, one for each basis of coincidences."""

    error: float
    settings: int
    probe_fidelity: float | None = None
    """Mean overlap of the probes with their reference; None where photons themselves are measured."""
    pair_fidelity: float | None = None
    """That of a maximally entangled pair of which one photon passes the link; from coincidences, the least
    that it can be, source and accidentals included."""
    images: Floats | None = None
    """Stokes vectors of the probes (n, 3), where the sensor sees them."""


def probed(images: Floats, sent: Floats, reference: Floats, settings: int) -> Look:
    """A look at the images of probes, (n, 3) each: what was sent, and what is seen of it behind a link that
    turns nothing."""
    seen = nearest_rotation(sent, images)
    frame = nearest_rotation(sent, reference)
    fidelity = probe_fidelity(images, reference)
    return Look(1 - fidelity, settings, fidelity, pair_fidelity(frame.T @ seen), images)


@dataclass
class Link:
    """What is known of a link before a search: its plates, where they stand, and, for a strategy that needs
    Stokes vectors, which are sent and how they look behind a link that turns nothing, (n, 3) each. A strategy
    that learns more about the plates puts it here for the next time."""

    plates: Plates
    angles_rad: Floats
    sent: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    reference: Floats = field(default_factory=lambda: np.zeros((0, 3)))


Moves = Generator[Floats, Look, None]
"""Yields angles (n,), within the limits, and is sent the `Look` at them. It never ends by itself."""
Strategy = Callable[[Link, np.random.Generator], Moves]
Reason = Literal["good", "compensated", "time-out", "gave up"]


@dataclass(frozen=True)
class Goal:
    """When to begin and when to end: above `trigger` of error something is done at all, at `stop` it is
    enough, and after `most_settings` or when `is_late` says so there is no more."""

    trigger: float
    stop: float
    most_settings: int = 1000
    is_late: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Found:
    """How a search went. `after` is what was seen at `angles_rad`, where the plates stand now."""

    reason: Reason
    before: Look
    after: Look
    angles_rad: Floats
    settings: int
    """In all, the look before included."""

    @property
    def moved(self) -> bool:
        return self.reason != "good"


async def search(
    link: Link,
    strategy: Strategy,
    measure: Callable[[Floats], Awaitable[Look]],
    goal: Goal,
    rng: np.random.Generator,
) -> Found:
    """Look where the plates stand and, when that is not good enough, let the strategy lead.

    `measure` brings the plates to these angles and looks. Ends at the first look that is good enough or, out
    of time or settings, at the best place seen. `link.angles_rad` is where the plates stand in the end.
    Raises what `measure` raises."""
    before = best = await measure(link.angles_rad)
    if before.error <= goal.trigger:
        return Found("good", before, before, link.angles_rad, before.settings)
    best_at, settings = link.angles_rad, before.settings
    moves = strategy(link, rng)
    try:
        at = next(moves)
        look = before if np.array_equal(at, link.angles_rad) else None
        while True:
            if look is None:
                look = await measure(at)
                settings += look.settings
            if look.error < best.error:
                best, best_at = look, at
            if look.error <= goal.stop:
                link.angles_rad = at
                return Found("compensated", before, look, at, settings)
            if goal.is_late() or settings >= goal.most_settings:
                reason: Reason = "time-out" if goal.is_late() else "gave up"
                break
            at, look = moves.send(look), None
    finally:
        moves.close()
    best = await measure(best_at)
    link.angles_rad = best_at
    return Found(reason, before, best, best_at, settings + best.settings)
