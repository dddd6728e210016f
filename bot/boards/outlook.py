"""What is to become of a board that is not in the room yet."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to become of a board, in monotonic seconds.

    Attributes:
        since: when the oldest change came that is not in the room; None: all is there.
        earlier: whether it may have come before this life of ours began.
        due: when the bot writes it, as things are; None: nothing has to be written.
        reason: why it is not there: `waiting` for its author, `writing` (somebody else is at it),
            `incomplete` (the room's newest snapshot is), `searching` (for a whole one to go on
            from), `forbidden`, `asked_to_wait` (by the homeserver), `failed`, `other_version` (the
            room's newest snapshot is of another version, and nobody has gone on in ours), `beyond`
            (it is one that the bot cannot take in, and people may).
        detail: more about that, for operators; may be empty.
    """

    since: float | None
    earlier: bool
    due: float | None
    reason: str
    detail: str
