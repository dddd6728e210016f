"""Random sessions on real servers with one real bot: what reached it or the room is in the room."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.sessions.acts import choose
from tests.sessions.judge import Stroke, judge, read_room
from tests.stack.bot import Bot, running_bot, until
from tests.stack.client.events import CHUNK, SNAPSHOT, Board, update_packet
from tests.stack.client.habits import Habits
from tests.stack.client.link import Link
from tests.stack.client.matrix import Event
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.people import QUICK, name

SESSIONS = 20
AT_A_TIME = 4
ALL = {"invites": {"per_minute": 1000}}
"""It comes to every board, however fast they are made."""
KINDS = ("draw", "draw", "draw", "move", "delete", "reorder", "add_slide", "lock", "unlock")


@dataclass(slots=True)
class Session:
    """One board and the people on it."""

    seed: int
    board: Board
    owner: NeoBoard
    strokes: list[Stroke] = field(default_factory=list)


async def person(stack: Stack, dice: random.Random) -> NeoBoard:
    """Somebody with a bad connection."""
    loss = dice.choice((0.0, dice.uniform(0.0, 0.4)))
    links = [Link(loss / 2, 0.05, 0.1, dice.randrange(1000)) for _ in range(2)]
    device = await stack.user(name("p"))
    habits = Habits(announces=dice.random() < 0.5)
    return NeoBoard(stack.homeserver_url, device, habits, link=links[0], hears=links[1])


async def visit(who: NeoBoard, session: Session, dice: random.Random) -> None:
    """Open the board, do things, close it or die, mostly before one's own snapshot."""
    await who.open(session.board, within=120)
    for _ in range(dice.randint(1, 8)):
        await asyncio.sleep(dice.uniform(0.0, 0.6))
        kind, slides = dice.choice(KINDS), who.document.content()["slides"]
        edit = choose(dice, slides, kind, 0.05, who.user_id)
        if edit is not None:
            update = who.document.change(edit)
            number = len(session.strokes)
            session.strokes.append(Stroke(number, f"{who.user_id} {kind}", update))
            who.keeping.changed()
            await who.send(update_packet(session.board.document_id, update))
    await asyncio.sleep(dice.choice((0.0, 0.5, 6.0)))
    await (who.kill() if dice.random() < 0.5 else who.leave())


async def play(
    stack: Stack, bot: Bot, seed: int, turns: asyncio.Semaphore, exits: AsyncExitStack
) -> Session:
    """Have two or three people on a board, one after the other and together."""
    dice = random.Random(f"stack {seed}")
    async with turns:
        people = [await person(stack, dice) for _ in range(dice.randint(2, 3))]
        for who in people:
            await exits.enter_async_context(who)
        owner, others = people[0], people[1:]
        invited = [bot.user_id, *(who.user_id for who in others)]
        session = Session(seed, await owner.create_board(invite=invited), owner)
        for who in others:
            await who.join(session.board)

        async def comes(who: NeoBoard, own: random.Random) -> None:
            await asyncio.sleep(own.uniform(0.0, 3.0))
            await visit(who, session, own)

        await asyncio.gather(
            *(comes(who, random.Random(f"{seed} {n}")) for n, who in enumerate(people))
        )
        return session


async def owed(session: Session, data: Path) -> list[str]:
    """What reached the bot or the room, and a fresh reader does not see."""
    board, user = session.board, session.owner.user
    heads = await user.relations(board.room_id, board.document_id, SNAPSHOT)
    snapshots: list[tuple[Event, list[Event]]] = [
        (head, await user.relations(board.room_id, head["event_id"], CHUNK)) for head in heads
    ]
    sql = (
        "SELECT e.data FROM entries e JOIN boards b ON b.id = e.board_id"
        " WHERE b.whiteboard_id = ? AND e.kind = 'update' ORDER BY e.seq"
    )
    heard = [bytes(row[0]) for row in query(data, sql, board.whiteboard_id)]  # type: ignore[call-overload]
    complete = list(read_room(snapshots).values())
    return [f"{session.seed}: {one.what}" for one in judge(session.strokes, heard, complete)[1]]


@pytest.mark.timeout(1200)  # many times what an idle machine takes
async def test_no_stroke_is_lost_on_real_servers(stack: Stack, tmp_path: Path) -> None:
    turns = asyncio.Semaphore(AT_A_TIME)
    async with AsyncExitStack() as exits:
        bot = await exits.enter_async_context(
            running_bot(stack, tmp_path / "bot", name("bot"), {**QUICK, **ALL})
        )
        sessions = await asyncio.gather(
            *(play(stack, bot, seed, turns, exits) for seed in range(SESSIONS))
        )
        assert sum(len(one.strokes) for one in sessions) > 3 * SESSIONS

        async def saved() -> bool:
            if (await bot.metrics())["boardkeeper_boards_unsaved"]:
                return False
            if [one for session in sessions for one in await owed(session, bot.data)]:
                return False
            # What was on its way at the first look is known by now.
            return not (await bot.metrics())["boardkeeper_boards_unsaved"]

        await until(saved, 120, "strokes are not in the room", bot)
        await bot.stop()
        for session in sessions:  # by now all it heard is in the archive
            assert not await owed(session, bot.data)
