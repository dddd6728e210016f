"""What holds for all tests."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import settings

# What covers the pure core, and what reads other people's input, to the last branch: their own
# tests, without those that Hypothesis feeds. What it comes by changes with every strategy, and to
# measure it makes it three times as slow.
MEASURED = (
    "tests/unit/whiteboard/",
    "tests/unit/rtc/",
    "tests/unit/config/",
    "tests/unit/commands/",
    "tests/unit/test_logs.py",
    "tests/unit/rooms/test_invites.py",
)

# How long an example takes says how busy the machine is. The profile `ci`, which `make check` asks
# for, has no deadline either; this is for who runs tests without it.
settings.register_profile("default", deadline=None)


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Measure (`--cov`) only those tests that are there for it."""
    for item in items:
        if not item.nodeid.startswith(MEASURED) or item.get_closest_marker("hypothesis"):
            item.add_marker("no_cover")
