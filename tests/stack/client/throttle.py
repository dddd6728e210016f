"""Throttling as NeoBoard's RxJS does it: what comes too fast waits for the end of a window."""

from __future__ import annotations

from typing import Generic, TypeVar

Value = TypeVar("Value")


class Throttle(Generic[Value]):
    """Lets one value through per window; the last one of a window comes at its end.

    A value that comes at the end of a window opens the next window, so a steady stream leaves at
    a steady beat.

    Args:
        seconds: length of a window.
        leading: whether the first value after a pause goes through at once (cursors) or waits for
            the end of the window it opens (snapshots).
    """

    def __init__(self, seconds: float, *, leading: bool) -> None:
        self._seconds = seconds
        self._leading = leading
        self._waiting: list[Value] = []
        self.deadline: float | None = None
        """When `take` has to be called next."""

    def offer(self, value: Value, now: float) -> Value | None:
        """Hands in a value; returns it when it goes through at once."""
        if self.deadline is None:
            self.deadline = now + self._seconds
            if self._leading:
                return value
        self._waiting = [value]
        return None

    def take(self, now: float) -> Value | None:
        """Returns the value that has waited, when the window is over."""
        if self.deadline is None or now < self.deadline:
            return None
        waiting, self._waiting = self._waiting, []
        self.deadline = now + self._seconds if waiting else None
        return waiting[0] if waiting else None
