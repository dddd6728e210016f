"""What opening a large board takes: seconds of processor time, and memory at its peak.

Each is opened in a process of its own, `python -m tests.bench.opening CONTESTANT FILE`, which
prints a JSON array: seconds, MB. The peak is what the kernel counted beyond what the process had
with its libraries loaded and the file read.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pycrdt import Doc, Map

from bot.whiteboard.document import Document
from tests.bench.drawing import Drawing, large_board
from tests.bench.packets import read, write
from tests.bench.results import Result
from tests.stack.processes import ROOT

_LONGEST = 600.0
_STATUS = Path("/proc/self/status")


def measure(folder: Path, *, elements: int, updates: int, runs: int) -> list[Result]:
    """Open a board of so many elements; one drawn in so many updates, merged and one by one.

    Args:
        folder: for the boards.
        elements: of the first board.
        updates: of the other.
        runs: of each.
    """
    sent = Drawing(seed=6, people=1).draw(updates)
    whole = Document()
    whole.apply(sent)
    boards = {
        f"open_{elements}_elements": [large_board(elements)],
        f"open_{updates}_updates_merged": [whole.encode()],
        f"open_{updates}_updates_one_by_one": sent,
    }
    return [
        result for name, board in boards.items() for result in _opened(folder, name, board, runs)
    ]


def _opened(folder: Path, name: str, board: Sequence[bytes], runs: int) -> list[Result]:
    file = folder / name
    write(file, list(board))
    seconds, memory = Result(name, "s of CPU"), Result(f"{name}_memory", "MB at the peak")
    for _ in range(runs):
        for contestant in ("ours", "reference"):
            took, peak = _child(contestant, file)
            getattr(seconds, contestant).append(took)
            getattr(memory, contestant).append(peak)
    return [seconds, memory]


def _child(contestant: str, file: Path) -> tuple[float, float]:
    command = [sys.executable, "-m", "tests.bench.opening", contestant, str(file)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=_LONGEST)
    seconds, memory = json.loads(done.stdout)
    return seconds, memory


# -- in a process of its own ----------------------------------------------------------------------


def _ours(board: Sequence[bytes]) -> None:
    document = Document()
    if len(board) == 1:
        document.merge_snapshot(board[0])
    else:
        for update in board:  # as the archive's entries are replayed
            document.apply([update])
    document.content()


def _reference(board: Sequence[bytes]) -> None:
    doc: Doc[Any] = Doc()
    root: Map[Any] = doc.get("0", type=Map)
    for update in board:
        doc.apply_update(update)
    root.to_py()


_CONTESTANTS: dict[str, Callable[[Sequence[bytes]], None]] = {
    "ours": _ours,
    "reference": _reference,
}


def _memory(field: str) -> float:
    """A field of the kernel's count, in MB."""
    line = next(one for one in _STATUS.read_text().splitlines() if one.startswith(field))
    return int(line.split()[1]) * 1024 / 1e6


def main() -> None:
    """Opens the board of a file once."""
    board = read(Path(sys.argv[2]))
    before, began = _memory("VmRSS:"), time.process_time()
    _CONTESTANTS[sys.argv[1]](board)
    print(json.dumps([time.process_time() - began, _memory("VmHWM:") - before]))


if __name__ == "__main__":
    main()
