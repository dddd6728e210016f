"""Entrance: how the bot gets into LiveKit rooms, and into which."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

import aiohttp

from bot import __version__
from bot.config import Config
from bot.livekit.auth import Grant, api_key_grant, get_token, sfu_get
from bot.livekit.connection import Connection, State
from bot.matrix.client import Homeserver
from bot.rtc.membership import LEGACY, STICKY, Focus
from bot.rtc.sticky import Seat

_log = logging.getLogger(__name__)


class Entrance:
    """Makes connections.

    Args:
        config: which services may be used, and how we are let in.
        homeserver: vouches for us; logged in.
        http: to ask JWT services.
        own_foci: those of our homeserver.
    """

    def __init__(
        self,
        config: Config,
        homeserver: Homeserver,
        http: aiohttp.ClientSession,
        own_foci: Callable[[], Sequence[Focus]],
    ) -> None:
        self._config = config
        self._homeserver = homeserver
        self._http = http
        self._own_foci = own_foci

    def allowed(self, focus: Focus) -> bool:
        """Whether to go to a LiveKit service; any member of a room may name one."""
        if focus in self._own_foci() or focus.service_url in self._config.rtc.foci:
            return True
        if self._config.livekit.auth == "api_key":
            return False  # the key opens one server: elsewhere we would be announced, and not be
        patterns = self._config.rtc.allowed_foci
        return not patterns or any(fnmatchcase(focus.service_url, one) for one in patterns)

    def connect(
        self,
        room_id: str,
        service_url: str,
        changed: Callable[[], None],
        participant: Callable[[str, bool], None],
        seat: Seat | None = None,
    ) -> Connection:
        """Return a connection to a room on a focus (`setting.Setting.connect`).

        With a seat it is to the LiveKit room of that slot, where we are pseudonymous.
        """
        # Where people of both profiles are in a room, each has connections of its own.
        keys = {"room": room_id, "profile": LEGACY if seat is None else STICKY}

        def entered(state: State, why: str) -> None:
            _log.info("livekit", extra={**keys, "state": state.value, "why": why})
            changed()

        return Connection(
            lambda: self._grant(room_id, service_url, seat),
            on_state=entered,
            on_participant=participant,
            attributes={"boardkeeper": __version__},
        )

    async def _grant(self, room_id: str, service_url: str, seat: Seat | None) -> Grant:
        """Get leave to join the LiveKit room; a fresh token at every (re)connection."""
        livekit, homeserver = self._config.livekit, self._homeserver
        if livekit.auth == "api_key":
            assert livekit.url is not None
            assert livekit.api_key is not None
            assert livekit.api_secret is not None
            return api_key_grant(
                livekit.api_key,
                livekit.api_secret.reveal(),
                livekit.url,
                room_id,
                homeserver.user_id,
                homeserver.device_id,
                seat,
            )
        openid = await homeserver.openid_token()
        user_id, device_id = homeserver.user_id, homeserver.device_id
        if seat is None:
            return await sfu_get(self._http, service_url, room_id, openid, device_id)
        return await get_token(self._http, service_url, room_id, seat, openid, user_id, device_id)
