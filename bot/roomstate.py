"""What a Matrix room says: boards, memberships, people, power. Pure: events in, values out.

Fed with every state event of the room in order, from sync or from a full reading; nothing here is
remembered between starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot import metrics
from bot.commands.parser import power_of
from bot.errors import InvalidMembership
from bot.permission import level_needed
from bot.rtc import session
from bot.rtc.keys import Keys
from bot.rtc.membership import (
    LEGACY,
    MEMBER_TYPE,
    MEMBER_TYPES,
    STICKY,
    WHITEBOARD,
    Membership,
    read_memberships,
)
from bot.rtc.slots import SLOT_TYPES, Slot, Slots
from bot.rtc.stickies import Stickies
from bot.rtc.sticky import STICKY_TYPE, is_sticky
from bot.whiteboard.board import BOARD_TYPE, BoardKey, read_board

MAX_BOARDS = 64
"""Boards followed in one room; more are ignored."""
MAX_AGES = 1_000
"""Boards, gone ones too, of which is kept how old they are."""

MAX_NAME = 200
"""Characters of a room's name and alias that are kept."""

_SINGLE = (
    "m.room.name",
    "m.room.canonical_alias",
    "m.room.power_levels",
    "m.room.create",
    "m.room.encryption",
    "m.room.tombstone",
)


