"""Health and metrics: `/live`, `/ready`, `/metrics` on one port.

`/live` answers 200 as long as the event loop turns. `/ready` answers 200 when every component
works and 503 otherwise, with one JSON object per component that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Self

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bot import __version__, metrics
from bot.errors import UsageError


@dataclass(frozen=True, slots=True)
class Component:
    """The state of one part of the program.

    Attributes:
        ok: whether it works.
        detail: what an operator needs to know; never names of people, tokens or content.
    """

    ok: bool
    detail: str = ""


class Web:
    """The HTTP server. Use as `async with`.

    Args:
        listen: host and port; port 0 takes a free one.
        components: asked at each `/ready`.

    Raises:
        UsageError: on entering: the address cannot be listened on.
    """

    def __init__(
        self, listen: tuple[str, int], components: Callable[[], Mapping[str, Component]]
    ) -> None:
        self._listen = listen
        self._components = components
        app = web.Application(client_max_size=1024)
        app.router.add_get("/live", self._live)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        self.port = 0

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, *self._listen).start()
        except OSError as error:
            await self._runner.cleanup()
            where = ":".join(map(str, self._listen))
            raise UsageError(f"web.listen: cannot listen on {where}: {error.strerror}") from error
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True, "version": __version__})

    async def _ready(self, _: web.Request) -> web.Response:
        components = self._components()
        ready = all(component.ok for component in components.values())
        return web.json_response(
            {
                "ready": ready,
                "components": {name: asdict(part) for name, part in components.items()},
            },
            status=200 if ready else 503,
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
