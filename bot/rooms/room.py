"""Room: one supervised task per Matrix room; its events in order, its boards, its presence.

The sync loop puts batches into the inbox; the Room alone changes its state. Whatever may take long
(reading snapshots, taking part in a session, writing a snapshot) is a task of the Room's own group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from bot.boards.boards import Boards
from bot.commands.parser import Request, read_request
from bot.permission import own_refusal
from bot.rooms import conversation, past, stale
from bot.rooms.complaints import Complaints
from bot.rooms.remembered import Remembered
from bot.rooms.sessions import Sessions
from bot.rooms.shared import Batch, Inbox, Shared
from bot.roomstate import STATE_TYPES, RoomState
from bot.rtc.membership import MEMBER_TYPE, STICKY, Membership
from bot.rtc.sticky import STICKY_TYPES
from bot.services import Arrival
from bot.whiteboard.board import BOARD_TYPE, BoardKey
from bot.whiteboard.message import Message, Update
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE

LOOK_EVERY = 60.0
"""Seconds at the most between two looks at checkpoints."""

_log = logging.getLogger(__name__)


class _OutError(Exception):
    """Raised in a Room's own group when the bot is out of the room: ends what still runs."""


class Room:
    """One Matrix room the bot is in.

    Args:
        room_id: which.
        shared: what all Rooms share.
        replaced: told when the room was upgraded: its id, and that of the new one.
    """

    def __init__(
        self, room_id: str, shared: Shared, *, replaced: Callable[[str, str], None]
    ) -> None:
        self.room_id = room_id
        self.state = RoomState(room_id, shared.own_user, require_open_slot=shared.require_open_slot)
        self.boards: Boards
        self.sessions: Sessions
        self.ended = asyncio.Event()
        self._shared = shared
        self._replaced = replaced
        self._conversation = conversation.Conversation(
            shared.homeserver, room_id, shared.languages, shared.prefix, shared.power
        )
        self._tasks: asyncio.TaskGroup
        self._complaints: Complaints
        self._remembered: Remembered
        self._wake = asyncio.Event()
        self._due = False  # whether sessions are to be looked at without a batch
        self._met = False
        self._power_changed = asyncio.Event()  # another one after each change
        self._acting = asyncio.Lock()  # people in the room and the operator may command at once
        self._keys = {"room": room_id}

    # -- life ------------------------------------------------------------------------------

    async def run(self, inbox: Inbox, first: Batch | None = None) -> None:
        """Handle batches until the bot is no longer in the room, or cancelled.

        Args:
            inbox: batches, each with a future that says it was handled.
            first: handled before them: the room's state, read apart.
        """
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await self._live(inbox, first)
        except* _OutError:
            pass
        finally:
            self.sessions.forget()
            self.boards.forget()

    async def _live(self, inbox: Inbox, first: Batch | None) -> NoReturn:
        await self._furnish(self._tasks)
        self._tasks.create_task(self._look())
        if first is not None:
            await self._handle(first)
        while not self.ended.is_set():
            batch, handled = await inbox.get()
            try:
                await self._handle(batch)
            except BaseException as error:
                # Cancelled: the next start sees it again. Failed: that would help nobody.
                _end(handled, error)
                raise
            handled.set_result(None)
        await self.sessions.close()
        if self.state.replacement is not None:
            await self.boards.rescue(leaving=True)
        await self.boards.lose_all()
        raise _OutError

    async def _furnish(self, tasks: asyncio.TaskGroup) -> None:
        shared = self._shared
        self._complaints = Complaints(
            shared.archive, self._conversation, lambda: own_refusal(self.state), tasks
        )
        self.boards = Boards(
            self.state,
            shared.homeserver,
            shared.archive,
            shared.services,
            wanted=lambda: self.sessions.wanted,
            publish=self._publish,
            heard=self._heard,
            changed=self.look_soon,
            pace=shared.pace,
            refused=self._complaints.saving_refused,
            mended=self.say if shared.tell_repairs else None,
            tasks=tasks,
        )
        self.sessions = Sessions(
            self.state,
            self.boards.found,
            shared.services,
            presence=lambda: shared.presence(self),
            prepare=self.boards.prepare,
            release=self.boards.release,
            always=shared.always,
            linger=shared.linger,
            tasks=tasks,
            admits=shared.open.is_set,
        )
        self._remembered = Remembered(shared.archive, self.room_id, tasks)
        kept = await shared.archive.room(self.room_id)
        if kept is not None:
            self.boards.paused, self.boards.resumed_ts = kept.paused, kept.resumed_ts
            self._remembered.named = kept.name, kept.alias

    def look_soon(self) -> None:
        """Look at who is where without waiting for a batch."""
        self._due = True
        self._wake.set()

    async def _publish(self, update: Update) -> None:
        await self.sessions.publish(update)

    def _heard(self, key: BoardKey, arrival: Arrival) -> None:
        self.sessions.heard(key, arrival)

    async def _look(self) -> None:
        """Look at what changes without an event: memberships that expire, checkpoints due."""
        while True:
            wait = self.sessions.next_look()
            try:
                async with asyncio.timeout(LOOK_EVERY if wait is None else min(wait, LOOK_EVERY)):
                    await self._wake.wait()
            except TimeoutError:
                self._due = True
            self._wake.clear()  # here: what comes during the look asks for another one
            if self._due:
                self._due = False
                await self._reconsider()
            await self.boards.look()

    # -- batches ---------------------------------------------------------------------------

    async def _handle(self, batch: Batch) -> None:
        for event in batch.state:
            await self._take_state(event)
        for event in (*batch.sticky, *batch.timeline):
            if "state_key" in event:
                await self._take_state(event)
            else:
                await self._take(event)
        await self._keep_memberships(batch)
        if self.ended.is_set():
            return  # somebody has sent us away
        if batch.kind == "leave" or self.state.own_membership != "join":
            await self._remembered.noticed(noticed=False)  # who invites us again is told again
            await self._complaints.forget()
            self.ended.set()
        elif self.state.encrypted:
            await self.leave("encrypted")
        elif self.state.replacement is not None:
            self._replaced(self.room_id, self.state.replacement)
            self.ended.set()
        else:
            await self._remembered.name(self.state)
            await self._meet()
            await self._reconsider()
            self._wake.set()

    async def _reconsider(self) -> None:
        await self.sessions.reconsider()
        self.boards.attended(self.sessions.attended, self.sessions.ranks)

    async def _take_state(self, event: Mapping[str, Any]) -> None:
        kind = event.get("type")
        if kind not in STATE_TYPES:
            return
        refused = own_refusal(self.state) is not None
        self.state.apply(event)
        presence = self.sessions.presence
        if kind == BOARD_TYPE:
            await self.boards.follow()
        elif kind == "m.room.power_levels":
            self._powers_changed(refused=refused)
        elif kind == MEMBER_TYPE and presence is not None:
            presence.own_state(event)

    def _powers_changed(self, *, refused: bool) -> None:
        """Try again what the room did not allow."""
        self._power_changed.set()
        self._power_changed = asyncio.Event()
        if refused and own_refusal(self.state) is None:
            self._complaints.saving_refused(False)
        self.boards.saving.permission_changed()
        if self.state.may_announce(STICKY):
            ghosts = self._ghosts()  # which we were not allowed to take out
            homeserver = self._shared.homeserver
            self._tasks.create_task(stale.take_out(homeserver, self.room_id, ghosts))
        if self.sessions.presence is not None:
            self._complaints.over("forbidden")
            self.sessions.presence.permission_changed()

    async def _keep_memberships(self, batch: Batch) -> None:
        """Keep what a batch says of who was where."""
        if self.boards.recording:
            since = self.boards.resumed_ts  # what was in a pause is not kept later either (rule 8)
            archive = self._shared.archive
            before = [*batch.state, *batch.sticky]
            await past.keep_seen(
                archive, self.room_id, before, batch.timeline, since, gap=batch.gap
            )

    async def _take(self, event: Mapping[str, Any]) -> None:
        kind = event.get("type")
        if kind == "m.room.message":
            request = read_request(event, self._shared.prefix)
            sent_away = self.ended.is_set()  # by an order in the same batch
            if request and not sent_away and request.sender != self._shared.own_user:
                await self._answer(request)
        elif kind == "m.room.redaction":
            await self._redact(event)
        elif kind in STICKY_TYPES:
            self._take_sticky(event)
        elif kind in {SNAPSHOT_TYPE, CHUNK_TYPE}:
            await self.boards.take(event)

    def _take_sticky(self, event: Mapping[str, Any]) -> None:
        self.state.take_sticky(event, self._shared.services.now_ts())
        presence = self.sessions.presence
        if presence is not None and event.get("sender") == self._shared.own_user:
            presence.own_sticky(event)

    async def _answer(self, request: Request) -> None:
        """Obey orders at once, every one; answer questions beside, in turn and not too often."""
        talk, power = self._conversation, self.state.power(request.sender)
        if talk.is_order(request, power):
            await talk.answer(request, power, self)
        elif talk.may_answer():
            self._tasks.create_task(talk.answer_in_turn(request, power, self))

    async def _redact(self, event: Mapping[str, Any]) -> None:
        presence = self.sessions.presence
        for key in self.state.redact(event):
            if presence is not None:  # of this, sync shows no state
                presence.own_state({**event, "state_key": key, "content": {}})
        if presence is not None:
            presence.own_sticky(event)
        await self.boards.follow()

    # -- what the Presence asks (presence.Home) ------------------------------------------------

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        """Take messages from the connection."""
        self.sessions.deliver(arrivals)

    def lacking(self, whiteboard_id: str) -> Message | None:
        """Return what somebody lacks who has just come onto a board."""
        return self.boards.lacking(whiteboard_id)

    def forbidden(self, profile: str) -> None:
        """Say once that the membership is refused, and how to mend it."""
        needed = self.state.needed_for_membership(profile)
        self._complaints.not_announced(self._shared.own_user, profile, needed)

    def full(self) -> None:
        """Say once that the bot cannot be on a board here yet: its places are taken."""
        self._complaints.once("full")

    def unheard(self) -> None:
        """Say once that people are here whom the bot's homeserver keeps it from hearing."""
        if self._complaints.once("unheard"):
            _log.warning(
                "people of the sticky profile are not heard: the homeserver has no sticky events",
                extra=self._keys,
            )

    def bridged(self) -> None:
        """Say once that the bot passes on what people of two profiles do."""
        self._complaints.for_good("bridged", lambda: self._power_changed)

    # -- what people ask (actions.Acts) --------------------------------------------------------

    async def say(self, name: str) -> None:
        """Say a sentence in the room."""
        await self._conversation.say(name)

    def status(self) -> conversation.Status:
        """Return how the bot is here."""
        boards, services = self.boards, self._shared.services
        age = boards.unsaved_for()
        return conversation.Status(
            boards.recording,
            len(boards.found),
            self.sessions.connected,
            boards.saving.writes,
            None if age is None else services.now_ts() - round(age * 1000),
        )

    async def pause(self) -> bool:
        """Stop recording; False when nothing was recorded."""
        async with self._acting:
            if self.boards.recording:
                await self.boards.pause()
                await self._remembered.pause(self.boards)
                return True
        return False

    async def resume(self) -> bool:
        """Go on recording with one baseline per board; False when nothing was paused."""
        async with self._acting:
            if self.boards.paused:
                await self.boards.resume()
                await self._remembered.pause(self.boards)
                return True
        return False

    async def leave(self, why: str) -> None:
        """Say why, and leave."""
        async with self._acting:
            await self._conversation.say(why)
            await self.sessions.close()
            await self.boards.rescue(leaving=True)
            try:
                await self._shared.homeserver.leave(self.room_id)
            except BaseException:  # whoever ordered it may wait no longer, and we are still here
                self.sessions.reopen()
                self.look_soon()
                raise
            await self._remembered.noticed(noticed=False, paused=False)
            await self._complaints.forget()
            self.ended.set()

    async def _meet(self) -> None:
        """Say once on joining what the bot does, what it records and how to stop it."""
        if self._met:
            return
        self._met = True
        shared = self._shared
        await stale.clear(shared.homeserver, self.state, shared.own_device, self._ghosts())
        kept = await shared.archive.room(self.room_id)
        if kept is None or not kept.noticed:
            self._tasks.create_task(self._greet())

    def _ghosts(self) -> list[Membership]:
        """Return sticky memberships of ours that nothing of ours is about."""
        shared, presence = self._shared, self.sessions.presence
        held = frozenset() if presence is None else presence.member_ids
        claims = self.state.own_stickies(shared.own_device, shared.services.now_ts())
        return shared.life.ghosts(claims, held)

    async def _greet(self) -> None:
        recorded = self._shared.services.recording
        text = "hello" if recorded else "hello_unrecorded"
        await self._conversation.greet(text, lambda: self._power_changed)
        await self._remembered.noticed(noticed=True)


def _end(handled: asyncio.Future[None], error: BaseException) -> None:
    if isinstance(error, Exception):
        handled.set_exception(error)
    else:
        handled.cancel()
