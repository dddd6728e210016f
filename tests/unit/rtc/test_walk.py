"""However a room's past is come by, its history is the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.rtc.history import REDACTION_TYPE, Pause, Row, read_rows
from bot.rtc.spans import Span, spans
from bot.rtc.stickyevent import STICKY_TYPE
from bot.rtc.walk import BLOCK, Placed, Walk
from tests.unit.rtc.make import ANN, BEN
from tests.unit.rtc.past import LATE, Room, at

NOW = at(LATE)


class Server:
    """A room as a homeserver has it: its timeline, and what a client is shown of it."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def happens(self, row: Row) -> None:
        event = {
            "type": row.type,
            "event_id": row.event_id,
            "sender": row.sender,
            "origin_server_ts": row.ts,
            "content": row.content,
        }
        if row.type == REDACTION_TYPE:
            event["redacts"] = row.state_key
        elif row.type == STICKY_TYPE:
            event["msc4354_sticky"] = row.content["msc4354_sticky"]
        else:
            event["state_key"] = row.state_key
        self.events.append(event)

    def page(self, token: str, size: int, *, forwards: bool) -> tuple[list[Any], str | None]:
        at_ = int(token)
        if forwards:
            page = self.events[at_ : at_ + size]
            return page, str(at_ + len(page)) if page else None
        page = self.events[max(0, at_ - size) : at_][::-1]
        end = str(at_ - len(page)) if page else None
        return [self._shown(event) for event in page if "redacts" not in event], end

    def _shown(self, event: dict[str, Any]) -> dict[str, Any]:
        """Backwards nobody asks for redactions: what is redacted says so itself."""
        because = [one for one in self.events if one.get("redacts") == event["event_id"]]
        return {**event, "unsigned": {"redacted_because": because[0]}} if because else event


class Archive:
    """What is kept, as `store.pasts` does it."""

    def __init__(self) -> None:
        self.next = 1
        self.kept: dict[str, Placed] = {}
        self.walk: Walk | None = None

    def reserve(self, number: int) -> int:
        first, self.next = self.next, self.next + number
        return first

    def saw(self, events: Sequence[Mapping[str, Any]]) -> None:
        for event in events:
            for row in read_rows(event):
                place = self.reserve(1)
                self._keep(place, row, again=False)

    def read(self, placed: Sequence[Placed]) -> None:
        for place, row in placed:
            self._keep(place, row, again=True)

    def _keep(self, place: int, row: Row, *, again: bool) -> None:
        if row.event_id in self.kept:
            if again:
                self.kept[row.event_id] = place, self.kept[row.event_id][1]
        elif row.type != REDACTION_TYPE or row.state_key in self.kept:
            self.kept[row.event_id] = place, row

    def history(self, pauses: Sequence[Pause] = ()) -> list[Span]:
        return spans([row for _, row in sorted(self.kept.values())], pauses, NOW)


def read_on(archive: Archive, server: Server, size: int, pages: int) -> bool:
    """Read as `past` does, so many pages; returns whether that is all."""
    if archive.walk is None:
        end = str(len(server.events))
        archive.walk = Walk.begin(end, archive.reserve(BLOCK))
    else:
        walk = Walk.from_json(json.loads(json.dumps(asdict(archive.walk))))
        archive.walk = walk.onwards(archive.reserve(BLOCK))
        while True:
            token = archive.walk.forth
            events, after = server.page(token, size, forwards=True)
            archive.walk, placed = archive.walk.read_forth(events, after, [])
            archive.read(placed)
            if archive.walk.forth == token:
                break
    for _ in range(pages):
        if archive.walk.back is None:
            return True
        events, before = server.page(archive.walk.back, size, forwards=False)
        archive.walk, placed = archive.walk.read_back(events, before, [])
        archive.read(placed)
    return False


def whole(server: Server) -> list[Span]:
    archive = Archive()
    archive.saw(server.events)
    return archive.history()


PEOPLE = st.sampled_from((ANN, BEN, "@cleo:hs"))
KINDS = (
    *("on", "on", "other", "short", "off", "cleared"),
    *("sits", "sits", "sits briefly", "sits elsewhere", "rises", "left behind"),
    *("out", "redact"),
)
JOINS: dict[str, Callable[[int], dict[str, Any]]] = {
    "on": lambda _: {},
    "other": lambda minute: {"call_id": "other", "created_ts": at(minute - 20)},
    "short": lambda minute: {"expires": at(minute + 30)},
}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        PEOPLE,
        st.sampled_from(("A", "B")),
        st.integers(-3, 300),  # clocks differ
        st.integers(0, 10**6),
    ),
    max_size=30,
)


