"""How `boardkeeper status` says what is saved, and what is not and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.actions.actions import show_time
from bot.cli.output import count, say, span

MOST = 20
"""Boards shown one by one; the rest is counted."""


def show(boards: Sequence[Mapping[str, Any]], now_ts: float) -> None:
    """Say how safe the boards are.

    Args:
        boards: as the bot answers (`bot.control.saved.Saved`).
        now_ts: ms.
    """
    lacking = [board for board in boards if board["lacks"]]
    if not boards:
        return
    if not lacking:
        say(f"saved        all of {count(len(boards), 'board')}: {_where(boards)}")
        return
    say(f"NOT SAVED    {len(lacking)} of {count(len(boards), 'board')}:")
    for board in lacking[:MOST]:
        _show(board, now_ts)
    if len(lacking) > MOST:
        say(f"  … and {len(lacking) - MOST} more: “boardkeeper status --json” has all.")


def _where(boards: Sequence[Mapping[str, Any]]) -> str:
    room = any(board["room"]["used"] for board in boards)
    archive = any(board["archive"]["used"] for board in boards)
    if room and archive:
        return "everything is in the rooms and in the archive"
    if archive:
        return "everything is in the archive; saving to rooms is left to people (boards.mode)"
    if room:
        return "everything is in the rooms; nothing is recorded"
    return "this bot neither records nor saves to rooms"


def _show(board: Mapping[str, Any], now_ts: float) -> None:
    name = board["name"] or board["room_id"]
    say(f"  No. {board['board']}  {name}  {board['whiteboard_id']}")
    why: dict[str, list[str]] = {"room": [], "archive": [], "board": []}
    for lack in board["lacks"]:
        why[lack["where"]].append(lack["text"])
    room = _held(board["room"], now_ts, "saving is left to people (boards.mode)")
    archive = _held(board["archive"], now_ts, "nothing is recorded now")
    _lines("in the room", [room, *why["room"]])
    _lines("in the archive", [archive, *why["archive"]])
    _lines("on the board", why["board"])


def _lines(title: str, texts: Sequence[str]) -> None:
    for number, text in enumerate(texts):
        say(f"      {'' if number else title:<15} {text}")


def _held(place: Mapping[str, Any], now_ts: float, unused: str) -> str:
    if not place["used"]:
        return unused
    if place["complete"]:
        return "everything"
    if place["until_ts"] is None:
        return "not everything"
    ago = span((now_ts - place["until_ts"]) / 1000)
    return f"everything up to {show_time(place['until_ts'])} ({ago} ago)"
