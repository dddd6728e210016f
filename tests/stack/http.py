"""The few HTTP requests the stack itself makes: is a server there, register, log in."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: the status, and the body when it was JSON (else None)."""

    status: int
    body: Any


async def request(
    method: str,
    url: str,
    *,
    token: str | None = None,
    body: object = None,
    query: Mapping[str, str] | None = None,
    timeout: float = 30.0,
    authority: str = "",
) -> Answer:
    """Makes one JSON request; a server with TLS may have its certificate from a given authority.

    Raises:
        OSError, TimeoutError: the server does not answer (aiohttp's own errors are OSErrors here).
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    trusted = ssl.create_default_context(cafile=authority) if authority else True
    limit = aiohttp.ClientTimeout(total=timeout)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.request(
                method, url, headers=headers, json=body, params=query, ssl=trusted
            ) as response,
        ):
            text = await response.read()
            is_json = response.content_type == "application/json" and text.strip()
            return Answer(response.status, await response.json() if is_json else None)
    except aiohttp.ClientError as error:
        raise ConnectionError(str(error)) from error


async def answers(url: str) -> bool:
    """Whether a GET of this address is answered with 200."""
    try:
        return (await request("GET", url, timeout=2.0)).status == 200
    except OSError:
        return False
