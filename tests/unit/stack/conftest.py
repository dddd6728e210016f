from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stack.client.recording import Recording
from tests.stack.processes import ROOT

SESSION = ROOT / "tests" / "data" / "neoboard-session"


class Recorded:
    """A recorded session: parsed, and the raw rows and events to compare with."""

    def __init__(self, folder: Path) -> None:
        self.recording = Recording.read(folder)
        self.rows: list[dict[str, Any]] = [
            json.loads(line) for line in (folder / "livekit.jsonl").read_text().splitlines()
        ]
        self.events: list[dict[str, Any]] = json.loads((folder / "timeline.json").read_bytes())

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == event_type]


@pytest.fixture(scope="session")
def slides() -> Recorded:
    return Recorded(SESSION / "slides")


@pytest.fixture(scope="session")
def infinite() -> Recorded:
    return Recorded(SESSION / "infinite")
