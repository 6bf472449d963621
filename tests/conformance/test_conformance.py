"""The conformance suite over every model that stands on the bench of one of each."""

from pathlib import Path

import pytest

from bellbench.conformance import *  # noqa: F403
from bellbench.conformance import Subject
from drivers.catalog import models
from experiments.config.files import load_testbed

ONE_OF_EACH = Path(__file__).parents[2] / "configs" / "testbeds" / "one_of_each.yaml"
SUBJECTS = [
    Subject(entry.model, entry.settings) for entry in load_testbed(ONE_OF_EACH).testbed.instruments.values()
]


@pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.model)
def subject(request: pytest.FixtureRequest) -> Subject:
    assert isinstance(request.param, Subject)
    return request.param


def test_one_of_each_is_one_of_each() -> None:
    """Drivers over a vendor's library have no wire that could be simulated."""
    from sim_instruments.catalog import models as simulated

    assert sorted(subject.model for subject in SUBJECTS) == sorted(simulated())
    assert set(simulated()) <= set(models())
