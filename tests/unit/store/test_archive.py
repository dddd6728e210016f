"""What the archive keeps besides entries, across restarts."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import pytest

from bot.store import pasts, recordings, sqlite
from bot.store.archive import Archive
from bot.store.migrations import migrations
from bot.store.pasts import Row
from bot.store.rows import BoardRow, RoomRow, SnapshotRow
from bot.store.sqlite import SqliteFile
from bot.whiteboard.board import BoardKey
from tests.unit.store.make import KEY, entry


async def test_facts_are_kept_replaced_and_absent_until_set(archive: Archive) -> None:
    assert await archive.get("sync_token") is None
    await archive.set("sync_token", "s1")
    await archive.set("sync_token", "s2")
    await archive.set("device_id", "")
    assert await archive.get("sync_token") == "s2"
    assert await archive.get("device_id") == ""


async def test_everything_is_there_after_a_restart(folder: Path) -> None:
    async with Archive(folder) as archive:
        board_id = await archive.board_id(KEY, 5)
        await archive.set("sync_token", "s1")
        await archive.set_room(KEY.room_id, paused=True)
        seqs = await archive.append([entry(board_id)])
        await archive.save_checkpoint(board_id, seqs[0], 7, b"document")
        await archive.saw_snapshot(board_id, "$snapshot", "@anna:example.org", 6, 100)
        await archive.set_cursor("webhook", board_id, 3)
    async with Archive(folder) as archive:
        assert await archive.board_id(KEY, 99) == board_id
        assert await archive.get("sync_token") == "s1"
        room = await archive.room(KEY.room_id)
        assert room is not None
        assert room.paused
        assert [one.seq for one in await archive.entries(board_id)] == seqs
        checkpoint = await archive.checkpoint(board_id)
        assert checkpoint is not None
        assert checkpoint.data == b"document"
        assert await archive.has_snapshot("$snapshot")
        assert await archive.cursor("webhook", board_id) == 3
        assert (await archive.append([entry(board_id)]))[0] > seqs[-1]


async def test_a_room_keeps_what_is_not_named(archive: Archive) -> None:
    assert await archive.room("!a:b") is None
    await archive.set_room("!a:b", noticed=True)
    assert await archive.room("!a:b") == RoomRow("!a:b", "", False, True, 0)
    await archive.set_room("!a:b", paused=True, name="Planning")
    await archive.set_room("!a:b", paused=False, resumed_ts=12)
    assert await archive.room("!a:b") == RoomRow("!a:b", "Planning", False, True, 12)


async def test_a_board_has_one_number(archive: Archive) -> None:
    first = await archive.board_id(KEY, 10)
    other = await archive.board_id(BoardKey(KEY.room_id, KEY.whiteboard_id, "$another"), 20)
    assert await archive.board_id(KEY, 30) == first != other
    await archive.set_room(KEY.room_id, name="Planning")
    await archive.board_gone(other, 40)
    boards = await archive.boards()
    assert boards[0] == BoardRow(first, KEY, "Planning", 10, None, 0, 0, None, None)
    assert boards[1].gone_ts == 40
    await archive.board_id(boards[1].key, 50)
    assert (await archive.boards())[1] == BoardRow(
        other, boards[1].key, "Planning", 20, None, 0, 0, None, None
    )


async def test_a_board_sums_up_its_entries(archive: Archive, board_id: int) -> None:
    other = await archive.board_id(BoardKey("!b:c", "w", "$d"), 2)
    await archive.append([entry(board_id, b"123", ts=50), entry(other, b"1", ts=10)])
    await archive.append([entry(board_id, b"45", ts=40), entry(board_id, b"", ts=45)])
    board, small = await archive.boards()
    assert (board.entries, board.bytes, board.first_ts, board.last_ts) == (3, 5, 40, 50)
    assert (small.entries, small.bytes, small.first_ts, small.last_ts) == (1, 1, 10, 10)
    statistics = await archive.statistics()
    assert (statistics.boards, statistics.entries, statistics.entry_bytes) == (2, 4, 6)
    assert statistics.file_bytes >= archive.path.stat().st_size > 0


async def test_snapshots_are_remembered_once(archive: Archive, board_id: int) -> None:
    assert not await archive.has_snapshot("$one")
    await archive.saw_snapshot(board_id, "$two", "@anna:example.org", 20, 7)
    await archive.saw_snapshot(board_id, "$one", "", 0, 5)
    await archive.saw_snapshot(board_id, "$two", "@other:example.org", 99, 9)
    assert await archive.has_snapshot("$one")
    assert await archive.snapshots(board_id) == [
        SnapshotRow("$one", "", 0, 5),
        SnapshotRow("$two", "@anna:example.org", 20, 7),
    ]
    assert await archive.snapshots(board_id + 1) == []


MEMBER = "org.matrix.msc3401.call.member"


def row(event_id: str, ts: int = 1, sender: str = "@c:d", content: object = None) -> Row:
    return MEMBER, f"_{sender}_E_m", event_id, sender, ts, {} if content is None else content


async def test_memberships_are_a_history(archive: Archive) -> None:
    joined = {"application": "net.nordeck.whiteboard", "odd": "\ud800"}
    first, second = row("$1", 1, content=joined), row("$2", 2)
    await archive.saw_memberships("!a:b", [first, second])
    await archive.saw_memberships("!a:b", [row("$1", 3)])
    await archive.saw_memberships("!other:b", [row("$3")])
    assert list(await archive.memberships("!a:b")) == [first, second]


async def test_what_was_kept_when_more_was_is_read_still(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = row("$1", content={"pad": "x" * 8_000})
    with monkeypatch.context() as patch:
        patch.setattr(pasts, "MAX_MEMBERSHIP", 8_192)
        await archive.saw_memberships("!a:b", [large])
    await archive.saw_memberships("!a:b", [(*large[:2], "$2", *large[3:]), row("$3")])
    assert list(await archive.memberships("!a:b")) == [large, row("$3")]


async def test_what_was_read_of_a_rooms_past_comes_into_its_place(archive: Archive) -> None:
    joined = {"application": "net.nordeck.whiteboard"}
    await archive.saw_memberships("!a:b", [row("$1", content=joined), row("$4")])
    block = await archive.reserve_places(1000)
    await archive.saw_memberships("!a:b", [row("$5")])
    assert await archive.walk("!a:b") is None
    redaction: Row = "m.room.redaction", "$1", "$r1", "@c:d", 9, {}
    other: Row = "m.room.redaction", "$message", "$r2", "@c:d", 9, {}
    rows = [row("$1"), row("$2"), row("$3"), row("$4"), redaction, other]
    await archive.read_memberships("!a:b", list(enumerate(rows, block)), {"back": "t1"})
    assert await archive.walk("!a:b") == {"back": "t1"}
    kept = list(await archive.memberships("!a:b"))
    assert [one[2] for one in kept] == ["$1", "$2", "$3", "$4", "$r1", "$5"]
    assert kept[0][5] == joined, "what was seen before it was redacted"
    await archive.read_memberships("!a:b", [], {"back": None})
    assert await archive.walk("!a:b") == {"back": None}


async def test_pauses_are_kept(archive: Archive) -> None:
    await archive.set_room("!a:b", paused=True, paused_ts=10)
    await archive.set_room("!a:b", paused=True, paused_ts=11)
    assert await archive.pauses("!a:b") == [(10, None)]
    await archive.set_room("!a:b", paused=False, resumed_ts=20, paused_ts=10)
    # One that the archive did not take when it began.
    await archive.set_room("!a:b", paused=False, resumed_ts=40, paused_ts=30)
    assert await archive.pauses("!a:b") == [(10, 20), (30, 40)]
    await archive.set_room("!a:b", paused=False)
    assert await archive.pauses("!a:b") == [(10, 20), (30, 40)]
    await archive.set_room("!a:b", paused=True)
    [*_, (from_ts, until_ts)] = await archive.pauses("!a:b")
    assert from_ts > 40
    assert until_ts is None


async def test_a_room_has_as_much_past_as_is_kept(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pasts, "MEMBERSHIPS_OF_ROOM", 3)
    left = "m.room.member", "@c:d", "$left", "@c:d", 1, {"membership": "leave"}
    await archive.saw_memberships("!a:b", [row("$1"), row("$2"), left])
    assert not await archive.is_full("!a:b")
    await archive.saw_memberships("!a:b", [row("$3")])
    assert await archive.is_full("!a:b")


async def test_a_room_keeps_of_each_person_the_newest_memberships(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pasts, "MEMBERSHIPS_OF_ONE", 10)
    monkeypatch.setattr(pasts, "MEMBERSHIPS_OF_ROOM", 25)
    monkeypatch.setattr(pasts, "_TRIM_EVERY", 20)

    async def saw(sender: str, *numbers: int, room: str = "!a:b", content: object = None) -> None:
        # Later events claim to be older.
        rows = [row(f"${sender}{n}", 2**52 - n, sender, content) for n in numbers]
        await archive.saw_memberships(room, rows)

    def kept(room: str = "!a:b") -> list[str]:
        with sqlite3.connect(archive.path) as raw:
            rows = raw.execute(
                "SELECT event_id FROM memberships WHERE room_id = ? ORDER BY rowid", [room]
            ).fetchall()
        raw.close()
        return [event_id for (event_id,) in rows]

    await saw("anna", 1, 2, 3)
    await saw("anna", 9, room="!other:b")
    for number in range(1000):
        await saw("mallory", number)
        assert len(kept()) <= 3 + 10 + 20
    assert kept()[:3] == ["$anna1", "$anna2", "$anna3"]
    await saw("mallory", 1000, 1001, content={"long": "x" * 10_000})
    assert "$mallory1001" not in kept()
    for sender in ("ben", "cleo"):
        await saw(sender, *range(30))
    assert len(kept()) == 25
    assert kept()[-10:] == [f"$cleo{n}" for n in range(20, 30)]
    assert kept("!other:b") == ["$anna9"]


async def test_a_cursor_belongs_to_one_handler_on_one_board(
    archive: Archive, board_id: int
) -> None:
    other = await archive.board_id(BoardKey("!b:c", "w", "$d"), 2)
    assert await archive.cursor("webhook", board_id) == 0
    await archive.set_cursor("webhook", board_id, 7)
    await archive.set_cursor("webhook", board_id, 9)
    await archive.set_cursor("webhook", other, 1)
    assert await archive.cursor("webhook", board_id) == 9
    assert await archive.cursor("attendance", board_id) == 0


async def test_the_file_is_written_through_and_for_its_owner_alone(folder: Path) -> None:
    async with Archive(folder) as archive:
        await archive.set("access_token", "secret")
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
        assert len(modes) == 4  # database, log, index, lock
        assert set(modes.values()) == {0o600}
        assert folder.stat().st_mode & 0o777 == 0o700
        async with archive._file.write() as transaction:
            names = ("synchronous", "foreign_keys", "journal_mode", "busy_timeout")
            found = [(await transaction.fetch(f"PRAGMA {name}"))[0][0] for name in names]
            await transaction.execute("DELETE FROM meta")
    assert found == [2, 1, "wal", 5000]  # 2: FULL


async def test_an_existing_folder_keeps_its_permissions_and_the_file_loses_them(
    folder: Path,
) -> None:
    folder.mkdir(mode=0o755)
    (folder / "boardkeeper.db").touch(mode=0o644)
    async with Archive(folder) as archive:
        assert archive.path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o755


async def test_any_folder_name_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "a b#c?mode=ro&d%20é:'\""
    async with Archive(folder) as archive:
        await archive.set("name", "value")
    async with Archive(folder, read_only=True) as archive:
        assert await archive.get("name") == "value"
    assert (folder / "boardkeeper.db").is_file()


async def test_a_relative_folder_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with Archive(Path("data")) as archive:
        await archive.set("name", "value")
    assert SqliteFile(Path("data"), read_only=True).path == tmp_path / "data" / "boardkeeper.db"


async def test_no_log_holds_tokens_or_content(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.NOTSET)
    logging.getLogger().setLevel(1)
    async with Archive(folder) as archive:
        await archive.set("access_token", "syt_secret")
        assert await archive.get("access_token") == "syt_secret"
        board_id = await archive.board_id(KEY, 1)
        await archive.append([entry(board_id, b"private stroke")])
        assert len(await archive.entries(board_id)) == 1
    assert "INSERT INTO meta" in caplog.text  # so it did listen
    assert "syt_secret" not in caplog.text
    assert "private stroke" not in caplog.text


async def test_a_board_knows_its_people_and_its_room(archive: Archive, board_id: int) -> None:
    for sender in ("@a:x", "@b:x", "@a:x", None, ""):
        await archive.append([entry(board_id, sender=sender)])
    await archive.set_room(KEY.room_id, paused=True, name="Planning", alias="#plan:x")
    [board] = await archive.boards()
    assert (board.participants, board.entries) == (2, 5)
    assert (board.room_name, board.room_alias, board.paused) == ("Planning", "#plan:x", True)
    assert await archive.rooms() == [RoomRow(KEY.room_id, "Planning", True, False, 0, "#plan:x")]


async def test_an_archive_of_the_first_schema_learns_its_people(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "upgrades", migrations.upgrades[:1])
        patch.setattr(sqlite, "SCHEMA_VERSION", 1)
        patch.setattr(recordings, "_AUTHOR", "DELETE FROM meta WHERE $1 = $2")
        async with Archive(folder) as archive:
            async with archive._file.write() as transaction:
                await transaction.execute(
                    "INSERT INTO boards (room_id, whiteboard_id, document_id, found_ts)"
                    " VALUES ('!a:b', 'w', '$d', 1)"
                )
            await archive.append([entry(1, sender=one) for one in ("@a:x", "@b:x", "@a:x", None)])
    async with Archive(folder) as archive:
        [board] = await archive.boards()
        assert board.participants == 2


async def test_an_older_archive_knows_no_order_but_its_own_and_no_beginning_of_a_pause(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "upgrades", migrations.upgrades[:3])
        patch.setattr(sqlite, "SCHEMA_VERSION", 3)
        async with Archive(folder) as archive, archive._file.write() as transaction:
            for event_id, ts in (("$1", 9), ("$2", 5)):
                await transaction.execute(
                    "INSERT INTO memberships (event_id, room_id, state_key, sender, ts, content)"
                    " VALUES ($1, '!a:b', '_@c:d_E_m', '@c:d', $2, '{}')",
                    event_id,
                    ts,
                )
            for room_id, paused, resumed_ts in (
                ("!on:b", 0, 0),
                ("!off:b", 1, 7),
                ("!was:b", 0, 7),
            ):
                await transaction.execute(
                    "INSERT INTO rooms (room_id, name, paused, noticed, resumed_ts)"
                    " VALUES ($1, '', $2, 1, $3)",
                    room_id,
                    paused,
                    resumed_ts,
                )
    async with Archive(folder) as archive:
        await archive.saw_memberships("!a:b", [row("$3", 1)])
        assert list(await archive.memberships("!a:b")) == [row("$1", 9), row("$2", 5), row("$3", 1)]
        assert await archive.pauses("!on:b") == []
        assert await archive.pauses("!off:b") == [(0, None)]
        assert await archive.pauses("!was:b") == [(0, 7)]


async def test_what_was_read_without_sticky_members_is_read_once_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "upgrades", migrations.upgrades[:4])
        patch.setattr(sqlite, "SCHEMA_VERSION", 4)
        async with Archive(folder) as archive:
            await archive.read_memberships("!a:b", [(1, row("$1"))], {"back": None})
            assert await archive.walk("!a:b") is not None
    async with Archive(folder) as archive:
        assert await archive.walk("!a:b") is None
        assert len(list(await archive.memberships("!a:b"))) == 1
