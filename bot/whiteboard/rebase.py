"""What somebody made of a board, applied to what the board has become meanwhile.

By ids: of slides and elements, what he did not touch is as it is now; what others brought stays,
what they deleted stays deleted, and what both changed is as he wants it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from bot.whiteboard.slides import Element, Slide


def rebased(was: Sequence[Slide], wanted: Sequence[Slide], now: Sequence[Slide]) -> list[Slide]:
    """Return what is wanted now.

    Args:
        was: the slides somebody began with.
        wanted: what he made of them.
        now: what they are now.
    """
    before, mine, there = ({one.id: one for one in slides} for slides in (was, wanted, now))
    return [
        _slide(before[one], mine[one], there[one])
        if one in before and one in mine
        else mine.get(one) or there[one]
        for one in _order(before, mine, there)
    ]


def _slide(was: Slide, wanted: Slide, now: Slide) -> Slide:
    before, mine, there = (
        {one["id"]: one for one in slide.elements} for slide in (was, wanted, now)
    )
    order = _order(before, mine, there)
    frames: tuple[str, ...] | None = None
    if now.frame_ids is not None:
        ids = _order(was.frame_ids or (), wanted.frame_ids or (), now.frame_ids)
        frames = tuple(one for one in ids if one in order)
    return replace(
        now,
        elements=tuple(_element(one, before, mine, there) for one in order),
        lock=now.lock if wanted.lock == was.lock else wanted.lock,
        frame_ids=frames,
    )


def _element(
    name: str,
    was: Mapping[str, Element],
    wanted: Mapping[str, Element],
    now: Mapping[str, Element],
) -> Element:
    untouched = name not in wanted or (name in now and wanted[name] == was.get(name))
    return now[name] if untouched else wanted[name]


def _order(was: Iterable[str], wanted: Iterable[str], now: Iterable[str]) -> list[str]:
    """Return the ids that there are to be: in his order if he changed that, else in theirs."""
    before, mine, there = map(dict.fromkeys, (was, wanted, now))
    moved = _among(before, mine) != _among(mine, before)
    left = {one: None for one in mine if one not in before or one in there}
    there = {one: None for one in there if one not in before or one in mine}
    return _with(left, there) if moved else _with(there, left)


def _among(ids: Iterable[str], others: Collection[str]) -> list[str]:
    return [one for one in ids if one in others]


def _with(ids: Collection[str], others: Iterable[str]) -> list[str]:
    """Return ids and the others too, each behind the one it comes behind there."""
    behind: dict[str | None, list[str]] = {}
    place = None
    for one in others:
        if one in ids:
            place = one
        else:
            behind.setdefault(place, []).append(one)
    found = behind.get(None, [])
    for one in ids:
        found += [one, *behind.get(one, [])]
    return found
