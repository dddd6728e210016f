"""Invites: from another server, over real federation; and old ones, which do not come back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.stack.bot import Bot, running_bot, until
from tests.stack.client.events import Board
from tests.stack.neoboard import NeoBoard
from tests.stack.ports import free_port
from tests.stack.stack import Options, Stack
from tests.system.archive import query
from tests.system.people import QUICK, logged, meeting, name, person
from tests.system.test_doctor_tls import certificate, encrypted

ONLY_SOME = (
    "Only some users may invite this bot; ask those who run it. /"
    " Nur manche dürfen diesen Bot einladen; fragen Sie, wer ihn betreibt."
)


@asynccontextmanager
async def federated(folder: Path) -> AsyncIterator[Stack]:
    """Servers whose Synapse talks to other Synapses, on loopback, behind TLS as it has to be."""
    port = free_port()
    open_to_others: dict[str, Any] = {
        "federation_domain_whitelist": None,
        "federation_verify_certificates": False,
        "ip_range_blacklist": [],
        "federation_ip_range_blacklist": [],
    }
    options = Options(server_name=f"localhost:{port}", synapse=open_to_others)
    async with (
        Stack.start(folder, options) as stack,
        encrypted(stack, certificate(folder, "federation"), port),
    ):
        yield stack


async def own_membership(someone: NeoBoard, board: Board, user_id: str) -> dict[str, Any]:
    """Return the membership of a user in a room as somebody's homeserver has it."""
    for event in await someone.user.state(board.room_id):
        if (event["type"], event["state_key"]) == ("m.room.member", user_id):
            return dict(event["content"])
    return {}


async def answered(someone: NeoBoard, board: Board, bot: Bot) -> dict[str, Any]:
    """Wait until the bot has answered an invite; return its membership then."""

    async def answer() -> dict[str, Any]:
        found = await own_membership(someone, board, bot.user_id)
        return found if found["membership"] != "invite" else {}

    return dict(await until(answer, 20, "the invite is not answered", bot))


async def test_users_of_other_servers_are_declined_unless_allowed(tmp_path: Path) -> None:
    async with (
        federated(tmp_path / "here") as here,
        federated(tmp_path / "there") as there,
        person(there, "eve") as eve,
        person(here, "alice") as alice,
    ):
        # By default: only users of the bot's own server.
        async with running_bot(here, tmp_path / "bot", name("bot"), QUICK) as bot:
            foreign = await eve.create_board(invite=[bot.user_id])
            found = await answered(eve, foreign, bot)
            assert (found["membership"], found["reason"]) == ("leave", ONLY_SOME)
            own = await alice.create_board(invite=[bot.user_id])
            assert (await answered(alice, own, bot))["membership"] == "join"
            assert [line["inviter"] for line in logged(bot, "invited: declining")] == [eve.user_id]
            assert [line["inviter"] for line in logged(bot, "invited: joining")] == [alice.user_id]

        # The same invite, and a configuration that names the other server.
        allowed = {**QUICK, "invites": {"allow": [f"@*:{there.server_name}"]}}
        async with running_bot(here, tmp_path / "open", name("bot"), allowed) as bot:
            foreign = await eve.create_board(invite=[bot.user_id])
            assert (await answered(eve, foreign, bot))["membership"] == "join"
            own = await alice.create_board(invite=[bot.user_id])
            found = await answered(alice, own, bot)
            assert (found["membership"], found["reason"]) == ("leave", ONLY_SOME)


@pytest.mark.parametrize("ended", ["left", "kicked", "declined"])
async def test_a_room_it_is_not_in_any_more_holds_up_no_sync_and_does_not_come_again(
    stack: Stack, tmp_path: Path, ended: str
) -> None:
    denied = {"deny": ["@mallory*"]}
    async with (
        meeting(stack, tmp_path, {**QUICK, "invites": denied}, opened=False) as here,
        person(stack, "mallory") as mallory,
    ):
        bot, alice = here.bot, here.alice

        def position() -> object:
            return query(bot.data, "SELECT value FROM meta WHERE name = 'sync_token'")[0][0]

        def answers() -> list[str]:
            return [line["msg"] for line in bot.events() if line["msg"].startswith("invited")]

        if ended == "declined":
            board = await mallory.create_board(invite=[bot.user_id])
            await answered(mallory, board, bot)
        elif ended == "kicked":
            await alice.user.membership(here.board.room_id, "kick", bot.user_id)
        else:
            await alice.open(here.board)
            await alice.say("!board leave")
        if ended != "declined":
            await until(lambda: logged(bot, "board gone"), 15, "the board is not gone", bot)

        # Others go on, and so does the position.
        for _ in range(2):
            before, count = position(), len(answers())
            await alice.create_board(invite=[bot.user_id])
            await until(lambda count=count: len(answers()) > count, 10, "not joined", bot)  # type: ignore[misc]
            await until(lambda before=before: position() != before, 10, "it stands", bot)  # type: ignore[misc]
        await until(lambda: len(logged(bot, "board found")) == 3, 10, "not found", bot)
        given = answers()
        settled = position()

        await bot.kill()
        await bot.start()
        await until(lambda: len(logged(bot, "board found")) >= 5, 20, "not found again", bot)
        again = await alice.create_board(invite=[bot.user_id])
        assert (await answered(alice, again, bot))["membership"] == "join"
        await until(lambda: position() != settled, 10, "it stands", bot)
        assert answers() == [*given, "invited: joining"]  # this one, and no old one
        if ended != "declined":
            found = await own_membership(alice, here.board, bot.user_id)
            assert found["membership"] == "leave"
