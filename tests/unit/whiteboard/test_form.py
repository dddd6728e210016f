from __future__ import annotations

from bot.whiteboard import merger
from bot.whiteboard.form import FORM


def test_it_says_what_runs_here() -> None:
    """Here one thing, where these tests run in the compiled form the other."""
    assert ("pure" if merger.__file__.endswith(".py") else "compiled") == FORM
