"""Whoever is blocked on a board is helped: people in the room, and who comes later.

Without the bot a snapshot that stays incomplete is followed by none, a stroke whose update was lost
blocks all later ones of its author, and so does an update that NeoBoard refuses.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.stack.bot import until
from tests.stack.client import edits, elements
from tests.stack.client.elements import FIRST_SLIDE, Element, new_id
from tests.stack.client.events import CHUNK, SNAPSHOT, chunk_contents, snapshot_content
from tests.stack.client.habits import Habits
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.people import QUICK, Meeting, logged, meeting, person
from tests.system.test_bot_keep import drawn, newcomer_sees, saved, saved_by_bot

ONLY_LIVE = Habits(announces=True, saves=False)
PATIENT = {**QUICK, "boards": {"save_after": "60s"}}
TELLS = {**QUICK, "boards": {"tell_repairs": True}}


@asynccontextmanager
async def guest(here: Meeting, habits: Habits = ONLY_LIVE) -> AsyncIterator[NeoBoard]:
    """Bob, who is on the board too and hears Alice and the bot."""
    async with person(here.stack, "bob", habits) as bob:
        await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
        await bob.join(here.board)
        await bob.open(here.board)
        await bob.hears(here.alice)
        channel = bob.meeting.channel
        assert channel is not None
        await bob.until(lambda: f"{here.bot.user_id}:{here.bot.device_id}" in channel.others)
        yield bob


def draw_unheard(who: NeoBoard, element: Element) -> str:
    """Draw something whose packet nobody gets."""
    element_id = new_id()
    who.document.change(edits.add_element(FIRST_SLIDE, element_id, element))
    return element_id


async def all_saved(here: Meeting) -> bool:
    return (await here.bot.metrics())["boardkeeper_boards_unsaved"] == 0


async def sees(who: NeoBoard, *wanted: str) -> None:
    await who.until(lambda: set(wanted) <= set(drawn(who)), 30, "all to be seen")


async def test_an_incomplete_snapshot_is_followed_by_a_complete_one(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, PATIENT, habits=ONLY_LIVE) as here:
        alice, board = here.alice, here.board
        element = await alice.draw(elements.shape())
        await here.recorded(1)
        await alice.keeping.save()
        await until(lambda: all_saved(here), 10, "it is not saved", here.bot)
        event_id = await alice.user.send_event(
            board.room_id, SNAPSHOT, snapshot_content(board.document_id, 2)
        )
        first = next(iter(chunk_contents(board.document_id, event_id, alice.document.data)))
        await alice.user.send_event(board.room_id, CHUNK, first)
        await saved(here, within=40)
        assert await newcomer_sees(here, stack, element)


async def test_a_gap_that_a_snapshot_closes_is_closed_for_everybody(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with meeting(stack, tmp_path, habits=ONLY_LIVE) as here, guest(here) as bob:
        lost = draw_unheard(here.alice, elements.shape())
        later = await here.alice.draw(elements.note("later"))
        await here.recorded(1)
        await bob.until(lambda: bob.document.waiting, 10, "what comes later to wait")
        # His client does not get the snapshot that the bot reads: only live updates help him.
        monkeypatch.setattr(bob.keeping, "notice", lambda _: None)
        await here.alice.keeping.save()
        await sees(bob, lost, later)
        await here.alice.kill()
        assert await newcomer_sees(here, stack, later)


async def refused(here: Meeting, **fields: Any) -> str:
    """Have Alice draw what NeoBoard refuses."""
    element, before = new_id(), here.entries(kind="refused")
    await here.alice.change(edits.add_element(FIRST_SLIDE, element, elements.shape(**fields)))
    await until(lambda: here.entries(kind="refused") > before, 10, "it is not refused", here.bot)
    return element


async def test_an_author_behind_a_refused_update_is_unblocked_and_that_is_said_once(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, TELLS, habits=ONLY_LIVE) as here, guest(here) as bob:
        first = later = await here.alice.draw(elements.shape())
        await sees(bob, first)
        for number in range(2):
            bad = await refused(here, fillColor="")
            later = await here.alice.draw(elements.note(f"after {number}"))
            await sees(bob, first, later)
            assert bad not in drawn(bob)
            await here.alice.until(lambda bad=bad: bad not in drawn(here.alice), 20)  # type: ignore[misc]
        await until(lambda: broken(here), 20, "people are not told", here.bot)
        await here.alice.kill()
        await until(lambda: all_saved(here), 40, "what was repaired is not saved", here.bot)
        assert await saved_by_bot(here)
        assert len(await broken(here)) == 1
        assert await newcomer_sees(here, stack, later)


async def broken(here: Meeting) -> list[str]:
    """Return what the bot has said of broken updates."""
    return [text for text in await here.said() if "was broken" in text]


async def test_a_field_that_is_spoiled_gets_its_old_value_and_nothing_else_is_lost(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, habits=ONLY_LIVE) as here, guest(here) as bob:
        element = await here.alice.draw(elements.shape(text="mine"))
        await sees(bob, element)
        spoiled = {"position": {"x": float("nan"), "y": 1.0}}
        await here.alice.change(edits.change_element(FIRST_SLIDE, element, spoiled))
        later = await here.alice.draw(elements.note("after"))
        await sees(bob, element, later)
        [mine] = [
            one for one in bob.document.content()["slides"][0]["elements"] if one["id"] == element
        ]
        assert (mine["text"], mine["position"]) == ("mine", {"x": 100, "y": 100})
        assert not [text for text in await here.said() if "broken" in text]


async def test_what_a_newer_neoboard_may_show_is_not_removed(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, TELLS, habits=ONLY_LIVE) as here, guest(here) as bob:
        await refused(here, kind="star")
        later = await here.alice.draw(elements.note("after"))
        await until(
            lambda: logged(here.bot, "a refused update blocks its author"), 30, "not seen", here.bot
        )
        assert later not in drawn(bob)
        assert not [text for text in await here.said() if "broken" in text]
