"""The history of sessions: what a room with many membership events costs to read and to compute.

Four people, half of them in the sticky profile, come and go in a room; then the bot is invited
and the operator asks for the history. The homeserver is a real one, and most of the time is its.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import Any

from bot.control import control
from tests.bench.results import Result
from tests.bench.scene import Scene, bot
from tests.stack.bot import Bot, until
from tests.stack.client import events, sticky
from tests.stack.client.events import Board
from tests.stack.client.matrix import MatrixUser

_PEOPLE = 4
_WITHIN = 1800.0
_FOCUS = "http://nowhere.invalid"


async def measure(scene: Scene, *, changes: int, runs: int) -> list[Result]:
    """Measures reading anew, reading on and telling.

    Args:
        scene: where.
        changes: how many membership events the room has, at the least.
        runs: how often it is read.
    """
    what = f"history of {changes} membership events"
    read, requests = Result(f"{what}: read", "s"), Result(f"{what}: read in", "requests")
    again, told = Result(f"{what}: nothing new", "s"), Result(f"{what}: printed", "s")
    async with bot(scene, "historian") as running:
        board = await scene.board()
        changes = len(await _fill(scene, board, changes))
        await scene.user.membership(board.room_id, "invite", running.user_id)
        await until(lambda: scene.greeted(running, board), 60, "the bot is not there", running)
        for _ in range(runs):
            begun = time.monotonic()
            pages, seen = await _read(running, board, anew=True)
            read.ours.append(time.monotonic() - begun)
            requests.ours.append(pages)
            if seen < changes:
                raise RuntimeError(f"{seen} of {changes} events were read")
            begun = time.monotonic()
            await _read(running, board)
            again.ours.append(time.monotonic() - begun)
            begun = time.monotonic()
            command = ("sessions", board.room_id, "--history", "--json")
            text = await asyncio.to_thread(running.command, *command)
            told.ours.append(time.monotonic() - begun)
            _check(text)
    return [read, requests, again, told]


async def _read(running: Bot, board: Board, *, anew: bool = False) -> tuple[int, int]:
    """Have the bot read until that is done; returns its requests, and the events it was given."""
    pages = seen = 0
    while True:
        request = {"command": "history", "room": board.room_id, "until_ts": 0, "anew": anew}
        found: dict[str, Any] = await control.ask(running.data, request)
        pages, seen, anew = pages + found["pages"], seen + found["events"], False
        if found["done"]:
            return pages, seen


def _check(text: str) -> None:
    """Everybody was there."""
    found = json.JSONDecoder().raw_decode(text)[0]  # what it warns of comes behind
    people = {span["user_id"] for session in found["sessions"] for span in session["spans"]}
    if len(people) != _PEOPLE or not found["complete"]:
        raise RuntimeError(f"{len(people)} people of {_PEOPLE}")


async def _fill(scene: Scene, board: Board, changes: int) -> set[str]:
    """Have people come and go, all at the same time; returns the ids of all events.

    Of state that two people write at the same instant Synapse may see only one, and then takes the
    other's next `{}` for what is there already: that gives no event, so events are counted by id.
    """
    known: set[str] = set()
    async with AsyncExitStack() as exits, asyncio.timeout(_WITHIN):
        people = []
        for number in range(_PEOPLE):
            login = await scene.stack.user(f"guest{number}")
            one = MatrixUser(scene.stack.homeserver_url, login)
            await one.start()
            exits.push_async_callback(one.end)
            await scene.user.membership(board.room_id, "invite", one.user_id)
            await one.membership(board.room_id, "join")
            people.append(one)
        async with asyncio.TaskGroup() as tasks:
            for number, one in enumerate(people):
                tasks.create_task((_sits if number % 2 else _stands)(one, board, known, changes))
    return known


async def _stands(one: MatrixUser, board: Board, known: set[str], changes: int) -> None:
    """Comes and goes in the legacy profile."""
    key = events.member_key(one.user_id, one.device_id)
    while len(known) < changes:
        expires_ts = int(time.time() * 1000) + events.EXPIRES_AFTER_MS
        content = events.member_content(board, one.device_id, [_FOCUS], expires_ts)
        for state in (content, {}):
            known.add(await one.put_state(board.room_id, events.MEMBER, state, key))


async def _sits(one: MatrixUser, board: Board, known: set[str], changes: int) -> None:
    """Likewise in the sticky one."""
    device_id = one.device_id
    while len(known) < changes:
        seat = f"seat{len(known)}"
        join = sticky.join_content(board, device_id, seat, _FOCUS)
        leave = sticky.leave_content(board, device_id, seat, "leave")
        for content in (join, leave):
            sent = one.send_sticky(board.room_id, sticky.STICKY, content, sticky.STICKY_MS)
            known.add(await sent)
