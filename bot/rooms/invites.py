"""Who may invite the bot. Pure: the App asks, joins or declines.

By default users of the bot's own server may; the rest get a decline with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True, slots=True)
class Invite:
    """An invite as the stripped state of the room tells it.

    Attributes:
        sender: who invites.
        encrypted: whether the room is known to be encrypted.
    """

    room_id: str
    sender: str
    encrypted: bool


def read_invite(room_id: str, own_user: str, state: Sequence[Mapping[str, Any]]) -> Invite | None:
    """Read the stripped state that comes with an invite; None when it names no inviter."""
    sender = None
    encrypted = False
    for event in state:
        kind, content = event.get("type"), event.get("content")
        if kind == "m.room.encryption":
            encrypted = True
        elif (
            kind == "m.room.member"
            and event.get("state_key") == own_user
            and isinstance(content, Mapping)
            and content.get("membership") == "invite"
            and isinstance(event.get("sender"), str)
        ):
            sender = event["sender"]
    return None if sender is None else Invite(room_id, sender, encrypted)


@dataclass(slots=True)
class Policy:
    """Decides on invites.

    Attributes:
        allow: globs over user ids; an invite needs one that matches.
        deny: globs over user ids; none may match.
        max_rooms: rooms the bot is in at the most.
        per_minute: invites accepted in a minute at the most.
    """

    allow: Sequence[str]
    deny: Sequence[str]
    max_rooms: int
    per_minute: int
    _accepted: list[float] = field(default_factory=list)

    def refusal(self, invite: Invite, rooms: int, now: float) -> str | None:
        """Return why the invite is declined, for the person who invited; None to accept it.

        Args:
            invite: what came.
            rooms: how many rooms the bot is in.
            now: seconds, monotonic. An accepted invite counts towards the rate.
        """
        if any(fnmatchcase(invite.sender, glob) for glob in self.deny):
            return "You are not allowed to invite this bot. / Sie dürfen diesen Bot nicht einladen."
        if not any(fnmatchcase(invite.sender, glob) for glob in self.allow):
            return (
                "Only some users may invite this bot; ask those who run it. /"
                " Nur manche dürfen diesen Bot einladen; fragen Sie, wer ihn betreibt."
            )
        if invite.encrypted:
            return (
                "This bot cannot work in encrypted rooms yet. /"
                " Dieser Bot kann in verschlüsselten Räumen noch nicht arbeiten."
            )
        if rooms >= self.max_rooms:
            return (
                "This bot is in as many rooms as it may be; ask those who run it. /"
                " Dieser Bot ist in so vielen Räumen, wie er darf; fragen Sie, wer ihn betreibt."
            )
        self._accepted = [at for at in self._accepted if at > now - 60]
        if len(self._accepted) >= self.per_minute:
            return (
                "Too many invites at the moment; please try again in a minute. /"
                " Gerade sind es zu viele Einladungen; bitte in einer Minute noch einmal."
            )
        self._accepted.append(now)
        return None
