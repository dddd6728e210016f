"""What the bot records is what people did: the recorded sessions of real clients, replayed."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.client.elements import FIRST_SLIDE
from tests.stack.client.events import cursor_packet
from tests.stack.client.habits import Habits
from tests.stack.client.link import Link
from tests.stack.client.nwb import comparable
from tests.stack.client.recording import SentPacket
from tests.stack.neoboard import NeoBoard
from tests.stack.processes import ROOT, StackError
from tests.stack.replay import Replay
from tests.stack.stack import Stack
from tests.system.archive import count_entries, query
from tests.system.people import Meeting, meeting, person

SESSIONS = ROOT / "tests" / "data" / "neoboard-session"
SLIDES_EXPORTED = 1795218261000
"""When the real client exported `slides`."""
INFINITE_EXPORTED = 1795219195500
"""When the board of `infinite` was as its export says."""
QUIET = Habits(saves=False, announces=True)
"""The replay writes the snapshots itself."""


async def replayed(
    here: Meeting, replay: Replay, link: Link | None = None, **how: object
) -> Counter[str]:
    """Let Alice and Bob replay; return how many packets of each the archive is to hold."""
    async with person(here.stack, "bob", here.alice.habits, link) as bob:
        await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
        await bob.join(here.board)
        await bob.open(here.board)
        people = (here.alice, bob)
        await known_by_name(here, *people)
        found = Counter({who.user_id: packets(here, who) for who in people})
        for who in people:
            who.outbox.sent.clear()
        await replay.play({"alice": here.alice, "bob": bob}, speed=20, longest_pause=0.1, **how)  # type: ignore[arg-type]
        return found + Counter({who.user_id: who.outbox.sent.total() for who in people})


async def known_by_name(here: Meeting, *people: NeoBoard) -> None:
    """Wait until the bot knows whose packets these are: membership and SFU each tell it a part.

    What is sent on the reliable channel stays in order: with the last mark all are recorded.
    """
    numbers, links = itertools.count(), [who.outbox.link for who in people]
    for who in people:
        who.outbox.link = Link()

    async def check() -> bool:
        mark = cursor_packet(FIRST_SLIDE, next(numbers), 0)
        for who in people:
            await who.send(mark, reliable=True)
        sql = "SELECT COUNT(*) FROM entries WHERE sender = ? AND data = ?"
        with suppress(StackError):
            await until(
                lambda: all(
                    query(here.bot.data, sql, who.user_id, mark) == [(1,)] for who in people
                ),
                1,
                "not yet",
            )
            return True
        return False

    await until(check, 30, "the bot does not know who they are", here.bot)
    for who, link in zip(people, links, strict=True):
        who.outbox.link = link


def packets(here: Meeting, who: NeoBoard) -> int:
    """Count what somebody has sent over the data channel, not by the room."""
    snapshots = here.entries(sender=who.user_id, kind="snapshot")
    return here.entries(sender=who.user_id) - snapshots


async def all_recorded(here: Meeting, sent: Counter[str]) -> None:
    """Wait until the archive holds an entry for each packet, and no more."""

    def recorded() -> dict[str, int]:
        """Packets per sender: what came over the data channel, not by the room."""
        return {
            sender: here.entries(sender=sender) - here.entries(sender=sender, kind="snapshot")
            for sender in sent
        }

    await until(lambda: recorded() == dict(sent), 20, f"not all packets: {sent}", here.bot)


async def test_slides_without_loss_export_equals_the_real_clients(
    stack: Stack, tmp_path: Path
) -> None:
    replay = Replay(SESSIONS / "slides")
    async with meeting(stack, tmp_path, habits=QUIET) as here:
        sent = await replayed(here, replay, until_ts=SLIDES_EXPORTED)
        await all_recorded(here, sent)
        export = await here.bot.export(here.board.room_id)
        assert comparable(export) == comparable(replay.recording.export)
        assert here.entries(kind="refused") == 0


async def test_slides_with_loss_is_whole_after_the_next_snapshot(
    stack: Stack, tmp_path: Path
) -> None:
    replay = Replay(SESSIONS / "slides")
    first = next(
        one.ts
        for one in replay.recording.sent
        if isinstance(one, SentPacket) and one.type == "document_update"
    )
    habits = Habits(saves=False, announces=True)
    link = Link(loss=0.1, duplicate=0.1, reorder=0.1, seed=5)
    async with meeting(stack, tmp_path, habits=habits, link=link) as here:
        await replayed(
            here,
            replay,
            Link(loss=0.1, duplicate=0.1, reorder=0.1, seed=6),
            until_ts=SLIDES_EXPORTED,
            withhold=(first, first + 500),
        )
        await here.alice.keeping.save()  # the next snapshot

        async def whole() -> bool:
            export = await here.bot.export(here.board.room_id)
            return comparable(export) == comparable(replay.recording.export)

        await until(whole, 10, "the export is not whole", here.bot)


async def test_infinite_canvas_export_equals_the_real_clients(stack: Stack, tmp_path: Path) -> None:
    replay = Replay(SESSIONS / "infinite")
    habits = Habits(version="1", saves=False, announces=True)
    async with meeting(stack, tmp_path, habits=habits) as here:
        await all_recorded(here, await replayed(here, replay, until_ts=INFINITE_EXPORTED))
        export = await here.bot.export(here.board.room_id)
        assert export["version"] == "net.nordeck.whiteboard@v2"
        assert comparable(export) == comparable(replay.recording.export)


async def test_every_moment_can_be_exported_while_the_bot_runs_or_not(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, habits=QUIET) as here:
        await here.alice.draw(elements.shape(text="one"))
        await here.recorded(1)
        await asyncio.sleep(0.3)
        between = int(time.time() * 1000)
        await asyncio.sleep(0.3)
        await here.alice.draw(elements.shape(text="two"))
        await here.recorded(2)

        async def texts(at: str | None = None) -> list[str]:
            board = await here.bot.export(here.board.whiteboard_id, at)
            return [one["text"] for one in board["whiteboard"]["slides"][0]["elements"]]

        assert await texts() == ["one", "two"]
        assert await texts(str(between)) == ["one"]
        await here.bot.stop()
        assert await texts() == ["one", "two"]
        assert await texts(str(between)) == ["one"]
        error = here.bot.command("export", "nonsense", "-o", str(tmp_path / "x.nwb"), code=1)
        assert "boardkeeper boards" in error
        error = here.bot.command(
            "export", "1", "-o", str(tmp_path / "x.nwb"), "--at", "1000d ago", code=1
        )
        assert "Nothing is recorded" in error


async def test_a_board_that_was_there_before_the_bot_is_recorded_too(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, opened=False) as here:
        board = await here.alice.create_board()
        await here.alice.open(board)
        await here.alice.draw(elements.shape(text="old"))
        await here.alice.keeping.save()
        await here.alice.user.membership(board.room_id, "invite", here.bot.user_id)

        async def exported() -> bool:
            try:
                found = await here.bot.export(board.room_id)
            except StackError:
                return False  # nothing recorded yet
            return bool(found["whiteboard"]["slides"][0]["elements"])

        await until(exported, 15, "the old board is not there", here.bot)


async def test_several_boards_of_one_room_share_a_connection_and_are_told_apart(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, habits=QUIET) as here:
        others = []
        for number in range(1, 3):
            document = await here.alice.user.send_event(
                here.board.room_id, "net.nordeck.whiteboard.document.create", {}
            )
            await here.alice.user.put_state(
                here.board.room_id, "net.nordeck.whiteboard", {"documentId": document}, f"w{number}"
            )
            others.append((f"w{number}", document))
        async with person(stack, "bob", QUIET) as bob:
            await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
            await bob.join(here.board)
            board = type(here.board)(here.board.room_id, *others[0])
            await bob.open(board)
            await known_by_name(here, bob)
            before = count_of(here, "w1")
            await bob.draw(elements.shape(text="bob"))
            await bob.move_cursor(1, 1)
            await here.drawn(here.alice, elements.shape(text="alice"))
            await until(
                lambda: count_of(here, "w1") >= before + 2, 10, "bob is not recorded", here.bot
            )
        assert here.entries(sender=here.alice.user_id) == 1
        assert here.entries(sender=bob.user_id) == 0


def count_of(here: Meeting, whiteboard_id: str) -> int:
    return count_entries(here.bot.data, whiteboard_id)
