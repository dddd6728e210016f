"""What an administrator may do with an account on Synapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp

from bot.errors import UsageError


class Admin:
    """The few calls of Synapse's admin API.

    Args:
        http: sends the administrator's token.
        url: of the homeserver.
        user_id: of the account that it is about.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, user_id: str) -> None:
        self._http = http
        self._url = url
        self._user_id = user_id
        self._account = f"/_synapse/admin/v2/users/{quote(user_id)}"
        self._limits = f"/_synapse/admin/v1/users/{quote(user_id)}/override_ratelimit"

    async def exists(self) -> bool:
        """Return whether there is such an account.

        Raises:
            UsageError: the token is no administrator's, or the user of another server.
        """
        status, _ = await self._ask("GET", self._account, fine=(200, 404))
        return status == 200

    async def accepts(self, password: str) -> bool:
        """Return whether this is the account's password; no session is left behind."""
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self._user_id},
            "password": password,
        }
        login = "/_matrix/client/v3/login"
        status, answer = await self._ask("POST", login, body, fine=(200, 403))
        if status != 200:
            return False
        token = answer.get("access_token")
        logout = "/_matrix/client/v3/logout"
        await self._ask("POST", logout, {}, token=token if isinstance(token, str) else None)
        return True

    async def make(self, password: str, *, create: bool) -> None:
        """Create the account, or give it this password."""
        body: dict[str, Any] = {"password": password}
        if create:
            body |= {"admin": False, "displayname": "boardkeeper"}
        await self._ask("PUT", self._account, body, fine=(200, 201))

    async def exempt(self) -> None:
        """Lift the account's rate limits."""
        await self._ask("POST", self._limits, {"messages_per_second": 0, "burst_count": 0})

    async def _ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        fine: Sequence[int] = (200,),
        token: str | None = None,
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {token}"} if token else None
        try:
            async with self._http.request(
                method, self._url + path, json=body, headers=headers
            ) as reply:
                answer = await _object(reply)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # Not the error's own text, which may hold more than an address.
            why = type(error).__name__
            raise UsageError(
                f"{self._url} does not answer ({why}): is --homeserver right?"
            ) from None
        if reply.status in fine and (reply.status != 404 or "errcode" in answer):
            if answer.get("errcode") == "M_UNRECOGNIZED":
                raise UsageError(
                    f"{self._url} has no admin API of Synapse: is it hidden by a proxy?"
                )
            return reply.status, answer
        raise UsageError(_why(self._url, reply.status, answer))


def _why(url: str, status: int, answer: Mapping[str, Any]) -> str:
    if status in {401, 403}:
        return f"{url} does not accept the token as an administrator's ({status})"
    if status == 404:
        return f"{url} has no admin API of Synapse: is it hidden by a proxy?"
    if status == 400:
        return f"{url} refuses the account: {answer.get('error', status)}"
    return f"{url} answered {status} {answer.get('errcode', '')}".strip()


async def _object(reply: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        found = await reply.json(content_type=None)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
