"""Somebody sends what no client ever would; the bot and the other boards do not care."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.stack.bot import until
from tests.stack.client import edits, elements
from tests.stack.client.events import BOARD, Board, update_packet
from tests.stack.client.habits import Habits
from tests.stack.client.matrix import MatrixError
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.drawing import BY_HAND, Pen, drawing, ready, same_after_next_snapshot
from tests.system.garbage import RESERVES_512_MB, Garbage, bad_events, bad_state, foreign
from tests.system.people import Meeting, meeting, person

PACKETS = 10_000
BURST = 50
"""Packets between two breaths: what LiveKit would drop by itself proves nothing."""
MAX_GROWTH = 50 * 2**20


def memory(here: Meeting) -> int:
    """Return the bytes that the bot's process takes."""
    pages = Path(f"/proc/{here.bot.process.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def troubles(here: Meeting) -> list[dict[str, object]]:
    """Return what the bot logged that nobody's garbage may cause."""
    return [event for event in here.bot.events() if event["level"] in {"error", "critical"}]


@asynccontextmanager
async def guest(here: Meeting, what: str, habits: Habits = BY_HAND) -> AsyncIterator[NeoBoard]:
    """Somebody else on Alice's board."""
    async with person(here.stack, what, habits) as someone:
        await here.alice.user.membership(here.board.room_id, "invite", someone.user_id)
        await someone.join(here.board)
        await someone.open(here.board)
        await hears_the_bot(here, someone)
        yield someone


@asynccontextmanager
async def another_board(here: Meeting) -> AsyncIterator[tuple[NeoBoard, Board]]:
    """Bob, drawing in a room of his own with the same bot."""
    async with person(here.stack, "bob", BY_HAND) as bob:
        board = await bob.create_board(invite=[here.bot.user_id])
        await bob.open(board)
        await hears_the_bot(here, bob)
        yield bob, board


async def hears_the_bot(here: Meeting, someone: NeoBoard) -> None:
    identity = f"{here.bot.user_id}:{here.bot.device_id}"
    await someone.until(
        lambda: someone.meeting.channel is not None and identity in someone.meeting.channel.others,
        15,
        "hearing the bot",
    )


def strokes(here: Meeting, board: Board) -> list[bytes]:
    """Return the recorded updates of a board, in order."""
    rows = query(
        here.bot.data,
        "SELECT e.data FROM entries e JOIN boards b ON b.id = e.board_id"
        " WHERE b.whiteboard_id = ? AND e.kind = 'update' ORDER BY e.seq",
        board.whiteboard_id,
    )
    return [bytes(data) for (data,) in rows if isinstance(data, bytes)]


async def all_recorded(here: Meeting, board: Board, pen: Pen) -> None:
    """Every stroke until now has to be there, in order; he goes on drawing meanwhile."""
    drawn = list(pen.drawn)
    await until(
        lambda: len(strokes(here, board)) >= len(drawn),
        20,
        f"{len(drawn)} strokes are not recorded",
        here.bot,
    )
    found = strokes(here, board)[: len(drawn)]
    missing = [text for text, data in zip(drawn, found, strict=True) if text.encode() not in data]
    assert not missing


async def pour(mallory: NeoBoard, packets: Iterable[bytes]) -> None:
    """Send packets as fast as they are surely carried."""
    for number, data in enumerate(packets):
        await mallory.send(data, reliable=True)
        if number % BURST == 0:
            await asyncio.sleep(0.01)


async def test_ten_thousand_garbage_packets(stack: Stack, tmp_path: Path) -> None:
    async with (
        meeting(stack, tmp_path, habits=BY_HAND) as here,
        another_board(here) as (bob, board),
        guest(here, "mallory") as mallory,
        drawing(bob, every=0.03, label="calm", reliable=True) as pen,
    ):
        await here.alice.draw(elements.shape(text="before"))
        await mallory.draw(elements.shape(text="mine"))
        await here.recorded(2)
        # Her simulated client reads each update several times; ten thousand are too many for it.
        await here.alice.leave(save=True)
        await asyncio.sleep(1)
        before = memory(here)
        await pour(mallory, Garbage(here.board, seed=7).packets(PACKETS))
        assert mallory.outbox.unsent.total() == 0
        # After all of it on the same way: a lossy packet would overtake the others.
        stroke = edits.add_element(
            elements.FIRST_SLIDE, elements.new_id(), elements.shape(text="after")
        )
        update = mallory.document.change(stroke)
        await mallory.send(update_packet(here.board.document_id, update), reliable=True)

        await until(lambda: b"after" in strokes(here, here.board)[-1], 60, "not heard", here.bot)
        metrics = await here.bot.metrics()
        assert metrics['boardkeeper_packets_dropped_total{reason="invalid"}'] > PACKETS / 2
        assert metrics['boardkeeper_updates_total{verdict="refused"}'] > PACKETS / 5
        assert memory(here) - before < MAX_GROWTH
        await nobody_noticed(here, board, pen)
        # Whoever comes now may have to save once before he is believed; then all of it is there.
        await here.alice.open(here.board)
        await here.alice.draw(elements.shape(text="again"))
        await here.alice.keeping.save()

        async def whole() -> bool:
            export = await here.bot.export(here.board.whiteboard_id)
            texts = {one["text"] for one in export["whiteboard"]["slides"][0]["elements"]}
            return {"before", "mine", "after", "again"} <= texts

        await until(whole, 5, "strokes are missing", here.bot)


async def test_malformed_room_events(stack: Stack, tmp_path: Path) -> None:
    async with (
        meeting(stack, tmp_path, habits=BY_HAND) as here,
        another_board(here) as (bob, board),
        guest(here, "mallory") as mallory,
        drawing(bob, every=0.03, label="calm", reliable=True) as pen,
    ):
        await here.alice.draw(elements.shape(text="before"))
        await here.recorded(1)
        await here.alice.keeping.save()
        await asyncio.sleep(1)
        before = memory(here)
        for data in (RESERVES_512_MB, bytes(70_000), mallory.document.data[:-3], foreign()):
            await mallory.keeping.save(data)
        accepted = await send_bad_events(here, mallory)
        assert accepted > 200
        await here.alice.draw(elements.shape(text="after"))
        await until(lambda: b"after" in strokes(here, here.board)[-1], 10, "not heard", here.bot)
        answers = len(await here.said())
        await here.alice.say("!board status")

        async def answered() -> bool:
            return len(await here.said()) > answers

        await until(answered, 5, "no answer", here.bot)
        assert memory(here) - before < MAX_GROWTH
        assert here.entries(kind="snapshot", sender=mallory.user_id) == 0
        assert await here.membership()
        await same_after_next_snapshot(here)
        await nobody_noticed(here, board, pen)


async def nobody_noticed(here: Meeting, board: Board, pen: Pen) -> None:
    """Health, log and the other board are as if nothing had been."""
    await ready(here.bot, within=1)
    await all_recorded(here, board, pen)
    assert not troubles(here)


async def send_bad_events(here: Meeting, mallory: NeoBoard) -> int:
    """Send them all, the state of the room as its owner; return how many were accepted."""
    room_id, gate = here.board.room_id, asyncio.Semaphore(8)

    async def send(request: Coroutine[None, None, str]) -> bool:
        async with gate:
            try:
                await request
            except MatrixError:
                return False
            return True

    requests = [
        mallory.user.send_event(room_id, kind, content) for kind, content in bad_events(here.board)
    ]
    for kind, key, content in bad_state(here.board, mallory.user_id, mallory.device_id):
        who = here.alice if kind == BOARD else mallory
        requests.append(who.user.put_state(room_id, kind, content, key))
    return sum(await asyncio.gather(*map(send, requests)))
