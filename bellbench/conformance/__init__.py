"""The conformance suite: what every driver promises, tested against its simulator, in one import.

In a test file of any package:

    import pytest
    from bellbench.conformance import *  # the tests
    from bellbench.conformance import Subject

    @pytest.fixture
    def subject() -> Subject:
        return Subject("example_pm1", {"min_wavelength": "400 nm"})

What is promised stands in `drivers.capabilities.instrument`. The tests know an instrument by its
`controls()` alone, so they hold for capabilities that do not exist yet. `tests/conformance` runs them over
every model of `configs/testbeds/one_of_each.yaml`.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"bellbench.conformance.{name}" for name in ("promises", "bench_promises", "faults", "stand"))
)

from bellbench.conformance.bench_promises import *  # noqa: E402, F403
from bellbench.conformance.faults import *  # noqa: E402, F403
from bellbench.conformance.promises import *  # noqa: E402, F403
from bellbench.conformance.stand import BenchStand, Stand, Subject, stand  # noqa: E402, F401
