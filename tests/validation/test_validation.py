"""The light field is held to closed formulas and independent calculations; `docs/validation.md` shows them
all.

Seeds are fixed. For a new seed, a check of a right simulation fails with a probability below 1e-6
(`evidence`).
"""

import numpy as np
import pytest

from docs.make_validation import PAGE, PICTURES, heading
from tests.validation.chapters import CHAPTERS, CHECKS
from tests.validation.evidence import (
    FALSE_ALARM,
    ChiSquare,
    Equal,
    Evidence,
    Excluded,
    Figure,
    Finding,
    counts_against,
)

TABLE_ROWS = 17
"""Of section 4 of the design note on physics."""


@pytest.mark.parametrize("name", CHECKS)
def test_the_light_field_agrees(name: str) -> None:
    evidence = CHECKS[name].look(1.0)
    assert evidence.findings
    for finding in evidence.doubtful():
        pytest.fail(f"{finding.name}: {' | '.join(finding.cells())}, chance {finding.chance():.1e}")


def test_every_row_of_the_table_has_a_check() -> None:
    rows = {row for check in CHECKS.values() for row in check.rows}
    assert rows == set(range(1, TABLE_ROWS + 1))


def test_the_page_lists_every_check_and_shows_its_picture() -> None:
    page = PAGE.read_text()
    for chapter in CHAPTERS:
        assert f"\n## {chapter.title}\n" in page
        for check in chapter.checks:
            section = page.partition(f"\n### {heading(check)}\n")[2].partition("\n### ")[0]
            assert check.formula in section
            assert check.text in section
            picture = PICTURES / f"{check.name}.svg"
            assert f"]({picture.relative_to(PAGE.parent)})" in section
            assert picture.exists()
    assert {path.stem for path in PICTURES.iterdir()} == set(CHECKS)


# -- the measure itself --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (Figure("f", 10.0, 15.2, 1.0), Figure("f", 10.0, 15.5, 1.0)),
        (Figure("f", 10.0, 4.3, 1.0, allowance=0.5), Figure("f", 10.0, 4.0, 1.0, allowance=0.5)),
        (ChiSquare("c", 150.0, 100), ChiSquare("c", 200.0, 100)),
        (Equal("e", 1e-11, 1e-10), Equal("e", 1e-9, 1e-10)),
        (Excluded("x", 20.0), Excluded("x", 5.0)),
    ],
)
def test_a_finding_too_far_off_is_doubtful(right: Finding, wrong: Finding) -> None:
    """5.33 sigma is 1e-7, 5.45 half of that, which each of two findings gets; chi-square of 100 exceeds 194.4
    with that probability."""
    assert not Evidence((right,)).doubtful()
    assert Evidence((right, wrong)).doubtful() == [wrong]


def test_false_alarms_are_as_rare_as_stated() -> None:
    """Chances of right findings are uniform: of 20,000, 1 % fall below 0.01 (+- 6 sigma of the binomial)."""
    rng = np.random.default_rng(1)
    figures = [Figure("f", 3.0, 3.0 + 0.5 * z, 0.5) for z in rng.standard_normal(10_000)]
    mean = np.full(40, 200.0)
    squares = [counts_against("c", mean, rng.poisson(mean)) for _ in range(10_000)]
    for findings in (figures, squares):
        rare = sum(finding.chance() < 0.01 for finding in findings)
        assert abs(rare - 100) < 60
    assert FALSE_ALARM <= 1e-7


def test_thinly_filled_bins_do_not_count() -> None:
    assert counts_against("c", np.array([100.0, 3.0]), np.array([110.0, 9.0])) == ChiSquare("c", 1.0, 1)
