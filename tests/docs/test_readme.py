"""The README's first screen is true: its pictures are there, its links lead somewhere, its demo runs."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import TREE, Page, checkout

README = (TREE / "README.md").read_text()


def test_links_and_pictures_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) > 5
    for target in targets:
        assert (TREE / target).exists(), target


def test_the_two_commands_stand_on_the_first_screen() -> None:
    assert [command.line for command in Page.parse(README).commands] == ["make demo", "make test"]
    assert README.index("make demo") < 1500


@pytest.mark.timeout(600)
@pytest.mark.parametrize("dwell_s", [15, pytest.param(100, marks=pytest.mark.long)])
def test_make_demo_swaps_entanglement(dwell_s: int, tmp_path: Path) -> None:
    """`make demo` from a checkout whose environment is set up, as the README has it, and a shorter dwell.
    (`make test` is what runs now.) At 1.54 swaps per second the rate of T seconds of data is off by less
    than 6 sqrt(1.54 / T) per second, but for one in 5e8."""
    checkout(tmp_path)
    options = f"OPTIONS=--set plan.2.measure_swapping.dwell={dwell_s}s"
    done = subprocess.run(
        ["make", "demo", options], cwd=tmp_path, capture_output=True, text=True, timeout=580, check=False
    )
    assert done.returncode == 0, done.stderr
    for words in ("swap rate", "CHSH S", "fidelity", "1.5 1/s", "> 2", "completed"):
        assert words in done.stdout
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    results = json.loads((folder / "results.json").read_text())
    assert abs(results["swap_rate_hz"]["value"] - 1.54) < 6 * (1.54 / (6 * dwell_s)) ** 0.5
    assert results["live_time_s"] >= 6 * dwell_s
    assert sum(1 for _ in (folder / "tags/raw").iterdir()) == 3
