"""Delayed events (MSC4140): events the homeserver sends by itself unless told to wait on.

Paths are Synapse's unstable ones (docs/matrixrtc.md, 2.4). A delay id is as good as a password for
its event: whoever knows it may send or cancel it; it never stands in a log or an error's text.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mautrix.api import Method, Path, PathBuilder

from bot.errors import (
    DelayTooLarge,
    Forbidden,
    RateLimited,
    ServerError,
    TooManyDelayed,
    Transient,
    Unsupported,
)
from bot.matrix.transport import ONE_TRY, PATIENCE, Transport

ONE_CALL = 2.0
"""Seconds; short, since several tries must fit between a restart and the event's firing."""

STICKY_DURATION = "org.matrix.msc4354.sticky_duration_ms"
"""The query parameter that makes an event sticky (MSC4354)."""

_MSC = "org.matrix.msc4140"
_EVENTS = Path.unstable[_MSC].delayed_events


@dataclass(frozen=True, slots=True)
class DelayedSupport:
    """What the homeserver can do.

    Attributes:
        supported: whether delayed events may be scheduled at all. A server that does not know
            them would send the event at once.
        max_delay_ms: the longest delay; None when it does not say.
        max_scheduled: how many may wait per account; None when it does not say.
        sticky: whether events may be sticky (MSC4354).
    """

    supported: bool
    max_delay_ms: int | None = None
    max_scheduled: int | None = None
    sticky: bool = False


@dataclass(frozen=True, slots=True)
class DelayedEvent:
    """An event of ours that waits to be sent.

    Attributes:
        delay_id: names it, a secret.
        room_id: where it goes.
        type: its type.
        state_key: None when it is no state.
        sticky_key: which sticky event it would replace; None for none.
        slot_id: of the membership that it ends, in the sticky profile.
        device_id: likewise.
    """

    delay_id: str = field(repr=False)
    room_id: str
    type: str
    state_key: str | None
    sticky_key: str | None = None
    slot_id: str | None = None
    device_id: str | None = None


