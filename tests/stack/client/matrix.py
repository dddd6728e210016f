"""The Matrix requests that a NeoBoard client makes."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
from yarl import URL

from tests.stack.client.events import DELAY, STICKY_FOR, stringify

V3 = "/_matrix/client/v3"
_RELATIONS = "/_matrix/client/v1"
_DELAYED = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"
_STICKY = "msc4354_sticky"
_PAGE = 50
_LONG_POLL_MS = 30_000
_TIMEOUT = 60.0
_PATIENCE = 10

Event = dict[str, Any]


class Device(Protocol):
    """A login: one device of one user."""

    @property
    def user_id(self) -> str:
        """`@user:server`."""

    @property
    def device_id(self) -> str:
        """Letters and digits."""

    @property
    def access_token(self) -> str:
        """Of this device."""


class MatrixError(Exception):
    """Raised when a homeserver or JWT service refuses a request."""

    def __init__(self, status: int, body: object) -> None:
        self.status = status
        self.body = body if isinstance(body, dict) else {}
        self.errcode = str(self.body.get("errcode", ""))
        super().__init__(f"{status} {self.errcode} {self.body.get('error', '')}")


UNREACHABLE = (OSError, TimeoutError, MatrixError)
"""What a client survives when a server is away."""


class MatrixUser:
    """One device of one user.

    Args:
        homeserver_url: where clients reach the homeserver.
        device: the login.
    """

    def __init__(self, homeserver_url: str, device: Device) -> None:
        self.homeserver_url = homeserver_url
        self.user_id = device.user_id
        self.device_id = device.device_id
        self._headers = {"Authorization": f"Bearer {device.access_token}"}
        self._numbers = itertools.count()
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Opens connections; `end` closes them."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
        self._session = aiohttp.ClientSession(timeout=timeout)

    async def end(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self, method: str, path: str, body: object = None, query: Mapping[str, str] | None = None
    ) -> Any:
        """Makes a request to the homeserver; waits as told when it is one too many.

        Raises:
            MatrixError: it is refused.
            OSError: the server is not there.
        """
        url = URL(self.homeserver_url + path, encoded=True).with_query(query)
        data = None if body is None else stringify(body).encode()
        for _ in range(_PATIENCE):
            try:
                return await self._once(method, url, data, self._headers)
            except MatrixError as error:
                if error.status != 429:
                    raise
                await asyncio.sleep(float(error.body.get("retry_after_ms", 1000)) / 1000)
        raise TimeoutError("The homeserver has no time for us.")

    async def fetch(self, method: str, url: str, body: object = None) -> Any:
        """Makes a request to another server, without the token."""
        data = None if body is None else stringify(body).encode()
        return await self._once(method, URL(url), data, {})

    async def create_room(self, body: Mapping[str, Any]) -> str:
        """Creates a room; returns its id."""
        return str((await self.request("POST", f"{V3}/createRoom", body))["room_id"])

    async def membership(self, room_id: str, action: str, user_id: str = "") -> None:
        """`join`, `leave`; `invite`, `kick`, `ban`, `unban` somebody."""
        body = {"user_id": user_id} if user_id else {}
        await self.request("POST", f"{_room(room_id)}/{action}", body)

    async def send_event(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        """Sends a timeline event; returns its id."""
        return str((await self._send(room_id, event_type, content))["event_id"])

    async def send_sticky(
        self, room_id: str, event_type: str, content: Mapping[str, Any], sticky_ms: int
    ) -> str:
        """Sends a sticky event; returns its id."""
        query = {STICKY_FOR: str(sticky_ms)}
        return str((await self._send(room_id, event_type, content, query))["event_id"])

    async def send_sticky_later(
        self,
        room_id: str,
        event_type: str,
        content: Mapping[str, Any],
        sticky_ms: int,
        delay_ms: int,
    ) -> str:
        """Lets the homeserver send a sticky event later; returns the delay id."""
        query = {STICKY_FOR: str(sticky_ms), DELAY: str(delay_ms)}
        return str((await self._send(room_id, event_type, content, query))["delay_id"])

    async def put_state(
        self, room_id: str, event_type: str, content: Mapping[str, Any], state_key: str = ""
    ) -> str:
        """Sends a state event; returns its id."""
        path = f"{_room(room_id)}/state/{_part(event_type)}/{_part(state_key)}"
        return str((await self.request("PUT", path, content))["event_id"])

    async def put_state_later(
        self, room_id: str, event_type: str, state_key: str, delay_ms: int
    ) -> str:
        """Lets the homeserver clear a state event later; returns the delay id."""
        path = f"{_room(room_id)}/state/{_part(event_type)}/{_part(state_key)}"
        found = await self.request("PUT", path, {}, {DELAY: str(delay_ms)})
        return str(found["delay_id"])

    async def manage_delayed(self, delay_id: str, action: str) -> None:
        """`restart` or `cancel` in the old form, with a body."""
        await self.request("POST", f"{_DELAYED}/{_part(delay_id)}", {"action": action})

    async def state(self, room_id: str) -> list[Event]:
        """All state events of a room."""
        found: list[Event] = await self.request("GET", f"{_room(room_id)}/state")
        return found

    async def relations(
        self, room_id: str, event_id: str, event_type: str, page: int = _PAGE
    ) -> list[Event]:
        """All events of a type that refer to an event, newest first.

        A homeserver that has joined the room lately may not know the event yet. To read back makes
        it ask the others; a room's boards are older than all that refers to them.
        """
        query = {"dir": "b", "limit": "100"}
        while True:
            try:
                return await self._relations(room_id, event_id, event_type, page)
            except MatrixError as error:
                if error.status != 404 or query.get("from") == "":
                    raise
            past = await self.request("GET", f"{_room(room_id)}/messages", query=query)
            query["from"] = past.get("end", "")

    async def _relations(
        self, room_id: str, event_id: str, event_type: str, page: int
    ) -> list[Event]:
        path = f"{_RELATIONS}/rooms/{_part(room_id)}/relations/{_part(event_id)}/m.reference"
        found: list[Event] = []
        query = {"limit": str(page)}
        while True:
            answer = await self.request("GET", f"{path}/{_part(event_type)}", query=query)
            found += answer["chunk"]
            if not answer.get("next_batch"):
                return found
            query["from"] = answer["next_batch"]

    async def openid_token(self) -> dict[str, Any]:
        """A fresh token that proves to others who we are."""
        path = f"{V3}/user/{_part(self.user_id)}/openid/request_token"
        token: dict[str, Any] = await self.request("POST", path, {})
        return token

    async def upload(self, data: bytes, mime_type: str, file_name: str) -> str:
        """Uploads a file; returns its `mxc://` address."""
        url = URL(f"{self.homeserver_url}/_matrix/media/v3/upload").with_query(filename=file_name)
        headers = {**self._headers, "Content-Type": mime_type}
        return str((await self._once("POST", url, data, headers))["content_uri"])

    async def download(self, mxc: str) -> bytes:
        """Fetches a file by its address, as a member of any room may.

        Raises:
            MatrixError: it is not there.
        """
        path = f"/_matrix/client/v1/media/download/{mxc.removeprefix('mxc://')}"
        status, data = await self._raw("GET", URL(self.homeserver_url + path), None, self._headers)
        if status != 200:
            raise MatrixError(status, {})
        return data

    async def begin_sync(self, room_id: str) -> tuple[str, list[Event]]:
        """Where the sync stands, and what the room's first answer held of its timeline.

        The server may answer with where it stood two minutes ago. Sticky events are among these,
        however long ago they were sent.
        """
        answer = await self._sync(room_id)
        return str(answer["next_batch"]), _events(answer, room_id, "timeline", _STICKY)

    async def follow(self, room_id: str, token: str, seen: Callable[[Event], None]) -> None:
        """Hands over the events of a room as they come, state and timeline, without end."""
        while True:
            try:
                answer = await self._sync(room_id, since=token, timeout=str(_LONG_POLL_MS))
            except UNREACHABLE:
                await asyncio.sleep(1)
                continue
            for event in _events(answer, room_id, "state", "timeline", _STICKY):
                seen(event)
            token = answer["next_batch"]

    async def _sync(self, room_id: str, **query: str) -> dict[str, Any]:
        filters = {
            "presence": {"types": []},
            "account_data": {"types": []},
            "room": {"rooms": [room_id], "timeline": {"limit": 500}},
        }
        query["filter"] = json.dumps(filters)
        answer: dict[str, Any] = await self.request("GET", f"{V3}/sync", query=query)
        return answer

    async def _send(
        self,
        room_id: str,
        event_type: str,
        content: Mapping[str, Any],
        query: Mapping[str, str] | None = None,
    ) -> Any:
        txn = f"m{int(time.time() * 1000)}.{next(self._numbers)}"
        path = f"{_room(room_id)}/send/{_part(event_type)}/{txn}"
        return await self.request("PUT", path, content, query)

    async def _once(
        self, method: str, url: URL, data: bytes | None, headers: Mapping[str, str]
    ) -> Any:
        status, text = await self._raw(method, url, data, headers)
        try:
            body = json.loads(text) if text else {}
        except ValueError:
            body = {"error": "no JSON"}
        if status != 200:
            raise MatrixError(status, body)
        return body

    async def _raw(
        self, method: str, url: URL, data: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        if self._session is None:
            raise ConnectionError("Not started.")
        try:
            async with self._session.request(method, url, data=data, headers=headers) as response:
                return response.status, await response.read()
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error)) from error


def _events(answer: Mapping[str, Any], room_id: str, *sections: str) -> list[Event]:
    joined = answer.get("rooms", {}).get("join", {}).get(room_id, {})
    return [event for name in sections for event in joined.get(name, {}).get("events", [])]


def _room(room_id: str) -> str:
    return f"{V3}/rooms/{_part(room_id)}"


def _part(text: str) -> str:
    return quote(text, safe="")
