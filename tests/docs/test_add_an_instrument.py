"""The page "Add an instrument" does what it says: its files, its commands, both its ways.

The files on the page are written outside of the tree and its commands carried out beside them. Only
`pip install` is not: a folder with the metadata that it would leave, made from the page's own
`pyproject.toml`, stands on the path instead.
"""

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import Command, Page

TREE = Path(__file__).parents[2]
PAGE = Page.read("add-an-instrument.md")
TESTBED = "my_testbed.yaml"


def announce(pyproject: Path) -> None:
    """Leave the metadata of an installed package beside its `pyproject.toml`."""
    project = tomllib.loads(pyproject.read_text())["project"]
    info = pyproject.parent / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(points))


def perform(line: str, folder: Path) -> str:
    """The output of a command in a folder whose packages are importable; it must succeed."""
    done = Command(line, "").run(folder, {"PYTHONPATH": str(folder)})
    assert done.returncode == 0, f"$ {line}\n{done.stdout}"
    return done.stdout


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The folder with the page's files, installed as far as metadata go."""
    PAGE.write_files(tmp_path)
    announce(tmp_path / "pyproject.toml")
    return tmp_path


def test_the_commands_of_the_page_print_what_it_shows(package: Path) -> None:
    assert [c.line.split()[0] for c in PAGE.commands] == ["pip", "pytest", "bellbench", "bellbench"]
    for command in PAGE.commands[1:]:
        output = perform(command.line, package)
        assert command.agrees(output), f"$ {command.line}\n{output}"


def test_the_catalogue_knows_the_model_and_check_takes_its_testbed(package: Path) -> None:
    listed = {entry["model"]: entry for entry in json.loads(perform("bellbench instruments --json", package))}
    meter = listed["example_pm1"]
    assert (meter["capability"], meter["address_schemes"]) == ("PowerMeter", ["tcp"])
    assert [s["name"] for s in meter["settings"] if s["required"]] == ["min_wavelength", "max_wavelength"]
    assert "toptica_dlcpro" in listed

    (instrument,) = json.loads(perform(f"bellbench check --json {TESTBED}", package))["instruments"]
    assert instrument["address"] == "tcp://10.0.0.7:5025"

    (package / TESTBED).write_text(
        PAGE.files[TESTBED].replace("max_wavelength: 1100 nm", "max_wavelength: 1 W")
    )
    refused = Command(f"bellbench check {TESTBED}", "").run(package, {"PYTHONPATH": str(package)})
    assert refused.returncode == 2
    assert "max_wavelength: 'W' is a unit of power, not of length" in refused.stdout


def test_the_files_keep_the_rules_of_the_house(package: Path) -> None:
    ours = 'lint.isort.known-first-party=["drivers", "sim_instruments", "example_pm1"]'
    for check in ("check", "format --check"):
        perform(f"ruff {check} --no-cache --config '{TREE / 'pyproject.toml'}' --config '{ours}' .", package)
    driver, simulator = (PAGE.files[f"example_pm1/{name}.py"] for name in ("driver", "simulator"))
    assert not re.search(r"^(from|import) (sim_instruments|example_pm1)", driver, re.MULTILINE)
    assert not re.search(r"^(from|import) (drivers|example_pm1)", simulator, re.MULTILINE)


def move_in(tree: Path) -> None:
    """Copy this repository's packages to `tree`, and put the page's files and lines where its table says."""
    for package in ("bellbench", "drivers", "experiments", "sim_instruments", "telemetry", "timetags"):
        shutil.copytree(TREE / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    rows = PAGE.text.partition("## In this repository instead")[2].splitlines()
    cells = [row.strip("| ").split(" | ") for row in rows if row.startswith("| ")][1:]
    quoted = {here.strip("`"): re.findall(r"`(.+?)`", there) for here, there in cells}
    pyproject, *entry_points = quoted["the entry points"]
    one_of_each, entry = quoted["Subject(...)"]
    homes = {here: names[0] for here, names in quoted.items() if here.endswith(".py")}
    modules = {here[:-3].replace("/", "."): home[:-3].replace("/", ".") for here, home in homes.items()}

    for here, home in homes.items():
        text = re.sub("|".join(map(re.escape, modules)), lambda m: modules[m[0]], PAGE.files[here])
        (tree / home).parent.mkdir(parents=True, exist_ok=True)
        (tree / home).write_text(text)
    shutil.copy(TREE / pyproject, tree / pyproject)
    for group, line in zip(("drivers", "simulators"), entry_points, strict=True):
        insert(tree / pyproject, after=f'[project.entry-points."bellbench.{group}"]', text=f"{line}\n")
    shutil.copytree(TREE / "configs", tree / "configs")
    insert(tree / one_of_each, after="instruments:", text=f"  {entry}\n")
    conformance = Path("tests/conformance/test_conformance.py")
    (tree / conformance).parent.mkdir(parents=True)
    shutil.copy(TREE / conformance, tree / conformance)


def insert(file: Path, text: str, *, before: str = "", after: str = "") -> None:
    """Put text before or after the one line of a file that begins so."""
    lines = file.read_text().splitlines(keepends=True)
    (place,) = [number for number, line in enumerate(lines) if line.startswith(before or after)]
    lines.insert(place if before else place + 1, text)
    file.write_text("".join(lines))


def test_in_this_repository_the_same_files_and_two_lines_do_it_too(tmp_path: Path) -> None:
    move_in(tmp_path)
    announce(tmp_path / "pyproject.toml")
    output = perform("pytest -k example_pm1", tmp_path)  # by the options of this repository
    passed = re.search(r"(\d+) passed", output)
    assert passed
    assert int(passed[1]) == 22
    listed = {
        entry["model"]: entry for entry in json.loads(perform("bellbench instruments --json", tmp_path))
    }
    assert listed["example_pm1"]["capability"] == "PowerMeter"
