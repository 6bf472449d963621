"""`bellbench schema`."""

import json
from pathlib import Path

import pytest

from bellbench.cli import call

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("kind", ["experiment", "testbed"])
def test_it_prints_what_is_shipped(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["schema", kind]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((CONFIGS / f"schema/{kind}.json").read_text())


def test_another_kind_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["schema", "run"]) == 2
    assert "experiment" in capsys.readouterr().err
