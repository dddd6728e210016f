"""The sessions of a room as they are now: who, since when, where, and when that changes by itself.

Pure: computed from what the room says whenever somebody asks, never kept (docs/matrixrtc.md, QS1).
Every application's sessions are there, with those of whiteboards the bot knows no board for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bot.roomstate import RoomState
from bot.rtc.membership import LEGACY, STICKY, WHITEBOARD, Membership
from bot.rtc.session import sessions, slot_of
from bot.whiteboard.board import BoardKey


@dataclass(frozen=True, slots=True)
class MemberView:
    """A device in a session.

    Attributes:
        since_ts: since when it has been there without a break, ms.
        expires_ts: when its membership ends unless renewed, ms.
        focus: URL of the LiveKit service it names first that we could use; None without any.
        foreign_focus: whether the focus it names first is of a kind the bot does not know.
        ours: whether it is of the bot's own account.
        profile: `legacy` or `sticky`: how it announces itself.
    """

    user_id: str
    device_id: str
    since_ts: int
    expires_ts: int
    focus: str | None
    foreign_focus: bool
    ours: bool
    profile: str


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session that has a live member.

    Attributes:
        application: such as `net.nordeck.whiteboard`.
        call_id: the slot's id as in MSC4143: Element Call's is `ROOM`.
        board: the board it is about; None for other applications, and when no board fits.
        members: oldest first, the bot among them.
        next_change_ts: when the next of them expires if no event comes, ms.
        bridged: whether we are in it by both profiles, of which the members tell the sticky one.
    """

    application: str
    call_id: str
    board: BoardKey | None
    members: tuple[MemberView, ...]
    next_change_ts: int
    bridged: bool

    @property
    def people(self) -> tuple[MemberView, ...]:
        """Its members without the bot."""
        return tuple(member for member in self.members if not member.ours)


def overview(state: RoomState, now_ts: int) -> tuple[SessionView, ...]:
    """Return the room's sessions at an instant (ms, the homeserver's clock), in a fixed order."""
    boards = state.call_ids()
    live = state.live_of_all(now_ts)
    ours = {(slot_of(one), one.profile) for one in live if one.user_id == state.own_user}
    found = sessions(live, now_ts, state.joined.__contains__)
    return tuple(
        SessionView(
            application=slot.application,
            call_id=slot.call_id,
            board=boards.get(slot.call_id) if slot.application == WHITEBOARD else None,
            members=_members(state, session.members),
            next_change_ts=min(member.expires_ts for member in session.members),
            bridged={(slot, LEGACY), (slot, STICKY)} <= ours,
        )
        for slot, session in sorted(found.items())
    )


def _members(state: RoomState, members: Iterable[Membership]) -> tuple[MemberView, ...]:
    return tuple(
        MemberView(
            user_id=member.user_id,
            device_id=member.device_id,
            since_ts=state.since(member),
            expires_ts=member.expires_ts,
            focus=member.foci[0].service_url if member.foci else None,
            foreign_focus=member.foreign_focus,
            ours=member.user_id == state.own_user,
            profile=member.profile,
        )
        for member in members
    )
