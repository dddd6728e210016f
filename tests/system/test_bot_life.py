"""The bot's life in a room, from outside: invited, announced, told to pause, sent away, killed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.stack.bot import Bot, running_bot, until
from tests.stack.client import elements
from tests.stack.client.events import MEMBER
from tests.stack.stack import Options, Stack
from tests.system.archive import query
from tests.system.drawing import BY_HAND
from tests.system.people import QUICK, logged, meeting, name, person
from tests.system.test_bot_membership import rejoined

FIELDS = {
    "application",
    "call_id",
    "device_id",
    "focus_active",
    "foci_preferred",
    "scope",
    "expires",
}


async def test_invited_it_joins_says_what_it_does_and_is_announced(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path) as here:
        [hello] = await here.said()
        assert "!board pause" in hello
        assert "record" in hello
        assert "zeichne auf" in hello
        content = await here.membership()
        assert set(content) <= {*FIELDS, "created_ts"}
        assert content["call_id"] == here.board.whiteboard_id
        assert content["foci_preferred"] == [
            {
                "type": "livekit",
                "livekit_service_url": stack.jwt_url,
                "livekit_alias": here.board.room_id,
            }
        ]
        assert content["focus_active"] == {
            "type": "livekit",
            "focus_selection": "oldest_membership",
        }
        assert abs(content["expires"] - (time.time() + 4 * 3600) * 1000) < 60_000
        both = {here.alice.user_id, here.bot.user_id}
        await here.alice.until(
            lambda: {member.user_id for member in here.alice.members} == both, 10, "both to be seen"
        )


@pytest.mark.scenario("C09")
async def test_sigterm_clears_the_membership_at_once(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, {"rtc": {"refresh": "1s", "delay": "60s"}}) as here:
        begun = time.time() * 1000
        took = await here.bot.stop()
        event = await here.state_event(MEMBER, here.bot.state_key)
        assert event is not None
        assert event["content"] == {}
        assert event["origin_server_ts"] - begun < 50_000  # the delayed leave would come later
        assert took < 20


async def test_killed_it_is_cleared_by_the_homeserver_and_comes_back_whole(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path) as here:
        await here.drawn(here.alice, elements.shape())
        before = here.entries()
        await here.bot.kill()
        await here.gone(within=20)
        await here.bot.start()
        await here.announced()
        assert here.entries() >= before
        await asyncio.sleep(8)  # two delays: nothing of the former life clears the new membership
        assert await here.membership()
        await here.drawn(here.alice, elements.shape())


@pytest.mark.scenario("M42")
async def test_killed_and_started_at_once_it_stays_announced(stack: Stack, tmp_path: Path) -> None:
    """M42: the leave that the former life armed must not clear the new membership."""
    async with meeting(stack, tmp_path, {"presence": {"linger": "2s"}}) as here:
        await here.bot.kill()
        before = len(logged(here.bot, "own membership"))
        await here.bot.start()

        def joined() -> bool:
            lines = logged(here.bot, "own membership")[before:]
            return any(line["status"] == "joined" for line in lines)

        await until(joined, 30, "the bot has not joined again", here.bot)
        await here.announced()
        # Longer than the real delay of 18 s; "a minute later" in the words.
        for _ in range(60):
            assert await here.membership()
            await asyncio.sleep(1)


async def test_others_are_declined_with_the_reason(stack: Stack, tmp_path: Path) -> None:
    config = {**QUICK, "invites": {"allow": ["@nobody:*"]}}
    async with running_bot(stack, tmp_path, name("bot"), config) as bot, person(stack) as alice:
        board = await alice.create_board(invite=[bot.user_id])

        async def member() -> dict[str, Any]:
            for event in await alice.user.state(board.room_id):
                if (event["type"], event["state_key"]) == ("m.room.member", bot.user_id):
                    return dict(event["content"])
            return {}

        async def declined() -> bool:
            return bool((await member())["membership"] == "leave")

        await until(declined, 10, "the invite is not declined", bot)
        assert "ask those who run it" in (await member())["reason"]


async def test_encrypted_rooms_are_declined_and_left(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path, opened=False) as here:
        content = {"algorithm": "m.megolm.v1.aes-sha2"}
        await here.alice.user.put_state(here.board.room_id, "m.room.encryption", content)

        async def left() -> bool:
            event = await here.state_event("m.room.member", here.bot.user_id)
            return event is not None and event["content"]["membership"] == "leave"

        await until(left, 10, "the bot stays in an encrypted room", here.bot)
        assert "encrypted" in (await here.said())[-1]


async def test_paused_nothing_is_kept_and_resuming_begins_with_one_baseline(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, habits=BY_HAND) as here:
        await here.alice.draw(elements.shape(text="before"))
        await here.recorded(1)
        await here.alice.say("!board pause")
        await until(lambda: logged(here.bot, "recording paused"), 10, "not paused", here.bot)
        before = query(here.bot.data, "SELECT max(seq) FROM entries")
        tables = ("snapshots", "memberships")
        counted = [query(here.bot.data, f"SELECT count(*) FROM {table}") for table in tables]

        await here.alice.draw(elements.shape(text="meanwhile"))
        await here.alice.move_cursor(10, 10)
        async with person(stack, "bob") as bob:
            await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
            await bob.join(here.board)
            await bob.open(here.board)
            await here.alice.keeping.save()
            await asyncio.sleep(2)
        assert query(here.bot.data, "SELECT max(seq) FROM entries") == before
        assert [
            query(here.bot.data, f"SELECT count(*) FROM {table}") for table in tables
        ] == counted

        # Also across a restart.
        await here.bot.stop()
        await here.bot.start()
        await here.heard()
        await here.alice.draw(elements.shape(text="still paused"))
        await here.alice.keeping.save()
        await asyncio.sleep(2)
        assert query(here.bot.data, "SELECT max(seq) FROM entries") == before
        exporting = "export", here.board.room_id, "-o", str(tmp_path / "paused.nwb")
        told = await asyncio.to_thread(here.bot.command, *exporting)
        assert "this is the board as it was when the pause began" in told

        await here.alice.say("!board resume")
        await until(lambda: logged(here.bot, "recording resumed"), 10, "not resumed", here.bot)
        await here.alice.draw(elements.shape(text="after"))
        await until(
            lambda: query(
                here.bot.data,
                "SELECT 1 FROM entries WHERE kind = 'update' AND seq > ?",
                before[0][0],
            ),
            10,
            "not recorded again",
            here.bot,
        )
        new = query(
            here.bot.data,
            "SELECT kind, sender FROM entries WHERE seq > ? ORDER BY seq",
            before[0][0],
        )
        assert [row for row in new if row[0] == "baseline"] == [("baseline", None)]
        assert {row[1] for row in new if row[0] != "baseline"} == {here.alice.user_id}
        board = await here.bot.export(here.board.room_id)
        texts = [one["text"] for one in board["whiteboard"]["slides"][0]["elements"]]
        assert texts == ["before", "meanwhile", "still paused", "after"]
        assert [line for line in await here.said() if "paused" in line]


async def test_only_moderators_may_pause_and_send_it_away(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here, person(stack, "bob") as bob:
        await here.alice.user.membership(here.board.room_id, "invite", bob.user_id)
        await bob.join(here.board)
        await bob.user.send_event(
            here.board.room_id, "m.room.message", {"msgtype": "m.text", "body": "!board leave"}
        )

        async def refused() -> bool:
            return any("50" in line for line in await here.said())

        await until(refused, 10, "nobody was told", here.bot)
        assert await here.membership()
        await here.alice.say("!board leave")
        await here.gone()

        async def left() -> bool:
            event = await here.state_event("m.room.member", here.bot.user_id)
            return event is not None and event["content"]["membership"] == "leave"

        await until(left, 10, "the bot does not leave", here.bot)


@pytest.mark.scenario("M46")
async def test_kicked_it_ends_everything_and_comes_back_when_invited(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path) as here:
        await here.alice.user.membership(here.board.room_id, "kick", here.bot.user_id)
        await until(lambda: logged(here.bot, "board gone"), 10, "kick not noticed", here.bot)
        # What it wrote before it was kicked, and could not clear, stands there until then.
        assert len(await here.history()) == 1
        await here.alice.user.membership(here.board.room_id, "invite", here.bot.user_id)
        await rejoined(here, 1)


@pytest.mark.scenario("M45")
async def test_default_power_levels_said_once_and_works_when_mended(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, opened=False, calls_allowed=False) as here:
        await here.alice.open(here.board)

        async def told() -> list[str]:
            return [line for line in await here.said() if "call.member" in line]

        await until(told, 15, "nobody was told", here.bot)
        await asyncio.sleep(3)
        [text] = await told()
        assert here.bot.user_id in text
        assert not await here.membership()
        assert not logged(here.bot, "livekit"), "who may not be announced does not listen"
        levels = await here.state_event("m.room.power_levels", "")
        assert levels is not None
        content = levels["content"]
        content["events"]["org.matrix.msc3401.call.member"] = 0
        await here.alice.user.put_state(here.board.room_id, "m.room.power_levels", content)
        await here.announced()


async def test_after_a_restart_all_boards_are_found_again(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here:
        other = await here.alice.create_board(invite=[here.bot.user_id])
        await until(lambda: len(logged(here.bot, "board found")) == 2, 10, "not found", here.bot)
        await here.bot.stop()
        third = await here.alice.create_board(invite=[here.bot.user_id])
        await here.bot.start()
        await until(lambda: len(logged(here.bot, "board found")) == 5, 10, "not found", here.bot)
        await here.announced()
        boards = {row[0] for row in query(here.bot.data, "SELECT whiteboard_id FROM boards")}
        assert boards == {here.board.whiteboard_id, other.whiteboard_id, third.whiteboard_id}
        assert len([line for line in await here.said() if "Hello" in line]) == 1


@pytest.mark.scenario("M47")
async def test_a_lost_token_ends_the_program_with_a_clear_error(
    stack: Stack, tmp_path: Path
) -> None:
    login = await stack.user(name("bot"))
    bot = Bot(stack, tmp_path, login, QUICK)
    settings = bot.config.read_text().replace(
        f'"password": "{login.password}"', f'"access_token": "{login.access_token}"'
    )
    bot.config.write_text(settings)
    await bot.start()
    await stack.call(login, "POST", "/_matrix/client/v3/logout", {})
    await until(lambda: not bot.running, 15, "the bot goes on", bot)
    assert "access token" in bot.tail().lower()
    assert login.access_token not in bot.log.read_text()


async def test_with_synapses_own_limits_it_works(tmp_path: Path) -> None:
    options = Options(default_limits=True)
    async with (
        Stack.start(tmp_path / "stack", options) as stack,
        meeting(stack, tmp_path, {"presence": {"linger": "2s"}}) as here,
    ):
        for _ in range(25):  # longer than the delay: the restarts get through
            assert await here.membership()
            await asyncio.sleep(1)


async def test_an_operators_own_key_opens_the_sfu(stack: Stack, tmp_path: Path) -> None:
    """`auth: api_key`: the same room and identity as the JWT service would give."""
    config = {
        **QUICK,
        "livekit": {
            "auth": "api_key",
            "url": stack.livekit_url,
            "api_key": stack.livekit_key,
            "api_secret": stack.livekit_secret,
        },
    }
    async with meeting(stack, tmp_path, config) as here:
        await here.alice.draw(elements.shape())
        await here.recorded(1)
        assert here.entries(kind="update", sender=here.alice.user_id) == 1


async def test_an_upgraded_room_is_followed(stack: Stack, tmp_path: Path) -> None:
    async with meeting(stack, tmp_path) as here:
        old = here.board.room_id
        rules = {"join_rule": "public"}
        await here.alice.user.put_state(old, "m.room.join_rules", rules)
        path = f"/_matrix/client/v3/rooms/{quote(old)}/upgrade"
        upgraded = await here.alice.user.request("POST", path, {"new_version": "11"})

        async def member(room_id: str) -> str:
            for event in await here.alice.user.state(room_id):
                if (event["type"], event["state_key"]) == ("m.room.member", here.bot.user_id):
                    return str(event["content"]["membership"])
            return ""

        async def followed() -> bool:
            new = upgraded["replacement_room"]
            return (await member(new), await member(old)) == ("join", "leave")

        await until(followed, 15, "not followed", here.bot)
        await here.gone()
