"""The SQLite file behind the archive: opened, checked, migrated; reads and transactions on it.

One connection writes, another reads, each through its own thread: a reader never waits for a
commit's fsync, and transactions need no other lock than the writer's queue. Write-ahead log and
`synchronous=FULL`: what a transaction wrote is on disk when it returns (DESIGN rule 7).
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    closing,
    suppress,
)
from pathlib import Path
from typing import Any, Protocol, Self, cast
from urllib.parse import quote

from mautrix.util.async_db import Database
from yarl import URL

from bot.errors import StoreError
from bot.store.faults import damaged, explained, fault
from bot.store.folder import FILE_NAME, lock, prepare
from bot.store.migrations import SCHEMA_VERSION, VERSION_TABLE, migrations

BUSY_MS = 5000
"""How long to wait for another program's lock."""

_LIKE_WRITER = (
    "PRAGMA foreign_keys = ON",
    # The container's file system is read-only but for the data folder: no temporary files.
    "PRAGMA temp_store = MEMORY",
)
_WRITER = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA journal_size_limit = 67108864",  # a log that had to grow shrinks again
    *_LIKE_WRITER,
)
_READER = (
    "PRAGMA query_only = ON",
    "PRAGMA journal_mode",  # the file says which; named, so that mautrix does not set one
    *_LIKE_WRITER,
)

# At DEBUG aiosqlite logs every statement with its parameters: board content and access tokens.
logging.getLogger("aiosqlite").setLevel(logging.WARNING)
# mautrix warns of files it cannot find or write, which a read-only URI always is to it.
_quiet = logging.getLogger("bot.store.sqlite.reader")
_quiet.setLevel(logging.ERROR)


class Transaction(Protocol):
    """What can be done inside a transaction."""

    async def execute(self, query: str, *args: Any) -> Any:
        """Run a statement."""

    async def executemany(self, query: str, args: Sequence[Sequence[Any]]) -> Any:
        """Run a statement once for each set of parameters."""

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """Run a statement and return its rows."""


class _Connection(Transaction, Protocol):
    """A connection of mautrix, whose own annotations do not say that these are contexts."""

    def transaction(self) -> AbstractAsyncContextManager[None]: ...


