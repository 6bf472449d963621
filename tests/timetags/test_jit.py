"""Where compiled kernels are kept, when the package's folder can be written and when it cannot."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import timetags

# Counts the tags of two channels with one small kernel, and prints where numba keeps it.
PROGRAM = """
import numpy as np
from timetags.analyses.rates import count
counts = np.zeros(256, np.int64)
count(np.array([7, 7, 9], np.uint8), counts)
print(counts[7], counts[9], count.stats.cache_path)
"""
ANNOUNCED = "compiling kernels"


@pytest.fixture
def package(tmp_path):
    """A copy of the package whose folders numba cannot write to. Permissions do not keep root from that, so
    that a file stands where the folder of the cache would be."""
    copy = tmp_path / "site/timetags"
    shutil.copytree(Path(timetags.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [copy, *(path for path in copy.rglob("*") if path.is_dir())]:
        (folder / "__pycache__").touch()
    return copy.parent


def start(package, **environment):
    """Run the program in a new interpreter; what it printed, and its log."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG", "PYTHON", "COV"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=package,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "NUMBA_CACHE_DIR"])
def test_a_read_only_package_is_compiled_once_into_another_folder(package, tmp_path, variable):
    if sys.platform != "linux" and variable == "XDG_CACHE_HOME":
        pytest.skip("the user's cache folder is told by this variable on Linux alone")
    kept = tmp_path / "kept"
    (*counts, where), log = start(package, **{variable: str(kept)})
    assert counts == ["2", "1"]
    assert Path(where).is_relative_to(kept)
    assert log.count(ANNOUNCED) == 1
    (*counts, _), log = start(package, **{variable: str(kept)})
    assert counts == ["2", "1"]
    assert log == ""


def test_kernels_work_where_nothing_can_be_written(package):
    (*counts, where), log = start(package, HOME="/dev/null", XDG_CACHE_HOME="/dev/null/cache")
    assert counts == ["2", "1"]
    assert where == "None"
    assert log.count(ANNOUNCED) == 1
