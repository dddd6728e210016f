"""What the bot may do in the rooms it is in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet

from bot.config import Config, Rtc
from bot.doctor.finding import Finding, broken, ok, warning
from bot.doctor.patient import Patient
from bot.errors import ServerError
from bot.matrix.survey import joined_rooms
from bot.roomstate import RoomState
from bot.rtc.membership import LEGACY, MEMBER_TYPE, STICKY, WHITEBOARD
from bot.rtc.slots import SLOT_TYPE, Slot
from bot.rtc.sticky import STICKY_TYPE, slot_id
from bot.whiteboard.snapshot import CHUNK_TYPE, SNAPSHOT_TYPE

ROOMS = "rooms"

WITHIN = 60.0
"""Seconds for all rooms; each has its own few."""
AT_ONCE = 4
SPEAKING = "m.room.message"

_TYPES = {LEGACY: MEMBER_TYPE, STICKY: STICKY_TYPE}


async def rooms(patient: Patient) -> AsyncIterator[Finding]:
    """Look at the power levels of each room with a board."""
    ids = await joined_rooms(patient.homeserver, 5.0)
    if not ids:
        yield ok(ROOMS, "in none yet: invite the bot into a room with a board")
        return
    turns = asyncio.Semaphore(AT_ONCE)

    async def look(room_id: str) -> Finding | bool:
        async with turns:
            return await _look(patient, room_id)

    fine = slots = 0
    for looking in asyncio.as_completed([look(room_id) for room_id in ids]):
        found = await looking
        if isinstance(found, Finding):
            yield found
        else:
            fine += 1
            slots += found
    if fine:
        said = f", {slots} with an open slot" if slots else ""
        yield ok(ROOMS, f"{fine} of {len(ids)}: the bot may do what it has to{said}")


async def _look(patient: Patient, room_id: str) -> Finding | bool:
    """Return what is wrong in a room; where nothing is, whether one of its slots is open."""
    try:
        async with asyncio.timeout(5.0):
            events = await patient.homeserver.room_state(room_id, patience=0.0)
    except (ServerError, TimeoutError) as error:
        return warning(ROOMS, f"{room_id} cannot be looked at: {str(error) or 'no answer'}")
    state = RoomState(room_id, patient.config.homeserver.user_id)
    for event in events:
        state.apply(event)
    name = f"{state.name} ({room_id})" if state.name else room_id
    found = judge(state, name, patient.config, sticky=patient.sticky)
    if found is None:
        return patient.config.rtc.profile != "legacy" and Slot.OPEN in _slots(state).values()
    return found


def judge(state: RoomState, name: str, config: Config, *, sticky: bool) -> Finding | None:
    """Say what keeps the bot from its work in a room; None when nothing does.

    Args:
        state: of the room.
        name: for people.
        config: what the bot is to do.
        sticky: whether the homeserver has sticky events.
    """
    return (
        _announcing(state, name, _profiles(state, config.rtc, sticky=sticky))
        or _meeting(state, name, config.rtc)
        or _writing(state, name, saves=config.boards.mode == "keep")
    )


def _announcing(state: RoomState, name: str, profiles: AbstractSet[str]) -> Finding | None:
    power = state.power(state.own_user)
    for profile in sorted(profiles):
        if not state.may_announce(profile):
            needed = state.needed_for_membership(profile)
            text = f"{name}: the bot may not announce itself (has power {power}, needs {needed})"
            return broken(ROOMS, text, _advice(_TYPES[profile], power))
    return None


def _profiles(state: RoomState, rtc: Rtc, *, sticky: bool) -> set[str]:
    """Return in which profiles the bot is when it is on the room's boards alone."""
    if rtc.profile != "auto":
        return {rtc.profile} if state.boards else set()
    if not sticky:
        return {LEGACY} if state.boards else set()
    return {STICKY if one is Slot.OPEN else LEGACY for one in _slots(state).values()}


def _meeting(state: RoomState, name: str, rtc: Rtc) -> Finding | None:
    """Look at the slots, where nobody could be on a board by the legacy profile instead."""
    if rtc.profile != "sticky":
        return None
    slots = _slots(state)
    closed = [board for board, slot in slots.items() if slot is Slot.CLOSED]
    absent = [board for board, slot in slots.items() if slot is Slot.ABSENT]
    if closed:
        text = f"{name}: the slot of a board is closed, nobody can be on it"
        return warning(ROOMS, text, _opening(closed[0]))
    if absent and rtc.require_open_slot:
        text = f"{name}: a board has no slot, nobody counts as being on it"
        return broken(ROOMS, text, f"{_opening(absent[0])}; or rtc.require_open_slot: false")
    if absent:
        text = f"{name}: a board has no slot, other programs may show nobody on it"
        return warning(ROOMS, text, _opening(absent[0]))
    return None


def _slots(state: RoomState) -> dict[str, Slot]:
    """Return the state of each board's slot."""
    return {board: state.slot(board) for board in state.boards}


def _opening(board: str) -> str:
    content = {"status": "open", "application": {"type": WHITEBOARD}}
    return f"state event {SLOT_TYPE}, key {json.dumps(slot_id(board))}: {json.dumps(content)}"


def _writing(state: RoomState, name: str, *, saves: bool) -> Finding | None:
    power = state.power(state.own_user)
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
