"""A process that merges updates in one form of our Document: pure, or compiled as the image has it.

`python -m tests.bench.merger` reads JSON lines and answers each: a list of updates is kept, a pair
of a list's number and a batch's size is measured.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from bot.whiteboard import document as module
from tests import compiled
from tests.stack.processes import ROOT

PURE, COMPILED = "pure", "compiled"


class Merger:
    """One such process; it dies with the pipe that it reads.

    Args:
        form: PURE or COMPILED.
        updates: lists of them, to be merged by their numbers.

    Raises:
        AssertionError: the compiled form cannot be built, or is not what runs.
    """

    def __init__(self, form: str, *updates: Sequence[bytes]) -> None:
        pure = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.merger"],
            env=compiled.environment() if form == COMPILED else pure,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        runs = [self._ask([base64.b64encode(one).decode() for one in each]) for each in updates]
        assert set(runs) == {form}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def merge(self, which: int, batch: int) -> float:
        """Gives a new document these updates; returns updates per second of processor time."""
        return float(self._ask({"which": which, "batch": batch}))

    def _ask(self, request: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def main() -> None:
    """Answers until there are no more lines."""
    kept: list[list[bytes]] = []
    for line in sys.stdin:
        asked = json.loads(line)
        answer: str | float
        if isinstance(asked, list):
            kept.append([base64.b64decode(one) for one in asked])
            answer = PURE if str(module.__file__).endswith(".py") else COMPILED
        else:
            answer = _merged(kept[asked["which"]], asked["batch"])
        print(json.dumps(answer), flush=True)


def _merged(updates: Sequence[bytes], batch: int) -> float:
    document = module.Document()
    batches = [updates[start : start + batch] for start in range(0, len(updates), batch)]
    gc.collect()  # else the documents of earlier runs are let go in this one
    began = time.process_time()
    for one in batches:
        document.apply(one)
    spent = time.process_time() - began
    assert not document.has_gap
    return len(updates) / spent


if __name__ == "__main__":
    main()
