"""Chains of Bell-state measurements: which one is decided first where a source's photons go to two.

A photon can be routed with photons of other sources when the state in which its partner's fate leaves it is
known. So of the sources whose photons meet at a measurement, at most one may have partners that are still on
their way to another; then measurements are decided one after the other, along the chain.
"""

from collections.abc import Mapping, Sequence

from sim_instruments.world.hub import Hub


def chains(hubs: Sequence[Hub], links: Mapping[str, tuple[Hub, Hub]]) -> list[list[Hub]]:
    """The measurements in the order in which they are decided, those that depend on each other together.
    `links` are sources by name and where their photons go.

    ValueError, naming the sources, for a ring, and where more than two sources that go on to others meet.
    """
    neighbours: dict[Hub, list[tuple[str, Hub]]] = {hub: [] for hub in hubs}
    for name, (a, b) in links.items():
        neighbours[a].append((name, b))
        neighbours[b].append((name, a))
    for hub, onward in neighbours.items():
        if len(onward) > 2:
            names = ", ".join(name for name, _ in onward)
            raise ValueError(
                f"{hub.measurement.name}: the partners of {names} all go to other Bell-state measurements; "
                "the light field follows two such sources at one measurement"
            )
    found: list[list[Hub]] = []
    seen: set[Hub] = set()
    for hub, onward in neighbours.items():
        if hub in seen or len(onward) == 2:
            continue  # in the middle of a chain: it is begun at an end
        chain = [hub]
        while following := [other for _, other in neighbours[chain[-1]] if other not in chain]:
            chain.append(following[0])
        seen.update(chain)
        found.append(chain)
    rings = sorted({name for hub in hubs if hub not in seen for name, _ in neighbours[hub]})
    if rings:
        raise ValueError(
            f"{', '.join(rings)}: these sources close a ring of Bell-state measurements; the light field "
            "follows chains with two ends"
        )
    return found
