"""What `tests/unit/store/test_processes.py` does with some kills, with many."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.unit.store.test_processes import run


def test_nothing_committed_is_lost_by_sixty_kills(tmp_path: Path) -> None:
    said = run(sys.executable, "-m", "tests.unit.store.killed", tmp_path / "data", "60")
    assert said.startswith("60 kills")
