"""Nobody waits for a kernel after the warm-up."""

import subprocess
import sys

# In an interpreter of its own: here, other tests may have compiled anything.
PROGRAM = """
from importlib import import_module
from pkgutil import walk_packages

import timetags
from timetags.jit import KERNELS

for module in walk_packages(timetags.__path__, "timetags."):
    import_module(module.name)
for room in ("analyses", "files"):
    import_module(f"timetags.{room}.warm_up").compile_kernels()
assert len(KERNELS) > 20
# A kernel that another one calls is compiled with that.
functions = [kernel.py_func for kernel in KERNELS]
inner = {id(one.__globals__.get(name)) for one in functions for name in one.__code__.co_names}
waiting = [kernel for kernel in KERNELS if not kernel.signatures and id(kernel) not in inner]
print(*(kernel.__module__ + "." + kernel.__name__ for kernel in waiting))
"""


def test_every_kernel_is_compiled():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