class SqliteFile:
    """The archive's file. Use as `async with`.

    Args:
        folder: the data folder.
        read_only: never write, not even migrate; works beside a running bot.
        beside: write beside a running bot; its transactions wait for ours, so they must be short.
    """

    def __init__(self, folder: Path, *, read_only: bool, beside: bool = False) -> None:
        self.path = folder.absolute() / FILE_NAME
        self._read_only = read_only
        self._beside = beside
        self._stack = AsyncExitStack()
        self._writer: Database | None = None
        self._reader: Database | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._read_only:
                name, options = await asyncio.to_thread(_check_reading, self.path)
            else:
                prepare(self.path.parent)
                stack.callback(os.close, lock(self.path.parent, beside=self._beside))
                version = await asyncio.to_thread(_check_writing, self.path)
                if self._beside and version < SCHEMA_VERSION:
                    # Only who has the folder to himself may migrate.
                    async with SqliteFile(self.path.parent, read_only=False):
                        pass
                self._writer = await stack.enter_async_context(
                    self._started(str(self.path), _WRITER, migrate=not self._beside)
                )
                name, options = str(self.path), {}
            self._reader = await stack.enter_async_context(
                self._started(name, _READER, log=_quiet, **options)
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._writer = self._reader = None
        with explained(self.path, "closed"):
            await self._stack.aclose()

    @asynccontextmanager
    async def _started(
        self,
        name: str,
        commands: Sequence[str],
        *,
        migrate: bool = False,
        log: logging.Logger | None = None,
        **options: Any,
    ) -> AsyncIterator[Database]:
        database = Database.create(
            URL.build(scheme="sqlite", path=name),
            upgrade_table=migrations if migrate else None,
            db_args={
                "init_commands": [f"PRAGMA busy_timeout = {BUSY_MS}", *commands],
                **options,
            },
            log=log,
        )
        try:
            with explained(self.path, "opened"):
                await _whole(database.start())
            yield database
        finally:
            await database.stop()

    async def read(self, query: str, *args: Any) -> list[Any]:
        """Return the rows a query finds.

        Raises:
            StoreError: the file cannot be read.
        """
        if self._reader is None:
            raise self._closed("read")
        with explained(self.path, "read"):
            rows: list[Any] = await self._reader.fetch(query, *args)
        return rows

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """Open a transaction; leaving commits it, an exception or cancellation undoes it.

        The first statement has to write. Do not use the file itself inside.

        Raises:
            StoreError: the file cannot be written; nothing of the transaction is kept.
        """
        if self._writer is None:
            raise self._closed("written")
        with explained(self.path, "written"):
            acquired = cast("AbstractAsyncContextManager[_Connection]", self._writer.acquire())
            async with acquired as connection:
                try:
                    async with connection.transaction():
                        yield connection
                except BaseException:
                    # mautrix does not roll back when cancelled or when the commit itself fails.
                    # Queued behind whatever the thread is still doing for us.
                    with suppress(sqlite3.Error):
                        await connection.execute("ROLLBACK")
                    raise

    def size(self) -> int:
        """Return the bytes the file and its write-ahead log take; waits for the disk.

        Raises:
            StoreError: the file cannot be read.
        """
        log = self.path.with_name(f"{FILE_NAME}-wal")
        with explained(self.path, "read"):
            total = self.path.stat().st_size
            with suppress(FileNotFoundError):
                total += log.stat().st_size
        return total

    def _closed(self, doing: str) -> StoreError:
        why = "it was opened for reading only" if self._reader else "it is not open"
        return fault(self.path, doing, why, "Please report this as a bug.")


async def _whole(starting: Coroutine[Any, Any, None]) -> None:
    """Wait for something that must not be cancelled halfway, even if we are."""
    # Cancelled between opening and pooling a connection, mautrix would lose its thread.
    task = asyncio.ensure_future(starting)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema's version, 0 for an empty file."""
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if VERSION_TABLE not in names:
        if names:
            raise damaged(path, "opened")
        return 0
    row = connection.execute(f"SELECT version FROM {VERSION_TABLE}").fetchone()  # noqa: S608 - a constant
    return int(row[0]) if row else 0


def _newer(path: Path, version: int) -> StoreError:
    return fault(
        path,
        "opened",
        f"a newer boardkeeper wrote it (schema {version}, this one knows {SCHEMA_VERSION})",
        "Use that newer version; there is no way back to an older one.",
    )


def _check_writing(path: Path) -> int:
    """Look at the file before mautrix does: its errors leave a thread behind.

    Returns:
        The schema's version, 0 for an empty file.

    Raises:
        StoreError: it is no archive, a newer one, locked, or cannot be written.
    """
    with (
        explained(path, "opened"),
        closing(sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None)) as connection,
    ):
        version = _version(connection, path)
        if version > SCHEMA_VERSION:
            raise _newer(path, version)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    return version


def _check_reading(path: Path) -> tuple[str, dict[str, Any]]:
    """Find out how the file can be read.

    Returns:
        Its name as a URI, and the options to open that with.

    Raises:
        StoreError: there is no archive, or none of our version, or it may not be read.
    """
    advice = "Is `data.folder` right, and did the bot ever run?"
    missing = fault(path, "opened", "there is none", advice)
    with explained(path, "opened"):
        if not path.exists():
            raise missing
        uri = f"file:{quote(str(path))}?mode=ro"
        try:
            version = _version_at(uri, path)
        except sqlite3.OperationalError:
            # In a folder that cannot be written SQLite cannot make the side files it reads with.
            # Without a log nobody is writing, and then it needs none.
            if path.with_name(f"{FILE_NAME}-wal").exists():
                raise
            uri = f"{uri}&immutable=1"
            version = _version_at(uri, path)
    if version > SCHEMA_VERSION:
        raise _newer(path, version)
    if version == 0:
        raise missing
    if version < SCHEMA_VERSION:
        raise fault(
            path,
            "opened",
            f"an older boardkeeper wrote it (schema {version}, this one reads {SCHEMA_VERSION})",
            "Start the bot once: it brings the archive up to date.",
        )
    return uri, {"uri": True}


def _version_at(uri: str, path: Path) -> int:
    timeout = BUSY_MS / 1000
    with closing(sqlite3.connect(uri, uri=True, timeout=timeout)) as connection:
        return _version(connection, path)
