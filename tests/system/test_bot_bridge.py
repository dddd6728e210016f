"""People whose NeoBoards speak different profiles draw with each other through the bot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bot.presence.bridge import ECHO
from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.client.elements import FIRST_SLIDE
from tests.stack.client.habits import Habits
from tests.stack.client.link import Link
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack
from tests.system.people import QUICK, Meeting, meeting, person

OLD = Habits(announces=True)
NEW = Habits(profile="sticky", announces=True)


@dataclass(slots=True)
class Mixed:
    """A board with people of both profiles and the bot."""

    here: Meeting
    old: list[NeoBoard]
    new: list[NeoBoard]

    @property
    def everybody(self) -> list[NeoBoard]:
        return [*self.old, *self.new]

    async def bridged(self) -> None:
        """Wait until both sides see the bot, and it both of them."""
        await all_see(self.everybody, self.bot_among, "the bot")
        for one, other in self.across():
            element = await one.draw(elements.shape(text="first"))
            await all_see([other], partial(has, element), "the first stroke")

    def across(self) -> list[tuple[NeoBoard, NeoBoard]]:
        """Return somebody of each side with somebody of the other."""
        return [(self.old[0], self.new[0]), (self.new[0], self.old[0])]

    def bot_among(self, someone: NeoBoard) -> bool:
        """Whether somebody sees the bot among the members."""
        return self.here.bot.user_id in {one.user_id for one in someone.members}


def has(element: str, someone: NeoBoard) -> bool:
    return element in str(someone.document.content())


async def all_see(
    people: Sequence[NeoBoard],
    check: Callable[[NeoBoard], object],
    what: str,
    within: float = 30,
) -> None:
    """Wait until something is so for each of them."""
    for someone in people:
        await someone.until(partial(check, someone), within, what)


@asynccontextmanager
async def mixed(
    stack: Stack,
    folder: Path,
    *,
    each: int = 1,
    loss: float = 0.0,
    config: dict[str, Any] | None = None,
) -> AsyncIterator[Mixed]:
    """So many people of each profile on one board, and the bot."""
    async with AsyncExitStack() as ends:
        here = await ends.enter_async_context(
            meeting(stack, folder, config or QUICK, habits=OLD, link=Link(loss, seed=1))
        )
        found = Mixed(here, [here.alice], [])
        for number in range(2 * each - 1):
            habits = NEW if number < each else OLD
            link = Link(loss, seed=number + 2)
            one = await ends.enter_async_context(person(stack, "guest", habits, link))
            await here.alice.user.membership(here.board.room_id, "invite", one.user_id)
            await one.join(here.board)
            await one.open(here.board)
            (found.new if habits is NEW else found.old).append(one)
        await found.bridged()
        yield found


async def test_three_and_three_draw_with_loss_and_end_equal(stack: Stack, tmp_path: Path) -> None:
    async with mixed(stack, tmp_path, each=3, loss=0.1) as board:
        drawn = [
            await someone.draw(elements.shape(text=f"{number}"))
            for number in range(10)
            for someone in board.everybody
        ]
        for element in drawn:
            await all_see(board.everybody, partial(has, element), "every stroke", 90)
        contents = [someone.document.content() for someone in board.everybody]
        assert all(content == contents[0] for content in contents)


async def test_cursors_focus_and_presenting_arrive_at_the_other_side(
    stack: Stack, tmp_path: Path
) -> None:
    async with mixed(stack, tmp_path) as board:
        bot = board.here.bot.user_id
        for one, other in board.across():
            await one.move_cursor(11, 12)
            await all_see([other], lambda who: bot in who.ears.cursors, "the cursor")
            assert (other.ears.cursors[bot].x, other.ears.cursors[bot].y) == (11, 12)
            await one.focus_on(FIRST_SLIDE)
            await all_see([other], lambda who: who.ears.slide == FIRST_SLIDE, "the focus")
            await one.present(FIRST_SLIDE)
            await all_see([other], presented, "presenting")
            await one.stop_presenting()
            await all_see([other], lambda who: not presented(who), "its end")
            await asyncio.sleep(2 * ECHO)  # sooner, the same would be taken for its own


def presented(someone: NeoBoard) -> bool:
    return someone.ears.presentation is not None


async def test_a_presentation_ends_when_its_presenter_is_gone(stack: Stack, tmp_path: Path) -> None:
    async with mixed(stack, tmp_path, each=2) as board:
        await board.new[1].present(FIRST_SLIDE)
        await all_see(board.old, presented, "presenting")
        await board.new[1].kill()
        await all_see(board.old, lambda who: not presented(who), "its end", 40)


async def test_stopping_the_bot_disturbs_neither_side(stack: Stack, tmp_path: Path) -> None:
    async with mixed(stack, tmp_path, each=2) as board:
        await board.here.bot.stop()
        await all_see(board.everybody, lambda who: not board.bot_among(who), "the bot gone")
        for one, other in (board.old, board.new):
            element = await one.draw(elements.shape(text="without the bot"))
            await all_see([other], partial(has, element), "drawing goes on")
        await board.here.bot.start()
        await board.bridged()


async def test_people_are_told_once_and_not_again_after_a_restart(
    stack: Stack, tmp_path: Path
) -> None:
    async with mixed(stack, tmp_path) as board:
        here = board.here

        async def told() -> int:
            return sum("two generations" in one for one in await here.said())

        await until(told, 15, "people are not told", here.bot)
        await here.bot.stop()
        await here.bot.start()
        await board.bridged()
        await here.alice.say("!board status")
        await until(lambda: answered(here), 15, "no answer", here.bot)
        assert await told() == 1


async def answered(here: Meeting) -> bool:
    return any("I am recording" in one for one in await here.said())


async def test_it_leaves_the_profile_that_nobody_speaks_any_more(
    stack: Stack, tmp_path: Path
) -> None:
    async with mixed(stack, tmp_path) as board:
        await board.old[0].leave()
        await board.here.gone(within=30)
        assert board.bot_among(board.new[0])
        await board.old[0].open(board.here.board)
        await board.here.announced()


async def test_x09_switched_off_it_follows_the_newer_one(stack: Stack, tmp_path: Path) -> None:
    config = {**QUICK, "rtc": {**QUICK["rtc"], "bridge_profiles": False}}
    async with AsyncExitStack() as ends:
        here = await ends.enter_async_context(meeting(stack, tmp_path, config, habits=OLD))
        new = await ends.enter_async_context(person(stack, "guest", NEW))
        await here.alice.user.membership(here.board.room_id, "invite", new.user_id)
        await new.join(here.board)
        await new.open(here.board)
        await all_see([new], Mixed(here, [], []).bot_among, "the bot")
        await here.gone(within=40)
