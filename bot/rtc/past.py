"""The sessions a room has had: stays in one slot that overlap are one session.

Transitive: A and B overlap, B and C do, so all three are in one, though A and C never met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf

from bot.rtc.session import Slot
from bot.rtc.spans import Span


@dataclass(frozen=True, slots=True)
class PastSession:
    """A session that was, or still is.

    Attributes:
        slot: where.
        spans: who was there from when to when, by start.
        start_ts: when the first came, ms since 1970.
        end_ts: when the last left; None while somebody is there.
        people: user ids, in the order they came.
        most_people: how many people were there at once, at the most.
        most_devices: how many devices.
    """

    slot: Slot
    spans: tuple[Span, ...]
    start_ts: int
    end_ts: int | None
    people: tuple[str, ...]
    most_people: int
    most_devices: int


def past_sessions(spans: Iterable[Span], gap_ms: int = 0) -> list[PastSession]:
    """Return the sessions of all slots, by start.

    Args:
        spans: whatever was seen; who is not to count, as the bot itself, is left out before.
        gap_ms: how long nobody may have been there within one session. NeoBoard leaves when its
            tab is hidden for 30 s, and comes back.
    """
    slots: dict[Slot, list[Span]] = {}
    for span in spans:
        slots.setdefault(span.slot, []).append(span)
    found = [_session(group) for members in slots.values() for group in _groups(members, gap_ms)]
    return sorted(found, key=lambda one: (one.start_ts, one.slot, one.people))


def _groups(spans: Sequence[Span], gap_ms: int) -> list[list[Span]]:
    groups: list[list[Span]] = []
    end: float = -inf
    for span in sorted(spans, key=_order):
        if span.start_ts < end + gap_ms:
            groups[-1].append(span)
            end = max(end, _end(span))
        else:
            groups.append([span])
            end = _end(span)
    return groups


def _session(spans: Sequence[Span]) -> PastSession:
    end = max(_end(span) for span in spans)
    return PastSession(
        slot=spans[0].slot,
        spans=tuple(spans),
        start_ts=spans[0].start_ts,
        end_ts=None if end == inf else int(end),
        people=tuple(dict.fromkeys(span.user_id for span in spans)),
        most_people=_most(spans, lambda span: span.user_id),
        most_devices=_most(spans, lambda span: (span.user_id, span.device_id)),
    )


def _most(spans: Sequence[Span], who: Callable[[Span], object]) -> int:
    """Return how many were there at once; who leaves as another comes did not meet them."""
    steps = [(float(span.start_ts), 1, who(span)) for span in spans if _end(span) > span.start_ts]
    steps += [(_end(span), -1, who(span)) for span in spans if _end(span) > span.start_ts]
    there: Counter[object] = Counter()
    most = 1  # a stay of no length is one
    for _, step, one in sorted(steps, key=lambda step: step[:2]):
        there[one] += step
        if not there[one]:
            del there[one]
        most = max(most, len(there))
    return most


def _end(span: Span) -> float:
    return inf if span.end_ts is None else span.end_ts


def _order(span: Span) -> tuple[int, float, str, str]:
    return span.start_ts, _end(span), span.user_id, span.device_id
