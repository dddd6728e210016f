"""The data folder: owner-only, and used by one bot at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from bot.store.faults import explained, fault

FILE_NAME = "boardkeeper.db"
LOCK_NAME = "boardkeeper.lock"
IMPORT_LOCK_NAME = "boardkeeper.import.lock"


def prepare(folder: Path) -> None:
    """Make the folder and the database file in it, for their owner alone.

    A folder that exists keeps its permissions: it may hold other things. SQLite gives its
    side files those of the database.

    Raises:
        StoreError: that cannot be done.
    """
    path = folder / FILE_NAME
    with explained(path, "opened"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Before SQLite has it open: closing any descriptor of the file drops SQLite's locks on it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    with suppress(PermissionError):  # somebody else's file that we may write: that is their choice
        path.chmod(0o600)


_BOT = (
    "another boardkeeper is using this folder",
    "End that one, or give this one a data folder of its own.",
)
_IMPORT = ("another import is under way", "Wait until that has ended.")


def lock(folder: Path, *, beside: bool = False) -> int:
    """Keep other bots away from the folder until the descriptor returned is closed, or we die.

    Two would be the same Matrix device: each would undo the other's memberships.

    Args:
        folder: the data folder.
        beside: keep other imports away instead, which work beside a bot.

    Raises:
        StoreError: there is another one.
    """
    path = folder / FILE_NAME
    name, there = (IMPORT_LOCK_NAME, _IMPORT) if beside else (LOCK_NAME, _BOT)
    with explained(path, "opened"):
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise fault(path, "opened", *there) from None
        except OSError:
            os.close(descriptor)
            raise
    return descriptor
