"""A receiver of webhooks that takes everything: `python -m tests.bench.hook` says its address."""

from __future__ import annotations

import asyncio

from aiohttp import web

from tests.bench.talk import say


async def _answer(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(status=204)


async def main() -> None:
    """Answers until it is killed."""
    app = web.Application()
    app.router.add_post("/hook", _answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    say(f"http://127.0.0.1:{runner.addresses[0][1]}/hook")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
