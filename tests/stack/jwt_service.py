"""A stand-in for lk-jwt-service: its endpoints, checks, names, identities and errors.

Written from its observed behaviour (commit a375b13 without delegated leaves, as in v0.5.0). The
OpenID token is verified with the homeserver for real, rooms are created on the SFU for real. Run
as `python -m tests.stack.jwt_service CONFIG`; beside the service's own endpoints it has `/_fault`,
by which a test makes it answer each of its errors.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web
from livekit import api

from tests.stack.http import request
from tests.stack.jwt_rules import (
    FAULTS,
    LEGACY_SHAPE,
    SHAPE,
    Rejected,
    hash_name,
    read_body,
    require,
)
from tests.stack.ports import HOST

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "Accept, Content-Type, Content-Length, Authorization",
}
_LEGACY_SLOT = "m.call#ROOM"
_LIFETIME = 3600.0


@dataclass(slots=True)
class Fault:
    """The fault in force: for a number of requests, until an instant, or until healed."""

    name: str
    times: int | None = None
    until: float | None = None
    retry_after_ms: int | None = None

    def strikes(self) -> bool:
        """Whether it applies to the request at hand, which is then counted."""
        if self.until is not None and time.monotonic() >= self.until:
            return False
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What the service is configured with.

    Attributes:
        port: where it listens.
        sfu_url: what clients are told.
        sfu_api: the SFU's HTTP API.
        key, secret: the SFU's API key.
        homeservers: server name to address, in place of the discovery over TLS.
        full_access: users of these servers get their room created; `["*"]` means all.
        authority: the file of the certificate authority that homeservers with TLS have; or nothing.
    """

    port: int
    sfu_url: str
    sfu_api: str
    key: str
    secret: str
    homeservers: dict[str, str] = field(default_factory=dict)
    full_access: list[str] = field(default_factory=lambda: ["*"])
    authority: str = ""


