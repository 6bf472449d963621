"""Chains of Bell-state measurements: which one is decided first where a source's photons go to two.

A photon can be routed with photons of other sources when the state in which its partner's fate leaves it is
known. So of the sources whose photons meet at a measurement, at most one may have partners that are still on
their way to another; then measurements are decided one after the other, along the chain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sim_instruments.world.hub import Hub

CROSSTALK = 1e-4
"""A source whose pairs come to two measurements so much more rarely than those of another one is there by the
crosstalk of a switch."""


@dataclass(frozen=True, eq=False)
class Link:
    """A source the photons of which go to two measurements, and how many of its pairs do, per second."""

    light: str
    hubs: tuple[Hub, Hub]
    pairs_hz: float


Links = Mapping[Hub, list[Link]]


def chains(hubs: Sequence[Hub], links: Sequence[Link]) -> tuple[list[list[Hub]], set[str]]:
    """The measurements in the order in which they are decided, those that depend on each other together; and
    the sources that would spoil the order, but by crosstalk only: they can be followed as noise.

    ValueError, naming the sources, where others close a ring or more than two meet at a measurement.
    """
    known: dict[Hub, list[Link]] = {hub: [] for hub in hubs}
    faint: set[str] = set()
    for link in sorted(links, key=lambda link: -link.pairs_hz):
        a, b = link.hubs
        if b in (around := _walk(a, known)):
            hindered, what = {old for hub in around for old in known[hub]}, "close a ring of"
        else:
            hindered = {old for hub in (a, b) if len(known[hub]) == 2 for old in known[hub]}
            what = "cross at one of their"
        if not hindered:
            known[a].append(link)
            known[b].append(link)
        elif link.pairs_hz <= CROSSTALK * min(old.pairs_hz for old in hindered):
            faint.add(link.light)
        else:
            names = ", ".join(sorted({link.light} | {old.light for old in hindered}))
            raise ValueError(f"{names}: these sources {what} Bell-state measurements, which must form chains")
    ordered: list[list[Hub]] = []
    for hub in hubs:
        if len(known[hub]) < 2 and not any(hub in chain for chain in ordered):
            ordered.append(_walk(hub, known))
    return ordered, faint


def _walk(start: Hub, known: Links) -> list[Hub]:
    """All measurements that depend on one, in the order of the chain if that is an end of it."""
    walked = [start]
    for hub in walked:
        walked += [other for link in known[hub] for other in link.hubs if other not in walked]
    return walked
