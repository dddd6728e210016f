"""The commands on the running bot; what the archive knows without one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bot.actions.actions import show_time
from bot.actions.naming import RoomNames, find_room
from bot.cli import output, safety
from bot.cli.output import count, say, span
from bot.config import Config
from bot.control import control
from bot.control.control import NotRunning
from bot.errors import UsageError
from bot.rtc.membership import LEGACY
from bot.store.archive import Archive
from bot.store.folder import FILE_NAME
from bot.whiteboard.form import SHOWN

_START = "Start it with “boardkeeper run”."


async def status(config: Config, *, as_json: bool) -> bool:
    """Say how the bot is; returns whether one runs."""
    try:
        found = await control.ask(config.data.folder, {"command": "status"})
    except NotRunning:
        found = await _kept(config)
    if as_json:
        output.say_json(found)
    elif found["running"]:
        _show_status(found)
    else:
        say(f"The bot does not run. {_START}")
        if found["archive"] is None:
            say(f"{config.data.folder}: there is no archive; the bot did not run here yet.")
        else:
            say(_in_archive(found["archive"]))
    return bool(found["running"])


async def _kept(config: Config) -> dict[str, Any]:
    """Return what is known without a bot."""
    known: dict[str, Any] = {"running": False, "user_id": config.homeserver.user_id}
    if not (config.data.folder / FILE_NAME).exists():
        return {**known, "archive": None}
    async with Archive(config.data.folder, read_only=True) as archive:
        statistics = await archive.statistics()
        rooms = await archive.rooms()
        boards = await archive.boards()
    last = [row.last_ts for row in boards if row.last_ts is not None]
    return {
        **known,
        "archive": {
            "boards": statistics.boards,
            "entries": statistics.entries,
            "archive_bytes": statistics.file_bytes,
            "paused": sum(room.paused for room in rooms),
            "last_ts": max(last, default=None),
        },
    }


def _in_archive(kept: Mapping[str, Any]) -> str:
    last = f", the last of {show_time(kept['last_ts'])}" if kept["last_ts"] else ""
    return (
        f"recorded     {count(kept['entries'], 'entry', 'entries')} of"
        f" {count(kept['boards'], 'board')}{last};"
        f" {output.size(kept['archive_bytes'])}; {count(kept['paused'], 'room')} paused"
    )


def _show_status(found: Mapping[str, Any]) -> None:
    running = span(time.time() - found["since_ts"] / 1000)
    say(f"boardkeeper {found['version']}, process {found['pid']}, running for {running}")
    say(f"merger       {SHOWN[found['merger']]}")
    device = f", device {found['device_id']}" if found["device_id"] else ""
    waiting = "" if found["logged_in"] else ", not logged in yet"
    say(f"account      {found['user_id']}{device}{waiting}")
    for name, part in found["components"].items():
        say(f"{name:<12} {'ok' if part['ok'] else 'FAILING'}: {part['detail']}")
    bridged = f" {found['bridged']} bridged (old and new NeoBoards);" if found["bridged"] else ""
    say(
        f"boards       {count(found['boards'], 'board')} in {count(found['rooms'], 'room')};"
        f" people on {found['attended']};{bridged}"
        f" {count(found['memberships'], 'membership')} of ours"
    )
    safety.show(found.get("saved", ()), time.time() * 1000)
    places = found["admission"]
    most = "no limit known" if places["capacity"] is None else f"at most {places['capacity']}"
    say(
        f"places       {places['on']} taken, {most}, {places['waiting']} waiting;"
        f" each renewed every {places['refresh']:g} s"
    )
    say(
        f"recorded     {count(found['entries'], 'entry', 'entries')};"
        f" {output.size(found['archive_bytes'])}; {count(found['paused'], 'room')} paused"
    )
    if found["draining"]:
        say("DRAINED      on no board until “boardkeeper drain --off”")


async def sessions(config: Config, room: str, *, as_json: bool) -> None:
    """Say who is on the boards of a room."""
    found = await _ask(config, {"command": "sessions", "room": room})
    if as_json:
        output.say_json(found)
        return
    say(f"{found['name']} {found['room']}".strip())
    newer = any(
        member["profile"] != LEGACY
        for session in found["sessions"]
        for member in session["members"]
    )
    rows = [row for session in found["sessions"] for row in _members(session, profiles=newer)]
    if not rows:
        say("Nobody is on a board.")
        return
    # Where there are old NeoBoards alone, nobody has to know that there are others.
    profile = ("Profile",) if newer else ()
    output.table(("Board", "Who", "Device", *profile, "Since", "Expires", "Focus"), rows)
    change_ts = min(session["next_change_ts"] for session in found["sessions"])
    left = span((change_ts - found["now_ts"]) / 1000)
    say(f"If no event comes, this changes in {left} ({show_time(change_ts)}).")


def _members(session: Mapping[str, Any], *, profiles: bool) -> list[tuple[object, ...]]:
    board = session["board"] or f"{session['application']} {session['call_id']}"
    return [
        (
            board,
            f"{member['user_id']}{' (this bot)' if member['ours'] else ''}",
            member["device_id"],
            *((member["profile"],) if profiles else ()),
            show_time(member["since_ts"]),
            show_time(member["expires_ts"]),
            member["focus"] or "-",
        )
        for member in session["members"]
    ]


async def leave(config: Config, room: str) -> None:
    """Have the bot leave a room."""
    found = await _ask(config, {"command": "leave", "room": room})
    say(f"{found['shown']}: left. To have the bot back, invite it again.")


async def drain(config: Config, *, off: bool) -> bool:
    """Have the bot leave all boards; returns whether all is done."""
    found = await _ask(config, {"command": "drain", "on": not off})
    if off:
        say("The bot takes part again.")
        return True
    left = {name: number for name, number in found["left"].items() if number}
    if found["done"]:
        say(
            f"Done: {count(found['withdrawn'], 'membership')} withdrawn, everything is written."
            " The bot can be ended now; “boardkeeper drain --off” has it take part again."
        )
        return True
    parts = ", ".join(f"{name}: {number}" for name, number in left.items())
    output.warn(
        f"The bot begins nothing new, but not everything is done ({parts})."
        " Try again; “boardkeeper status” and the log may say why."
    )
    return False


async def record(config: Config, room: str, *, paused: bool) -> None:
    """Stop recording a room, or go on; without a bot this holds from its next start on."""
    command = "pause" if paused else "resume"
    try:
        found = await control.ask(config.data.folder, {"command": command, "room": room})
    except NotRunning:
        await _record_later(config, room, paused=paused)
        return
    now = "recording goes on" if found["recording"] else "nothing is recorded"
    say(f"{found['shown']}: {now}{_told(found['changed'])}")


def _told(changed: object) -> str:
    return "; the room was told." if changed else ", as before."


async def _record_later(config: Config, room: str, *, paused: bool) -> None:
    async with Archive(config.data.folder, read_only=True) as archive:
        found = find_room(await known_rooms(archive), room)
        kept = await archive.room(found.room_id)
    if kept is not None and kept.paused == paused:
        say(f"{found.shown}: {'paused' if paused else 'not paused'}, as before.")
        return
    async with Archive(config.data.folder) as archive:
        # Resumed, the room has to be told again what is recorded: it hears that on the next start.
        await archive.set_room(
            found.room_id,
            paused=paused,
            noticed=None if paused else False,
            resumed_ts=None if paused else int(time.time() * 1000),
        )
    what = "paused" if paused else "not paused any more"
    say(f"{found.shown}: {what}. The bot does not run; this holds when it starts.")


async def known_rooms(archive: Archive) -> list[RoomNames]:
    """Return the rooms the archive knows."""
    boards = await archive.boards()
    called = {room.room_id: (room.name, room.alias) for room in await archive.rooms()}
    for row in boards:
        called.setdefault(row.key.room_id, ("", ""))
    return [
        RoomNames(
            room_id,
            name,
            alias,
            {row.id: row.key for row in boards if row.key.room_id == room_id},
        )
        for room_id, (name, alias) in called.items()
    ]


async def _ask(config: Config, request: Mapping[str, Any]) -> Any:
    """Ask the bot.

    Raises:
        UsageError: no bot runs, or it refuses.
    """
    try:
        return await control.ask(config.data.folder, request)
    except NotRunning as error:
        raise UsageError(
            f"“boardkeeper {request['command']}” needs the running bot, and none runs on"
            f" {config.data.folder}. {_START}"
        ) from error
