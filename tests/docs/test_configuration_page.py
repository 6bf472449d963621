"""The page "Configuration" does what it says."""

from pathlib import Path

from experiments.config.files import load_experiment
from tests.docs.pages import Page, checkout

PAGE = Page.read("configuration.md")


def test_the_shared_part_is_merged_as_the_page_says(tmp_path: Path) -> None:
    checkout(tmp_path)
    PAGE.write_files(tmp_path)
    experiment = load_experiment(tmp_path / "lab/tonight.yaml").experiment
    assert (experiment.swapping.bsm_window, experiment.swapping.spoke_window) == (600e-12, 2200e-12)
    assert experiment.record.tags == "none"


def test_every_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    checkout(tmp_path)
    PAGE.write_files(tmp_path)
    for command in PAGE.commands:
        done = command.run(tmp_path)
        mistaken = "bsm_windw" in command.line
        assert done.returncode == (2 if mistaken else 0), f"$ {command.line}\n{done.stdout}"
        assert command.agrees(done.stdout), f"$ {command.line}\n{done.stdout}"
