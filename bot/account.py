"""Our account as the configuration names it: the client, and how far its sync has come."""

from __future__ import annotations

import logging

from bot.config import Config
from bot.errors import NotFound, ServerError, StoreError
from bot.matrix.client import Homeserver
from bot.matrix.delayed import DelayedEvent
from bot.rtc import legacy
from bot.rtc.membership import MEMBER_TYPE
from bot.rtc.sticky import STICKY_TYPE, slot_id
from bot.store.archive import Archive

_log = logging.getLogger(__name__)


class Positions:
    """Keeps the sync position where it can be kept: a full disk must not end the sync.

    A position that is not kept only means that the next start sees some events again.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def get(self, name: str) -> str | None:
        """Return what was kept."""
        return await self._archive.get(name)

    async def set(self, name: str, value: str) -> None:
        """Keep it if possible."""
        try:
            await self._archive.set(name, value)
        except StoreError:
            _log.warning("the sync position could not be kept")


def make_homeserver(config: Config, archive: Archive, token: str | None = None) -> Homeserver:
    """Return the client for the configured account.

    Args:
        config: names the account.
        archive: keeps its token.
        token: log in with this one only.
    """
    account = config.homeserver
    configured = account.access_token.reveal() if account.access_token else None
    return Homeserver(
        account.url,
        account.user_id,
        account.device_id,
        access_token=configured or token,
        password=account.password.reveal() if account.password and not token else None,
        tokens=archive,
    )


async def send_left_over(homeserver: Homeserver) -> None:
    """Send what an earlier life of ours scheduled: else its leave would clear a new membership.

    In the sticky profile it could not, but its membership would stand beside the new one.

    Sending (not cancelling) makes the room's state true at once: we are not there now.
    """
    try:
        events = await homeserver.delayed_events()
    except ServerError:
        _log.warning("delayed events of an earlier run could not be read")
        return
    for event in events:
        if _is_ours(event, homeserver):
            try:
                await homeserver.send_delayed(event.delay_id)
            except NotFound:
                continue  # it has just been sent by itself
            except ServerError:
                _log.warning("a leave of an earlier run could not be sent")


def _is_ours(event: DelayedEvent, homeserver: Homeserver) -> bool:
    """Whether it ends a whiteboard membership of our device, in either profile."""
    if event.type == STICKY_TYPE and event.sticky_key is not None:
        on_a_board = (event.slot_id or "").startswith(slot_id(""))
        return on_a_board and event.device_id == homeserver.device_id
    # Ours is the plain key and suffixed ones, not those of a device whose name goes on.
    ours = legacy.member_key(homeserver.user_id, homeserver.device_id)
    key = event.state_key or ""
    return event.type == MEMBER_TYPE and (key == ours or key.startswith(f"{ours}_"))
