"""What the bot may do in the rooms it is in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from bot.doctor.finding import Finding, broken, ok, warning
from bot.doctor.patient import Patient
from bot.errors import ServerError
from bot.matrix.survey import joined_rooms
from bot.roomstate import RoomState
from bot.rtc.membership import MEMBER_TYPE
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE

ROOMS = "rooms"

WITHIN = 60.0
"""Seconds for all rooms; each has its own few."""
AT_ONCE = 4
SPEAKING = "m.room.message"


async def rooms(patient: Patient) -> AsyncIterator[Finding]:
    """Look at the power levels of each room with a board."""
    ids = await joined_rooms(patient.homeserver, 5.0)
    if not ids:
        yield ok(ROOMS, "in none yet: invite the bot into a room with a board")
        return
    turns = asyncio.Semaphore(AT_ONCE)

    async def look(room_id: str) -> Finding | None:
        async with turns:
            return await _look(patient, room_id)

    fine = 0
    for looking in asyncio.as_completed([look(room_id) for room_id in ids]):
        finding = await looking
        if finding is None:
            fine += 1
        else:
            yield finding
    if fine:
        yield ok(ROOMS, f"{fine} of {len(ids)}: the bot may do what it has to")


async def _look(patient: Patient, room_id: str) -> Finding | None:
    try:
        async with asyncio.timeout(5.0):
            events = await patient.homeserver.room_state(room_id, patience=0.0)
    except (ServerError, TimeoutError) as error:
        return warning(ROOMS, f"{room_id} cannot be looked at: {str(error) or 'no answer'}")
    state = RoomState(room_id, patient.config.homeserver.user_id)
    for event in events:
        state.apply(event)
    name = f"{state.name} ({room_id})" if state.name else room_id
    return judge(state, name, saves=patient.config.boards.mode == "keep")


def judge(state: RoomState, name: str, *, saves: bool) -> Finding | None:
    """Say what the bot may not do in a room; None when it may do all it has to.

    Args:
        state: of the room.
        name: for people.
        saves: whether the bot is to write snapshots.
    """
    power = state.power(state.own_user)
    if state.boards and not state.may_announce():
        needed = state.needed_for_membership()
        text = f"{name}: the bot may not announce itself (has power {power}, needs {needed})"
        return broken(ROOMS, text, _advice(MEMBER_TYPE, power))
    wanted = [SPEAKING]
    if state.boards and saves:
        wanted = [SNAPSHOT_TYPE, CHUNK_TYPE, SPEAKING]
    for kind in wanted:
        needed = needed_for_message(state.power_levels, kind)
        if power < needed:
            what = "speak" if kind == SPEAKING else "save boards"
            text = f"{name}: the bot may not {what} (has power {power}, needs {needed})"
            return warning(ROOMS, text, _advice(kind, power))
    return None


def needed_for_message(power_levels: Mapping[str, object], kind: str) -> int:
    """Return the power that sending an event that is no state needs."""
    events = power_levels.get("events")
    level = events.get(kind) if isinstance(events, Mapping) else None
    if not isinstance(level, int):
        level = power_levels.get("events_default")
    return level if isinstance(level, int) else 0


def _advice(kind: str, power: int) -> str:
    return f'm.room.power_levels: "events": {{"{kind}": {power}}}, or more power for the bot'
