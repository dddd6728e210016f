"""Fixtures of the tests with other people's implementations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.yjs import Yjs
from tests.system.conftest import (
    _healed,
    pytest_collection_modifyitems,
    pytest_runtest_makereport,
    stack,
)

__all__ = [
    "_healed",
    "pytest_collection_modifyitems",
    "pytest_runtest_makereport",
    "stack",
    "yjs",
]


@pytest.fixture(scope="session")
def yjs() -> Iterator[Yjs]:
    """Real Yjs; starts in 0.1 s, and keeps nothing between two calls."""
    with Yjs() as running:
        yield running
