"""Borders: where a failure ends and what failed is begun anew (DESIGN rule 9)."""

from __future__ import annotations

import asyncio


def end_if_cancelled() -> None:
    """Raise the cancellation that a TaskGroup has swallowed: what is to end is not begun anew.

    A group that is cancelled while it already ends by a failure raises the failure alone (seen
    with Python 3.11), and whoever waits for the end of its task would wait for ever.

    Raises:
        asyncio.CancelledError: the task we are in was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
