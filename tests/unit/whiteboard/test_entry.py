from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from bot.whiteboard.entry import Entry, Kind


def test_the_names_of_kinds_are_what_archives_hold() -> None:
    """Renaming one would make existing archives unreadable."""
    assert [kind.value for kind in Kind] == [
        "update",
        "refused",
        "snapshot",
        "baseline",
        "cursor",
        "focus",
        "present",
    ]
    assert Kind("baseline") is Kind.BASELINE


def test_an_entry_is_a_value() -> None:
    entry = Entry(1, 5, Kind.UPDATE, "@a:x", "D", b"\0\0")
    assert entry == Entry(1, 5, Kind.UPDATE, "@a:x", "D", b"\0\0", seq=0)
    with pytest.raises(FrozenInstanceError):
        entry.ts = 6  # type: ignore[misc]
