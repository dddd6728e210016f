"""A receiver that answers anything, an archive that cannot be written: nothing goes untold."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.stack.bot import Bot, until
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.drawing import BY_HAND, drawing, ready, same_after_next_snapshot, unready
from tests.system.people import QUICK, Meeting, meeting, name, person
from tests.system.receiver import SECRET, Receiver, in_order, receiving
from tests.system.smalldisk import SmallDisk
from tests.system.test_bot_garbage import memory

MAX_GROWTH = 50 * 2**20
LATE = 90
"""Seconds; pauses between two tries double with each."""


def configuration(receiver: Receiver) -> dict[str, Any]:
    """Record and tell the receiver, who has a second for each answer."""
    settings = {
        "url": receiver.url,
        "secret": SECRET,
        "events": ["document_update"],
        "collect": "0s",
        "timeout": "1s",
        "allow_private": True,
    }
    handlers = [{"use": "record"}, {"use": "log"}, {"use": "webhook", "settings": settings}]
    return {**QUICK, "handlers": handlers}


def changes(bot: Bot) -> list[int]:
    """Return the numbers of all changes in the archive, ascending."""
    kinds = "('update', 'snapshot', 'baseline')"
    sql = f"SELECT seq FROM entries WHERE kind IN {kinds} ORDER BY seq"
    return [int(str(row[0])) for row in query(bot.data, sql)]


async def all_told(bot: Bot, receiver: Receiver, count: int) -> None:
    """Wait until the receiver has taken so many and all there are, and look at the order."""

    def told() -> bool:
        kept = changes(bot)
        return len(kept) >= count and set(receiver.seqs) == set(kept)

    await until(told, LATE, "not all is told", bot)
    assert in_order(receiver.seqs, changes(bot))
    assert not query(bot.data, "SELECT seq FROM dead_letters")


async def test_whatever_a_receiver_answers_he_is_told_everything(
    stack: Stack, tmp_path: Path
) -> None:
    async with (
        receiving() as receiver,
        meeting(stack, tmp_path, configuration(receiver), habits=BY_HAND) as here,
    ):
        async with drawing(here.alice, reliable=True) as pen:
            await until(lambda: receiver.taken, 20, "nothing is told", here.bot)
            before = memory(here)
            elsewhere = {"Location": receiver.url.replace("/hook", "/elsewhere")}
            await refusing(here, receiver, status=500)
            await refusing(here, receiver, status=307, headers=elsewhere)
            await refusing(here, receiver, status=503, headers={"Retry-After": "soon"})
            await refusing(here, receiver, garbage=b"\0\1HTTP/9.9 many words\r\n\r\n")
            await refusing(here, receiver, garbage=b"HTTP/1.1 500 no\r\n\r\n" + bytes(2**26))
            asked = time.monotonic()
            await refusing(here, receiver, status=429, headers={"Retry-After": "3"})
            assert time.monotonic() - asked > 2.5
            # He takes them, and answers when nobody listens any more: they come again.
            receiver.slow, taken = 2.5, len(receiver.taken)
            await until(lambda: len(receiver.taken) > taken + 1, 30, "not again", here.bot)
            receiver.slow = 0
        await all_told(here.bot, receiver, len(pen.drawn))
        assert not receiver.elsewhere
        assert len(receiver.seqs) > len(set(receiver.seqs))
        assert memory(here) - before < MAX_GROWTH


async def refusing(
    here: Meeting,
    receiver: Receiver,
    *,
    status: int = 204,
    headers: Mapping[str, str] | None = None,
    garbage: bytes = b"",
) -> None:
    """Let the receiver answer this twice at least, or once where that asks to wait."""
    refused = receiver.refused
    receiver.status, receiver.headers, receiver.garbage = status, headers or {}, garbage
    wanted = refused + (1 if status == 429 else 2)
    await until(lambda: receiver.refused >= wanted, 30, "he is not asked", here.bot)
    taken = len(receiver.taken)
    receiver.status, receiver.headers, receiver.garbage = 204, {}, b""
    await until(lambda: len(receiver.taken) > taken, LATE, "he is not told again", here.bot)


@contextmanager
def locked(bot: Bot) -> Iterator[None]:
    """Hold the lock that whoever writes to the archive needs, as somebody with sqlite3 may."""
    with closing(sqlite3.connect(bot.data / "boardkeeper.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_a_locked_database_is_waited_for(stack: Stack, tmp_path: Path) -> None:
    async with (
        receiving() as receiver,
        meeting(stack, tmp_path, configuration(receiver), habits=BY_HAND) as here,
    ):
        async with drawing(here.alice, reliable=True) as pen:
            await until(lambda: receiver.taken, 20, "nothing is told", here.bot)
            with locked(here.bot):
                await unready(here.bot, "archive", within=40)
                stuck = len(changes(here.bot))
                await asyncio.sleep(2)
                assert len(changes(here.bot)) == stuck
            await ready(here.bot, within=60)
        # Not one is lost: they waited in memory.
        await until(
            lambda: here.entries(kind="update") == len(pen.drawn), 60, "not written", here.bot
        )
        await all_told(here.bot, receiver, len(pen.drawn))
        await same_after_next_snapshot(here)


async def test_what_a_full_disk_held_up_is_told_when_there_is_room(
    stack: Stack, tmp_path: Path
) -> None:
    async with receiving() as receiver:
        login = await stack.user(name("bot"))
        bot = Bot(stack, tmp_path / "bot", login, configuration(receiver))
        disk = SmallDisk(bot)
        await bot.start()
        try:
            async with person(stack, "alice", BY_HAND) as alice:
                here = Meeting(stack, bot, alice, await alice.create_board(invite=[bot.user_id]))
                await alice.open(here.board)
                await here.heard()
                async with drawing(alice, reliable=True) as pen:
                    await until(lambda: receiver.taken, 20, "nothing is told", bot)
                    free = disk.fill()
                    await unready(bot, "archive", within=30)
                    await asyncio.sleep(2)
                    free()
                    await ready(bot, within=60)

                # Not one is lost: they waited in memory.
                await until(
                    lambda: len(set(receiver.seqs)) >= len(pen.drawn), LATE, "not all is told", bot
                )
                await until(disk.copied_whole, 20, "what was copied is torn", bot)
                await all_told(bot, receiver, len(pen.drawn))
        finally:
            await bot.kill()
