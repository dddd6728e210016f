"""What the errors of SQLite and the file system mean to an operator.

Every text says what cannot be done, with which file, why, and what to do about it. None quotes
what SQLite was given.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mautrix.util.async_db import DatabaseException

from bot.errors import StoreError

_ACCESS = "Check that the user the bot runs as owns the folder and may write there."
_FULL = ("the disk is full", "Free some space; nothing else has to be done.")
_READ_ONLY = ("it cannot be written", f"{_ACCESS} Or is the disk mounted read-only?")
_LOCKED = (
    "another program keeps it locked",
    "Close whatever has it open: a database browser, a backup of the file.",
)
_DAMAGED = (
    "it is damaged, or no archive at all",
    "Restore it from a backup; or move it away, and the bot begins with an empty one.",
)
_DISK = (
    "the disk or the operating system refuses",
    "Look into the system's log, and at quotas and size limits.",
)

_SQLITE: Mapping[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", _ACCESS),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_IOERR: _DISK,
}
_NO_FOLDER = ("a file stands where its folder should be", "Set `data.folder` to a folder.")
_SYSTEM: Mapping[int, tuple[str, str]] = {
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: ("permission is denied", _ACCESS),
    errno.EPERM: ("permission is denied", _ACCESS),
    errno.EROFS: _READ_ONLY,
}


class Unstorable(StoreError):
    """Raised when the archive works, but what it was given can never be stored."""


def fault(path: Path, doing: str, why: str, advice: str) -> StoreError:
    """Return the error for a file.

    Args:
        path: the file.
        doing: what cannot be done with it: `opened`, `read`, `written`.
        why: half a sentence.
        advice: sentences that say what to do.
    """
    return StoreError(f"The archive {path} cannot be {doing}: {why}. {advice}")


def damaged(path: Path, doing: str) -> StoreError:
    """Return the error for a file that is not what it should be."""
    return fault(path, doing, *_DAMAGED)


def explain(error: Exception, path: Path, doing: str) -> StoreError:
    """Return the error that says the same in words an operator can use."""
    if isinstance(error, OSError):
        why, advice = _SYSTEM.get(error.errno or 0, _DISK)
        return fault(path, doing, why, advice)
    # The low byte is the primary code; the rest details it (SQLite, "Result and Error Codes").
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code in {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH}:
        return Unstorable(f"The archive {path} does not take a value: SQLite says {name}.")
    why, advice = _SQLITE.get(code, (f"SQLite says {name}", "Please report this as a bug."))
    return fault(path, doing, why, advice)


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn the errors of the libraries below into StoreError.

    Raises:
        StoreError: always instead of theirs.
    """
    try:
        yield
    except (sqlite3.Error, OSError, DatabaseException) as error:
        raise explain(error, path, doing) from error
