"""A member without power wants to fill the bot's memory and keep it from other boards."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.client.events import CHUNK, MEMBER, SNAPSHOT, Board, member_content, update_packet
from tests.stack.client.matrix import MatrixError
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.drawing import BY_HAND, drawing, ready
from tests.system.people import Meeting, meeting, person
from tests.system.test_bot_garbage import (
    another_board,
    guest,
    memory,
    pour,
    strokes,
    troubles,
)
from tests.unit.whiteboard.test_hostile_updates import BOMBS, CYCLES, NUMBERS, chain, ranges

EVENTS = 1_000
MAX_GROWTH = 100 * 2**20
_LARGEST = 44_000


def hostile_events(board: Board, good: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Heads without chunks, chunks of nothing and of somebody's snapshot, bombs in one event.

    Args:
        board: theirs.
        good: the event id of somebody's snapshot.
    """

    def relation(event_id: str) -> dict[str, str]:
        return {"rel_type": "m.reference", "event_id": event_id}

    def chunk(of: str, number: int, data: bytes = b"x" * 33_000) -> dict[str, Any]:
        return {
            "documentId": board.document_id,
            "sequenceNumber": number,
            "data": base64.b64encode(data).decode(),
            "m.relates_to": relation(of),
        }

    for number in range(EVENTS):
        announced = (1, 3, 6_000, 10**9, 2**53 - 1)[number % 5]
        kinds: tuple[tuple[str, dict[str, Any]], ...] = (
            (
                SNAPSHOT,
                {"chunkCount": announced, "m.relates_to": relation(board.document_id)},
            ),
            (CHUNK, chunk(board.document_id, number)),
            (CHUNK, chunk(good, number % 3)),
            (CHUNK, chunk(good, 10**9 + number, b"x")),
        )
        yield kinds[number % len(kinds)]


def hostile_packets(board: Board) -> Iterator[bytes]:
    """Updates that would be dear to whoever believed them."""
    dear = [one for one in (*CYCLES.values(), *NUMBERS.values()) if len(one) < _LARGEST]
    bombs = [make() for make in BOMBS.values()]
    dear += [one for one in bombs if len(one) < _LARGEST]
    for number in range(EVENTS // 5):
        yield update_packet(board.document_id, dear[number % len(dear)])
        if number % 5 == 0:
            yield update_packet(board.document_id, ranges(13_000, client=1_000 + number))
            yield update_packet(board.document_id, chain(2_000, client=5_000 + number))


async def send_all(here: Meeting, mallory: NeoBoard, good: str) -> int:
    """Send the events and many memberships; return how many the homeserver took."""
    gate, room_id = asyncio.Semaphore(6), here.board.room_id
    content = member_content(here.board, mallory.device_id, ["http://127.0.0.1:1"], 2**45)

    async def send(kind: str, event: dict[str, Any], key: str | None = None) -> bool:
        async with gate:
            try:
                if key is None:
                    await mallory.user.send_event(room_id, kind, event)
                else:
                    await mallory.user.put_state(room_id, kind, event, key)
            except MatrixError:
                return False
            return True

    sent = [send(kind, event) for kind, event in hostile_events(here.board, good)]
    for number in range(200):
        device = f"D{number}"
        one = {**content, "device_id": device, "x": "y" * 30_000}
        sent.append(send(MEMBER, one, f"_{mallory.user_id}_{device}"))
    return sum(await asyncio.gather(*sent))


async def exported(here: Meeting, board: Board) -> set[str]:
    """Return the texts that an export of a board holds."""
    found = await here.bot.export(board.room_id)
    slides = found["whiteboard"]["slides"]
    return {one.get("text", "") for slide in slides for one in slide["elements"]}


async def newcomer_sees(here: Meeting, stack: Stack, text: str) -> None:
    """Somebody who was never there opens the board when nobody else is on it but the bot."""
    async with person(stack, "dora", BY_HAND) as dora:
        await here.alice.user.membership(here.board.room_id, "invite", dora.user_id)
        await dora.join(here.board)
        await dora.open(here.board)

        def seen() -> bool:
            shown = dora.document.content()["slides"][0]["elements"]
            return text in {one.get("text") for one in shown}

        await dora.until(seen, 60, f"dora to see “{text}”")


@pytest.mark.timeout(900)  # a minute on an idle machine, most of it the homeserver's
async def test_a_thousand_hostile_events(stack: Stack, tmp_path: Path) -> None:
    async with (
        meeting(stack, tmp_path, habits=BY_HAND) as here,
        another_board(here) as (bob, board),
        person(stack, "carol", BY_HAND) as carol,
        guest(here, "mallory") as mallory,
    ):
        await bob.user.membership(board.room_id, "invite", carol.user_id)
        await carol.join(board)
        await carol.open(board)
        await carol.hears(bob, within=30)
        await here.alice.draw(elements.shape(text="before"))
        await here.recorded(1)
        await here.alice.keeping.save()
        [good, *_] = await here.alice.user.relations(
            here.board.room_id, here.board.document_id, SNAPSHOT
        )
        # Her simulated client is not made for this.
        await here.alice.leave(save=True)
        before = memory(here)
        async with drawing(bob, every=0.2, label="calm") as pen:
            accepted, _ = await asyncio.gather(
                send_all(here, mallory, good["event_id"]),
                pour(mallory, hostile_packets(here.board)),
            )
            assert accepted > EVENTS
            await here.alice.open(here.board)
            await here.alice.draw(elements.shape(text="after"))
            await until(
                lambda: any(b"after" in one for one in strokes(here, here.board)),
                90,
                "a stroke is not heard",
                here.bot,
            )
            assert await here.membership()
        # What LiveKit dropped on the lossy channel, on this busy machine, comes with his snapshot.
        await bob.keeping.save()

        async def whole() -> bool:
            return await exported(here, board) >= set(pen.drawn)

        await until(whole, 60, "strokes are missing", here.bot)
        grown = memory(here) - before
        assert grown < MAX_GROWTH
        await ready(here.bot, within=30)
        assert not troubles(here)
        metrics = await here.bot.metrics()
        assert metrics["boardkeeper_boards"] == 2
        # None of what she has sent keeps the bot from reading and saving after a restart.
        await here.bot.stop()
        await here.bot.start()
        await here.heard()
        await here.alice.draw(elements.shape(text="last"))
        await until(
            lambda: any(b"last" in one for one in strokes(here, here.board)),
            60,
            "a stroke is not heard after the restart",
            here.bot,
        )
        await mallory.leave()
        await here.alice.leave()
        await newcomer_sees(here, stack, "last")
