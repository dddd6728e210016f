"""Forms: what our own membership looks like in a room, and how it gets there.

A Keeper knows when to join, renew and leave; its Form knows with which events. The legacy form is
state under a key of ours (docs/matrixrtc.md, 1.3); the sticky form is events of a member id of ours
that stick to the room for a while (1.4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from bot.rtc import legacy, sticky
from bot.rtc.actions import Shown
from bot.rtc.legacy import LEAVE
from bot.rtc.membership import LEGACY, MEMBER_TYPE, STICKY
from bot.rtc.sticky import STICKY_MS, STICKY_TYPE


class DelayedEvent(Protocol):
    """A delayed event as the homeserver lists it."""

    @property
    def delay_id(self) -> str:
        """Its id, a secret."""

    @property
    def room_id(self) -> str:
        """Its room."""

    @property
    def type(self) -> str:
        """Its event type."""

    @property
    def state_key(self) -> str | None:
        """Its state key."""

    @property
    def sticky_key(self) -> str | None:
        """Its sticky key."""


class Homeserver(Protocol):
    """The calls a membership needs."""

    async def send_state(
        self,
        room_id: str,
        event_type: str,
        state_key: str,
        content: Mapping[str, Any],
        *,
        timeout: float,
        patience: float,
    ) -> str:
        """Set a state event; answers its id. Patience 0: try once."""

    async def schedule_state(
        self,
        room_id: str,
        event_type: str,
        state_key: str,
        content: Mapping[str, Any],
        delay_ms: int,
        *,
        timeout: float,
    ) -> str:
        """Schedule a state event; answers the delay id."""

    async def send_sticky(
        self,
        room_id: str,
        event_type: str,
        content: Mapping[str, Any],
        duration_ms: int,
        *,
        timeout: float,
        patience: float,
        txn_id: str,
    ) -> str:
        """Send a sticky event; answers its id. Patience 0: try once. The same id: not again."""

    async def schedule_sticky(
        self,
        room_id: str,
        event_type: str,
        content: Mapping[str, Any],
        duration_ms: int,
        delay_ms: int,
        *,
        timeout: float,
    ) -> str:
        """Schedule a sticky event; answers the delay id."""

    async def restart_delayed(self, delay_id: str, *, timeout: float) -> None:
        """Start the delay anew."""

    async def send_delayed(self, delay_id: str, *, timeout: float) -> None:
        """Send it now."""

    async def cancel_delayed(self, delay_id: str, *, timeout: float) -> None:
        """Cancel it."""

    async def delayed_events(self, *, timeout: float) -> Sequence[DelayedEvent]:
        """List what is scheduled."""


class Form(Protocol):
    """What a Keeper needs of a membership's form."""

    @property
    def homeserver(self) -> Homeserver:
        """Carries it out."""

    @property
    def room_id(self) -> str:
        """Which room."""

    @property
    def profile(self) -> str:
        """`legacy` or `sticky`."""

    def is_ours(self, event: DelayedEvent) -> bool:
        """Whether a delayed event would take out this very membership."""

    async def schedule_leave(self, delay_ms: int, *, timeout: float) -> str:
        """Have the homeserver take it out later; answers the delay id."""

    async def send_join(self, expires: float, created_ts: int | None, *, timeout: float) -> str:
        """Announce it for so many seconds; answers the event id."""

    async def send_leave(self, *, timeout: float) -> None:
        """Take it out."""

    def shown(self, event: Mapping[str, Any]) -> Shown | None:
        """Read what sync shows; None when that does not concern this membership."""


class LegacyForm:
    """A membership as state.

    Args:
        homeserver: carries it out.
        room_id: which room.
        state_key: where it stands.
        whose: our user id and device id.
        call_id: the whiteboard id.
        content: given `expires` (ms, absolute) and `created_ts`.
        now_ts: ms by the homeserver's clock.
    """

    def __init__(
        self,
        homeserver: Homeserver,
        room_id: str,
        state_key: str,
        whose: tuple[str, str],
        call_id: str,
        *,
        content: Callable[[int, int | None], Mapping[str, Any]],
        now_ts: Callable[[], int],
    ) -> None:
        self.homeserver = homeserver
        self.room_id = room_id
        self.profile = LEGACY
        self.state_key = state_key
        self._where = (room_id, MEMBER_TYPE, state_key)
        self._whose = whose
        self._call_id = call_id
        self._content = content
        self._now_ts = now_ts

    def is_ours(self, event: DelayedEvent) -> bool:
        """Whether it would change our key."""
        return (event.room_id, event.type, event.state_key) == self._where

    async def schedule_leave(self, delay_ms: int, *, timeout: float) -> str:
        """Schedule the clearing."""
        return await self.homeserver.schedule_state(*self._where, LEAVE, delay_ms, timeout=timeout)

    async def send_join(self, expires: float, created_ts: int | None, *, timeout: float) -> str:
        """Set the state."""
        content = self._content(self._now_ts() + round(expires * 1000), created_ts)
        return await self._send(content, timeout)

    async def send_leave(self, *, timeout: float) -> None:
        """Clear the state."""
        await self._send(LEAVE, timeout)

    def shown(self, event: Mapping[str, Any]) -> Shown:
        """Read what sync shows under our key."""
        return legacy.read_shown(event, *self._whose, self._call_id)

    async def _send(self, content: Mapping[str, Any], timeout: float) -> str:
        return await self.homeserver.send_state(*self._where, content, timeout=timeout, patience=0)


