"""The rehearsal compiles what `make setup` promises: the kernels of the light field that Python calls."""

from numba.core.registry import CPUDispatcher

from sim_instruments.world import arm, births, couple, detection, hub, tagging, twins, wave_packets
from sim_instruments.world.rehearsal import rehearse


def test_no_kernel_is_left_for_a_run_to_compile() -> None:
    rehearse()
    for module in (arm, births, couple, detection, hub, tagging, twins, wave_packets):
        for name, thing in vars(module).items():
            if isinstance(thing, CPUDispatcher) and thing.targetoptions.get("nogil"):
                called_by_kernels = name in ("draw",)
                assert called_by_kernels or thing.signatures, f"{module.__name__}.{name}"
