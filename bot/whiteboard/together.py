"""Which of the updates that wait can be handed on together with a document."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bot.errors import InvalidUpdate
from bot.whiteboard.update import Structure, merge_updates, read_update

EFFORT = 4_000_000
"""Bytes that may be tried again and again: a second or two."""
_ITEM = 40
"""Bytes that an item costs as much time as, besides its own."""


def together(
    whole: bytes,
    updates: Sequence[bytes],
    acceptable: Callable[[Structure], bool],
    *,
    cost: int = 0,
) -> bytes:
    """Merge a document with all updates if they are acceptable; else with those that are.

    The small ones are tried first: an action of a person is small, and who wants to crowd it out
    has to send more. What could not be tried within the effort is left out.

    Args:
        whole: the document.
        updates: that wait for something.
        acceptable: whether updates can be handed on together.
        cost: bytes that looking takes besides those of the updates.
    """
    kept: list[bytes] = []
    merged: list[bytes] = []
    groups = [sorted(updates, key=len)] if updates else []
    effort = EFFORT
    while groups and effort > 0:
        group = groups.pop()
        tried = merge_updates([*kept, *group])
        try:
            update = read_update(tried)
        except InvalidUpdate:  # together beyond a bound
            fits = False
        else:
            fits = acceptable(update)
            effort -= cost + len(tried) + _ITEM * update.weight
        if fits:
            kept += group
            merged = [tried]
        elif len(group) > 1:
            middle = len(group) // 2
            groups += [group[middle:], group[:middle]]
    return merge_updates([whole, *merged]) if merged else whole