class StickyForm:
    """A membership as sticky events.

    Every join of it sticks as long as it is to last; every leave for the full hour, so that it
    outlasts the joins that it ends. Other than state, an event sent twice is in the room twice: so
    what was not answered in time is tried again under the same transaction id.

    Args:
        homeserver: carries it out.
        room_id: which room.
        whose: our user id and device id.
        call_id: the whiteboard id.
        member_id: which; spent once a leave of it is in the room.
        content: of a join.
        code: why we leave, of a leave sent now.
    """

    def __init__(
        self,
        homeserver: Homeserver,
        room_id: str,
        whose: tuple[str, str],
        call_id: str,
        member_id: str,
        content: Callable[[], Mapping[str, Any]],
        *,
        code: Callable[[], str] = lambda: "leave",
    ) -> None:
        self.homeserver = homeserver
        self.room_id = room_id
        self.profile = STICKY
        self.member_id = member_id
        self._user_id, self._device_id = whose
        self._call_id = call_id
        self._content = content
        self._code = code
        self._event_id: str | None = None
        self._joins = 0  # that were answered

    def is_ours(self, event: DelayedEvent) -> bool:
        """Whether it is of our member id."""
        where = (self.room_id, STICKY_TYPE, self.member_id)
        return (event.room_id, event.type, event.sticky_key) == where

    async def schedule_leave(self, delay_ms: int, *, timeout: float) -> str:
        """Schedule a leave that tells that nobody sent it."""
        content = self._leave("delayed_leave")
        return await self.homeserver.schedule_sticky(
            self.room_id, STICKY_TYPE, content, STICKY_MS, delay_ms, timeout=timeout
        )

    async def send_join(
        self,
        expires: float,
        created_ts: int | None,  # noqa: ARG002 - readers find that out by themselves
        *,
        timeout: float,
    ) -> str:
        """Send a join."""
        duration_ms = min(round(expires * 1000), STICKY_MS)
        what = f"join{self._joins}"
        self._event_id = await self._send(what, self._content(), duration_ms, timeout)
        self._joins += 1
        return self._event_id

    async def send_leave(self, *, timeout: float) -> None:
        """Send a leave."""
        await self._send("leave", self._leave(self._code()), STICKY_MS, timeout)

    def shown(self, event: Mapping[str, Any]) -> Shown | None:
        """Read a join or leave of our member id, or the redaction of our newest join."""
        if event.get("type") == "m.room.redaction":
            return self._redacted(event)
        return sticky.read_shown(event, self._user_id, self.member_id)

    def _redacted(self, event: Mapping[str, Any]) -> Shown | None:
        content = event.get("content")
        inside = content.get("redacts") if isinstance(content, Mapping) else None
        # Room version 11 has moved it into the content; homeservers give both.
        if self._event_id is None or self._event_id not in (event.get("redacts"), inside):
            return None
        by_us = event.get("sender") == self._user_id
        return Shown(str(event.get("event_id")), by_us, None, replaces=self._event_id)

    def _leave(self, code: str) -> Mapping[str, Any]:
        return sticky.leave_content(
            call_id=self._call_id,
            device_id=self._device_id,
            member_id=self.member_id,
            code=code,
        )

    async def _send(
        self, what: str, content: Mapping[str, Any], duration_ms: int, timeout: float
    ) -> str:
        return await self.homeserver.send_sticky(
            self.room_id,
            STICKY_TYPE,
            content,
            duration_ms,
            timeout=timeout,
            patience=0,
            txn_id=f"{self.member_id}.{what}",
        )
