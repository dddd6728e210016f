"""Which LiveKit backend to use: NeoBoard's legacy rule (docs/matrixrtc.md, section 3, Focus).

Everybody follows the oldest member, and "oldest" is whoever has the smallest `expires` among the
room's whiteboard memberships, of every whiteboard. `expires` moves at each renewal, so the oldest
changes hands; to share one backend with NeoBoard the bot has to follow just that.

    the oldest member        what to use
    ---------------------    -----------------------------------------------------
    nobody                   own list: the homeserver's foci, then the configured
    ourselves                the one in use while somebody else is there, else own list
    names a LiveKit focus    that one; the own list only says where to go later
    names none (yet)         ask the next oldest
    another strategy         own list, as NeoBoard does
    another kind of focus    nothing: we cannot be where the others are

Whoever becomes the oldest stays: NeoBoard's people read the new oldest's focus at the moment in
which somebody leaves, and are where that was. To go home would be to go alone, and back again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bot.rtc import membership
from bot.rtc.membership import (
    ABSOLUTE,
    MAX_FOCI,
    OLDEST_MEMBERSHIP,
    WHITEBOARD,
    Focus,
    Membership,
    identity,
    read_foci,
)

_WELL_KNOWN_KEYS = (
    "org.matrix.msc4143.rtc_foci",
    "m.rtc_foci",
    "org.matrix.msc4158.rtc_foci",
)


def choose(
    live_members: Iterable[Membership],
    own_identity: str,
    own_foci: Sequence[Focus],
    configured: Sequence[Focus] = (),
    used: Focus | None = None,
) -> list[Focus]:
    """Choose the focus to use.

    Args:
        live_members: the room's live memberships, in any order.
        own_identity: our `user:device`.
        own_foci: what our homeserver offers.
        configured: foci of the configuration, which come last.
        used: the one we are on.

    Returns:
        The preferred foci, each once: the first is to be used, all are to be announced. Empty
        when there is none we could use.
    """
    own_list = [*own_foci, *configured]
    members = sorted(filter(_counts, live_members), key=_age)
    for member in members:
        if identity(member) == own_identity:
            others = (one for one in members if identity(one) != own_identity)
            if used is not None and any(one.foci[:1] == (used,) for one in others):
                own_list.insert(0, used)
            if own_list:
                break
        elif member.focus_selection != OLDEST_MEMBERSHIP:
            break
        elif member.foreign_focus:
            return []
        elif member.foci:
            own_list.insert(0, member.foci[0])
            break
    return list(dict.fromkeys(own_list))[:MAX_FOCI]


def read_well_known(document: Any) -> list[Focus]:
    """Read the foci of a `/.well-known/matrix/client` document; of any other, none."""
    if not isinstance(document, dict):
        return []
    foci = [focus for key in _WELL_KNOWN_KEYS for focus in read_foci(document.get(key))]
    return list(dict.fromkeys(foci))[:MAX_FOCI]


def read_transports(document: Any) -> list[Focus]:
    """Read the foci of a homeserver's `rtc/transports` answer (MSC4143); of any other, none."""
    if not isinstance(document, dict):
        return []
    return list(read_foci(document.get("rtc_transports")))


def read_spelling(document: Any) -> str:
    """Return how that answer spells the type of its first LiveKit transport; "" without one."""
    if not isinstance(document, dict):
        return ""
    return membership.read_spelling(document.get("rtc_transports"))


def _counts(member: Membership) -> bool:
    # NeoBoard takes `expires` for an instant: a member that wrote a span expired in 1970 for it.
    return member.application == WHITEBOARD and member.expires >= ABSOLUTE


def _age(member: Membership) -> tuple[int, int, str]:
    return member.expires, member.created_ts, member.state_key
