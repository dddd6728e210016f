"""Stay: our being on a board of the sticky profile under one member id.

An identity on LiveKit is made of the member id, so a stay ends with its membership, and the next
one has another id and connections of its own (`bot.presence.ears`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from bot.errors import Transient, UsageError
from bot.presence.ears import Ears
from bot.presence.forms import StickyForm
from bot.presence.keeper import Keeper
from bot.presence.links import Connection
from bot.presence.newcomers import Newcomers
from bot.presence.respelling import Respelling
from bot.presence.setting import Home, Setting
from bot.rtc import own, sticky
from bot.rtc.membership import STICKY, Focus, Membership, identity
from bot.rtc.slots import Slot
from bot.services import Origin
from bot.whiteboard.message import CursorMove, Message, encode

_log = logging.getLogger(__name__)


class Stay:
    """One stay; connects at once, is announced when told to.

    Args:
        home: the Room.
        setting: what all share.
        whiteboard_id: the board.
        focus: where to publish.
        tasks: the group of whoever owns it.
        wake: called when there is something to look at.
    """

    def __init__(
        self,
        home: Home,
        setting: Setting,
        whiteboard_id: str,
        focus: Focus,
        *,
        tasks: asyncio.TaskGroup,
        wake: asyncio.Event,
    ) -> None:
        self.focus = focus
        self.newcomers = Newcomers()
        self._home = home
        self._setting = setting
        self._whiteboard_id = whiteboard_id
        member_id = setting.life.mark + setting.member_id()
        self._seat = sticky.Seat(sticky.slot_id(whiteboard_id), member_id)
        self._identity = sticky.pseudonym(
            setting.own_user, setting.own_device, self._seat.member_id
        )
        self._tasks = tasks
        self._wake = wake
        self._met: frozenset[str] = frozenset()
        self._lost_at: float | None = None
        self._respelling = Respelling()
        self.keeper = Keeper(
            StickyForm(
                setting.homeserver,
                home.room_id,
                (setting.own_user, setting.own_device),
                whiteboard_id,
                self._seat.member_id,
                self._content,
                code=self._code,
            ),
            own.OwnMembership(setting.sticky_timing(), once=True),
            supported=setting.delayed,
            changed=self._status_changed,
        )
        self._keeping = tasks.create_task(self.keeper.run())
        self._ears = Ears(
            focus,
            self._connect,
            self._names,
            home.deliver,
            setting.now_ts,
            Origin(STICKY, whiteboard_id),
            tasks=tasks,
            wake=wake,
        )

    # -- what is asked -------------------------------------------------------------------------

    @property
    def member_id(self) -> str:
        """Under which we are announced."""
        return self._seat.member_id

    @property
    def connected(self) -> bool:
        """Whether the connection stands that others hear us on."""
        home = self._ears.home
        return home is not None and home.connected

    @property
    def lost_for(self) -> float:
        """Seconds for which that connection has been gone; 0 before it stood."""
        return 0.0 if self._lost_at is None else monotonic() - self._lost_at

    @property
    def refused(self) -> bool:
        """Whether somebody wants us out of that connection's room."""
        home = self._ears.home
        return home is not None and home.refused

    @property
    def over(self) -> bool:
        """Whether the membership is gone for good, without our having left."""
        return self.keeper.machine.ended and not self.keeper.leaving

    @property
    def has_left(self) -> bool:
        """Whether nothing of ours is in the room any more."""
        return self.keeper.machine.left

    def due(self, grace: float) -> list[float]:
        """List when (monotonic) something is to be looked at by time."""
        newcomers = self.newcomers.due(self._known())
        times = [*self._ears.due]
        times += [one for one in (newcomers, self._respelling.due) if one is not None]
        if self._lost_at is not None:
            times.append(self._lost_at + grace)
        return times

    # -- what is told --------------------------------------------------------------------------

    def follow(self, foci: Mapping[Focus, str]) -> None:
        """Be announced while connected, and listen wherever members publish (by user id)."""
        if self.connected:
            self._lost_at = None
            self.keeper.join()
            if self._respelling.look(self._spelling(), monotonic()):
                self.keeper.renew()
            self._ears.follow({one: who for one, who in foci.items() if one != self.focus})
        elif self._lost_at is None and not self.keeper.leaving:
            self._lost_at = monotonic()
        self._ears.settle()

    def listen_on(self) -> None:
        """Go on listening, though it is over."""
        self._ears.settle()

    def memberships_changed(self) -> None:
        """Name senders anew from now on."""
        self._ears.memberships_changed()

    def newly_here(self) -> list[tuple[str, Membership]]:
        """Return who has come lately and can hear us now, by identity."""
        known = self._known()
        for who in known.keys() - self._met:
            self.newcomers.came(who, monotonic())
        self._met = frozenset(known)
        return [(who, known[who]) for who in self.newcomers.take(known, monotonic())]

    async def publish(self, message: Message, *, to: Sequence[str] = ()) -> None:
        """Send a message to those who listen on our focus.

        Cursors go as NeoBoard sends them, where the next one is along soon; the rest reliably.

        Raises:
            Transient: it does not stand.
        """
        home = self._ears.home
        if home is None:
            raise Transient("not connected")
        await home.publish(encode(message), reliable=not isinstance(message, CursorMove), to=to)

    async def say_to(self, who: str, message: Message) -> None:
        """Send a message to one alone; who does not get it has the next snapshot."""
        with contextlib.suppress(Transient, UsageError):
            await self.publish(message, to=[who])

    async def disconnect(self) -> None:
        """Drop all connections, and have nothing kept any more."""
        await self._ears.disconnect()
        self._keeping.cancel()

    # -- the parts -----------------------------------------------------------------------------

    def _connect(self, focus: Focus, announced: Callable[[str, bool], None]) -> Connection:
        def participant(who: str, here: bool) -> None:  # noqa: FBT001 - a callback
            announced(who, here)
            if focus == self.focus:  # who is elsewhere does not hear us
                self._participant(who, here)

        return self._setting.connect(
            self._home.room_id, focus.service_url, self._wake.set, participant, self._seat
        )

    def _participant(self, who: str, here: bool) -> None:  # noqa: FBT001 - as it comes
        if here:
            self.newcomers.came(who, monotonic())
            self._wake.set()
        else:
            self.newcomers.went(who)

    def _members(self) -> list[Membership]:
        live = self._home.state.live(self._setting.now_ts(), STICKY)
        return [one for one in live if one.call_id == self._whiteboard_id]

    def _known(self) -> dict[str, Membership]:
        """Return the others by their identities."""
        return {name: one for one in self._members() if (name := identity(one)) != self._identity}

    def _names(self, focus: Focus) -> dict[str, tuple[str, str]]:
        return {
            identity(one): (one.user_id, one.device_id)
            for one in self._members()
            if focus in one.foci
        }

    def _content(self) -> Mapping[str, Any]:
        setting = self._setting
        self._respelling.written = self._spelling()
        return sticky.join_content(
            call_id=self._whiteboard_id,
            whose=(setting.own_user, setting.own_device),
            member_id=self._seat.member_id,
            foci=[self.focus],
            spelling=self._respelling.written,
        )

    def _spelling(self) -> str:
        """Return how those who are here spell LiveKit; where nobody is, as it is written."""
        setting = self._setting
        others = [one for one in self._members() if one.user_id != setting.own_user]
        return sticky.spelling(others, self._respelling.written or setting.spelling())

    def _code(self) -> str:
        """Return why we leave: as everybody does, who can be in a closed slot no longer."""
        closed = self._home.state.slot(self._whiteboard_id) is Slot.CLOSED
        return "slot_closed" if closed else "leave"

    def _status_changed(self, status: own.Status) -> None:
        about = {"room": self._home.room_id, "profile": STICKY, "status": status.value}
        _log.info("own membership", extra=about)
        self._wake.set()
        if status is own.Status.FORBIDDEN:
            self._home.forbidden(STICKY)
