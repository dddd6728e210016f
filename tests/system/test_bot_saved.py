"""Is it saved? What operators and people are told, and what the bot does before it goes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.stack.bot import Bot, running_bot, until
from tests.stack.client import edits, elements
from tests.stack.client.document import initial
from tests.stack.client.events import CHUNK, SNAPSHOT, Board, chunk_contents, snapshot_content
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.people import Meeting, logged, meeting, name, person
from tests.system.test_bot_keep import DIES, KEEP, newcomer_sees, saved, saved_by_bot

SLOW = {**KEEP, "boards": {"save_after": "300s"}}
"""A bot that leaves saving to people for as long as any are there."""
MANY = 600
"""Snapshots in a room: a dozen pages of them."""


async def cli(bot: Bot, *arguments: str) -> str:
    """Run a command as an operator does."""
    return await asyncio.to_thread(bot.command, *arguments)


async def safety(here: Meeting) -> dict[str, Any]:
    """Return what the bot says of its only board."""
    found = json.loads(await cli(here.bot, "status", "--json"))
    [board] = found["saved"]
    return dict(board)


async def lacks(here: Meeting, *reasons: str, within: float = 15) -> dict[str, Any]:
    """Wait until exactly this is missing; return what the bot says of the board."""

    async def check() -> dict[str, Any] | None:
        board = await safety(here)
        return board if [lack["reason"] for lack in board["lacks"]] == list(reasons) else None

    found = await until(check, within, f"the bot does not say {reasons}", here.bot)
    return dict(found)


async def answers(here: Meeting, question: str, answer: str) -> None:
    """Ask the bot in the room; wait for the answer."""
    content = {"msgtype": "m.text", "body": question}
    await here.alice.user.send_event(here.board.room_id, "m.room.message", content)

    async def check() -> bool:
        return any(answer in text for text in await here.said())

    await until(check, 10, f"the bot does not say “{answer}”", here.bot)


async def test_operators_and_people_are_told_up_to_when_all_is_saved(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, SLOW, habits=DIES) as here:
        await here.alice.user.put_state(here.board.room_id, "m.room.name", {"name": "Plan"})
        await lacks(here)
        assert "everything is in the rooms and in the archive" in await cli(here.bot, "status")
        await answers(here, "!board status", "Everything that reached me is saved in the room")

        await here.alice.draw(elements.shape())
        await here.recorded(1)
        board = await lacks(here, "waiting")
        assert board["name"] == "Plan"
        assert not board["room"]["complete"]
        assert board["archive"]["complete"]
        text = await cli(here.bot, "status")
        assert "NOT SAVED    1 of 1 board:" in text
        assert f"No. 1  Plan  {here.board.whiteboard_id}" in text
        assert "in the room     everything up to 20" in text
        assert "in the archive  everything\n" in text
        assert "waits for its author’s snapshot; without one the bot saves it at 20" in text
        await answers(here, "!board status", "Saved in the room up to 20")
        metrics = await here.bot.metrics()
        assert metrics['boardkeeper_boards_lacking{reason="waiting"}'] == 1
        assert metrics["boardkeeper_unsaved_age_seconds"] > 0

        await cli(here.bot, "pause", "1")
        await lacks(here, "waiting", "paused")
        await cli(here.bot, "resume", "1")
        await here.alice.leave()
        await saved(here, within=20)
        await lacks(here)
        metrics = await here.bot.metrics()
        assert metrics["boardkeeper_unsaved_age_seconds"] == 0


async def test_operators_are_told_which_power_is_missing(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, SLOW, habits=DIES) as here:
        event = await here.state_event("m.room.power_levels", "")
        assert event is not None
        levels = event["content"]
        refused = {**levels, "events": {**levels["events"], CHUNK: 50}}
        await here.alice.user.put_state(here.board.room_id, "m.room.power_levels", refused)
        await here.alice.draw(elements.shape())
        await here.recorded(1)
        await here.alice.leave()
        board = await lacks(here, "forbidden")
        [lack] = board["lacks"]
        assert "power level 50 is needed, it has 0; ask somebody with power 50" in lack["text"]


async def test_what_is_only_in_memory_is_saved_before_the_bot_is_sent_away(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, SLOW, habits=DIES) as here:
        await cli(here.bot, "pause", "1")
        element = await here.alice.draw(elements.shape())
        await lacks(here, "waiting", "paused")
        await cli(here.bot, "leave", "1")
        await here.alice.kill()
        assert await saved_by_bot(here) == 1
        assert await newcomer_sees(here, stack, element)


async def test_what_is_only_in_memory_is_saved_before_the_bot_ends(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, SLOW, habits=DIES) as here:
        await cli(here.bot, "pause", "1")
        element = await here.alice.draw(elements.shape())
        await lacks(here, "waiting", "paused")
        await here.bot.stop()
        await here.alice.kill()
        assert await saved_by_bot(here) == 1
        assert await newcomer_sees(here, stack, element)


async def test_snapshots_without_chunks_keep_nothing_from_being_saved(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, KEEP) as here, person(stack, "eve") as eve:
        first = await here.alice.draw(elements.shape())
        await until(lambda: logged(here.bot, "snapshot"), 20, "alice has not saved it", here.bot)
        await lacks(here)
        await here.bot.stop()
        user, room_id = eve.user, here.board.room_id
        await here.alice.user.membership(room_id, "invite", user.user_id)
        await eve.join(here.board)
        nothing = snapshot_content(here.board.document_id, 2)
        for _ in range(13):
            await asyncio.gather(*(user.send_event(room_id, SNAPSHOT, nothing) for _ in range(10)))
        await here.alice.kill()
        async with person(stack, "bob", DIES) as bob:
            await here.alice.user.membership(room_id, "invite", bob.user.user_id)
            await bob.join(here.board)
            await here.bot.start()
            await lacks(here, within=30)
            assert logged(here.bot, "a board has only broken snapshots so far")
            await bob.open(here.board)
            await here.announced()
            await here.drawn(bob, elements.shape())
        await saved(here, within=40)
        assert await newcomer_sees(here, stack, first)


def asked_for(stack: Stack, bot: Bot, event_type: str) -> int:
    """Return how often a bot has asked the homeserver what of a type refers to an event."""
    lines = (stack.folder / "synapse.log").read_text(errors="replace").splitlines()
    about = f"/m.reference/{event_type}?"
    return sum(
        about in line and "Processed request" in line for line in lines if bot.user_id in line
    )


async def test_of_many_snapshots_one_is_read_and_never_again(stack: Stack, tmp_path: Path) -> None:
    async with (
        person(stack, "alice", DIES) as alice,
        running_bot(stack, tmp_path / "bot", name("bot"), KEEP) as bot,
    ):
        board = await alice.create_board(invite=[])
        user, room_id = alice.user, board.room_id
        await alice.open(board)
        await alice.draw(elements.shape())
        data = alice.document.data
        heads = 0
        while heads < MANY:
            content = snapshot_content(board.document_id, 1)
            some = [user.send_event(room_id, SNAPSHOT, content) for _ in range(20)]
            for event_id in await asyncio.gather(*some):
                heads += 1
                [chunk] = chunk_contents(board.document_id, event_id, data)
                if heads == 1 or heads > MANY - 20:
                    await user.send_event(room_id, CHUNK, chunk)
        await user.membership(room_id, "invite", bot.user_id)
        here = Meeting(stack, bot, alice, board)
        await until(lambda: logged(bot, "board found"), 20, "the board is not found", bot)
        await lacks(here)
        read = asked_for(stack, bot, CHUNK)
        assert read <= 3  # one, and what a busy machine makes it try again
        assert asked_for(stack, bot, SNAPSHOT) <= 3
        await here.recorded(1, kind="snapshot")
        assert here.entries(kind="snapshot") == 1
        await bot.stop()
        await bot.start()
        await until(lambda: len(logged(bot, "board found")) > 1, 20, "it is not found", bot)
        await lacks(here)
        assert asked_for(stack, bot, CHUNK) == read


async def test_a_snapshot_of_another_version_takes_no_board_away(
    stack: Stack, tmp_path: Path
) -> None:
    """One event of a stranger; the people on the board draw on, and the author's browser dies."""
    async with meeting(stack, tmp_path, KEEP, habits=DIES) as here, person(stack, "eve") as eve:
        first = await here.alice.draw(elements.shape())
        await here.alice.leave()
        await saved(here, within=20)
        await here.alice.open(here.board)
        await here.heard()
        await here.alice.user.membership(here.board.room_id, "invite", eve.user.user_id)
        await eve.join(here.board)
        await write_snapshot(eve, here.board, initial("1"))
        await lacks(here, "other_version", within=20)
        last = await here.drawn(here.alice, elements.shape())
        await here.alice.kill()

        async def twice() -> bool:
            return await saved_by_bot(here) == 2

        await until(twice, 30, "the bot has not saved again", here.bot)
        await lacks(here)
        assert await newcomer_sees(here, stack, first)
        assert await newcomer_sees(here, stack, last)


