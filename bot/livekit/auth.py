"""How we get into a LiveKit room: a token from the JWT service, or made with an API key.

The JWT service (MSC4195 in the form that Element Call and NeoBoard use today) asks our homeserver
who we are by the OpenID token, names the LiveKit room and says where the SFU is: `/sfu/get` for the
legacy profile, `/get_token` for the sticky one. Its token is read here, not verified: the SFU does
that.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from livekit import api

from bot.errors import Forbidden, NotFound, RateLimited, ServerError, Transient
from bot.rtc.sticky import Seat, pseudonym

LEGACY_SLOT = "m.call#ROOM"
"""The slot all sessions of a room share with the JWT service's legacy endpoint."""

_OPENID_KEYS = ("access_token", "token_type", "matrix_server_name", "expires_in")
_MAX_ANSWER = 65_536
_LIFETIME = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to join one LiveKit room.

    Attributes:
        url: the SFU's WebSocket address.
        jwt: the token; a secret.
        room: the LiveKit room, opaque to us.
        identity: who we are in it.
        service_url: the JWT service it came from; empty when it was made with an API key.
        expires_at: milliseconds since the epoch; None when the token does not say.
        may_announce: whether setting our own attributes is allowed, which has others hear us at
            once instead of after up to 4 s.
    """

    url: str
    jwt: str = field(repr=False)
    room: str
    identity: str
    service_url: str
    expires_at: int | None
    may_announce: bool


async def sfu_get(
    http: aiohttp.ClientSession,
    service_url: str,
    room_id: str,
    openid: Mapping[str, Any],
    device_id: str,
    *,
    seconds: float = 10.0,
) -> Grant:
    """Ask a JWT service for a token.

    Args:
        http: makes the request.
        service_url: the focus' `livekit_service_url`.
        room_id: of the Matrix room.
        openid: a fresh OpenID token of ours, as the homeserver gave it.
        device_id: ours; part of the identity.
        seconds: that the service has to answer.

    Raises:
        Transient: no answer, a fault of the service or of its SFU, or an OpenID token it did not
            accept: try again with a fresh one.
        RateLimited: with the service's word on when to come back.
        NotFound: there is no JWT service at this address.
        Forbidden: it does not want us.
        ServerError: it does not understand the request, or its answer is no use.
    """
    body = {"room": room_id, "openid_token": _known(openid), "device_id": device_id}
    return await _ask(http, service_url, "/sfu/get", body, seconds)


async def get_token(
    http: aiohttp.ClientSession,
    service_url: str,
    room_id: str,
    seat: Seat,
    openid: Mapping[str, Any],
    user_id: str,
    device_id: str,
    *,
    seconds: float = 10.0,
) -> Grant:
    """Ask a JWT service for a token by which we are pseudonymous: the sticky profile's.

    Args:
        http: makes the request.
        service_url: the focus' `livekit_service_url`.
        room_id: of the Matrix room.
        seat: the slot, which has a LiveKit room of its own, and our member id.
        openid: a fresh OpenID token of ours, as the homeserver gave it.
        user_id: ours; part of the identity.
        device_id: ours; likewise.
        seconds: that the service has to answer.

    Raises:
        ServerError: as `sfu_get`.
    """
    body = {
        "room_id": room_id,
        "slot_id": seat.slot_id,
        "openid_token": _known(openid),
        "member": {
            "id": seat.member_id,
            "claimed_user_id": user_id,
            "claimed_device_id": device_id,
        },
    }
    return await _ask(http, service_url, "/get_token", body, seconds)


def _known(openid: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the service knows; it refuses others."""
    return {key: openid[key] for key in _OPENID_KEYS if key in openid}


async def _ask(
    http: aiohttp.ClientSession,
    service_url: str,
    path: str,
    body: Mapping[str, Any],
    seconds: float,
) -> Grant:
    url = service_url.rstrip("/") + path
    limit = aiohttp.ClientTimeout(total=seconds)
    try:
        # A redirect would be followed with a GET.
        async with http.post(url, json=body, timeout=limit, allow_redirects=False) as answer:
            content = await _bounded(answer.content)
    except TimeoutError:
        raise Transient(f"the JWT service did not answer within {seconds:g} s") from None
    except aiohttp.ClientSSLError:  # also a ValueError, as the next one
        raise Transient("the certificate of the JWT service is not trusted") from None
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError):
        raise NotFound("the address of the JWT service is not valid") from None
    except (aiohttp.ClientError, OSError) as error:
        raise Transient(f"no connection to the JWT service ({type(error).__name__})") from None
    if answer.status != 200:
        raise _failure(answer.status, _object(content), answer.headers.get("Retry-After"))
    return _read(_object(content), service_url)


