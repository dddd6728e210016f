"""`sessions --history`: who was on a room's boards from when to when, computed from the archive.

A running bot first reads on what the homeserver still has; without one it is what was read so far.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bot.actions.actions import find_board, read_time, show_time
from bot.actions.naming import RoomNames, find_room
from bot.cli import output
from bot.cli.operate import known_rooms
from bot.cli.output import count, say, span
from bot.config import Config
from bot.control import control
from bot.control.control import NotRunning
from bot.errors import UsageError
from bot.handlers.attendance import cell
from bot.rooms.past import LONGEST
from bot.rtc.history import Pause, Row
from bot.rtc.membership import WHITEBOARD
from bot.rtc.past import PastSession, past_sessions
from bot.rtc.session import Slot
from bot.rtc.spans import spans
from bot.store.archive import Archive

COLUMNS = ("session", "room", "board", "application", "call_id", "user", "device", "came", "left")
MAX_NAMED = 5
"""People named of one session in the table."""

_ALONE = "The bot does not run: this is what it has seen and read so far."
_BEFORE = "This is what was read before."
_PAUSED = f"Nothing is recorded in this room now. {_BEFORE}"


@dataclass(frozen=True, slots=True)
class _Found:
    """What is said.

    Attributes:
        room: the room.
        sessions: its sessions, by start.
        boards: numbers of boards by whiteboard id.
        walk: how far back it was read; None when it was not.
        pauses: when nothing was recorded.
        now_ts: ms since 1970.
    """

    room: RoomNames
    sessions: Sequence[PastSession]
    boards: Mapping[str, int]
    walk: Mapping[str, Any] | None
    pauses: Sequence[Pause]
    now_ts: int


def wanted(options: argparse.Namespace) -> bool:
    """Return whether a history is asked for.

    Raises:
        UsageError: something is asked for that only a history has.
    """
    if options.history:
        return True
    if options.csv or options.board or options.since or options.gap or options.recompute:
        raise UsageError("--csv, --board, --since, --gap and --recompute go with --history.")
    return False


async def history(config: Config, options: argparse.Namespace) -> None:
    """Say which sessions a room has had.

    Raises:
        BoardkeeperError: it cannot be done; the text says why.
    """
    since_ts = 0
    if options.since is not None:
        since_ts = read_time(options.since, datetime.now().astimezone())
    async with Archive(config.data.folder, read_only=True) as archive:
        room = find_room(await known_rooms(archive), options.room)
    now_ts = await _read_on(config, room, since_ts - LONGEST, anew=options.recompute)
    async with Archive(config.data.folder, read_only=True) as archive:
        found = await _compute(archive, room, config.homeserver.user_id, options.gap, now_ts)
        found = replace(found, sessions=[one for one in found.sessions if _reaches(one, since_ts)])
        if options.board is not None:
            row = await find_board(archive, options.board)
            if row.key.room_id != room.room_id:
                raise UsageError(f"Board {row.id} is in another room.")
            found = _only(found, Slot(WHITEBOARD, row.key.whiteboard_id))
    if options.json:
        output.say_json(_as_json(found))
    elif options.csv:
        sys.stdout.write(_as_csv(found))
    else:
        _show(found)


# -- reading -----------------------------------------------------------------------------------


async def _read_on(config: Config, room: RoomNames, until_ts: int, *, anew: bool) -> int:
    """Have the bot read on until that is done; say how far it is.

    Returns:
        The time, ms: by the homeserver's clock as far as the bot can be asked, as all that has
        been kept is.
    """
    request = {"command": "history", "room": room.room_id, "until_ts": until_ts}
    pages = events = 0
    while True:
        try:
            found = await control.ask(config.data.folder, {**request, "anew": anew})
        except NotRunning:
            if anew:
                raise UsageError("Only a running bot can read from the homeserver.") from None
            output.warn(_ALONE)
            return _own_ts()
        except UsageError as error:  # the bot is not in the room any more, the server is away
            if anew:
                raise
            output.warn(f"{error} {_BEFORE}")
            return _own_ts()
        now_ts = int(found["now_ts"])
        if not found["recording"]:
            output.warn(_PAUSED)
            return now_ts
        anew = False
        pages, events = pages + found["pages"], events + found["events"]
        if found["done"]:
            if found["full"]:
                output.warn("The archive keeps no more of this room: what is older is left out.")
            return now_ts
        back = show_time(found["reached_ts"]) if found["reached_ts"] else "now"
        output.warn(
            f"reading: {count(events, 'event')} in {count(pages, 'request')}, back to {back}"
        )


def _own_ts() -> int:
    return int(time.time() * 1000)


def _reaches(one: PastSession, since_ts: int) -> bool:
    return one.end_ts is None or one.end_ts >= since_ts


async def _compute(
    archive: Archive, room: RoomNames, own_user: str, gap: float, now_ts: int
) -> _Found:
    rows = [Row(*row) for row in await archive.memberships(room.room_id)]
    pauses = [Pause(*one) for one in await archive.pauses(room.room_id)]
    seen = (one for one in spans(rows, pauses, now_ts) if one.user_id != own_user)
    return _Found(
        room,
        past_sessions(seen, round(gap * 1000)),
        {key.whiteboard_id: number for number, key in room.boards.items()},
        await archive.walk(room.room_id),
        pauses,
        now_ts,
    )


def _only(found: _Found, slot: Slot) -> _Found:
    return replace(found, sessions=[one for one in found.sessions if one.slot == slot])


# -- saying ------------------------------------------------------------------------------------


def _board(found: _Found, slot: Slot) -> int | None:
    return found.boards.get(slot.call_id) if slot.application == WHITEBOARD else None


def _show(found: _Found) -> None:
    say(f"{found.room.name} {found.room.room_id}".strip())
    if found.sessions:
        columns = ("Board", "From", "To", "How long", "People", "At once", "Who")
        output.table(columns, [_as_row(found, one) for one in found.sessions])
    else:
        say("No sessions.")
    for pause in found.pauses:
        since = f"from {show_time(pause.from_ts)} " if pause.from_ts else ""
        until = "now" if pause.until_ts is None else show_time(pause.until_ts)
        say(f"Recording was paused {since}until {until}: what happened then is not kept.")
    say(_reach(found.walk))


def _reach(walk: Mapping[str, Any] | None) -> str:
    if walk is None:
        return "From before the bot came, nothing was read."
    if walk["back"] is None:
        return "Read back to the beginning, as far as the homeserver shows it to the bot."
    if walk["reached_ts"] is None:
        return "Nothing older was found yet."
    return f"Read back to {show_time(walk['reached_ts'])}."


def _as_row(found: _Found, one: PastSession) -> tuple[object, ...]:
    board = _board(found, one.slot)
    end_ts = max(one.start_ts, found.now_ts) if one.end_ts is None else one.end_ts
    more = len(one.people) - MAX_NAMED
    return (
        board if board is not None else _plain(f"{one.slot.application} {one.slot.call_id}"),
        show_time(one.start_ts),
        "running" if one.end_ts is None else show_time(one.end_ts),
        span((end_ts - one.start_ts) / 1000),
        len(one.people),
        one.most_people,
        _plain(", ".join(one.people[:MAX_NAMED])) + (f" and {more} more" if more > 0 else ""),
    )


def _plain(text: str) -> str:
    """Return what others chose without what a terminal would obey."""
    return "".join(one if one.isprintable() else "?" for one in text)


def _as_json(found: _Found) -> dict[str, Any]:
    walk = found.walk
    return {
        "room": found.room.room_id,
        "name": found.room.name,
        "now_ts": found.now_ts,
        "complete": walk is not None and walk["back"] is None,
        "reached_ts": None if walk is None else walk["reached_ts"],
        "pauses": [pause._asdict() for pause in found.pauses],
        "sessions": [_session(found, one) for one in found.sessions],
    }


def _session(found: _Found, one: PastSession) -> dict[str, Any]:
    return {
        "application": one.slot.application,
        "call_id": one.slot.call_id,
        "board": _board(found, one.slot),
        "start_ts": one.start_ts,
        "end_ts": one.end_ts,
        "people": list(one.people),
        "most_people": one.most_people,
        "most_devices": one.most_devices,
        "spans": [
            {
                "user_id": stay.user_id,
                "device_id": stay.device_id,
                "start_ts": stay.start_ts,
                "end_ts": stay.end_ts,
            }
            for stay in one.spans
        ],
    }


def _as_csv(found: _Found) -> str:
    """Return one line per stay (RFC 4180)."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow((*COLUMNS, "minutes"))
    writer.writerows(_lines(found))
    return text.getvalue()


def _lines(found: _Found) -> Iterable[tuple[object, ...]]:
    for number, one in enumerate(found.sessions, 1):
        board = _board(found, one.slot)
        for stay in one.spans:
            end_ts = max(stay.start_ts, found.now_ts) if stay.end_ts is None else stay.end_ts
            others = (one.slot.application, one.slot.call_id, stay.user_id, stay.device_id)
            yield (
                number,
                cell(found.room.room_id),
                "" if board is None else board,
                *map(cell, others),
                show_time(stay.start_ts),
                "" if stay.end_ts is None else show_time(stay.end_ts),
                f"{(end_ts - stay.start_ts) / 60_000:.1f}",
            )
