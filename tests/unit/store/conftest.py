from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from bot.store.archive import Archive
from tests.unit.store.make import KEY

NOBODY = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def archive(folder: Path) -> AsyncIterator[Archive]:
    async with Archive(folder) as archive:
        yield archive


@pytest.fixture
async def board_id(archive: Archive) -> int:
    return await archive.board_id(KEY, 1)


@pytest.fixture
def unprivileged() -> Iterator[Callable[[], Path]]:
    """Gives up root's powers, which no permission stops; returns a folder of the user's own."""
    base = Path(tempfile.mkdtemp())

    def become() -> Path:
        if os.geteuid() == 0:
            for path in (base, *base.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        return base

    root = os.geteuid() == 0
    yield become
    if root:
        os.seteuid(0)
    for path in base.rglob("*"):
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(base)
