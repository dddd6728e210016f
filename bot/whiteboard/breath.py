"""Lets other threads run while compiled modules (setup.py) go through much.

The interpreter changes threads between its own instructions. Compiled code has none: a thread that
opens a large board would stop the event loop for as long as that takes. So what is done once per
element, or for many items, calls this.
"""

from __future__ import annotations


def take_breath() -> None:
    """Do nothing, but in the interpreter; this must never be compiled."""
