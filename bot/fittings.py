"""Parts of the program that are made from the configuration alone, and what program it is."""

from __future__ import annotations

import random
from collections.abc import Iterable

from bot import __version__, metrics
from bot.config import Config
from bot.handlers.base import DocumentUpdate, Handler
from bot.presence.admission import DELAY_BY_REFRESH
from bot.rooms.invites import Policy
from bot.rtc.timing import Timing
from bot.whiteboard.document import Document
from bot.whiteboard.form import FORM
from bot.whiteboard.keep import Pace


def built() -> dict[str, str]:
    """Return what runs here, for the log; `/metrics` says it too from now on."""
    what = {"version": __version__, "merger": FORM}
    metrics.BUILD.info(what)
    return what


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


def timing(config: Config, refresh: float, max_delay: float) -> Timing:
    """Return the durations of a membership, each its own: not all are renewed at once.

    Args:
        config: tells the wishes.
        refresh: seconds between two restarts that the homeserver's limits carry.
        max_delay: of a delayed event on the homeserver, seconds.
    """
    rtc = config.rtc
    delay = rtc.delay if refresh == rtc.refresh else DELAY_BY_REFRESH * refresh
    return Timing(
        refresh=refresh,
        delay=max(min(delay, max_delay), refresh + 3.0),
        expires=rtc.expires,
        renew=rtc.expires * random.uniform(0.67, 0.82),  # noqa: S311 - spreads load, hides nothing
    )


def noting(handlers: Iterable[Handler]) -> bool:
    """Return whether any of these handlers may ask a live event what it changed."""
    return any(
        one.asks_changes and not one.durable and DocumentUpdate in one.wants() for one in handlers
    )
