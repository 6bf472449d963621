"""The page "A file of time tags in hand" does what it says, with the figures of the file that it makes."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import Page, checkout
from timetags.files.segments import SegmentFolder

PAGE = Page.read("tag-files.md")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each command of the page prints, in a folder with its files."""
    folder = tmp_path_factory.mktemp("page")
    checkout(folder)
    (folder / "timetags").symlink_to(Path(__file__).parents[2] / "timetags")
    PAGE.write_files(folder)
    printed = {}
    for command in PAGE.commands:
        done = command.run(folder)
        assert done.returncode == 0, f"$ {command.line}\n{done.stdout}"
        assert command.agrees(done.stdout), f"$ {command.line}\n{done.stdout}"
        printed[command.line.removeprefix(".venv/bin/")] = done.stdout
    printed["ls"] = str(sum(len(block) for block in SegmentFolder(folder / "pairs_folder")))
    return printed


def number(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    assert found is not None, text
    return float(found[1].replace(",", ""))


def test_every_command_prints_what_the_page_shows(outputs: dict[str, str]) -> None:
    assert len(outputs) == 9


def test_the_peak_is_where_the_cable_puts_it(outputs: dict[str, str]) -> None:
    """40,000 pairs; an exponential of 700 ps fixes its own decay to 4 ps, and a sharp flank in bins of 200 ps
    is found within one bin."""
    (text,) = (out for line, out in outputs.items() if "correlate" in line)
    assert number(text, r"peak at (\S+) ±") == pytest.approx(60_000, abs=200)
    assert number(text, r"with (\S+) pairs") == pytest.approx(40_000, rel=0.05)
    assert number(text, r"and (\S+) ps after") == pytest.approx(700, rel=0.1)
    decay = number(outputs["python analyse.py"], r"over (\S+) ps")
    assert decay == pytest.approx(700, rel=0.1)


def test_coincidences_are_those_that_were_made(outputs: dict[str, str]) -> None:
    """20,000 pairs for each port, of which 1 - exp(-3 ns / 700 ps) = 98.6 % fall into 4 ns about 61 ns;
    accidentals are 6e4 x 7e4 x 4 ns x 2 s = 33.6. Three-folds need an accidental: 2 x 20,000 x 6e4 x 4 ns
    = 10. Each within 6 standard deviations (Poisson)."""
    (text,) = (out for line, out in outputs.items() if "--accidentals" in line)
    rows = {line.split("  ")[0]: re.split(r"\s{2,}", line) for line in text.splitlines()[1:]}
    for pair in ("1 & 3", "2 & 3"):
        assert abs(float(rows[pair][3]) - 33.6) < 6 * (33.6 / 10) ** 0.5
        assert abs(float(rows[pair][4].split(" ±")[0]) - 19_724) < 6 * 20_000**0.5
    assert abs(float(rows["1 & 2"][1]) - 28.8) < 6 * 28.8**0.5
    assert float(rows["1 & 2 & 3"][1]) < 60


def test_what_was_converted_is_whole(outputs: dict[str, str]) -> None:
    assert outputs["ls"] == "380000"
