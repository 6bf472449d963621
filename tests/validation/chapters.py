"""All checks of the light field, in the order of the page."""

from tests.validation import coincidences, interference, swapping

CHAPTERS = tuple(module.CHAPTER for module in (coincidences, interference, swapping))
CHECKS = {check.name: check for chapter in CHAPTERS for check in chapter.checks}
