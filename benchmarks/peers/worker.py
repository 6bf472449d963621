"""Runs the ways of one peer on request: a line of JSON comes in, a line of JSON goes out.

The answer is {"seconds": ...}, what it took of a core's time. A failure is answered with {"error": ...} and
does not end the worker. A request has one of these shapes:

- {"prepare": way, "times": path, "channels": path, "task": {...}, "folder": path}: ready a correlation.
- {"correlate": way}: count; the histogram of the last one is kept.
- {"save": path}: write what the last request made as .npz: the histogram, or times and channels.
- {"read": reader, "path": path}: read a PTU file.
"""

import json
import sys
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from correlations import WAYS, Task, Way  # type: ignore[import-not-found]
from ptu_readers import READERS  # type: ignore[import-not-found]


class Worker:
    def __init__(self) -> None:
        self.ready: dict[str, Way] = {}
        self.arrays: dict[str, Any] = {}
        self.made: Any = []

    def answer(self, request: dict[str, Any]) -> None:
        if "prepare" in request:
            way = self.ready[request["prepare"]] = WAYS[request["prepare"]]()
            arrays = (self.loaded(request["times"]), self.loaded(request["channels"]))
            way.prepare(*arrays, Task(**request["task"]), Path(request["folder"]))
        elif "correlate" in request:
            self.made = [self.ready[request["correlate"]].count()]
        elif "read" in request:
            reader = READERS[request["read"]]()
            reader.read(Path(request["path"]))
            self.made = reader
        elif "save" in request:
            made = self.made if isinstance(self.made, list) else self.made.tags()
            np.savez(request["save"], *made)

    def loaded(self, path: str) -> Any:
        """Mapped once, so that the workers share the memory."""
        if path not in self.arrays:
            self.arrays[path] = np.load(path, mmap_mode="r")
        return self.arrays[path]


def main() -> None:
    answers = sys.stdout
    sys.stdout = sys.stderr  # what programs print is no answer
    worker = Worker()
    for line in sys.stdin:
        try:
            request, begun = json.loads(line), process_time()
            worker.answer(request)
            answer: dict[str, object] = {"seconds": process_time() - begun}
        except Exception as error:  # whatever a peer raises is told, and the others go on
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
