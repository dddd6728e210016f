"""The bot among people of two homeservers, each with an SFU of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.client.events import MEMBER, SNAPSHOT, member_content, member_key
from tests.stack.client.habits import Habits
from tests.stack.client.meeting import now_ts
from tests.stack.client.sticky import STICKY, join_content
from tests.stack.federation import Federation
from tests.system.federated import NEW, OLD, crossed, meet, sees, two
from tests.system.people import logged

HOUR_MS = 3_600_000


@pytest.mark.scenario("X01", "F09")
async def test_x01_legacy_all_are_on_the_oldests_focus_and_stay_there(
    federation: Federation, tmp_path: Path
) -> None:
    async with two(federation, tmp_path, host="b") as here:
        jwt_url, alice, bob = federation.b.jwt_url, here.alice, here.bob
        await bob.open(here.board)
        await here.moved(jwt_url)  # as a stranger there, who has no room made for him
        await crossed(alice, bob)
        await alice.open(here.board)
        assert alice.meeting.focus == jwt_url
        await meet(here, alice, bob)
        await bob.leave()
        await alice.until(lambda: bob.user_id not in {one.user_id for one in alice.members}, 20)
        # The bot is the oldest now. People stay where it says that it is, and so does it.
        await asyncio.sleep(3)
        await here.says(alice, "on B")
        assert await here.focus() == jwt_url
        assert here.tries() == 1


@pytest.mark.scenario("X01", "F08")
async def test_x01_legacy_who_began_apart_is_followed_from_focus_to_focus(
    federation: Federation, tmp_path: Path
) -> None:
    async with two(federation, tmp_path) as here:
        # Before the cut his homeserver has read what was said in the room.
        await here.bob.user.relations(here.board.room_id, here.board.document_id, SNAPSHOT)
        await federation.cut()
        await here.bob.open(here.board)
        await here.alice.open(here.board)  # knows nothing of him: each is at home
        await here.moved(federation.a.jwt_url)
        await meet(here, here.alice)
        await federation.restore()
        await here.moved(federation.b.jwt_url)  # he is the oldest
        await here.says(here.bob, "on B")
        await here.bob.leave()
        await here.moved(federation.a.jwt_url)
        await meet(here, here.alice)


@pytest.mark.scenario("X02")
async def test_x02_legacy_a_room_at_the_other_sfu_is_waited_for(
    federation: Federation, tmp_path: Path
) -> None:
    async with two(federation, tmp_path, host="b") as here:
        bob, jwt_url = here.bob, federation.b.jwt_url
        content = member_content(here.board, bob.device_id, [jwt_url], now_ts() + HOUR_MS)
        key = member_key(bob.user_id, bob.device_id)
        await bob.user.put_state(here.board.room_id, MEMBER, content, key)
        await until(lambda: here.tries() > 3, 60, "it does not try again", here.bot)
        assert await here.membership() == {}
        assert here.tries() < 12  # with growing pauses
        await bob.open(here.board)  # he has the LiveKit room made
        await here.moved(jwt_url, within=60)
        await meet(here, bob)


async def test_sticky_each_publishes_at_home_and_hears_the_others_there(
    federation: Federation, tmp_path: Path
) -> None:
    async with two(federation, tmp_path, alice=NEW, bob=NEW) as here:
        alice, bob = here.alice, here.bob
        await alice.open(here.board)
        await bob.open(here.board)
        await meet(here, alice, bob)
        (bot,) = [one for one in bob.members if one.user_id == here.bot.user_id]
        assert bot.focus_urls == (federation.a.jwt_url,)
        for who, other in ((alice, bob), (bob, alice)):
            await sees(other, await here.says(who, "across"))
        assert here.nameless() == 0
        assert here.entries(sender=here.bot.user_id) == 0


@pytest.mark.scenario("X02")
async def test_x02_sticky_a_room_at_the_other_sfu_is_waited_for(
    federation: Federation, tmp_path: Path
) -> None:
    async with two(federation, tmp_path, alice=NEW, bob=NEW) as here:
        bob, jwt_url = here.bob, federation.b.jwt_url
        await here.alice.open(here.board)
        await meet(here, here.alice)
        content = join_content(here.board, "GHOST", "m1", jwt_url)
        await bob.user.send_sticky(here.board.room_id, STICKY, content, 60_000)
        before = here.tries()
        await until(lambda: here.tries() > before + 3, 60, "it does not try again", here.bot)
        assert here.tries() < before + 12
        await here.says(here.alice, "meanwhile")
        await bob.open(here.board)
        await meet(here, bob)


@pytest.mark.parametrize(("alice", "bob"), [(OLD, NEW), (NEW, OLD)], ids=["a", "b"])
async def test_bridge_people_of_two_servers_and_two_profiles_draw_with_each_other(
    federation: Federation, tmp_path: Path, alice: Habits, bob: Habits
) -> None:
    async with two(federation, tmp_path, alice=alice, bob=bob) as here:
        await here.alice.open(here.board)
        await here.bob.open(here.board)
        await meet(here, here.alice, here.bob)
        for who, other in ((here.alice, here.bob), (here.bob, here.alice)):
            await sees(other, await here.says(who, "across"), 30)


async def test_an_old_board_of_another_server_is_read(
    federation: Federation, tmp_path: Path
) -> None:
    """Its own homeserver knows nothing of the room's past until somebody reads back."""
    async with two(federation, tmp_path, host="b") as here:
        bob = here.bob
        board = await bob.create_board()
        await bob.open(board)
        await bob.draw(elements.shape(text="drawn long ago"))
        await bob.leave(save=True)
        bob.board = board
        for number in range(60):
            await bob.say(f"{number}")
        await bob.user.membership(board.room_id, "invite", here.bot.user_id)
        await until(
            lambda: board.room_id in {one["room"] for one in logged(here.bot, "board found")},
            30,
            "the board is not found",
            here.bot,
        )

        async def read() -> bool:
            return "drawn long ago" in str(await here.bot.export(board.whiteboard_id))

        await until(read, 30, "what was drawn is not there", here.bot)
