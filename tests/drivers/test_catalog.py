"""The catalogue of models, from the entry points of the installed distribution."""

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from drivers import catalog
from drivers.capabilities import Laser

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_every_announced_model_is_listed() -> None:
    announced = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"]["bellbench.drivers"]
    assert set(announced) <= set(catalog.models())
    assert list(catalog.models()) == sorted(catalog.models())


def test_a_model_is_found_by_its_name() -> None:
    driver = catalog.find("toptica_dlcpro")
    assert issubclass(driver, Laser)
    assert driver.model == "toptica_dlcpro"


def test_an_unknown_model_gets_the_nearest_right_word() -> None:
    with pytest.raises(ValueError, match=r"'toptica_dlpro' is not .*did you mean 'toptica_dlcpro'\?"):
        catalog.find("toptica_dlpro")
    with pytest.raises(ValueError, match=r"known: .*singlequantum_websq"):
        catalog.find("xyz")


def test_the_capability_is_the_kind_of_the_class() -> None:
    assert catalog.capability_of(catalog.find("toptica_dlcpro")) == "Laser"
    assert catalog.capability_of(catalog.find("singlequantum_websq")) == "NanowireBias"
    assert catalog.capability_of(catalog.find("thorlabs_pm100d")) == "PowerMeter"


def test_what_is_no_driver_or_announced_twice_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def announce(*values: str) -> None:
        points = [importlib.metadata.EntryPoint("odd", value, catalog.GROUP) for value in values]
        monkeypatch.setattr(catalog, "entry_points", lambda group: points)

    announce("drivers.address:Address")
    with pytest.raises(ValueError, match=r"drivers.address:Address .*not an instrument driver"):
        catalog.find("odd")
    announce("drivers.address:Address", "drivers.address:Address")
    assert catalog.models() == ("odd",)
    announce("one:A", "two:B")
    with pytest.raises(ValueError, match="one:A and two:B"):
        catalog.models()


def test_finding_a_model_imports_that_driver_alone_and_nothing_heavy() -> None:
    program = (
        "import sys; from drivers import catalog; catalog.models(); catalog.find('thorlabs_pm100d');"
        "print(*sorted(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = set(output.stdout.split())
    assert "drivers.optics.thorlabs_pm100d" in loaded
    assert not loaded & {"drivers.lasers.toptica_dlcpro", "drivers.detectors.singlequantum_websq"}
    assert not loaded & {"numba", "pyvisa", "serial", "zmq", "pyarrow", "scipy", "matplotlib"}
