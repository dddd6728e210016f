"""Becoming somebody: resume the token we have, else log in once.

Each login leaves another token behind or, as the Matrix specification says, ends the one before
(Synapse 1.163 does the former); a new device would leave the memberships of the old one behind.
So: the stored token first, the password only when that is dead, always with the same device id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from mautrix.api import Method, Path

from bot.errors import AuthLost, LoginRefused, ServerError, Transient
from bot.matrix.transport import PATIENCE, Transport

ACCESS_TOKEN, DEVICE_ID, USER_ID, SYNC_TOKEN = "access_token", "device_id", "user_id", "sync_token"


class TokenStore(Protocol):
    """Keeps a few small texts across restarts."""

    async def get(self, name: str) -> str | None:
        """Return the text of this name; None when there is none."""

    async def set(self, name: str, value: str) -> None:
        """Keep a text; it is safe on disk when this returns."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the configuration says about our account.

    Attributes:
        user_id: our Matrix id.
        device_id: the device to be with a password; None leaves the choice to the homeserver,
            once. With an access token it is the token's.
        access_token: used before all else.
        password: used when there is no token that works.
    """

    user_id: str
    device_id: str | None
    access_token: str | None = field(repr=False)
    password: str | None = field(repr=False)


async def log_in(transport: Transport, who: Credentials, tokens: TokenStore) -> str:
    """Give the transport a token that works and return the device id it is for.

    Raises:
        LoginRefused: no token works and no password does; the text says what to do.
        Transient: the homeserver cannot be reached.
    """
    if who.access_token:
        return await _use_configured(transport, who, who.access_token)
    stored = await tokens.get(ACCESS_TOKEN)
    device = await _resume(transport, who, stored) if stored else None
    return device or await _with_password(transport, who, tokens)


async def _use_configured(transport: Transport, who: Credentials, token: str) -> str:
    try:
        user_id, device_id = await _whoami(transport, token)
    except AuthLost:
        raise LoginRefused(
            "The configured access token is not valid (any more): "
            f"log in as {who.user_id} and put the new token into the configuration."
        ) from None
    if user_id != who.user_id:
        raise LoginRefused(f"The configured access token is {user_id}'s, not {who.user_id}'s.")
    if not (device_id or who.device_id):
        raise LoginRefused(
            "The configured access token belongs to no device: configure the device id."
        )
    return device_id or who.device_id or ""


async def _resume(transport: Transport, who: Credentials, token: str) -> str | None:
    """Return the device of the stored token; None when it is dead or not who we want to be."""
    try:
        user_id, device_id = await _whoami(transport, token)
    except AuthLost:
        return None
    same = user_id == who.user_id and who.device_id in (None, device_id)
    return device_id if same else None


async def _whoami(transport: Transport, token: str) -> tuple[str, str | None]:
    transport.token = token
    me = await transport.ask("whoami", Method.GET, Path.v3.account.whoami, patience=PATIENCE)
    user_id, device_id = me.get("user_id"), me.get("device_id")
    if not isinstance(user_id, str):
        raise Transient("whoami: the answer names no user")
    return user_id, device_id if isinstance(device_id, str) else None


async def _with_password(transport: Transport, who: Credentials, tokens: TokenStore) -> str:
    if not who.password:
        raise LoginRefused(
            f"There is neither an access token that works nor a password of {who.user_id}."
        )
    device_id = who.device_id or await tokens.get(DEVICE_ID)
    transport.token = ""
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": who.user_id},
        "password": who.password,
        "initial_device_display_name": "boardkeeper",
        **({"device_id": device_id} if device_id else {}),
    }
    try:
        reply = await transport.ask(
            "login", Method.POST, Path.v3.login, body=body, patience=PATIENCE
        )
    except Transient:
        raise
    except ServerError as error:
        raise LoginRefused(
            f"The homeserver refuses the password of {who.user_id} ({error}): correct user_id or"
            " password below “homeserver:” in the configuration."
        ) from None
    return await _keep(transport, who, tokens, reply)


async def _keep(
    transport: Transport, who: Credentials, tokens: TokenStore, reply: dict[str, object]
) -> str:
    token, device_id = reply.get("access_token"), reply.get("device_id")
    if not isinstance(token, str) or not isinstance(device_id, str):
        raise Transient("login: the answer holds no token")
    if await tokens.get(USER_ID) not in (None, who.user_id):
        # The position in somebody else's sync would hide our invites.
        await tokens.set(SYNC_TOKEN, "")
    await tokens.set(USER_ID, who.user_id)
    await tokens.set(DEVICE_ID, device_id)
    await tokens.set(ACCESS_TOKEN, token)
    transport.token = token
    return device_id
