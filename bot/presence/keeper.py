"""Keeper: carries out what our own membership's state machine decides (`rtc.own`).

The machine is pure; this is the thin shell around it: one task per membership that takes an action,
asks the homeserver, and tells the machine what came of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Generic, TypeVar

from bot import metrics
from bot.errors import ServerError, Unsupported
from bot.presence.forms import Form
from bot.rtc import actions
from bot.rtc.own import OwnMembership, Status
from bot.rtc.timing import Timing

JOIN_LANDS_WITHIN = 0.4
"""Seconds for a membership on its way to be answered before the leave is sent after it."""

F = TypeVar("F", bound=Form)

_log = logging.getLogger(__name__)


class Keeper(Generic[F]):
    """Keeps one membership of ours in a room for as long as it is wanted.

    Args:
        form: what the membership looks like there.
        machine: decides.
        supported: whether the homeserver has delayed events.
        changed: called whenever the status has changed.
    """

    def __init__(
        self,
        form: F,
        machine: OwnMembership,
        *,
        supported: Callable[[], bool],
        changed: Callable[[Status], None],
    ) -> None:
        self.form = form
        self.machine = machine
        self._supported = supported
        self._changed = changed
        self._status = machine.status
        self._announced = self._probably_left = False
        self._healthy = True
        self._keys = {"room": form.room_id, "profile": form.profile}
        self._wake = asyncio.Event()
        self._rested = asyncio.Event()
        self._asking: asyncio.Timeout | None = None
        self._joining = False
        self._wanted = self._lacking = False

    def join(self) -> None:
        """Announce the membership and keep it."""
        self._wanted = True
        self.machine.join(monotonic())
        self._wake.set()

    @property
    def leaving(self) -> bool:
        """Whether it is being withdrawn, or is not there."""
        return not self._wanted

    def leave(self) -> None:
        """Withdraw it; an action in flight is abandoned, as it may hang.

        A membership on its way gets a moment: abandoned, it might come into the room after the
        leave, with nothing behind it that would ever take it out.
        """
        self._wanted = False
        self.machine.leave(monotonic())
        if self._asking is not None and not self._asking.expired():
            now = asyncio.get_running_loop().time()
            latest = now + (JOIN_LANDS_WITHIN if self._joining else 0.0)
            self._asking.reschedule(min(latest, self._asking.when() or latest))
        self._wake.set()

    def give_way(self) -> None:
        """Withdraw without touching the state: another application of ours stands there now."""
        self._wanted = False
        self.machine.give_way(monotonic())
        self._wake.set()

    def renew(self) -> None:
        """Send it again soon: what it says has changed."""
        self.machine.renew(monotonic())
        self._wake.set()

    def permission_changed(self) -> None:
        """Try again: the room's power levels have changed."""
        self.machine.permission_changed(monotonic())
        self._wake.set()

    def retime(self, timing: Timing) -> None:
        """Change the durations."""
        self.machine.retime(timing, monotonic())
        self._wake.set()

    def own_state(self, event: Mapping[str, Any]) -> None:
        """Take what sync shows of our membership."""
        shown = self.form.shown(event)
        if shown is not None:
            self.machine.own_state(shown, monotonic())
            self._wake.set()

    async def left(self) -> None:
        """Wait until the membership is withdrawn."""
        while not self.machine.left:
            self._rested.clear()
            await self._rested.wait()

    async def run(self) -> None:
        """Carry out actions until cancelled."""
        try:
            while True:
                self._wake.clear()
                self._follow_support()
                action = self.machine.take(monotonic())
                if action is None:
                    await self._rest()
                else:
                    self.machine.done(await self._carry_out(action), monotonic())
                self._report()
        finally:
            self._count(announced=False)

    def _follow_support(self) -> None:
        """Have the leave armed once the homeserver says that it can: looked at at each renewal."""
        if self._lacking and self._supported():
            self._lacking = False
            self.machine.arm_again(monotonic())

    def _report(self) -> None:
        """Say what is different now."""
        machine = self.machine
        self._count(announced=machine.joined)
        probably_left = machine.probably_left(monotonic())
        if probably_left is not self._probably_left:
            self._probably_left = probably_left
            if probably_left:
                _log.warning("no restart got through: probably cleared", extra=self._keys)
        if machine.healthy is not self._healthy:
            self._healthy = machine.healthy
            if not self._healthy:
                _log.warning("keeping the membership fails again and again", extra=self._keys)
        if machine.status is not self._status:
            self._status = machine.status
            if self._status is Status.PAUSED:
                self._warn_of_fight()
            self._changed(self._status)

    def _count(self, *, announced: bool) -> None:
        metrics.MEMBERSHIPS.inc(announced - self._announced)
        self._announced = announced

    def _warn_of_fight(self) -> None:
        if self.machine.twin:
            _log.error("another process uses our account and device", extra=self._keys)
        else:
            _log.warning("somebody clears our membership again and again", extra=self._keys)

    async def _rest(self) -> None:
        """Wait for the machine's deadline or for news."""
        self._rested.set()
        deadline = self.machine.deadline
        try:
            async with asyncio.timeout(
                None if deadline is None else max(0.0, deadline - monotonic())
            ):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _carry_out(self, action: actions.Action) -> actions.Outcome:
        try:
            # The shell has the same bound; this one also ends a hanging name look-up or TLS.
            self._joining = isinstance(action, actions.SendJoin)
            async with asyncio.timeout(action.timeout) as self._asking:
                return await self._ask(action)
        except (ServerError, TimeoutError) as error:
            return actions.outcome_of(error)
        finally:
            self._asking = None

    async def _ask(self, action: actions.Action) -> actions.Outcome:
        form, server, timeout = self.form, self.form.homeserver, action.timeout
        match action:
            case actions.ListDelayed():
                listed = await server.delayed_events(timeout=timeout)
                return actions.Listed(tuple(one.delay_id for one in listed if form.is_ours(one)))
            case actions.CancelDelayed():
                await server.cancel_delayed(action.delay_id, timeout=timeout)
            case actions.ScheduleLeave():
                if not self._supported():
                    self._lacking = True
                    raise Unsupported("the homeserver has no delayed events")
                delay_ms = round(action.delay * 1000)
                return actions.Scheduled(await form.schedule_leave(delay_ms, timeout=timeout))
            case actions.SendJoin():
                return actions.Sent(
                    await form.send_join(action.expires, action.created_ts, timeout=timeout)
                )
            case actions.Restart():
                await server.restart_delayed(action.delay_id, timeout=timeout)
            case actions.SendDelayed():
                await server.send_delayed(action.delay_id, timeout=timeout)
            case actions.ClearState():
                await form.send_leave(timeout=timeout)
        return actions.Done()
