"""After a busy run nobody finds content or tokens in what the bot says of itself."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.stack.bot import Bot, until
from tests.stack.client import edits, elements
from tests.stack.client.elements import FIRST_SLIDE
from tests.stack.stack import Login, Stack
from tests.system.archive import query
from tests.system.drawing import BY_HAND, ready
from tests.system.garbage import Garbage
from tests.system.people import QUICK, Meeting, name, person

TEXT = "Wortschatzkiste"
"""Stands on the board, and in what people write."""
TOKENS = re.compile(r"sy[td]_\w+|eyJ[\w-]{5,}|Bearer \S+")


@pytest.mark.scenario("J12", "M56")
@pytest.mark.scenario("M56")
@pytest.mark.parametrize(("level", "style"), [("debug", "json"), ("info", "text")])
async def test_a_busy_run_says_neither_content_nor_tokens(
    stack: Stack, tmp_path: Path, level: str, style: str
) -> None:
    login = await stack.user(name("bot"))
    config = {
        **QUICK,
        "log": {"level": level, "format": style},
        "handlers": [{"use": "record"}, {"use": "log", "settings": {"strokes": True}}],
    }
    bot = Bot(stack, tmp_path / "bot", login, config)
    await bot.start()
    try:
        async with person(stack, "alice", BY_HAND) as alice:
            here = Meeting(stack, bot, alice, await alice.create_board(invite=[bot.user_id]))
            await alice.open(here.board)
            await here.heard()
            found = await busy(here)
            said = [*found, *await answers(bot), *errors(bot)]
            secrets = [*known(login, bot), *drawn(here)]
        await bot.stop()
        # Again, with a token that is no longer good, and a homeserver that says so.
        await stack.call(stored(login, bot), "POST", "/_matrix/client/v3/logout", {})
        await bot.start()
        secrets += known(login, bot)
        await bot.stop()
    finally:
        await bot.kill()
    said.append(bot.log.read_text())
    for text in said:
        assert not [secret for secret in secrets if secret in text]
        assert not TOKENS.findall(text)


async def busy(here: Meeting) -> list[str]:
    """Do everything that leads to log lines; return what was answered meanwhile."""
    stack, alice, slide = here.stack, here.alice, "S" + TEXT
    element_id = await alice.draw(elements.shape(text=TEXT))
    await alice.draw_image(TEXT.encode(), file_name=f"{TEXT}.png")
    fields = {"text": TEXT * 2, "fillColor": None}
    await alice.change(edits.change_element(FIRST_SLIDE, element_id, fields))
    await alice.change(edits.add_slide(slide))
    await alice.move_cursor(3, 4)
    await alice.focus_on(slide)
    await alice.present(slide)
    await alice.stop_presenting()
    await alice.say(f"!board {TEXT}")
    await alice.say(f"{TEXT} is what I say")
    for packet in Garbage(here.board, seed=1).packets(200):
        await alice.send(packet, reliable=True)
    await alice.keeping.save()
    await alice.keeping.save(TEXT.encode())
    await here.recorded(10)
    # Faults make it talk.
    await stack.jwt.fault("unauthorized", times=2)
    await stack.livekit.restart()
    await stack.proxies.synapse.cut()
    await until(lambda: "sync fails" in here.bot.log.read_text(), 10, "no word of it", here.bot)
    talk = await answers(here.bot)
    await stack.proxies.synapse.restore()
    await ready(here.bot, within=40)
    await here.announced()
    return talk


async def answers(bot: Bot) -> list[str]:
    """Return what its port says."""
    found = []
    async with aiohttp.ClientSession() as session:
        for path in ("/live", "/ready", "/metrics", "/nothing", "/ready?x=%00"):
            async with session.get(bot.url + path) as response:
                found.append(await response.text())
    return found


def errors(bot: Bot) -> Iterator[str]:
    """Yield what the command line says, right and wrong."""
    yield bot.command("check")
    yield bot.command("boards")
    yield bot.command("export", "1", "-o", "/nowhere/x.nwb", code=1)
    yield bot.command("export", "nothing", "-o", "x.nwb", code=1)
    good = bot.config.read_text()
    for bad in (
        good.replace('"password": ', '"passwort": '),
        good.replace('"password": "', '"password": ["'),
        good.replace('"password": "', '"access_token": "x", "password": "'),
        good.replace('"password": "', '"password": "" "'),
    ):
        bot.config.write_text(bad)
        yield bot.command("check", code=2)
    bot.config.write_text(good)


def stored(login: Login, bot: Bot) -> Login:
    """Return the login that the bot has made itself."""
    values = [str(value) for (value,) in query(bot.data, "SELECT value FROM meta")]
    [token] = [value for value in values if value.startswith("syt_")]
    return Login(login.user_id, bot.device_id, token, login.password)


def known(login: Login, bot: Bot) -> list[str]:
    """Return the secrets of the account."""
    return [login.password, login.access_token, stored(login, bot).access_token]


def drawn(here: Meeting) -> Iterator[str]:
    """Yield what is on the board, as it is and as it travels."""
    yield TEXT
    for slide in here.alice.document.content()["slides"]:
        yield from (one["id"] for one in slide["elements"])
    yield here.alice.document.client_id.to_bytes(4, "big").hex()
    rows = query(here.bot.data, "SELECT data FROM entries WHERE kind IN ('update', 'snapshot')")
    for (data,) in rows:
        assert isinstance(data, bytes)
        yield base64.b64encode(data)[:40].decode()
        yield repr(data)[2:42]
        yield json.dumps(data.decode("latin-1"))[1:41]
