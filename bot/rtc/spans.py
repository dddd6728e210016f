"""Who was in which slot from when to when: computed from a room's membership events.

The rules (docs/matrixrtc.md, "Past sessions"), for each state key in the room's own order:

    other application or call id   leave of the first, join of the second
    the same again                 goes on; a refresh, with or without `created_ts`
    … after it had expired         the first ended when it expired; a second begins
    `{}`, whoever wrote it         leave
    redacted                       leave at the time of the redaction
    left, kicked, banned           leave of everything that person had open
    recording paused               ends there; goes on at the end of the pause if it is seen again

Of sticky members (MSC4354) the key is the sender and the sticky key, and these differ:

    a leave                        ends it for good: no join of that member id counts behind it
    the same again                 of two, the one that is sticky for longer says how long it lasts
    redacted before it was seen    is nothing: nobody knows any more which member it was
    slot closed                    ends nothing: they were there, and their leave is what counts

A device that is in a slot in several ways at once (both profiles, two keys) is there once.

Pure: the same rows give the same spans, in whatever order somebody came by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.errors import InvalidMembership
from bot.rtc.history import PERSON_TYPE, REDACTION_TYPE, Pause, Row
from bot.rtc.membership import Membership, read_memberships
from bot.rtc.session import Slot, slot_of
from bot.rtc.stickyevent import STICKY_TYPE, read_sticky

MAX_CLAIMED = 24 * 3_600_000
"""ms that a `created_ts` may lie before the event, where no earlier event vouches for it: one that
claims decades would else make one session out of all."""

_Claim = tuple[str, str, Slot]
_Where = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Span:
    """A device's stay in a slot.

    Attributes:
        slot: where.
        user_id: whose device.
        device_id: which.
        start_ts: ms since 1970.
        end_ts: likewise, never before the start; None while it is there.
    """

    slot: Slot
    user_id: str
    device_id: str
    start_ts: int
    end_ts: int | None


@dataclass(slots=True)
class _Open:
    """A stay that has not ended yet.

    Attributes:
        until_ts: when it ends unless something comes before that.
        seen_ts: when it was seen last.
        said_ts: how long it would last by what it says itself.
    """

    start_ts: int
    until_ts: int
    seen_ts: int
    said_ts: int = 0


def spans(rows: Iterable[Row], pauses: Iterable[Pause], now_ts: int) -> list[Span]:
    """Return all stays, by start.

    Args:
        rows: what happened, in the room's order.
        pauses: when nothing was recorded.
        now_ts: ms since 1970: what would go on after it is open.
    """
    known = list(rows)
    redacted: dict[str, int] = {}
    for row in known:
        if row.type == REDACTION_TYPE:
            # The first one: it is the one that the homeserver names to who reads backwards.
            redacted.setdefault(row.state_key, row.ts)
    pass_ = _Pass(sorted(pauses), redacted)
    for row in known:
        if row.type == PERSON_TYPE:
            pass_.person_left(row)
        elif row.type != REDACTION_TYPE:
            pass_.take(row)
    return _united(sorted(pass_.finish(now_ts), key=_order))


def _united(found: Iterable[Span]) -> list[Span]:
    """Return each device once where it was in a slot in several ways at the same time."""
    last: dict[_Claim, int] = {}
    united: list[Span] = []
    for span in found:
        claim = span.user_id, span.device_id, span.slot
        before = united[last[claim]] if claim in last else None
        if before is not None and (before.end_ts is None or span.start_ts < before.end_ts):
            ends = (before.end_ts, span.end_ts)
            end_ts = None if None in ends else max(one for one in ends if one is not None)
            united[last[claim]] = replace(before, end_ts=end_ts)
        else:
            last[claim] = len(united)
            united.append(span)
    return united


def _order(span: Span) -> tuple[int, str, str, Slot, int]:
    end_ts = span.start_ts if span.end_ts is None else span.end_ts
    return span.start_ts, span.user_id, span.device_id, span.slot, end_ts


class _Pass:
    """One pass through what happened."""

    def __init__(self, pauses: Sequence[Pause], redacted: Mapping[str, int]) -> None:
        self._pauses = pauses
        self._redacted = redacted
        self._open: dict[_Where, dict[_Claim, _Open]] = {}
        self._of: dict[str, dict[tuple[_Where, _Claim], None]] = {}  # the same, by user, in order
        self._ended: dict[tuple[_Where, _Claim], int] = {}
        self._left: dict[_Where, int] = {}  # of those that were left: how long a leave is sticky
        self._done: list[Span] = []

    def take(self, row: Row) -> None:
        """Take a membership event."""
        if row.type == STICKY_TYPE:
            self._take_sticky(row)
            return
        where = row.type, row.state_key
        now = {_claim(one): one for one in _read(row)}
        until_ts = self._redacted.get(row.event_id)
        if until_ts is not None and not row.content:
            # What it said is gone, but it was a refresh of what was there, or a join to something
            # that nobody knows any more.
            self._shorten(where, row, until_ts)
            return
        self._replace(where, row, now)

    def _take_sticky(self, row: Row) -> None:
        try:
            read = read_sticky(_event(row))
        except InvalidMembership:
            return
        where, ends_ts = (row.type, f"{read.user_id} {read.key}"), read.order[0]
        left_ts = self._left.get(where)
        if read.is_leave:
            self._left[where] = ends_ts if left_ts is None else max(left_ts, ends_ts)
            self._replace(where, row, {})
        elif read.member is not None:
            if left_ts is None or (left_ts < ends_ts and not read.once):
                self._replace(where, row, {_claim(read.member): read.member})
        elif all(stay.said_ts <= ends_ts for stay in self._open.get(where, {}).values()):
            self._replace(where, row, {})

    def _replace(self, where: _Where, row: Row, now: Mapping[_Claim, Membership]) -> None:
        """Have what an event says stand where something else stood."""
        for claim in list(self._open.get(where, ())):
            self._leave_or_go_on(where, claim, row, now.get(claim))
        until_ts = self._redacted.get(row.event_id)
        for claim, membership in now.items():
            held = self._open.setdefault(where, {})
            if claim not in held:
                start_ts = self._start(where, claim, membership, row.ts)
                self._begin(where, claim, _Open(start_ts, 0, row.ts))
            stay, end_ts = held[claim], membership.expires_ts
            stay.seen_ts = row.ts
            if row.type != STICKY_TYPE or end_ts >= stay.said_ts:
                stay.said_ts = end_ts
                stay.until_ts = end_ts if until_ts is None else min(end_ts, until_ts)

    def _shorten(self, where: _Where, row: Row, until_ts: int) -> None:
        for claim, stay in self._open.get(where, {}).items():
            if claim[0] == row.sender:
                stay.until_ts = min(stay.until_ts, max(until_ts, row.ts))

    def _leave_or_go_on(
        self, where: _Where, claim: _Claim, row: Row, membership: Membership | None
    ) -> None:
        """Have a stay end at an event, or go on."""
        stay = self._seen_again(where, claim, row.ts)
        if stay is not None and (membership is None or stay.until_ts <= row.ts):
            self._end(where, claim, row.ts)

    def _start(self, where: _Where, claim: _Claim, membership: Membership, ts: int) -> int:
        """Return since when somebody is there who was not there before an event."""
        earliest = max(ts - MAX_CLAIMED, self._ended.get((where, claim), 0), self._resumed(ts))
        return membership.created_ts if earliest <= membership.created_ts <= ts else ts

    def person_left(self, row: Row) -> None:
        """Take that somebody is out of the Matrix room."""
        for where, claim in list(self._of.get(row.state_key, ())):
            if self._seen_again(where, claim, row.ts) is not None:
                self._end(where, claim, row.ts)

    def _begin(self, where: _Where, claim: _Claim, stay: _Open) -> None:
        self._open.setdefault(where, {})[claim] = stay
        self._of.setdefault(claim[0], {})[where, claim] = None

    def _end(self, where: _Where, claim: _Claim, ts: int) -> None:
        stay = self._open[where].pop(claim)
        if not self._open[where]:
            del self._open[where]
        of_user = self._of[claim[0]]
        del of_user[where, claim]
        if not of_user:
            del self._of[claim[0]]
        end_ts = max(stay.start_ts, min(ts, stay.until_ts))
        self._ended[where, claim] = end_ts
        self._done.append(_span(claim, stay.start_ts, end_ts))

    # -- pauses ------------------------------------------------------------------------------

    def _resumed(self, ts: int) -> int:
        """Return when recording last went on before an instant; 0 never."""
        ends = (one.until_ts for one in self._pauses if one.until_ts is not None)
        return max((end_ts for end_ts in ends if end_ts <= ts), default=0)

    def _paused(self, since_ts: int, ts: int) -> int | None:
        """Return when recording was first paused between two instants."""
        return next((one.from_ts for one in self._pauses if since_ts < one.from_ts <= ts), None)

    def _seen_again(self, where: _Where, claim: _Claim, ts: int) -> _Open | None:
        """Leave out of a stay what was not recorded since it was seen last; return what is left.

        It is seen again even where it ends: then it was there until then.
        """
        stay = self._open[where][claim]
        paused_ts = self._paused(stay.seen_ts, ts)
        if paused_ts is None:
            return stay
        self._end(where, claim, paused_ts)
        again = _Open(self._resumed(ts), stay.until_ts, ts, stay.said_ts)
        if not paused_ts < again.start_ts < again.until_ts:
            return None  # still paused, or it had expired by then
        self._begin(where, claim, again)
        return again

    def finish(self, now_ts: int) -> list[Span]:
        """Return all stays as they are at an instant."""
        found = list(self._done)
        for held in self._open.values():
            for claim, stay in held.items():
                paused_ts = self._paused(stay.seen_ts, now_ts)
                end_ts = stay.until_ts if paused_ts is None else min(stay.until_ts, paused_ts)
                there = end_ts > now_ts
                found.append(
                    _span(claim, stay.start_ts, None if there else max(stay.start_ts, end_ts))
                )
        return found


def _span(claim: _Claim, start_ts: int, end_ts: int | None) -> Span:
    user_id, device_id, slot = claim
    return Span(slot, user_id, device_id, start_ts, end_ts)


def _claim(membership: Membership) -> _Claim:
    return membership.user_id, membership.device_id, slot_of(membership)


def _event(row: Row) -> dict[str, Any]:
    return {
        "type": row.type,
        "event_id": row.event_id,
        "sender": row.sender,
        "origin_server_ts": row.ts,
        "content": row.content,
        "msc4354_sticky": row.content.get("msc4354_sticky"),  # only with the content it is kept
    }


def _read(row: Row) -> list[Membership]:
    try:
        return read_memberships({**_event(row), "state_key": row.state_key})
    except InvalidMembership:
        return []
