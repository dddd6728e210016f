"""Host: the rooms the bot is in; each supervised, each with an inbox of its own.

Takes what sync brings, decides on invites, starts a Room per Matrix room and begins one anew when
it fails: a room's crash stays in the room (DESIGN rule 9).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self

from bot import metrics
from bot.backoff import backoff
from bot.boards.board import Board
from bot.borders import end_if_cancelled
from bot.errors import Forbidden, NotFound, ServerError, Transient
from bot.rooms.invites import Invite, Policy, read_invite
from bot.rooms.room import Room
from bot.rooms.shared import Batch, Reread, Shared
from bot.roomstate import RoomState
from bot.rtc.stickies import Stickies
from bot.whiteboard.board import BoardKey

INBOX = 256
"""Batches a room may be behind; then sync waits for it."""
SETTLE = 2.0
"""Seconds before an invite from another server is answered: that server knows of it only when ours
has taken it. A decline sent at once (0.02 s) was refused there with 403, and never seen."""
CONFIRMED_AT_ONCE = 2
"""Rooms whose state is read apart at the same time."""
CONFIRM_TRIES = 5
"""Times that is tried in a room where something happens meanwhile."""

_log = logging.getLogger(__name__)


class Homeserver(Protocol):
    """The calls needed here."""

    async def join(self, room_id: str, via: Sequence[str] = ()) -> None:
        """Join a room."""

    async def leave(self, room_id: str, reason: str | None = None) -> None:
        """Leave a room, or decline an invite."""

    async def state_event(
        self, room_id: str, event_type: str, state_key: str = ""
    ) -> dict[str, Any] | None:
        """Read the content of one state event."""

    async def room_state(self, room_id: str) -> list[dict[str, Any]]:
        """Read the whole state of a room."""


@dataclass(slots=True)
class _Slot:
    """A room's place: outlives a Room that fails.

    Attributes:
        whole: whether its first batch holds the room's whole state.
        delivered: how many batches sync has brought for it.
        confirming: whether its state is being read apart.
    """

    whole: bool
    delivered: int = 0
    confirming: bool = False
    inbox: asyncio.Queue[tuple[Batch, asyncio.Future[None]]] = field(
        default_factory=lambda: asyncio.Queue(INBOX)
    )
    room: Room | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def came_again(self) -> bool:
        """Forget batches of a stay that is over; returns whether another one has begun."""
        rest = [self.inbox.get_nowait() for _ in range(self.inbox.qsize())]
        again = [at for at, (batch, _) in enumerate(rest) if _is_whole(batch)]
        begins = again[-1] if again else len(rest)
        for _, handled in rest[:begins]:
            handled.set_result(None)
        for item in rest[begins:]:
            self.inbox.put_nowait(item)
        return bool(again)


def _server(user_id: str) -> str:
    return user_id.partition(":")[2]


def _is_whole(batch: Any) -> bool:
    return batch.kind == "join" and bool(batch.full_state)


class Host:
    """The rooms.

    Args:
        homeserver: to join and leave.
        shared: what all Rooms share.
        policy: who may invite.

    Use as `async with`: leaving it ends every room's task, without withdrawing (`close` does that).
    """

    def __init__(self, homeserver: Homeserver, shared: Shared, policy: Policy) -> None:
        self._homeserver = homeserver
        self._shared = shared
        self._policy = policy
        self._tasks = asyncio.TaskGroup()
        self._slots: dict[str, _Slot] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._joining: set[str] = set()  # invites on their way count as rooms already
        self._confirming = asyncio.Semaphore(CONFIRMED_AT_ONCE)

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._keeping:
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    @property
    def rooms(self) -> list[Room]:
        """The rooms that run now."""
        return [slot.room for slot in self._slots.values() if slot.room is not None]

    # -- what sync brings --------------------------------------------------------------------

    async def deliver(self, batch: Any) -> asyncio.Future[None]:
        """Put a batch where it belongs; waits while the room's inbox is full.

        Returns:
            Done when the batch is handled.
        """
        handled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        slot = self._slots.get(batch.room_id)
        if batch.kind == "invite":
            self._own(self._invited(batch, handled, slot))
            return handled
        if slot is None:
            if batch.kind == "leave":
                handled.set_result(None)
                return handled
            slot = self._slots[batch.room_id] = _Slot(_is_whole(batch))
            self._own(self._keep(batch.room_id, slot))
        tells_state = _is_whole(batch) or (batch.kind == "join" and slot.delivered and batch.state)
        if tells_state and not slot.confirming:
            slot.confirming = True
            self._own(self._confirm(batch.room_id, slot))
        slot.delivered += 1
        await slot.inbox.put((batch, handled))
        return handled

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(work)
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _invited(self, batch: Any, handled: asyncio.Future[None], slot: _Slot | None) -> None:
        try:
            invite = read_invite(batch.room_id, self._shared.own_user, batch.state)
            if invite is not None:
                if slot is not None:
                    await self._end(slot)  # we are out, although no batch has said so
                # While drained: unanswered. If the bot ends meanwhile, its next life sees it again.
                await self._shared.open.wait()
                await self._answer(invite)
        except asyncio.CancelledError:
            handled.cancel()  # not handled: the next start sees it again
            raise
        except Exception:  # noqa: BLE001 - the border of a stranger's invite
            _log.exception("an invite could not be handled", extra={"room": batch.room_id})
        handled.set_result(None)

    async def _put(self, slot: _Slot, batch: Reread) -> asyncio.Future[None]:
        """Put a batch of our own beside those of sync; done when it is handled."""
        handled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await slot.inbox.put((batch, handled))
        return handled

    async def _end(self, slot: _Slot) -> None:
        """Have a room's task end as if sync had said that we are out."""
        handled = await self._put(slot, Reread((), "leave"))
        await slot.ended.wait()
        handled.cancelled() or handled.exception()

    async def _answer(self, invite: Invite) -> None:
        rooms = len(self._slots.keys() | self._joining)
        refusal = self._policy.refusal(invite, rooms, monotonic())
        if refusal is None:
            self._joining.add(invite.room_id)
        try:
            await self._send_answer(invite, refusal)
        finally:
            self._joining.discard(invite.room_id)

    async def _send_answer(self, invite: Invite, refusal: str | None) -> None:
        keys = {"room": invite.room_id, "inviter": invite.sender}
        waits = backoff(random.random)
        if _server(invite.sender) != _server(self._shared.own_user):
            await asyncio.sleep(SETTLE)
        for _ in range(5):
            try:
                if refusal is None:
                    _log.info("invited: joining", extra=keys)
                    await self._homeserver.join(invite.room_id)
                else:
                    _log.info("invited: declining", extra={**keys, "reason": refusal})
                    await self._homeserver.leave(invite.room_id, refusal)
            except Transient as error:
                await asyncio.sleep(error.retry_after or next(waits))
            except ServerError:
                break
            else:
                metrics.INVITES.labels("joined" if refusal is None else "declined").inc()
                return
        _log.warning("an invite could not be answered", extra=keys)
        metrics.INVITES.labels("failed").inc()

    # -- what admission says -------------------------------------------------------------------

    def ask_again(self, room_id: str) -> None:
        """Let a room whose board had to wait ask for a place again."""
        slot = self._slots.get(room_id)
        if slot is not None and slot.room is not None and slot.room.sessions.presence is not None:
            slot.room.sessions.presence.room_changed()

    def retime(self) -> None:
        """Let all memberships take their durations anew."""
        for room in self.rooms:
            if room.sessions.presence is not None:
                room.sessions.presence.retime()

    # -- supervision -------------------------------------------------------------------------

    async def _keep(self, room_id: str, slot: _Slot) -> None:
        """Run a Room until the bot is out of it; begin anew after a failure."""
        waits = backoff(random.random)
        metrics.ROOMS.inc()
        try:
            again = None if slot.whole else await self._reread(room_id)
            stickies = Stickies()
            while True:
                slot.room = Room(room_id, self._shared, replaced=self.replaced)
                slot.room.state.stickies = stickies  # which nothing but sync could tell again
                try:
                    await slot.room.run(slot.inbox, again)
                except Exception:  # noqa: BLE001 - the border of a room
                    _log.exception("a room failed; beginning it anew", extra={"room": room_id})
                    end_if_cancelled()
                else:
                    if not slot.came_again():
                        return
                    again, stickies = None, Stickies()
                    continue
                finally:
                    slot.room = None
                await asyncio.sleep(next(waits))
                again = await self._reread(room_id)
        finally:
            metrics.ROOMS.dec()
            del self._slots[room_id]
            slot.ended.set()
            while not slot.inbox.empty():
                _, handled = slot.inbox.get_nowait()
                handled.cancel()

    async def _confirm(self, room_id: str, slot: _Slot) -> None:
        """Read apart what a sync has said of a room's state beside its timeline.

        Where the last events of a room were sent at the same instant, by two people, Synapse's
        sync gives the state as one of them saw it (seen in 60 of 60 tries; of two homeservers all
        the time): who is there is missing until anybody writes again. What is read apart is true.
        """
        async with self._confirming:
            state = await self._undisturbed(room_id, slot)
            slot.confirming = False
        own = self._shared.own_user  # of what we do we know more than that
        others = [one for one in state if own not in {one.get("sender"), one.get("state_key")}]
        if others and not slot.ended.is_set():
            handled = await self._put(slot, Reread(others, full_state=False))
            await asyncio.wait([handled])
            handled.cancelled() or handled.exception()

    async def _undisturbed(self, room_id: str, slot: _Slot) -> Sequence[Mapping[str, Any]]:
        """Read a room's state so that it is no older than what sync has brought; else nothing."""
        for _ in range(CONFIRM_TRIES):
            before = slot.delivered
            try:
                state = await self._homeserver.room_state(room_id)
            except ServerError as error:
                why = {"room": room_id, "why": str(error)}
                _log.warning("a room's state could not be read apart", extra=why)
                break
            if slot.delivered == before:
                return state
        return ()

    async def _reread(self, room_id: str) -> Reread:
        waits = backoff(random.random)
        while True:
            try:
                return Reread(await self._homeserver.room_state(room_id))
            except Transient as error:
                await asyncio.sleep(error.retry_after or next(waits))
            except (Forbidden, NotFound):
                return Reread((), "leave")
            except ServerError:
                return Reread(())  # sync will say how it goes on

    def replaced(self, old: str, new: str) -> None:
        """Follow a room upgrade: leave the old room, join the new one if it says it is that."""
        _log.info("a room was upgraded", extra={"room": old, "replacement": new})
        self._own(self._follow(old, new))

    async def _follow(self, old: str, new: str) -> None:
        slot = self._slots.get(old)
        if slot is not None:
            await slot.ended.wait()  # outside the room our membership could not be cleared
        try:
            await self._homeserver.leave(old, "This room was upgraded.")
            if new and len(self._slots) <= self._policy.max_rooms:
                await self._homeserver.join(new)
                created = await self._homeserver.state_event(new, "m.room.create", "") or {}
                before = created.get("predecessor")
                # Whoever may close a room must not send the bot anywhere else.
                if not isinstance(before, Mapping) or before.get("room_id") != old:
                    await self._homeserver.leave(new, "This is not the upgraded room.")
        except ServerError:
            _log.warning(
                "the room's successor cannot be joined; somebody has to invite the bot",
                extra={"room": new},
            )
        except Exception:  # noqa: BLE001 - the border of a stranger's wish
            _log.exception("a room upgrade could not be followed", extra={"room": old})

    def look_soon(self) -> None:
        """Have every room look at who is where: the bot takes part again."""
        for room in self.rooms:
            room.look_soon()

    async def close(self) -> None:
        """Withdraw from all boards at once."""
        await self._all(lambda room: room.sessions.close())

    async def rescue(self) -> None:
        """Save what might be lost when the program ends."""
        await self._all(lambda room: room.boards.rescue(leaving=False))

    async def settle(self) -> None:
        """Have the archive hold all there is of the boards."""
        await self._all(lambda room: room.boards.close())

    async def _all(self, work: Callable[[Room], Coroutine[Any, Any, None]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for room in self.rooms:
                tasks.create_task(work(room))

    # -- what handlers ask (handlers.base.Context) ---------------------------------------------

    def find(self, room_id: str, whiteboard_id: str | None = None) -> BoardKey | None:
        """Return a board by room and id; without an id the room's oldest."""
        if (state := self.state(room_id)) is None:
            return None
        return state.boards.get(whiteboard_id) if whiteboard_id else state.oldest_board()

    def state(self, room_id: str) -> RoomState | None:
        """Return what a room says; None when the bot is not in it."""
        room = self._room(room_id)
        return None if room is None else room.state

    def recorded(self, room_id: str, ts: int) -> bool:
        """Return whether what happened in a room at an instant may be recorded: it is no pause."""
        room = self._room(room_id)
        return room is None or (room.boards.recording and ts >= room.boards.resumed_ts)

    async def board(self, key: BoardKey) -> Board | None:
        """Return a board, loaded."""
        room = self._room(key.room_id)
        board = None if room is None else room.boards.found.get(key.whiteboard_id)
        if room is None or board is None or board.key != key:
            return None
        await room.boards.open(board)
        return board

    def _room(self, room_id: str) -> Room | None:
        return None if (slot := self._slots.get(room_id)) is None else slot.room
