"""What can be wrong with the file: every time one clear error, and nothing lost or left behind."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from bot.errors import StoreError
from bot.store import sqlite
from bot.store.archive import Archive
from bot.store.faults import Unstorable
from bot.store.migrations import VERSION_TABLE, migrations
from tests.unit.store.make import KEY, entry


@pytest.fixture(autouse=True)
async def nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """No thread (it would keep the program from ending) and no open file."""
    monkeypatch.setattr(sqlite, "BUSY_MS", 50)
    yield
    for _ in range(100):
        if all(not thread.name.startswith("Thread-") for thread in threading.enumerate()):
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("a thread is left")
    assert not [name for name in open_files() if "boardkeeper" in name]


def open_files() -> Iterator[str]:
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one of the listing itself
            yield str(link.readlink())


async def fails(folder: Path, *words: str, read_only: bool = False) -> None:
    """Opening the archive fails with one error that says all of `words` and where."""
    with pytest.raises(StoreError) as caught:
        async with Archive(folder, read_only=read_only):
            pytest.fail("it opened")
    for word in (str(folder / "boardkeeper.db"), *words):
        assert word in str(caught.value)


async def make(folder: Path, entries: int = 0) -> int:
    async with Archive(folder) as archive:
        board_id = await archive.board_id(KEY, 1)
        await archive.append([entry(board_id, bytes(400))] * entries)
    return board_id


# -- opening -----------------------------------------------------------------------------------


async def test_a_file_that_is_no_database(folder: Path) -> None:
    folder.mkdir()
    path = folder / "boardkeeper.db"
    path.write_text("Dear diary, " * 1000)
    await fails(folder, "damaged, or no archive", "backup", "move it away")
    await fails(folder, "damaged, or no archive", read_only=True)
    assert path.read_text() == "Dear diary, " * 1000


async def test_a_database_of_another_program(folder: Path) -> None:
    folder.mkdir()
    path = folder / "boardkeeper.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    await fails(folder, "no archive at all")
    await fails(folder, "no archive at all", read_only=True)
    assert path.read_bytes() == before


async def test_a_newer_archive(folder: Path) -> None:
    await make(folder)
    with closing(sqlite3.connect(folder / "boardkeeper.db")) as raw, raw:
        raw.execute(f"UPDATE {VERSION_TABLE} SET version = 99")
    await fails(folder, "a newer boardkeeper", "schema 99", "Use that newer version")
    await fails(folder, "a newer boardkeeper", read_only=True)


async def test_an_older_archive_is_migrated_but_not_by_a_reader(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(folder)

    async def add(connection: sqlite.Transaction, _: object) -> None:
        await connection.execute("CREATE TABLE later (name TEXT)")

    monkeypatch.setattr(migrations, "upgrades", [*migrations.upgrades, add])
    monkeypatch.setattr(sqlite, "SCHEMA_VERSION", len(migrations.upgrades))
    await fails(folder, "an older boardkeeper", "Start the bot once", read_only=True)
    async with Archive(folder) as archive:
        assert len(await archive.boards()) == 1
        assert await archive._file.read("SELECT * FROM later") == []
    async with Archive(folder, read_only=True) as archive:
        assert len(await archive.boards()) == 1


async def test_a_migration_that_fails_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board_id = await make(folder, 3)

    async def fail(connection: sqlite.Transaction, _: object) -> None:
        await connection.execute("DROP TABLE entries")
        await connection.execute("CREATE TABLE boards (again TEXT)")

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "upgrades", [*migrations.upgrades, fail])
        patch.setattr(sqlite, "SCHEMA_VERSION", len(migrations.upgrades))
        await fails(folder, "cannot be opened", "SQLITE_ERROR")
    async with Archive(folder) as archive:
        assert len(await archive.entries(board_id)) == 3


async def test_two_bots_never_share_a_folder(folder: Path) -> None:
    async with Archive(folder) as archive:
        await fails(folder, "another boardkeeper", "data folder of its own")
        await archive.set("still", "works")
    async with Archive(folder) as archive:
        assert await archive.get("still") == "works"


async def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    await fails(tmp_path / "data", "a file stands where", "`data.folder`")
    await fails(tmp_path / "data" / "deeper", "a file stands where")


async def test_no_archive_to_read(folder: Path) -> None:
    await fails(folder, "there is none", "data.folder", read_only=True)
    assert not folder.exists()
    folder.mkdir()
    (folder / "boardkeeper.db").touch()
    await fails(folder, "there is none", read_only=True)


async def test_an_empty_file_becomes_an_archive(folder: Path) -> None:
    """Killed in its very first moment, the bot leaves one behind."""
    folder.mkdir()
    (folder / "boardkeeper.db").touch()
    await make(folder)


async def test_a_file_another_program_keeps_locked(folder: Path) -> None:
    await make(folder)
    with closing(sqlite3.connect(folder / "boardkeeper.db", isolation_level=None)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        await fails(folder, "keeps it locked", "Close whatever has it open")
        async with Archive(folder, read_only=True) as archive:
            assert len(await archive.boards()) == 1


# -- permissions -------------------------------------------------------------------------------


async def test_a_folder_that_may_not_be_written(unprivileged: Callable[[], Path]) -> None:
    folder = unprivileged()
    folder.chmod(0o500)
    await fails(folder, "permission is denied", "owns the folder")
    await fails(folder / "data", "permission is denied")


async def test_a_file_that_may_not_be_read(unprivileged: Callable[[], Path]) -> None:
    folder = unprivileged()
    await make(folder)
    (folder / "boardkeeper.db").chmod(0)
    await fails(folder, "permission is denied")
    await fails(folder, "cannot be opened", "owns the folder", read_only=True)


async def test_an_archive_in_a_folder_that_may_only_be_read(
    unprivileged: Callable[[], Path],
) -> None:
    """A backup, mounted read-only: SQLite alone would refuse it."""
    folder = unprivileged()
    board_id = await make(folder, 3)
    assert {path.name for path in folder.iterdir()} == {"boardkeeper.db", "boardkeeper.lock"}
    folder.chmod(0o500)
    async with Archive(folder, read_only=True) as archive:
        assert len(await archive.entries(board_id)) == 3
    await fails(folder, "cannot be opened")


# -- while it is open --------------------------------------------------------------------------


async def test_a_reader_never_writes(folder: Path) -> None:
    await make(folder)
    async with Archive(folder, read_only=True) as archive:
        with pytest.raises(StoreError, match="for reading only"):
            await archive.set("name", "value")
        with pytest.raises(StoreError, match="it cannot be written"):
            await archive._file.read("DELETE FROM boards")
        assert len(await archive.boards()) == 1


async def test_a_closed_archive_says_so(archive: Archive) -> None:
    await archive.__aexit__(None, None, None)
    with pytest.raises(StoreError, match="it is not open"):
        await archive.get("name")
    with pytest.raises(StoreError, match="it is not open"):
        await archive.set("name", "value")


async def test_locked_for_a_while(archive: Archive) -> None:
    with closing(sqlite3.connect(archive.path, isolation_level=None)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="keeps it locked"):
            await archive.set("name", "value")
        assert await archive.get("name") is None
        raw.execute("ROLLBACK")
    await archive.set("name", "value")
    assert await archive.get("name") == "value"


async def test_damaged_pages(folder: Path) -> None:
    board_id = await make(folder, 500)
    path = folder / "boardkeeper.db"
    with path.open("r+b") as file:
        file.seek(34 * 4096)
        file.write(b"\xa5" * (path.stat().st_size - 42 * 4096))
    async with Archive(folder) as archive:
        with pytest.raises(StoreError, match="damaged"):
            await archive.entries(board_id)
        assert len(await archive.boards()) == 1  # what is whole can still be read


async def test_a_kind_nobody_knows(archive: Archive, board_id: int) -> None:
    await archive.append([entry(board_id)])
    async with archive._file.write() as transaction:
        await transaction.execute("UPDATE entries SET kind = 'mystery'")
    with pytest.raises(StoreError, match="damaged"):
        await archive.entries(board_id)


async def test_a_disk_without_a_page_left(archive: Archive, board_id: int) -> None:
    async with archive._file.write() as transaction:
        await transaction.execute("DELETE FROM meta")
    pages = (await archive._file.read("PRAGMA page_count"))[0][0]
    await limit_pages(archive, pages + 10)
    with pytest.raises(StoreError, match=r"the disk is full\. Free some space"):
        await archive.append([entry(board_id, bytes(4000))] * 20)
    assert await archive.append([entry(board_id, b"small")]) == [1]
    await limit_pages(archive, 10**6)
    assert await archive.append([entry(board_id, bytes(4000))] * 20) == list(range(2, 22))
    assert (await archive.boards())[0].entries == 21


async def limit_pages(archive: Archive, pages: int) -> None:
    async with archive._file.write() as transaction:
        await transaction.execute(f"PRAGMA max_page_count = {pages}")


async def test_a_commit_that_fails_leaves_no_transaction_open(
    archive: Archive, board_id: int
) -> None:
    async def write() -> None:
        async with archive._file.write() as transaction:
            await transaction.execute("PRAGMA defer_foreign_keys = ON")
            await transaction.execute("UPDATE counters SET value = 1000")
            await transaction.execute(
                "INSERT INTO cursors (handler, board_id, seq) VALUES ('h', 99, 1)"
            )

    with pytest.raises(Unstorable, match="SQLITE_CONSTRAINT"):
        await write()
    assert await archive.append([entry(board_id)]) == [1]


async def test_an_error_of_the_callers_own_undoes_and_passes(archive: Archive) -> None:
    async def write() -> None:
        async with archive._file.write() as transaction:
            await transaction.execute("INSERT INTO meta (name, value) VALUES ('a', 'b')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write()
    assert await archive.get("a") is None


async def test_cancelled_anywhere_a_group_is_whole_or_not_there(
    archive: Archive, board_id: int
) -> None:
    group = [entry(board_id)] * 50
    count = whole = 0
    for turn in range(40):
        task = asyncio.create_task(archive.append(group))
        for _ in range(turn):
            await asyncio.sleep(0)
        await asyncio.sleep(turn % 4 * 0.0002)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        else:
            whole += 1
        count = len([one async for one in archive.all_entries(board_id)])
        assert count % 50 == 0
        assert count >= whole * 50
    assert (await archive.boards())[0].entries == count
    assert len(await archive.append(group)) == 50


async def test_cancelled_while_opening(folder: Path) -> None:
    for turn in range(25):
        task = asyncio.create_task(Archive(folder).__aenter__())
        await asyncio.sleep(turn * 0.0005)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await (await task).__aexit__()
    await make(folder)


async def test_a_backup_with_a_log_that_nothing_can_replay(
    unprivileged: Callable[[], Path],
) -> None:
    """Read as it is, the file alone would lack its newest entries: better to say so."""
    folder = unprivileged()
    copy = folder / "copy"
    copy.mkdir()
    async with Archive(folder) as archive:
        await archive.board_id(KEY, 1)
        for name in ("boardkeeper.db", "boardkeeper.db-wal"):
            (copy / name).write_bytes((folder / name).read_bytes())
    copy.chmod(0o500)
    await fails(copy, "cannot be opened", read_only=True)
    copy.chmod(0o700)
    async with Archive(copy, read_only=True) as archive:
        assert len(await archive.boards()) == 1


async def test_a_file_system_without_locks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    await fails(folder, "the disk or the operating system refuses")
