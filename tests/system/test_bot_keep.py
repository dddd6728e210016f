"""What only the bot has is saved to the room: nothing is lost when an author's browser dies.

Real clients lost these strokes (the table at the end of the NeoBoard measurements): an author saves
5 s after his change, and nobody else does.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.client.events import CHUNK, SNAPSHOT
from tests.stack.client.habits import Habits
from tests.stack.client.link import Link
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.people import QUICK, Meeting, logged, meeting, name, person

KEEP = {**QUICK, "boards": {"save_after": "8s"}}
DIES = Habits(announces=True, saves=False)
"""An author whose browser never comes to saving."""


async def saved_by_bot(here: Meeting) -> int:
    """Return how many complete snapshots the bot has written."""
    found = await here.alice.user.relations(here.board.room_id, here.board.document_id, SNAPSHOT)
    complete = 0
    for event in found:
        if event["sender"] == here.bot.user_id:
            chunks = await here.alice.user.relations(here.board.room_id, event["event_id"], CHUNK)
            complete += len(chunks) == event["content"]["chunkCount"]
    return complete


async def saved(here: Meeting, within: float) -> None:
    """Wait until the bot has written a snapshot."""

    async def check() -> bool:
        return await saved_by_bot(here) == 1

    await until(check, within, "the bot has not saved", here.bot)


def drawn(who: NeoBoard) -> list[str]:
    """Return the ids of what somebody sees on the first slide."""
    return [one["id"] for one in who.document.content()["slides"][0]["elements"]]


async def newcomer_sees(here: Meeting, stack: Stack, element: str) -> bool:
    """Have somebody open the board who was never there; tell whether he sees it."""
    async with person(stack, "carol") as carol:
        await here.alice.user.membership(here.board.room_id, "invite", carol.user.user_id)
        await carol.join(here.board)
        await carol.open(here.board)
        try:
            await carol.until(lambda: element in drawn(carol), 5, "carol to see it")
        except TimeoutError:
            return False
        return True


async def test_an_author_who_dies_after_a_stroke_loses_nothing(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, KEEP, habits=DIES) as here:
        element = await here.alice.draw(elements.shape())
        await here.recorded(1)
        await here.alice.kill()
        # The homeserver notices his death; then nobody is left, and the bot does not wait.
        await saved(here, within=20)
        assert await newcomer_sees(here, stack, element)
        assert await saved_by_bot(here) == 1


async def test_what_the_author_saves_himself_the_bot_leaves_to_him(
    stack: Stack, tmp_path: Path
) -> None:
    patient = {**QUICK, "boards": {"save_after": "60s"}}  # he does so after 5 s
    async with meeting(stack, tmp_path, patient) as here:
        await here.alice.draw(elements.shape())
        await here.recorded(1)

        async def unsaved() -> float:
            return (await here.bot.metrics())["boardkeeper_boards_unsaved"]

        assert await unsaved() == 1

        async def all_saved() -> bool:
            return await unsaved() == 0

        await until(all_saved, 12, "the author has not saved", here.bot)
        assert await saved_by_bot(here) == 0


async def test_killed_before_it_could_save_the_bot_does_so_at_its_next_start(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, KEEP, habits=DIES) as here:
        element = await here.alice.draw(elements.shape())
        await here.recorded(1)
        await here.bot.kill()
        await here.alice.kill()
        await here.bot.start()
        await saved(here, within=30)
        assert await newcomer_sees(here, stack, element)


async def test_an_observer_writes_to_no_board(stack: Stack, tmp_path: Path) -> None:
    config = {**QUICK, "boards": {"mode": "observe"}}
    async with meeting(stack, tmp_path, config, habits=DIES) as here:
        element = await here.alice.draw(elements.shape())
        await here.recorded(1)
        await here.alice.kill()
        await here.gone(within=90)  # nobody is on the board any more
        assert await saved_by_bot(here) == 0
        assert not await newcomer_sees(here, stack, element)


async def test_a_room_that_lets_nobody_save_is_told_once(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, KEEP, habits=DIES) as here:
        event = await here.state_event("m.room.power_levels", "")
        assert event is not None
        levels = event["content"]
        refused = {**levels, "events": {**levels["events"], CHUNK: 50}}
        await here.alice.user.put_state(here.board.room_id, "m.room.power_levels", refused)
        await here.alice.draw(elements.shape())
        await here.recorded(1)
        await here.alice.leave()

        async def told() -> int:
            return sum("is not being saved" in text for text in await here.said())

        await until(told, 20, "the room is not told", here.bot)
        refusal = "the room does not take snapshots of ours"
        await until(lambda: logged(here.bot, refusal), 10, "it is not logged", here.bot)
        assert await told() == 1


async def test_a_newcomer_sees_at_once_what_no_snapshot_has(stack: Stack, tmp_path: Path) -> None:
    never = {**QUICK, "boards": {"save_after": "5m"}}
    async with (
        meeting(stack, tmp_path, never, habits=DIES) as here,
        person(stack, "carol") as carol,
    ):
        element = await here.alice.draw(elements.shape())
        await here.recorded(1)
        await here.alice.user.membership(here.board.room_id, "invite", carol.user_id)
        await carol.join(here.board)
        await carol.open(here.board)
        await carol.until(lambda: bool(carol.meeting.channel), 10, "carol to be connected")
        await carol.until(lambda: element in drawn(carol), 3, "carol to see it")
        assert await saved_by_bot(here) == 0


async def test_who_loses_packets_is_up_to_date_a_moment_later(stack: Stack, tmp_path: Path) -> None:
    """Without the bot he shows nothing its author draws until the next snapshot."""
    bad = Link(loss=0.5, seed=3)
    never = {**QUICK, "boards": {"save_after": "5m"}}
    async with AsyncExitStack() as exits:
        here = await exits.enter_async_context(meeting(stack, tmp_path, never, habits=DIES))
        device = await stack.user(name("bob"))
        bob = await exits.enter_async_context(
            NeoBoard(stack.homeserver_url, device, Habits(announces=True), hears=bad)
        )
        await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
        await bob.join(here.board)
        await bob.open(here.board)
        await bob.hears(here.alice)
        for _ in range(12):
            element = await here.alice.draw(elements.shape())
            await bob.until(lambda element=element: element in drawn(bob), 5, "bob to see it")  # type: ignore[misc]
        assert bad.counts["lost"] >= 2
        assert await saved_by_bot(here) == 0  # no snapshot has brought it to him