class Service:
    """The endpoints."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._fault: Fault | None = None

    def application(self) -> web.Application:
        """The routes, as the real service has them, and `/_fault`."""
        app = web.Application()
        app.router.add_route("*", "/sfu/get", self._legacy)
        app.router.add_route("*", "/get_token", self._token)
        app.router.add_get("/healthz", self._health)
        app.router.add_post("/_fault", self._set_fault)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _set_fault(self, asked: web.Request) -> web.Response:
        body = await asked.json()
        seconds = body.pop("seconds", None)
        until = time.monotonic() + seconds if seconds is not None else None
        self._fault = Fault(**body, until=until) if body.get("name") else None
        return web.json_response({})

    async def _legacy(self, asked: web.Request) -> web.Response:
        async def admit() -> tuple[str, str, str]:
            body = read_body(await asked.read(), LEGACY_SHAPE)
            if not body["room"]:
                raise Rejected(400, "M_BAD_JSON", "Missing room parameter")
            token = body["openid_token"]
            if not token["access_token"] or not token["matrix_server_name"]:
                raise Rejected(400, "M_BAD_JSON", "Missing OpenID token parameters")
            user = await self._verify(token)
            return (
                token["matrix_server_name"],
                hash_name(body["room"], _LEGACY_SLOT),
                f"{user}:{body['device_id']}",
            )

        return await self._answer(asked, admit)

    async def _token(self, asked: web.Request) -> web.Response:
        async def admit() -> tuple[str, str, str]:
            body = read_body(await asked.read(), SHAPE)
            member, token = body["member"], body["openid_token"]
            require(body, "room_id", "slot_id", where="body")
            require(member, "id", "claimed_user_id", "claimed_device_id", where="body `member`")
            require(token, "access_token", "matrix_server_name", where="body `openid_token`")
            user = await self._verify(token)
            if user != member["claimed_user_id"]:
                raise _unauthorized()
            identity = hash_name(user, member["claimed_device_id"], member["id"])
            return (
                token["matrix_server_name"],
                hash_name(body["room_id"], body["slot_id"]),
                identity,
            )

        return await self._answer(asked, admit)

    async def _answer(
        self, asked: web.Request, admit: Callable[[], Awaitable[tuple[str, str, str]]]
    ) -> web.Response:
        if asked.method == "OPTIONS":
            return web.Response(headers=_CORS)
        if asked.method != "POST":
            return web.Response(status=405, headers=_CORS)
        try:
            lifetime = _LIFETIME
            if self._fault is not None and self._fault.strikes():
                spoiled = await self._spoil(self._fault)
                if spoiled is not None:
                    return spoiled
                lifetime = -lifetime
            server, room, identity = await admit()
            if self._settings.full_access == ["*"] or server in self._settings.full_access:
                await self._create_room(room)
        except Rejected as rejected:
            return _error(rejected.status, rejected.errcode, rejected.error)
        token = self._sign(room, identity, lifetime)
        return web.json_response({"url": self._settings.sfu_url, "jwt": token}, headers=_CORS)

    async def _spoil(self, fault: Fault) -> web.Response | None:
        if fault.name == "hang":
            await asyncio.Event().wait()
        if fault.name == "garbage":
            return web.Response(text="<html>It works!</html>", headers=_CORS)
        if fault.name == "no_jwt":
            return web.json_response({"url": self._settings.sfu_url}, headers=_CORS)
        if fault.name == "stale_token":
            return None
        return _error(*FAULTS[fault.name], retry_after_ms=fault.retry_after_ms)

    async def _verify(self, token: dict[str, Any]) -> str:
        """The user whom the homeserver says the OpenID token belongs to."""
        server = token["matrix_server_name"]
        address = self._settings.homeservers.get(server)
        if address is None:
            raise _unauthorized()
        try:
            answer = await request(
                "GET",
                f"{address}/_matrix/federation/v1/openid/userinfo",
                query={"access_token": token["access_token"]},
                timeout=10.0,
                authority=self._settings.authority,
            )
        except OSError as error:
            raise _unauthorized() from error
        user = answer.body.get("sub") if isinstance(answer.body, dict) else None
        if answer.status != 200 or not isinstance(user, str):
            raise _unauthorized()
        if user.partition(":")[2] != server:
            raise _unauthorized()
        return user

    async def _create_room(self, room: str) -> None:
        settings = self._settings
        wanted = api.CreateRoomRequest(name=room, empty_timeout=300, departure_timeout=20)
        try:
            async with api.LiveKitAPI(settings.sfu_api, settings.key, settings.secret) as sfu:
                await sfu.room.create_room(wanted)
        except (api.TwirpError, OSError, TimeoutError) as error:
            raise Rejected(500, "M_UNKNOWN", "Unable to create room on SFU") from error

    def _sign(self, room: str, identity: str, lifetime: float) -> str:
        # Claim by claim what the real service was seen to give. `livekit.api.AccessToken` adds
        # canPublishData, which a client must not rely on.
        now = int(time.time())
        claims = {
            "iss": self._settings.key,
            "sub": identity,
            "identity": identity,
            "iat": now,
            "nbf": now,
            "exp": now + int(lifetime),
            "video": {
                "roomJoin": True,
                "room": room,
                "canPublish": True,
                "canSubscribe": True,
                "canUpdateOwnMetadata": True,
            },
        }
        return jwt.encode(claims, self._settings.secret, algorithm="HS256")


def _unauthorized() -> Rejected:
    return Rejected(*FAULTS["unauthorized"])


def _error(
    status: int, errcode: str, error: str, retry_after_ms: int | None = None
) -> web.Response:
    body: dict[str, object] = {"errcode": errcode, "error": error}
    if retry_after_ms is not None:
        body["retry_after_ms"] = retry_after_ms
    return web.json_response(body, status=status, headers=_CORS)


def main() -> None:
    """Runs the service with the configuration file named on the command line."""
    settings = ServiceSettings(**json.loads(Path(sys.argv[1]).read_text()))
    web.run_app(
        Service(settings).application(),
        host=HOST,
        port=settings.port,
        access_log=None,
        print=lambda *_: None,
        shutdown_timeout=0.5,
    )


if __name__ == "__main__":
    main()
