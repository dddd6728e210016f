"""Our own taking part in one board's session of the sticky profile (NeoBoard since September 2026).

Everybody publishes on the LiveKit service of his own homeserver and listens on those of the others;
each board has LiveKit rooms of its own. The rules of being announced are those of
`bot.presence.legacy`: a membership is in the room while the connection stands that others hear us
on.

A stay whose membership was taken out goes on listening until the next one stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice, zip_longest
from time import monotonic
from typing import Any

from bot.presence.admission import Claims
from bot.presence.legacy import LEAVE_WITHIN
from bot.presence.memory import Memory
from bot.presence.setting import Home, Setting
from bot.presence.stay import Stay
from bot.rtc.membership import MAX_FOCI, STICKY, Focus
from bot.rtc.slots import Slot
from bot.whiteboard.message import Message

LISTEN_ON = 10.0
"""Seconds that a stay which is over goes on listening at the most."""
AWAY_FOR = 60.0
"""Seconds to stay away when somebody wants us out of LiveKit: another identity is no way back."""

OF_ONE = 2
"""Foci of one person that we go to."""

_log = logging.getLogger(__name__)


class StickyPresence:
    """Takes part in one board's session until closed.

    Args:
        home: the Room it is of.
        setting: what all share.
        whiteboard_id: the board.
        greet: what somebody is told who has just come onto the board.
        memory: of when we were here before.
    """

    def __init__(
        self,
        home: Home,
        setting: Setting,
        whiteboard_id: str,
        greet: Callable[[], Sequence[Message]],
        memory: Memory,
    ) -> None:
        self._home = home
        self._setting = setting
        self._whiteboard_id = whiteboard_id
        self._greet = greet
        self._wake = asyncio.Event()
        self._withdrawing = self._closing = False
        self._claims = Claims(setting.admission, home.room_id)
        self._now: Stay | None = None
        self._former: dict[Stay, float] = {}  # with the instants at which they give up listening
        self._memory = memory
        self._doubled = False  # whether it was said that another process runs
        self._unfocused = False  # whether it was said that there is no focus
        self._tasks: asyncio.TaskGroup
        self._keys = {"room": home.room_id, "profile": STICKY}

    @property
    def connected(self) -> bool:
        """Whether others can hear us."""
        return self._now is not None and self._now.connected

    @property
    def member_ids(self) -> frozenset[str]:
        """Under which ids we are in the room, or may be."""
        return frozenset(stay.member_id for stay in self._stays() if not stay.has_left)

    def room_changed(self) -> None:
        """Look at the room's memberships again."""
        for stay in self._stays():
            stay.memberships_changed()
        self._wake.set()

    def own_sticky(self, event: Mapping[str, Any]) -> None:
        """Take what sync shows of a sticky membership of ours."""
        for stay in self._stays():
            stay.keeper.own_state(event)
        self._wake.set()

    def permission_changed(self) -> None:
        """Try to announce again: the room's power levels have changed."""
        for stay in self._stays():
            stay.keeper.permission_changed()
        self._wake.set()

    def retime(self) -> None:
        """Take the durations anew."""
        for stay in self._stays():
            stay.keeper.retime(self._setting.sticky_timing())

    async def publish(self, message: Message) -> None:
        """Send a message to everybody; nobody hears it while there is no connection.

        Raises:
            Transient: the connection has just broken.
            UsageError: it is too large.
        """
        if self._now is not None and self._now.connected:
            await self._now.publish(message)

    async def close(self) -> None:
        """Withdraw the membership, then disconnect."""
        self._withdrawing = True
        for stay in self._stays():
            if not stay.keeper.leaving:
                stay.keeper.leave()
        try:
            async with asyncio.timeout(LEAVE_WITHIN):
                for stay in self._stays():
                    await stay.keeper.left()
        except TimeoutError:
            _log.warning("the homeserver did not take the leave in time", extra=self._keys)
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Take part until closed."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while not self._closing:
                    self._wake.clear()
                    self._follow()
                    try:
                        async with asyncio.timeout(self._next_look()):
                            await self._wake.wait()
                    except TimeoutError:
                        pass
                for stay in self._stays():
                    await stay.disconnect()
        finally:
            self._claims.end()

    # -- the loop ------------------------------------------------------------------------------

    def _follow(self) -> None:
        focus = self._own_focus() if self._has_place() else None
        if self._now is not None:
            self._end_if_over(self._now, focus)
        if self._now is None and focus is not None and self._pause() <= 0:
            self._now = Stay(
                self._home,
                self._setting,
                self._whiteboard_id,
                focus,
                tasks=self._tasks,
                wake=self._wake,
            )
        if self._now is not None:
            self._now.follow(self._foci())
            for who, _ in self._now.newly_here():
                for message in self._greet():
                    self._tasks.create_task(self._now.say_to(who, message))
        for stay in self._former:
            stay.listen_on()
        self._let_go()

    def _next_look(self) -> float:
        """Return the seconds until something is due by itself."""
        now, pause = monotonic(), self._pause()
        due = [now + 30.0, *([now + pause] if pause > 0 else [])]
        due += [until for until in self._former.values() if until > now]
        if self._now is not None:
            due += self._now.due(self._setting.sfu_grace)
        return max(0.02, min(due) - now)

    def _stays(self) -> list[Stay]:
        return [*self._former, *([] if self._now is None else [self._now])]

    def _has_place(self) -> bool:
        """Whether to be on the board, and the homeserver's limits carry it."""
        allowed = self._home.state.may_announce(STICKY)
        if not (allowed or self._withdrawing):
            self._home.forbidden(STICKY)
        closed = self._home.state.slot(self._whiteboard_id) is Slot.CLOSED
        wanted = allowed and not (closed or self._withdrawing or self._yields())
        place = f"{STICKY} {self._whiteboard_id}"
        placed = self._claims.follow(
            frozenset({place}) if wanted else frozenset(),
            lambda _: all(stay.has_left for stay in self._stays()),
        )
        if wanted and not placed:
            self._home.full()
        return bool(placed)

    def _yields(self) -> bool:
        """Whether another process of our account is on the board that was there before us.

        One of the two is enough; should it end, we are there as soon as the room knows.
        """
        setting, state = self._setting, self._home.state
        claims = state.own_stickies(setting.own_device, setting.now_ts())
        here = [one for one in claims if one.call_id == self._whiteboard_id]
        doubled = any(map(setting.life.is_twin, here))
        if doubled and not self._doubled:
            _log.error("another process uses our account and device", extra=self._keys)
        self._doubled = doubled
        return setting.life.yields(here, "" if self._now is None else self._now.member_id)

    def _own_focus(self) -> Focus | None:
        """Return where to publish: where we do, while that may be; else our homeserver's first."""
        setting = self._setting
        offered = [*setting.own_foci(), *setting.configured_foci]
        possible = [focus for focus in offered if setting.allowed(focus)]
        if not possible and not self._unfocused:
            _log.warning("no focus is known that may be used", extra=self._keys)
        self._unfocused = not possible
        if self._now is not None and self._now.focus in possible:
            return self._now.focus
        return possible[0] if possible else None

    def _foci(self) -> dict[Focus, str]:
        """Return where the members publish, as far as we may go there, and who is first to do so.

        First one focus of everybody, whoever came first; then a second one: NeoBoard names one,
        and nobody takes the places of others by naming many.
        """
        members = self._home.state.live(self._setting.now_ts(), STICKY)
        here = [one for one in members if one.call_id == self._whiteboard_id]
        here.sort(key=lambda one: (one.created_ts, one.user_id, one.member_id))
        theirs: dict[str, dict[Focus, None]] = {}
        for one in here:
            allowed = filter(self._setting.allowed, one.foci)
            theirs[one.user_id] = dict.fromkeys(allowed) | theirs.get(one.user_id, {})
        named = [[(focus, who) for focus in foci][:OF_ONE] for who, foci in theirs.items()]
        found: dict[Focus, str] = {}
        for focus, who in filter(None, chain.from_iterable(zip_longest(*named))):
            found.setdefault(focus, who)
        return dict(islice(found.items(), MAX_FOCI))

    # -- the end of a stay ---------------------------------------------------------------------

    def _end_if_over(self, stay: Stay, focus: Focus | None) -> None:
        now = monotonic()
        if stay.over:
            _log.warning("our membership was taken out: joining again", extra=self._keys)
            self._memory.taken_out(now)
            self._former[stay] = now + LISTEN_ON
        elif focus != stay.focus or stay.lost_for >= self._setting.sfu_grace:
            if stay.refused or not stay.keeper.leaving:
                self._memory.left(now, away=AWAY_FOR if stay.refused else 0.0)
            if not stay.keeper.leaving:
                stay.keeper.leave()
            self._former[stay] = now
        else:
            return
        self._now = None

    def _pause(self) -> float:
        """Return the seconds to stay away: somebody wants us out, or takes us out again and again.

        (docs/matrixrtc.md, 2.6)
        """
        timing, now = self._setting.sticky_timing(), monotonic()
        lately = [at for at in self._memory.ends if now - at < timing.fight_window]
        fought = len(lately) > timing.fight_limit
        until = lately[-1] + timing.fight_pause if fought else now
        return max(until, self._memory.away_until) - now

    def _let_go(self) -> None:
        """Disconnect former stays once they are not needed; their leave may still be on its way."""
        now = monotonic()
        for stay, until in list(self._former.items()):
            if stay.has_left and (now >= until or self._now is None or self._now.connected):
                del self._former[stay]
                self._tasks.create_task(stay.disconnect())
