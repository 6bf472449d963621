"""All checks of the light field, in the order of the page."""

from tests.validation import (
    bell,
    chains,
    coincidences,
    detectors,
    emitters,
    interference,
    links,
    pulses,
    slices,
    swapping,
    teleportation,
    testbeds,
    two_photons,
)

CHAPTERS = tuple(
    module.CHAPTER
    for module in (
        coincidences, two_photons, interference, bell, swapping, chains, teleportation, pulses, emitters,
        detectors, links, slices, testbeds,
    )
)  # fmt: skip
CHECKS = {check.name: check for chapter in CHAPTERS for check in chapter.checks}
