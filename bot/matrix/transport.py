"""One HTTP request to the homeserver: sent, bounded in time, its failure sorted.

mautrix builds paths, bodies and the token header; what it does with answers and logs is replaced:
it drops the headers of errors (replies.py), and it writes whole requests to its log, which hold
board content and, in their paths, delay ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import aiohttp
from mautrix.api import HTTPAPI, Method, PathBuilder
from mautrix.errors import MatrixConnectionError
from yarl import URL

from bot.backoff import backoff
from bot.errors import NotFound, Refused, ServerError, Transient
from bot.matrix.clock import ServerClock, Skew, SkewWatch
from bot.matrix.replies import Reply, decode, failure

ONE_TRY = 30.0
"""Seconds that one request may take unless its caller knows better."""

PATIENCE = 60.0
"""Seconds in which an ordinary request is repeated while the homeserver limits or fails."""

SHORTEST_WAIT = 0.1
"""Seconds; a server that says "try again in 0 seconds" is not asked in a busy loop."""

_PIECE = 65_536

_log = logging.getLogger(__name__)


class _Unsuccessful(Exception):
    """Carries an answer that is no success out of mautrix."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(reply.status)


class Transport(HTTPAPI):
    """Requests to one homeserver with one access token; every failure is one of bot.errors.

    Attributes:
        clock: the homeserver's clock; every answer sharpens it.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        super().__init__(url, client_session=session, default_retry_count=0)
        self.clock = ServerClock()
        self._skew = SkewWatch()

    async def ask(
        self,
        what: str,
        method: Method,
        path: PathBuilder,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        seconds: float = ONE_TRY,
        patience: float = 0.0,
    ) -> dict[str, Any]:
        """Make a request whose answer is a JSON object; repeat it while that may help.

        Args:
            what: the request in words for people, for errors and metrics; nothing secret.
            method: of HTTP.
            path: below the base URL.
            body: sent as JSON.
            query: the query parameters.
            seconds: that one try may take.
            patience: seconds in which failed tries are repeated, waiting as the server asks;
                0 means one try. The whole call takes at most `patience + seconds`.

        Raises:
            ServerError: one of its subclasses; `Transient` once the patience is used up.
        """
        answer = await self.ask_any(
            what, method, path, body=body, query=query, seconds=seconds, patience=patience
        )
        if not isinstance(answer, dict):
            raise Transient(f"{what}: the answer is not a JSON object")
        return answer

    async def ask_any(
        self,
        what: str,
        method: Method,
        path: PathBuilder,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        seconds: float = ONE_TRY,
        patience: float = 0.0,
    ) -> Any:
        """Make a request as `ask` does, whatever kind of JSON its answer is."""
        deadline = time.monotonic() + patience
        waits = backoff(random.random)
        while True:
            try:
                async with self._sorted(what, seconds):
                    return await self.request(
                        method,
                        path,
                        content=dict(body) if body is not None else None,
                        query_params=query,
                        metrics_method=what,
                    )
            except Transient as error:
                wait = pause(error, waits)
                if time.monotonic() + wait >= deadline:
                    raise
            await asyncio.sleep(wait)

    async def give(
        self, what: str, path: PathBuilder, data: bytes, mime: str, seconds: float
    ) -> Any:
        """Send a file, once; return what the answer says.

        Args:
            what: the request in words for people.
            path: below the base URL.
            data: the file.
            mime: its media type.
            seconds: that it may take.

        Raises:
            ServerError: one of its subclasses.
        """
        async with self._sorted(what, seconds):
            return await self.request(
                Method.POST, path, content=data, headers={"Content-Type": mime}, metrics_method=what
            )

    async def fetch(
        self,
        what: str,
        url: URL,
        *,
        max_bytes: int,
        seconds: float,
        matrix: bool,
    ) -> bytes:
        """Get a document of a bounded size, which need not be JSON.

        Args:
            what: the request in words for people.
            url: absolute.
            max_bytes: reading stops there.
            seconds: that it may take.
            matrix: whether the homeserver's API is asked: then the token is sent, and errors are
                Matrix's. Anything else is a plain web server, whose 404 is a 404.

        Raises:
            Refused: the document is larger.
            ServerError: one of its subclasses.
        """
        headers = {"Authorization": f"Bearer {self.token}"} if matrix else {}
        async with (
            self._sorted(what, seconds),
            self.session.get(url, headers=headers) as response,
        ):
            if response.status == 404 and not matrix:
                raise NotFound(f"{what}: there is none")
            if not response.ok:
                raise _Unsuccessful(_reply(response, await _read(response, _PIECE)))
            raw = await _read(response, max_bytes)
        if len(raw) > max_bytes:
            raise Refused(f"{what}: more than {max_bytes} bytes")
        return raw

    @contextlib.asynccontextmanager
    async def _sorted(self, what: str, seconds: float) -> AsyncIterator[None]:
        """Bound what happens inside and turn its failures into ours.

        `from None` throughout: aiohttp's texts hold URLs, and thus delay ids.
        """
        try:
            async with asyncio.timeout(seconds):
                yield
        except _Unsuccessful as error:
            now = self.clock.now(time.monotonic(), time.time())
            raise failure(what, error.reply, now) from None
        except TimeoutError:
            raise Transient(f"{what}: no answer within {seconds:g} s") from None
        except MatrixConnectionError as error:
            raise Transient(f"{what}: {_reason(error.__cause__)}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Transient(f"{what}: {_reason(error)}") from None

    async def _send(
        self,
        method: Method,
        url: URL,
        content: Any,
        query_params: Any,
        headers: dict[str, str],
    ) -> tuple[Any, aiohttp.ClientResponse]:
        """Send what mautrix prepared; in place of its version, which loses the headers."""
        sent = time.monotonic()
        async with self.session.request(
            str(method), url, data=content, params=query_params, headers=headers
        ) as response:
            raw = await response.read()
        self.clock.saw(response.headers.get("Date"), sent, time.monotonic())
        self._compare_clocks()
        reply = _reply(response, raw)
        if not response.ok or reply.body is None:
            raise _Unsuccessful(reply)
        return reply.body, response

    def _compare_clocks(self) -> None:
        wall = time.time()
        ahead = wall - self.clock.now(time.monotonic(), wall)
        skew = self._skew.look(ahead)
        if skew is Skew.FINE:
            _log.info("this machine's clock is right again")
        elif skew is not None:
            # Ours is made up for; that of whoever runs here too is not.
            level = logging.ERROR if skew is Skew.FAR else logging.WARNING
            text = "this machine's clock differs from the homeserver's"
            _log.log(level, text, extra={"seconds_ahead": round(ahead, 1)})

    def _log_request(self, *_: Any, **__: Any) -> None:
        """Log nothing: mautrix would log path and body."""

    def _log_request_done(self, *_: Any, **__: Any) -> None:
        """Log nothing: mautrix would log the path."""


def pause(error: ServerError, waits: Iterator[float]) -> float:
    """Return the seconds to wait after a failure: the server's word, else the next of `waits`."""
    hint = error.retry_after if isinstance(error, Transient) else None
    return next(waits) if hint is None else max(hint, SHORTEST_WAIT)


def _reply(response: aiohttp.ClientResponse, raw: bytes) -> Reply:
    return Reply(response.status, response.headers, decode(raw))


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Read at most one piece more than `max_bytes`."""
    raw = bytearray()
    async for piece in response.content.iter_chunked(_PIECE):
        raw += piece
        if len(raw) > max_bytes:
            break
    return bytes(raw)


def _reason(error: BaseException | None) -> str:
    """Say why there is no connection, without any text that could hold a URL."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection ({error.os_error})"
    return f"no connection ({type(error).__name__})"