def api_key_grant(
    api_key: str,
    api_secret: str,
    ws_url: str,
    room_id: str,
    user_id: str,
    device_id: str,
    seat: Seat | None = None,
) -> Grant:
    """Make a token ourselves, with the names the JWT service would give.

    The room is created with the join where the SFU does not do so by itself.

    Args:
        api_key: of the SFU.
        api_secret: of the SFU.
        ws_url: the SFU's WebSocket address.
        room_id: of the Matrix room.
        user_id: ours.
        device_id: ours.
        seat: ours in the sticky profile; None for the legacy one.
    """
    if seat is None:
        room, identity = room_name(room_id), f"{user_id}:{device_id}"
    else:
        room = room_name(room_id, seat.slot_id)
        identity = pseudonym(user_id, device_id, seat.member_id)
    grants = api.VideoGrants(
        room_join=True,
        room_create=True,
        room=room,
        can_publish=True,
        can_publish_data=True,
        can_subscribe=True,
        can_update_own_metadata=True,
    )
    token = api.AccessToken(api_key, api_secret).with_identity(identity).with_grants(grants)
    return _read({"url": ws_url, "jwt": token.with_ttl(_LIFETIME).to_jwt()}, "")


def room_name(room_id: str, slot: str = LEGACY_SLOT) -> str:
    """Return the LiveKit room of a slot (lk-jwt-service since v0.4.3).

    Only for making tokens: the room to join is what the token says.
    """
    text = json.dumps([room_id, slot], separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    """Read at most one byte more than an answer may have."""
    content = bytearray()
    while len(content) <= _MAX_ANSWER:
        piece = await stream.read(_MAX_ANSWER + 1 - len(content))
        if not piece:
            break
        content += piece
    return bytes(content)


def _object(content: bytes) -> dict[str, Any]:
    """Return a JSON object; an empty one for anything else."""
    if len(content) > _MAX_ANSWER:
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _failure(status: int, body: Mapping[str, Any], retry_after: str | None) -> ServerError:
    """Sort what the service answers by what helps (docs/matrixrtc.md 4.5)."""
    code = body.get("errcode")
    wait = _wait(body.get("retry_after_ms"), retry_after)
    if status == 401 or (status == 500 and code == "M_LOOKUP_FAILED"):
        return Transient("the JWT service did not accept our OpenID token", wait)
    if status == 429:
        return RateLimited("the JWT service limits us", wait)
    if status >= 500:
        return Transient(f"the JWT service failed ({status})", wait)
    if status in {404, 405}:
        return NotFound(f"there is no JWT service at this address ({status})")
    if status == 403:
        return Forbidden("the JWT service does not let us in (403)")
    return ServerError(
        f"the JWT service did not take our request ({status}): is its address right?"
    )


def _wait(retry_after_ms: object, retry_after: str | None) -> float | None:
    if isinstance(retry_after_ms, int | float) and 0 <= retry_after_ms < 1e9:
        return retry_after_ms / 1000
    if retry_after is not None and retry_after.isascii() and retry_after.isdecimal():
        return min(float(retry_after), 1e6)
    return None


def _read(answer: Mapping[str, Any], service_url: str) -> Grant:
    url, token = answer.get("url"), answer.get("jwt")
    if not isinstance(url, str) or not url.startswith(("ws://", "wss://", "http://", "https://")):
        raise ServerError("the JWT service named no SFU")
    if not isinstance(token, str):
        raise ServerError("the JWT service gave no token")
    try:
        (url + token).encode()
    except UnicodeEncodeError:  # JSON can spell half a surrogate pair
        raise ServerError("the JWT service answered with a text that is not Unicode") from None
    claims = _claims(token)
    identity, video = claims.get("sub"), claims.get("video")
    if not isinstance(video, dict) or video.get("roomJoin") is not True:
        raise ServerError("the token does not allow to join a room")
    room = video.get("room")
    if not (isinstance(room, str) and room and isinstance(identity, str) and identity):
        raise ServerError("the token names no room or no identity")
    # Without the right to send data, the SDK drops what we send and says nothing.
    if not _allowed(
        video, "canPublishData", otherwise=_allowed(video, "canPublish", otherwise=True)
    ):
        raise ServerError("the token does not allow to send data (canPublishData)")
    expires = claims.get("exp")
    return Grant(
        url=url,
        jwt=token,
        room=room,
        identity=identity,
        service_url=service_url,
        expires_at=expires * 1000 if isinstance(expires, int) else None,
        may_announce=video.get("canUpdateOwnMetadata") is True,
    )


def _allowed(video: Mapping[str, Any], what: str, *, otherwise: bool) -> bool:
    found = video.get(what)
    return otherwise if found is None else found is True


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        raise ServerError("the token is not a JWT")
    try:
        return _object(base64.urlsafe_b64decode(parts[1] + "=="))
    except (binascii.Error, ValueError):
        raise ServerError("the token is not a JWT") from None
