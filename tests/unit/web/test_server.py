from __future__ import annotations

import aiohttp
import pytest

from bot.errors import UsageError
from bot.web.server import Component, Web

LOCAL = ("127.0.0.1", 0)


async def test_it_says_how_the_bot_is() -> None:
    parts = {"archive": Component(ok=True, detail="recording")}
    async with Web(LOCAL, lambda: parts) as web, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{web.port}"
        async with http.get(f"{url}/live") as answer:
            assert (await answer.json())["live"]
        async with http.get(f"{url}/ready") as answer:
            assert (answer.status, (await answer.json())["ready"]) == (200, True)
        parts["livekit"] = Component(ok=False, detail="0 of 1 connected")
        async with http.get(f"{url}/ready") as answer:
            assert answer.status == 503
            body = await answer.json()
            assert body["components"]["livekit"] == {"ok": False, "detail": "0 of 1 connected"}
        async with http.get(f"{url}/metrics") as answer:
            assert "boardkeeper_rooms" in await answer.text()


async def test_an_address_in_use_is_said_plainly() -> None:
    async with Web(LOCAL, dict) as web:
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{web.port}"):
            async with Web(("127.0.0.1", web.port), dict):
                pass
