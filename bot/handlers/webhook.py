"""`webhook`: tells a receiver over HTTP what happens on boards; signed, in batches, durable.

What the receiver answers decides:

    2xx                      taken
    400, 413, 422            this is not for him: given one by one, then a dead letter
    429, 5xx with a wait     after that wait the same again
    anything else, nothing   later the same again, for as long as it takes: he is down or moved
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

import aiohttp

from bot.config.scalars import Between, Duration, HttpUrl
from bot.config.secret import Secret
from bot.handlers.addresses import PrivateAddressError, PublicResolver, check_host
from bot.handlers.base import (
    Context,
    CursorMoved,
    DocumentUpdate,
    Event,
    Focused,
    Handler,
    Presented,
    TryLater,
)

SIGNATURE = "Boardkeeper-Signature"
TIMESTAMP = "Boardkeeper-Timestamp"
_NOT_FOR_HIM = frozenset({400, 413, 422})

EventName = Literal["document_update", "cursor_moved", "focused", "presented"]
_TYPES: Mapping[str, type[Event]] = {
    "document_update": DocumentUpdate,
    "cursor_moved": CursorMoved,
    "focused": Focused,
    "presented": Presented,
}
_NAMES = {kind: name for name, kind in _TYPES.items()}


@dataclass(frozen=True)
class WebhookSettings:
    """Settings of the `webhook` handler.

    Attributes:
        url: where to send to.
        secret: signs what is sent, so that the receiver knows it is from us.
        events: what to tell of.
        collect: seconds to wait for more before sending.
        timeout: seconds the receiver gets for an answer.
        allow_private: whether he may be in our own network.
    """

    url: HttpUrl
    secret: Secret
    events: tuple[EventName, ...] = ("document_update", "focused", "presented")
    collect: Annotated[Duration, Between("0s", "1m")] = 1.0
    timeout: Annotated[Duration, Between("1s", "50s")] = 10.0
    allow_private: bool = False


class Webhook(Handler):
    """Sends events to a receiver."""

    settings_type: ClassVar[type[Any]] = WebhookSettings
    settings: WebhookSettings
    durable = True
    batch = 100

    async def start(self, context: Context) -> None:
        """Begin."""
        await super().start(context)
        self.collect = self.settings.collect
        resolver = None if self.settings.allow_private else PublicResolver()
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=resolver, limit=8),
            timeout=aiohttp.ClientTimeout(total=self.settings.timeout),
        )

    async def stop(self) -> None:
        """End."""
        await self._http.close()

    def wants(self) -> frozenset[type[Event]]:
        """Return what the settings name."""
        return frozenset(_TYPES[name] for name in self.settings.events)

    async def on_batch(self, events: Sequence[Event]) -> None:
        """Send them.

        Raises:
            TryLater: the receiver does not take anything now.
            ValueError: he does not want these.
        """
        body = encode(events)
        sent_at = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{events[0].seq}-{events[-1].seq}",
            TIMESTAMP: str(sent_at),
            SIGNATURE: sign(self.settings.secret.reveal(), sent_at, body),
        }
        try:
            if not self.settings.allow_private:
                check_host(urlsplit(self.settings.url).hostname or "")
            async with self._http.post(
                self.settings.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                status, asked = answer.status, answer.headers.get("Retry-After")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            private = isinstance(error, PrivateAddressError) or isinstance(
                error.__cause__, PrivateAddressError
            )
            why = "its address is not public (allow_private)" if private else type(error).__name__
            raise TryLater(f"the receiver cannot be reached: {why}") from error
        if status in _NOT_FOR_HIM:
            raise ValueError(f"the receiver answered {status}")
        if not 200 <= status < 300:
            raise TryLater(f"the receiver answered {status}", _seconds(asked))


def sign(secret: str, sent_at: int, body: bytes) -> str:
    """Return the signature header of a body.

    Args:
        secret: shared with the receiver.
        sent_at: the timestamp header, seconds since 1970: signed too, so that what was sent cannot
            be sent again much later.
        body: what is sent.
    """
    signed = str(sent_at).encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def encode(events: Sequence[Event]) -> bytes:
    """Return the body: JSON, the events of one board in their order."""
    board = events[0].board
    return json.dumps(
        {
            "version": 1,
            "board": {
                "room_id": board.room_id,
                "whiteboard_id": board.whiteboard_id,
                "document_id": board.document_id,
            },
            "events": [_event(event) for event in events],
        },
        separators=(",", ":"),
    ).encode()


def _event(event: Event) -> dict[str, Any]:
    common = {
        "type": _NAMES[type(event)],
        "seq": event.seq,
        "ts": event.ts,
        "replayed": event.replayed,
    }
    match event:
        case DocumentUpdate(sender=sender, update=update):
            return {**common, "sender": sender, "update": b64encode(update).decode()}
        case CursorMoved(sender=sender, slide_id=slide_id, x=x, y=y):
            return {**common, "sender": sender, "slide_id": slide_id, "x": x, "y": y}
        case Focused(sender=sender, slide_id=slide_id):
            return {**common, "sender": sender, "slide_id": slide_id}
        case Presented(sender=sender, kind=kind, target=target, edit=edit):
            return {**common, "sender": sender, "kind": kind, "target": target, "edit": edit}
    raise AssertionError(type(event))


def _seconds(asked: str | None) -> float | None:
    """Return how long a Retry-After header says to wait; None when it says nothing usable."""
    if asked is None:
        return None
    try:
        seconds = float(asked)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(asked).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if isfinite(seconds) else None
