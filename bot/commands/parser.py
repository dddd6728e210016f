"""Reads `!board …` out of a message, and who may say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MAX_LENGTH = 200
"""Characters of a message that are looked at: commands are short."""


class Command(StrEnum):
    """What the bot can be told in a room."""

    HELP = "help"
    STATUS = "status"
    PAUSE = "pause"
    RESUME = "resume"
    LEAVE = "leave"


OPEN = frozenset({Command.HELP, Command.STATUS})
"""Commands that anybody in the room may use; the others need power."""


@dataclass(frozen=True, slots=True)
class Request:
    """A message meant for the bot.

    Attributes:
        sender: who said it.
        command: None when the word after the prefix is none the bot knows.
    """

    sender: str
    command: Command | None


def read_request(event: Mapping[str, Any], prefix: str) -> Request | None:
    """Read a `m.room.message` event.

    Returns:
        None when the message is not for the bot: another text, an edit, a bot's own notice.
    """
    content, sender = event.get("content"), event.get("sender")
    if not isinstance(content, Mapping) or not isinstance(sender, str):
        return None
    body = content.get("body")
    if content.get("msgtype") != "m.text" or not isinstance(body, str):
        return None
    relation = content.get("m.relates_to")
    if isinstance(relation, Mapping) and relation.get("rel_type") == "m.replace":
        return None
    words = body[:MAX_LENGTH].split()
    if not words or words[0] != prefix:
        return None
    word = words[1].lower() if len(words) > 1 else Command.HELP.value
    return Request(sender, Command(word) if word in set(Command) else None)


def power_of(user_id: str, power_levels: Mapping[str, Any], creators: frozenset[str]) -> int:
    """Return a user's power in a room.

    Args:
        user_id: whose.
        power_levels: content of `m.room.power_levels`, `{}` when there is none.
        creators: who created the room: above everybody in room version 12, and the only one with
            power where no power levels are set.
    """
    if user_id in creators:
        return 2**53 - 1
    users = power_levels.get("users")
    level = users.get(user_id) if isinstance(users, Mapping) else None
    if not isinstance(level, int):
        level = power_levels.get("users_default")
    return level if isinstance(level, int) else 0


def allowed(request: Request, power: int, needed: int) -> bool:
    """Return whether somebody with this power may give this command."""
    return is_question(request) or power >= needed


def is_question(request: Request) -> bool:
    """Return whether nothing changes by it: the answer is all there is to it."""
    return request.command is None or request.command in OPEN
