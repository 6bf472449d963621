"""Which process carries a run out, so that others can tell later whether it still lives.

A process number alone is used again, so the time when the process began goes with it, and the boot of the
machine that this time counts from. Of a process on another machine nothing can be told: it counts as alive.
"""

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path


def this_process() -> dict[str, object]:
    """What run.json says of the process that carries the run out."""
    return {"pid": os.getpid(), "began": began(os.getpid()), "host": socket.gethostname()}


def is_gone(process: Mapping[str, object]) -> bool:
    """Whether the process that run.json names is gone for sure."""
    pid, start, host = process.get("pid"), process.get("began"), process.get("host")
    if host != socket.gethostname() or not isinstance(pid, int) or not isinstance(start, str):
        return False
    return began(pid) != start


def began(pid: int) -> str:
    """When a process began, in words that no other process of this number shares; empty when there is none,
    or it has ended and only waits for its parent to notice."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # proc(5): the name, field 2, may hold anything; field 3 is the state, field 22 the start in ticks.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else f"{boot}/{fields[19]}"
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
    except ProcessLookupError:
        return ""
    asked = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()
