"""The conformance suite against a real instrument: what is asked for on the command line, and refusals.

The options can be given only when this folder is named on the command line. Wherever else pytest comes across
it, nothing here is collected.
"""

import sys
from pathlib import Path

import pytest
import yaml

from bellbench.conformance.hardware import Target

HOW = (
    "to try a real instrument: pytest tests/hardware --model MODEL --address ADDRESS "
    "[--settings '{max_power: 60 mW}'] --yes"
)
TARGET = pytest.StashKey[Target]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hardware", "the conformance suite against a real instrument")
    group.addoption("--model", help="As `bellbench instruments` lists it.")
    group.addoption("--address", help="Such as tcp://10.0.0.7:1998 or serial:/dev/ttyUSB0.")
    group.addoption("--settings", default="{}", help="Of the instrument, as in a testbed file (YAML).")
    group.addoption("--yes", action="store_true", help="All that is printed at the start may happen.")


def pytest_cmdline_main(config: pytest.Config) -> None:
    """Say what will happen, and go no further without being told to. Raises UsageError. pytest calls this
    only when the folder is named on the command line, not when a run of other tests comes across it."""
    if config.option.help:
        return
    if not (config.option.model and config.option.address):
        raise pytest.UsageError(HOW)
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("one instrument is tried by one process: leave -n out")
    try:
        settings = yaml.safe_load(config.option.settings)
        target = Target(config.option.model, config.option.address, settings)
        plan = list(target.plan())
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise pytest.UsageError(f"{error}\n{HOW}") from error
    for line in plan:
        sys.stdout.write(f"{line}\n")
    if not config.option.yes:
        raise pytest.UsageError("nothing has been opened yet; say --yes if all this may happen")
    config.stash[TARGET] = target


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return None if TARGET in config.stash else True


@pytest.fixture
def target(pytestconfig: pytest.Config) -> Target:
    return pytestconfig.stash[TARGET]
