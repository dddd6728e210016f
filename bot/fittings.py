"""Parts of the program that are made from the configuration alone."""

from __future__ import annotations

import random
from collections.abc import Iterable

from bot.config import Config
from bot.handlers.base import DocumentUpdate, Handler
from bot.invites import Policy
from bot.whiteboard.document import Document
from bot.whiteboard.keep import Pace


def empty(config: Config) -> Document:
    """Return a fresh document of the configured version and size."""
    boards = config.boards
    return Document(default_version=boards.default_root, max_bytes=boards.max_document)


def pace(config: Config) -> Pace | None:
    """Return how patiently to save; several bots in a room are not to save at the same instant."""
    if config.boards.mode == "observe":
        return None
    return Pace(grace=config.boards.save_after, offset=random.uniform(0.0, 2.0))  # noqa: S311


def policy(config: Config) -> Policy:
    """Return who may invite the bot."""
    invites = config.invites
    return Policy(invites.allow, invites.deny, invites.max_rooms, invites.per_minute)


def noting(handlers: Iterable[Handler]) -> bool:
    """Return whether any of these handlers may ask a live event what it changed."""
    return any(
        one.asks_changes and not one.durable and DocumentUpdate in one.wants() for one in handlers
    )
