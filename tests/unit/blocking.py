"""A handler that blocks: in a file of its own, as handlers are."""

from __future__ import annotations

import time

from bot.handlers.base import Handler


class Blocks(Handler):
    """Sleeps without `await`."""

    @staticmethod
    def block(seconds: float) -> None:
        """Hold up everything."""
        time.sleep(seconds)
