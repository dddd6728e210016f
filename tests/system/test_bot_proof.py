"""What the bot promises, proven in the bytes: what it recorded, after kills and over bad links."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest

from tests.stack.bot import until
from tests.stack.client.channel import Channel
from tests.stack.client.elements import FIRST_SLIDE
from tests.stack.client.events import cursor_packet
from tests.stack.client.habits import Habits
from tests.stack.client.link import Link
from tests.stack.client.matrix import MatrixUser
from tests.stack.client.nwb import comparable
from tests.stack.client.recording import SentPacket
from tests.stack.neoboard import NeoBoard
from tests.stack.processes import ROOT, StackError
from tests.stack.replay import Replay
from tests.stack.stack import Stack
from tests.system.archive import query
from tests.system.drawing import BY_HAND, drawing, same_after_next_snapshot
from tests.system.people import Meeting, logged, meeting, name, person

Row = tuple[object, ...]
Heard = tuple[str, bytes]
"""Who sent it, and the raw bytes as the archive would have them."""
SEED = 27
"""Of the bad links: they lose, double and reorder packets in both sessions."""
REAL_TIMES = {"presence": {"linger": "2s"}}
"""The real delay of 18 s: shorter than the time the new membership is watched."""


def rows(here: Meeting) -> list[Row]:
    """Return every entry of the archive, with its raw bytes."""
    return query(here.bot.data, "SELECT seq, sender, kind, data FROM entries ORDER BY seq")


def joined(here: Meeting) -> int:
    """Return how many lives of the bot have joined the session so far."""
    return sum(line["status"] == "joined" for line in logged(here.bot, "own membership"))


async def killed_and_started(here: Meeting) -> None:
    """Kill the bot while people draw; what it had committed is there, unchanged, once."""
    before, lives = rows(here), joined(here)
    await here.bot.kill()
    assert rows(here)[: len(before)] == before
    await here.bot.start()
    await until(lambda: joined(here) > lives, 30, "the bot has not joined again", here.bot)
    await until(lambda: len(rows(here)) > len(before) + 5, 20, "nothing new is there", here.bot)
    after = rows(here)
    assert after[: len(before)] == before
    assert [row[0] for row in after] == list(range(1, len(after) + 1))
    assert set(Counter(row[1:] for row in after).values()) == {1}  # Alice repeats nothing


async def test_killed_while_people_draw_nothing_committed_is_missing_or_there_twice(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, REAL_TIMES, habits=BY_HAND) as here:
        async with drawing(here.alice, 0.1):
            for count in (20, 60):
                await here.recorded(count, within=30)
                await killed_and_started(here)
            for _ in range(20):
                assert await here.membership()
                await asyncio.sleep(1)
        before = rows(here)
        await same_after_next_snapshot(here)
        assert rows(here)[: len(before)] == before
        assert here.entries(kind="refused") == 0


@asynccontextmanager
async def listener(here: Meeting) -> AsyncIterator[list[Heard]]:
    """Somebody plain on the SFU, of whom Matrix knows nothing: a list of all he gets, growing."""
    carol = MatrixUser(here.stack.homeserver_url, await here.stack.user(name("carol")))
    channel = Channel(on_lost=lambda: None)
    heard: list[Heard] = []

    async def listen() -> None:
        while (packet := await channel.inbox.get()) is not None:
            heard.append((str(packet[0]).rpartition(":")[0], data_of(packet[1])))

    await carol.start()
    try:
        await channel.connect(carol, here.stack.jwt_url, here.board.room_id)
        listening = asyncio.create_task(listen())
        yield heard
        await channel.close()
        await listening
    finally:
        await carol.end()


def data_of(packet: bytes) -> bytes:
    """Return what an entry holds of a packet: of an update the update itself."""
    message = json.loads(packet)
    if message["type"] == "net.nordeck.whiteboard.document_update":
        return base64.b64decode(message["content"]["data"])
    return packet


def sent(people: Sequence[NeoBoard]) -> Counter[str]:
    """Count what people have put on the wire, what was sent twice twice."""
    return Counter({who.user_id: sum(who.outbox.sent.values()) for who in people})


def recorded(here: Meeting) -> list[Heard]:
    """Return who sent what over the data channel, as the archive has it."""
    sql = "SELECT sender, data FROM entries WHERE kind NOT IN ('snapshot', 'baseline') ORDER BY seq"
    found = query(here.bot.data, sql)
    assert all(isinstance(data, bytes) for _, data in found)
    return [cast("Heard", row) for row in found]


async def settled(here: Meeting, people: Sequence[NeoBoard], heard: list[Heard]) -> tuple[int, int]:
    """Wait until bot and listener hear people by name; return how much each of them has.

    What is sent on the reliable channel stays in order: who has the last mark has all before it.
    """
    numbers = itertools.count()

    async def check() -> bool:
        packet = cursor_packet(FIRST_SLIDE, next(numbers), 0)
        marks = {(who.user_id, packet) for who in people}
        for who in people:
            await who.send(packet, reliable=True)
        with suppress(StackError):
            await until(lambda: marks <= {*heard} & {*recorded(here)}, 3, "not yet")
            return True
        return False

    await until(check, 30, "bot and listener do not hear everybody by name", here.bot)
    return len(recorded(here)), len(heard)


@pytest.mark.parametrize(
    ("session", "version", "exported"),
    [("slides", "0", 1795218261000), ("infinite", "1", 1795219195500)],
)
async def test_every_packet_is_an_entry_and_the_next_snapshot_fills_the_gaps(
    stack: Stack, tmp_path: Path, session: str, version: str, exported: int
) -> None:
    replay = Replay(ROOT / "tests" / "data" / "neoboard-session" / session)
    first = next(
        one.ts
        for one in replay.recording.sent
        if isinstance(one, SentPacket) and one.type == "document_update"
    )
    habits = Habits(version=version, saves=False, announces=True)
    async with (
        meeting(stack, tmp_path, habits=habits) as here,
        person(stack, "bob", habits) as bob,
        listener(here) as heard,
    ):
        await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
        await bob.join(here.board)
        await bob.open(here.board)
        people = (here.alice, bob)
        before, before_heard = await settled(here, people, heard)
        for number, who in enumerate(people):
            who.outbox.sent.clear()
            who.outbox.link = Link(loss=0.1, duplicate=0.1, reorder=0.1, seed=SEED + number)
        played = await replay.play(
            {"alice": here.alice, "bob": bob},
            speed=20,
            longest_pause=0.1,
            snapshots="none",
            until_ts=exported,
            withhold=(first, first + 500),
        )
        assert played.withheld
        bad = here.alice.outbox.link.counts + bob.outbox.link.counts
        assert set(bad) == {"lost", "duplicated", "reordered"}
        await until(
            lambda: Counter(sender for sender, _ in recorded(here)[before:]) == sent(people),
            30,
            f"not an entry for each packet: {sent(people)}",
            here.bot,
        )

        async def whole() -> bool:
            export = await here.bot.export(here.board.room_id)
            return comparable(export) == comparable(replay.recording.export)

        assert not await whole()
        for one in replay.recording.of(["alice", "bob"], exported, snapshots=False):
            moved = replay.recording.moved(one, here.board.document_id, played.pictures)
            if isinstance(moved, SentPacket) and moved.update is not None:
                here.alice.document.receive(moved.update)  # she has lost nothing
        await here.alice.keeping.save()  # the next snapshot
        await until(whole, 10, "the export is not whole", here.bot)
        # The SFU loses nothing by itself, and the bot keeps what a plain participant gets.
        passed = Counter(one for one in heard[before_heard:] if one[0] != here.bot.user_id)
        assert Counter(recorded(here)[before:]) == passed


async def test_a_flood_of_questions_gets_few_answers_and_holds_up_no_order(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path) as here, person(stack, "bob") as bob:
        await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
        await bob.join(here.board)
        bob.board = here.board
        await until(here.said, 10, "no greeting", here.bot)
        begun = time.monotonic()

        async def flood() -> None:
            await asyncio.gather(
                *(bob.say(f"!board {what}") for what in ("help", "status") * 25),
                *(here.alice.say("!board status") for _ in range(50)),
            )

        async def unanswered() -> float:
            return (await here.bot.metrics())['boardkeeper_refused_events_total{what="command"}']

        await flood()
        await here.alice.say("!board pause")
        await until(lambda: logged(here.bot, "recording paused"), 10, "not paused", here.bot)

        async def answers() -> int:
            return len(await here.said()) - 2  # the greeting, and that it is paused

        async def all_handled() -> bool:
            # On a busy machine not every one of them is in a sync: it is read on from a gap.
            before = await answers() + await unanswered()
            await asyncio.sleep(1.5)
            return 50 <= before == await answers() + await unanswered()

        await until(all_handled, 30, "questions are neither answered nor dropped", here.bot)
        # Five at once, and one more per 10 s.
        assert 5 <= await answers() <= 6 + (time.monotonic() - begun) / 10

        flooding = asyncio.create_task(flood())
        await asyncio.sleep(0)
        await here.alice.say("!board resume")
        await until(lambda: logged(here.bot, "recording resumed"), 10, "not resumed", here.bot)
        await here.alice.say("!board leave")
        await here.gone()
        await flooding
