"""`bellbench sim` as another program sees it: a process that prints where everything is, and serves."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTBED = ROOT / "configs" / "testbeds" / "one_of_each.yaml"


def test_any_program_can_use_the_instruments_until_it_is_stopped() -> None:
    command = [str(Path(sys.executable).with_name("bellbench")), "sim", str(TESTBED), "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        told = json.loads(serving.stdout.readline())
        places = {place["model"]: place for place in told["instruments"]}
        laser = places["toptica_dlcpro"]
        with socket.create_connection((laser["host"], laser["port"]), timeout=5) as line:
            line.sendall(b"(param-ref 'laser1:emission)\n")
            answer = b""
            while b"#f" not in answer:
                answer += line.recv(4096)
        with Path(places["thorlabs_k10cr1"]["path"]).open("r+b", buffering=0) as mount:
            mount.write(bytes.fromhex("050000005001"))  # hardware info, thorlabs_k10cr1.md
            assert mount.read(1) == b"\x06"
        os.kill(serving.pid, signal.SIGINT)
        assert serving.wait(10) == 0
