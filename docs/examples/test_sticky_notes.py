"""Tests of the example.

In a checkout: `make setup`, then `.venv/bin/python -m pytest docs/examples`. Copied elsewhere,
beside an installed boardkeeper: `pip install pytest pytest-asyncio`, then
`python -m pytest -o asyncio_mode=auto`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sticky_notes import StickyNotes

from bot.testing import SAMPLE, SimulatedRoom

BOARD = "!room:example.org whiteboard"


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    """Settings that write at once."""
    return {"folder": str(folder / "notes"), "after": 0.0, **more}


def content(file: Path) -> str:
    """What a file holds; nothing while it is not there."""
    return file.read_bytes().decode() if file.exists() else ""


async def test_notes_become_markdown_and_stay_up_to_date(tmp_path: Path) -> None:
    file = tmp_path / "notes" / f"{BOARD}.md"
    async with SimulatedRoom(StickyNotes, settings=settings(tmp_path)) as room:
        await room.until(file.exists)
        assert content(file) == ""
        alice = await room.join("@alice:example.org")
        below = await alice.note("Butter\n*salted*", at=(100, 500))
        await alice.note("Bread", at=(100, 100))
        await alice.draw(text="no sticky note")
        await alice.note("elsewhere", slide=await alice.add_slide())
        expected = "# Slide 1\n\n- Bread\n- Butter  \n  \\*salted\\*\n\n# Slide 2\n\n- elsewhere\n"
        await room.until(lambda: content(file) == expected)
        await alice.remove(below)
        await room.until(
            lambda: content(file) == "# Slide 1\n\n- Bread\n\n# Slide 2\n\n- elsewhere\n"
        )
        assert file.stat().st_mode & 0o777 == 0o600


async def test_notes_become_csv(tmp_path: Path) -> None:
    file = tmp_path / "notes" / f"{BOARD}.csv"
    async with SimulatedRoom(StickyNotes, settings=settings(tmp_path, format="csv")) as room:
        alice = await room.join("@alice:example.org")
        await alice.note('=1+1, "two"', fillColor="#ffffff")
        await room.until(lambda: '\r\n1,#ffffff,"\'=1+1, ""two"""\r\n' in content(file))


@pytest.mark.parametrize("seed", range(3))
async def test_what_was_lost_on_the_way_is_there_in_the_end(tmp_path: Path, seed: int) -> None:
    file = tmp_path / "notes" / f"{BOARD}.md"
    async with SimulatedRoom(
        StickyNotes, settings=settings(tmp_path), loss=0.5, reordering=0.3, seed=seed
    ) as room:
        alice = await room.join("@alice:example.org")
        for number in range(10):
            await alice.note(f"note {number}", at=(0, number))
        await room.settle()
        await room.until(lambda: content(file).count("- note") == 10)


async def test_what_happened_while_it_was_down_too(tmp_path: Path) -> None:
    file = tmp_path / "notes" / f"{BOARD}.md"
    async with SimulatedRoom(StickyNotes, settings=settings(tmp_path)) as room:
        alice = await room.join("@alice:example.org")
        await room.crash()
        await alice.note("meanwhile")
        await alice.leave()
        await room.restart()
        await room.until(lambda: "- meanwhile" in content(file))


async def test_the_sample(tmp_path: Path) -> None:
    file = tmp_path / "notes" / f"{BOARD}.md"
    async with SimulatedRoom(StickyNotes, settings=settings(tmp_path)) as room:
        await room.replay(SAMPLE)
        await room.until(lambda: content(file).count("\n- ") == 6)