async def test_a_board_that_is_too_large_for_the_bot_is_not_written_over(
    stack: Stack, tmp_path: Path
) -> None:
    small = {**KEEP, "boards": {"save_after": "1s", "max_document": "64kB"}}
    async with meeting(stack, tmp_path, small, habits=DIES) as here:
        await here.alice.draw(elements.shape())
        await saved(here, within=20)
        points = [(number % 97, number % 89) for number in range(6000)]
        large = elements.new_id()  # no packet takes it
        stroke = edits.add_element(elements.FIRST_SLIDE, large, elements.path(points))
        here.alice.document.change(stroke)
        await here.alice.keeping.save()
        await lacks(here, "beyond", within=20)
        await here.alice.draw(elements.shape())
        await lacks(here, "beyond", "gap")
        await here.alice.kill()
        await here.gone(within=90)  # nobody is on the board any more
        assert await saved_by_bot(here) == 1
        assert await newcomer_sees(here, stack, large)


async def write_snapshot(who: NeoBoard, board: Board, data: bytes) -> None:
    """Have somebody write any state to the room, as a complete snapshot."""
    contents = snapshot_content(board.document_id, 1)
    event_id = await who.user.send_event(board.room_id, SNAPSHOT, contents)
    for content in chunk_contents(board.document_id, event_id, data):
        await who.user.send_event(board.room_id, CHUNK, content)