class RoomState:
    """The state of one room, as far as the bot cares.

    Args:
        room_id: which room.
        own_user: the bot's user id.
        require_open_slot: whether sticky memberships count only where the room says that their
            slot is open; else also where nobody has said anything of it.
    """

    def __init__(self, room_id: str, own_user: str, *, require_open_slot: bool = False) -> None:
        self.room_id = room_id
        self.own_user = own_user
        self.stickies = Stickies()
        self.boards: dict[str, BoardKey] = {}
        self.joined: set[str] = set()
        self.name = ""
        self.alias = ""
        self.power_levels: Mapping[str, Any] = {}
        self.creators: frozenset[str] = frozenset()
        self.encrypted = False
        self.replacement: str | None = None
        self.own_membership = "join"
        self._require_open_slot = require_open_slot
        self._slots = Slots()
        self._keys = Keys()
        self._board_age: dict[str, int] = {}
        self._board_event: dict[str, Any] = {}

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take one state event; what is malformed or unknown changes nothing."""
        key, content, sender = event.get("state_key"), event.get("content"), event.get("sender")
        if not (isinstance(key, str) and isinstance(content, Mapping) and isinstance(sender, str)):
            return
        kind = event.get("type")
        if kind in _SINGLE and key:
            return  # what holds for the whole room stands under the empty key alone
        match kind:
            case "m.room.member":
                self._member(key, content)
            case "m.room.power_levels":
                self.power_levels = content
            case "m.room.create":
                self._created(sender, content)
            case "m.room.encryption" | "m.room.tombstone":
                self._closed(kind, content)
            case "net.nordeck.whiteboard":
                self._board(key, event)
            case str() if kind in MEMBER_TYPES:
                self._rtc_member((kind, key), event)
            case str() if kind in SLOT_TYPES:
                self._slot(kind, event)
            case _:
                self._call(kind, content)

    def take_sticky(self, event: Mapping[str, Any], now_ts: int) -> None:
        """Take a sticky event of a member, out of the timeline or apart from it, in any order.

        Args:
            event: whatever else it may be changes nothing.
            now_ts: when it came, ms by the homeserver's clock.
        """
        if is_sticky(event) and not self.stickies.take(event, now_ts):
            metrics.REFUSED_EVENTS.labels("membership").inc()

    def redact(self, event: Mapping[str, Any]) -> list[str]:
        """Take a `m.room.redaction`: a redacted membership is a leave, a redacted board is gone.

        Returns:
            The state keys under which there is no membership of the type we write any more.
        """
        content = event.get("content")
        inside = content.get("redacts") if isinstance(content, Mapping) else None
        target = event.get("redacts", inside)  # at the top before room version 11
        gone = self._keys.redact(target)
        self.stickies.redact(target)
        self._slots.redact(target)
        for key, event_id in list(self._board_event.items()):
            if event_id == target:
                self.boards.pop(key, None)
                del self._board_event[key]
        return [key for kind, key in gone if kind == MEMBER_TYPE]

    def _slot(self, kind: str, event: Mapping[str, Any]) -> None:
        if not self._slots.take(kind, event):
            metrics.REFUSED_EVENTS.labels("slot").inc()

    def _call(self, kind: object, content: Mapping[str, Any]) -> None:
        """Learn how people call the room."""
        if kind == "m.room.name":
            self.name = _shown(content.get("name"))
        elif kind == "m.room.canonical_alias":
            self.alias = _shown(content.get("alias"))

    def _member(self, user: str, content: Mapping[str, Any]) -> None:
        membership = content.get("membership")
        if user == self.own_user:
            self.own_membership = membership if isinstance(membership, str) else "leave"
        if membership == "join":
            self.joined.add(user)
        else:
            self.joined.discard(user)

    def _closed(self, kind: str, content: Mapping[str, Any]) -> None:
        """Note why boards cannot be followed here, or not here any more."""
        if kind == "m.room.encryption":
            self.encrypted = True
        else:
            replacement = content.get("replacement_room")
            self.replacement = replacement if isinstance(replacement, str) else ""

    def _created(self, sender: str, content: Mapping[str, Any]) -> None:
        """Note who created the room: in version 12 they stand above every power level."""
        version = content.get("room_version")
        if isinstance(version, str) and version.isdigit() and int(version) >= 12:
            more = content.get("additional_creators")
            others = more if isinstance(more, list) else []
            self.creators = frozenset([sender, *(user for user in others if isinstance(user, str))])

    def _board(self, key: str, event: Mapping[str, Any]) -> None:
        board = read_board(self.room_id, event)
        if board is None:
            self.boards.pop(key, None)
            self._board_event.pop(key, None)
        elif key in self.boards or len(self.boards) < MAX_BOARDS:
            self.boards[key] = board
            self._board_event[key] = event.get("event_id")
            ts = event.get("origin_server_ts")
            self._board_age.setdefault(key, ts if isinstance(ts, int) else 0)
            if len(self._board_age) > MAX_AGES:
                del self._board_age[next(one for one in self._board_age if one not in self.boards)]
        else:
            metrics.REFUSED_EVENTS.labels("board").inc()

    def _rtc_member(self, where: tuple[str, str], event: Mapping[str, Any]) -> None:
        try:
            memberships = tuple(read_memberships(event))
        except InvalidMembership:
            metrics.REFUSED_EVENTS.labels("membership").inc()
            memberships = ()
        if not self._keys.put(where, memberships):
            metrics.REFUSED_EVENTS.labels("membership").inc()

    @property
    def memberships(self) -> Mapping[tuple[str, str], tuple[Membership, ...]]:
        """What stands under each state key, by event type and key."""
        return self._keys.memberships

    def since(self, membership: Membership) -> int:
        """Return since when (ms) its device has been there without a break, as far as we saw."""
        return self._keys.since(membership)

    def under(self, state_key: str) -> tuple[Membership, ...]:
        """Return what stands under a state key of the type we write."""
        return self.memberships.get((MEMBER_TYPE, state_key), ())

    def oldest_board(self) -> BoardKey | None:
        """Return the board NeoBoard shows by default: the oldest one."""
        if not self.boards:
            return None
        return self.boards[min(self.boards, key=lambda key: (self._board_age[key], key))]

    def call_ids(self) -> dict[str, BoardKey]:
        """Return the call ids that mean a board: its own id, else its document's (QS12)."""
        oldest_last = sorted(self.boards, key=lambda key: (self._board_age[key], key), reverse=True)
        documents = {self.boards[key].document_id: self.boards[key] for key in oldest_last}
        return documents | self.boards

    def slot(self, call_id: str) -> Slot:
        """Return what the room says of a whiteboard's slot."""
        return self._slots.state(session.Slot(WHITEBOARD, call_id))

    def live_of_all(self, now_ts: int) -> list[Membership]:
        """Return the memberships of every application and profile that are live at this instant."""
        said = [one for many in self.memberships.values() for one in many]
        said += filter(self._has_slot, self.stickies.claims)
        return session.live(said, now_ts, self.joined.__contains__)

    def _has_slot(self, sticky: Membership) -> bool:
        """Whether the slot of a sticky membership lets it count; the legacy profile has none."""
        state = self._slots.state(session.slot_of(sticky))
        return state is Slot.OPEN or (state is Slot.ABSENT and not self._require_open_slot)

    def live(self, now_ts: int, profile: str | None = None) -> list[Membership]:
        """Return the whiteboard memberships live at this instant: of one profile or all."""
        return [
            one
            for one in self.live_of_all(now_ts)
            if one.application == WHITEBOARD and profile in (None, one.profile)
        ]

    def own_stickies(self, device: str, now_ts: int) -> list[Membership]:
        """Return the whiteboard claims that we ourselves have made with sticky events."""
        us = (self.own_user, device)
        return [
            one
            for one in self.stickies.claims
            if (one.user_id, one.device_id) == us
            and one.application == WHITEBOARD
            and one.expires_ts > now_ts
        ]

    def own_keys(self, device: str) -> list[str]:
        """Return the state keys that hold whiteboard memberships of ours, and nothing else."""
        us = (self.own_user, device)
        return [
            key
            for (kind, key), memberships in self.memberships.items()
            if kind == MEMBER_TYPE
            and any((one.user_id, one.device_id) == us for one in memberships)
            and all(one.application == WHITEBOARD for one in memberships)
        ]

    def power(self, user: str) -> int:
        """Return a user's power in the room."""
        return power_of(user, self.power_levels, self.creators)

    def needed_for_membership(self, profile: str = LEGACY) -> int:
        """Return the power that announcing a membership needs."""
        levels = self.power_levels
        if not levels:
            return 0
        if profile == STICKY:  # is no state
            return level_needed(levels, STICKY_TYPE, "events_default", 0)
        return level_needed(levels, MEMBER_TYPE, "state_default", 50)

    def may_announce(self, profile: str = LEGACY) -> bool:
        """Return whether the bot has the power to announce a membership."""
        return self.power(self.own_user) >= self.needed_for_membership(profile)


def _shown(name: object) -> str:
    """Return a name as it can be shown: anybody may put anything into it."""
    if not isinstance(name, str):
        return ""
    return "".join(one for one in name[:MAX_NAME] if one.isprintable()).strip()


STATE_TYPES = frozenset(
    {
        "m.room.canonical_alias",
        "m.room.member",
        "m.room.name",
        "m.room.power_levels",
        "m.room.create",
        "m.room.encryption",
        "m.room.tombstone",
        BOARD_TYPE,
        *MEMBER_TYPES,
        *SLOT_TYPES,
    }
)
"""The state event types the bot reads."""