def happened(steps: Sequence[tuple[str, str, str, int, int]]) -> Room:
    room, minute = Room(), 300
    for what, user, device, passed, number in steps:
        minute += passed // 5
        match what:
            case "on" | "other" | "short":
                room.on(minute, user, device, **JOINS[what](minute))
            case "off" | "cleared":
                room.off(minute, user, device, by=BEN if what == "cleared" else "")
            case "sits" | "sits briefly" | "sits elsewhere":
                room.sits(
                    minute,
                    user,
                    f"{device}{number % 2}",
                    device,
                    sticky=10 if what == "sits briefly" else 90,
                    call_id="other" if what == "sits elsewhere" else "board",
                )
            case "rises" | "left behind":
                code = "leave" if what == "rises" else "delayed_leave"
                room.rises(minute, user, f"{device}{number % 2}", code)
            case "out":
                room.out(minute, user, by=BEN, how="ban" if number % 2 else "leave")
            case _ if room.rows:
                target = room.rows[number % len(room.rows)]
                if target.type != REDACTION_TYPE:
                    room.redact(minute, target)
    return room


TWICE = [("on", ANN, "A", 0, 0), ("redact", ANN, "A", 5, 0), ("redact", ANN, "A", -1, 0)]
"""Redacted twice, by somebody whose clock is late too."""


@pytest.mark.parametrize("size", [2, 7])
def test_a_day_is_the_same_however_it_is_read(size: int) -> None:
    room, server, archive = Room(), Server(), Archive()
    server.happens(room.on(1))
    server.happens(room.on(2, BEN))
    while not read_on(archive, server, size, 1):
        pass
    server.happens(room.off(9, BEN))
    server.happens(room.on(10, BEN))
    server.happens(room.off(11))
    assert read_on(archive, server, size, 1)
    assert archive.history() == whole(server)


@pytest.mark.scenario("H18")
@given(STEPS, st.integers(1, 7))
@example(TWICE, 1)
def test_read_backwards_in_pages_it_is_the_same_as_forwards(
    steps: list[tuple[str, str, str, int, int]], size: int
) -> None:
    server = Server()
    for row in happened(steps).rows:
        server.happens(row)
    archive = Archive()
    while not read_on(archive, server, size, 1):
        pass
    assert archive.walk is not None
    assert archive.walk.back is None
    assert archive.history() == whole(server)


@pytest.mark.scenario("H19")
@settings(max_examples=150)
@given(
    STEPS,
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from(("sync", "gap", "cut", "read")))),
    st.integers(1, 4),
    st.integers(0, 10),
)
def test_as_it_came_it_is_the_same_as_all_at_once(
    steps: list[tuple[str, str, str, int, int]],
    deliveries: list[tuple[int, str]],
    size: int,
    before: int,
) -> None:
    """Before the bot came, by sync, in gaps of sync, read in pages in between, twice: the same."""
    rows = happened(steps).rows
    server, archive = Server(), Archive()
    for row in rows[:before]:
        server.happens(row)
    rest = rows[before:]
    for number, how in [*deliveries, (len(rest), "sync")]:
        come, rest = rest[:number], rest[number:]
        for row in come:
            server.happens(row)
        events = server.events[len(server.events) - len(come) :]
        if how == "cut":  # a limited sync: what is sticky comes beside the timeline, in no order
            archive.saw([one for one in events[::-1] if "msc4354_sticky" in one])
        elif how != "gap":
            archive.saw(events)
        if how == "read":
            read_on(archive, server, size, 2)
    while not read_on(archive, server, size, 2):
        pass
    assert archive.history() == whole(server)
    # Nothing new: read on again, and once more from the beginning.
    assert read_on(archive, server, size, 1)
    assert archive.history() == whole(server)
    archive.walk = None
    while not read_on(archive, server, size, 3):
        pass
    assert archive.history() == whole(server)


def test_how_far_back_it_is_and_what_is_left_out() -> None:
    room, server = Room(), Server()
    for minute in (1, 2, 3):
        server.happens(room.on(minute))
    server.events.append({"origin_server_ts": True})
    walk = Walk.begin("4", 0)
    assert walk.reached_ts is None
    pauses = [Pause(at(2), at(3))]
    walk, placed = walk.read_back(server.events[::-1][:3], "1", pauses)
    assert (walk.back, walk.reached_ts, [row.ts for _, row in placed]) == ("1", at(2), [at(3)])
    walk, _ = walk.read_back([], None, pauses)
    assert (walk.back, walk.reached_ts) == (None, at(2))
