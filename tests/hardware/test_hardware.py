"""What every driver promises, tried on the instrument that the command line names; see README.md here."""

import pytest

from bellbench.conformance.hardware import *  # noqa: F403

pytestmark = pytest.mark.timeout(3600)  # motors take their time