class Delayed:
    """The calls on delayed events; part of Homeserver.

    They try once, except `delayed_support`: the keeper of a membership decides what comes next.

    Attributes:
        restart_refused: told of each restart that was one too many for the homeserver, and how
            many seconds it should wait, as exactly as the homeserver says.
        schedule_refused: told when it holds as many delayed events as it takes.
    """

    transport: Transport
    restart_refused: Callable[[float | None], None] | None = None
    schedule_refused: Callable[[], None] | None = None
    _action_in_body = False

    async def delayed_support(self, *, patience: float = PATIENCE) -> DelayedSupport:
        """Return what the homeserver can do with delayed events."""
        versions = await self.transport.ask(
            "versions", Method.GET, Path.versions, patience=patience
        )
        features = _mapping(versions, "unstable_features")
        sticky = features.get("org.matrix.msc4354") is True
        if features.get(_MSC) is not True and features.get(f"{_MSC}.stable") is not True:
            return DelayedSupport(supported=False, sticky=sticky)
        limits = await self._limits(ONE_TRY, patience)
        return DelayedSupport(
            supported=True,
            max_delay_ms=_natural(limits.get("max_delay_ms")),
            max_scheduled=_natural(limits.get("max_scheduled")),
            sticky=sticky,
        )

    async def _limits(self, seconds: float, patience: float) -> Mapping[str, Any]:
        reply = await self.transport.ask(
            "capabilities", Method.GET, Path.v3.capabilities, seconds=seconds, patience=patience
        )
        every = _mapping(reply, "capabilities")
        return _mapping(every, f"{_MSC}.delayed_events") or _mapping(every, "m.delayed_events")

    async def schedule_state(
        self,
        room_id: str,
        event_type: str,
        state_key: str,
        content: Mapping[str, Any],
        delay_ms: int,
        *,
        timeout: float = ONE_CALL,
    ) -> str:
        """Have the homeserver set state later; return the delay id, which is a secret.

        Never without asking `delayed_support` first: a server that does not know delayed events
        sets the state at once.

        Raises:
            Unsupported: it did so, or has delayed events switched off.
            DelayTooLarge, TooManyDelayed, RateLimited: as they say.
        """
        path = Path.v3.rooms[room_id].state[event_type][state_key]
        return await self._schedule("schedule state", path, content, {}, delay_ms, timeout)

    async def schedule_sticky(
        self,
        room_id: str,
        event_type: str,
        content: Mapping[str, Any],
        duration_ms: int,
        delay_ms: int,
        *,
        timeout: float = ONE_CALL,
    ) -> str:
        """Have the homeserver send a sticky event later; as `schedule_state`.

        Every call is another event: after one whose outcome is unknown, `delayed_events` tells.

        Args:
            room_id: where.
            event_type: its type.
            content: its content, which holds the sticky key.
            duration_ms: how long it sticks, counted from when it is sent.
            delay_ms: when that is.
            timeout: of the call.
        """
        path = Path.v3.rooms[room_id].send[event_type][uuid.uuid4().hex]
        query = {STICKY_DURATION: str(duration_ms)}
        return await self._schedule(
            "schedule sticky event", path, content, query, delay_ms, timeout
        )

    async def _schedule(
        self,
        what: str,
        path: PathBuilder,
        content: Mapping[str, Any],
        query: Mapping[str, str],
        delay_ms: int,
        seconds: float,
    ) -> str:
        try:
            reply = await self.transport.ask(
                what,
                Method.PUT,
                path,
                body=content,
                query={**query, f"{_MSC}.delay": str(delay_ms)},
                seconds=seconds,
            )
        except TooManyDelayed:
            if self.schedule_refused is not None:
                self.schedule_refused()
            raise
        except (DelayTooLarge, Forbidden) as error:
            raise await self._explained(error, delay_ms, seconds) from None
        if "event_id" in reply:
            raise Unsupported(f"{what}: the homeserver sent it at once")
        delay_id = reply.get("delay_id")
        if not isinstance(delay_id, str) or not delay_id:
            raise Transient(f"{what}: the answer holds no delay id")
        return delay_id

    async def _explained(
        self, error: DelayTooLarge | Forbidden, delay_ms: int, seconds: float
    ) -> ServerError:
        """Say how long the delay may be where the refusal does not (M13, M14).

        Synapse names no limit; by the merged MSC a delay that is too long is just forbidden.
        """
        if isinstance(error, DelayTooLarge) and error.max_delay_ms is not None:
            return error
        try:
            limits = await self._limits(seconds, 0.0)
        except ServerError:
            return error
        most = _natural(limits.get("max_delay_ms"))
        return error if most is None or most >= delay_ms else DelayTooLarge(str(error), most)

    async def restart_delayed(self, delay_id: str, *, timeout: float = ONE_CALL) -> None:
        """Start a delayed event's time anew; NotFound when it was sent or cancelled."""
        try:
            await self._manage(delay_id, "restart", timeout)
        except RateLimited as error:
            if self.restart_refused is not None:
                self.restart_refused(error.exact)
            raise

    async def send_delayed(self, delay_id: str, *, timeout: float = ONE_CALL) -> None:
        """Have a delayed event sent now; NotFound when it was sent or cancelled."""
        await self._manage(delay_id, "send", timeout)

    async def cancel_delayed(self, delay_id: str, *, timeout: float = ONE_CALL) -> None:
        """Cancel a delayed event; NotFound when it was sent or cancelled."""
        await self._manage(delay_id, "cancel", timeout)

    async def delayed_events(self, *, timeout: float = ONE_TRY) -> list[DelayedEvent]:
        """Return the delayed events of our account that still wait, of earlier processes too."""
        reply = await self.transport.ask(
            "list delayed events", Method.GET, _EVENTS, seconds=timeout
        )
        events = reply.get("delayed_events")
        if not isinstance(events, list):
            raise Transient("list delayed events: the answer holds no list")
        return [event for raw in events if (event := _read(raw)) is not None]

    async def _manage(self, delay_id: str, action: str, seconds: float) -> None:
        """Put the action into the path, or into the body for servers that know only the old form.

        Once a server took the latter it is asked so from the start.
        """
        if not self._action_in_body:
            with contextlib.suppress(Unsupported):
                await self._act(action, _EVENTS[delay_id][action], {}, seconds)
                return
        await self._act(action, _EVENTS[delay_id], {"action": action}, seconds)
        self._action_in_body = True

    async def _act(
        self, action: str, path: PathBuilder, body: Mapping[str, Any], seconds: float
    ) -> None:
        # With the token although Synapse does not ask for it: its limiter then counts per
        # account, not per address.
        await self.transport.ask(
            f"{action} delayed event", Method.POST, path, body=body, seconds=seconds
        )


def _read(raw: Any) -> DelayedEvent | None:
    if not isinstance(raw, dict):
        return None
    delay_id, room_id, kind = raw.get("delay_id"), raw.get("room_id"), raw.get("type")
    if not (isinstance(delay_id, str) and isinstance(room_id, str) and isinstance(kind, str)):
        return None
    content = _mapping(raw, "content")
    sticky_key = _text(content, "msc4354_sticky_key") or _text(content, "sticky_key")
    return DelayedEvent(
        delay_id,
        room_id,
        kind,
        _text(raw, "state_key"),
        sticky_key,
        _text(content, "slot_id"),
        _text(_mapping(content, "member"), "device_id"),
    )


def _mapping(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _text(parent: Mapping[str, Any], key: str) -> str | None:
    value = parent.get(key)
    return value if isinstance(value, str) else None


def _natural(value: Any) -> int | None:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if good else None
