"""`python -m bellbench.dashboard FOLDER DESCRIPTOR`: serve one run at a socket that is there already,
until standard input ends. `bellbench run --dashboard` starts it so (see `beside`); people use `bellbench
dashboard`."""

import socket
import sys
import threading
import time
from pathlib import Path

from bellbench.dashboard.server import DashboardServer
from bellbench.dashboard.stream import TICK_S

LAST_WORDS_S = 5 * TICK_S
"""Wall time for the pages to get the end of the run."""


def main(folder: Path, descriptor: int) -> None:
    server = DashboardServer(lambda: folder)
    threading.Thread(target=_stop_with_input, args=(server,), daemon=True).start()
    server.serve(socket.socket(fileno=descriptor))


def _stop_with_input(server: DashboardServer) -> None:
    sys.stdin.buffer.read()
    time.sleep(LAST_WORDS_S)
    server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
