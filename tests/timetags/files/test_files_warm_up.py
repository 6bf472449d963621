"""After the warm-up no kernel of the tag files is left to compile, for real files either."""

import subprocess
import sys
from pathlib import Path

# In a process of its own: the other tests compile kernels too.
PROGRAM = """
import importlib, pkgutil, sys
from pathlib import Path
import numba.core.dispatcher
import numpy as np
import timetags.files
from timetags.block import TagBlock
from timetags.files.export import export_tags
from timetags.files.opening import open_tags
from timetags.files.warm_up import compile_kernels

compile_kernels()
kernels = {
    f"{module.name}.{name}": value
    for module in pkgutil.iter_modules(timetags.files.__path__)
    for name, value in vars(importlib.import_module(f"timetags.files.{module.name}")).items()
    if isinstance(value, numba.core.dispatcher.Dispatcher) and value.targetoptions.get("nogil")
}
assert len({id(kernel) for kernel in kernels.values()}) == 14, sorted(kernels)
assert [name for name, kernel in kernels.items() if not kernel.signatures] == []
folder = Path(sys.argv[1])
times = np.arange(2_000_000) * 1000
export_tags([TagBlock(times, np.ones(len(times), np.uint8), 0, int(times[-1]) + 1)], folder / "a.ptu")
(folder / "b.bin").write_bytes(times.tobytes())
(folder / "c.a2").write_text("".join(f"{time:013x}401\\n" for time in range(1000)))
for name in ("a.ptu", "b.bin", "c.a2"):
    assert sum(map(len, open_tags(folder / name))) in (1000, 2_000_000)
assert {name: kernel.signatures for name, kernel in kernels.items() if len(kernel.signatures) > 1} == {}
print("done")
"""


def test_every_kernel_is_compiled_once(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout == "done\n", done.stderr
