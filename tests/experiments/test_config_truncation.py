"""Shipped configurations cut off at any byte, as a full disk or a broken transfer leaves them: a ConfigError
or a good file, nothing else. The suite tries a sample; `pytest -m long` tries every byte of every file.
"""

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from experiments.config.files import load
from experiments.config.loader import parse_bytes
from experiments.config.problems import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = sorted(CONFIGS.rglob("*.yaml"))
PARSED, LOADED = 97, 797
"""Every how many bytes a file is cut to be parsed, and to be checked as a whole; primes, so that no form of a
line is met again and again."""


def inside_letters(content: bytes) -> list[int]:
    """The places at which a letter of several bytes would be torn."""
    return [k for k, byte in enumerate(content) if 0x80 <= byte < 0xC0]


def cut(content: bytes, places: Iterable[int], file: Path) -> int:
    """Load the file cut off at these places; returns how often it was still good."""
    good = 0
    for place in places:
        file.write_bytes(content[:place])
        with suppress(ConfigError):
            load(file)
            good += 1
    return good


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    shutil.copytree(CONFIGS, tmp_path / "configs")
    return tmp_path / "configs"


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_any_beginning_of_a_file_is_yaml_or_a_problem(file: Path) -> None:
    content = file.read_bytes()
    for place in [*range(0, len(content), PARSED), *inside_letters(content)]:
        with suppress(ConfigError):
            parse_bytes(content[:place], "cut.yaml")


def test_any_beginning_of_a_file_is_a_configuration_or_a_problem(beside: Path) -> None:
    good = 0
    for file in SHIPPED:
        content, where = file.read_bytes(), beside / file.relative_to(CONFIGS)
        good += cut(content, [*range(0, len(content), LOADED), len(content)], where)
    assert good >= len(SHIPPED)  # the whole ones at least


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_beginning_of_a_file_is_a_configuration_or_a_problem(beside: Path, file: Path) -> None:
    content = file.read_bytes()
    assert cut(content, range(len(content) + 1), beside / file.relative_to(CONFIGS)) >= 1
