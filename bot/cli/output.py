"""How the command line looks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_PIPE = 250
"""Columns where nobody looks at a terminal: programs want whole lines."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Say nothing more: who has read enough (`head`) asks for no error, wherever it is."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())  # Python writes what is left when it ends
        os.close(nowhere)


out = _Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE)
err = _Console(stderr=True, highlight=False, soft_wrap=True)

_UNITS = (("day", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def unread() -> bool:
    """Return whether nobody reads any more what is said."""
    return out.quiet


def say(text: str) -> None:
    """Print a line; what stands in brackets is no markup."""
    out.print(text, markup=False)


def say_json(value: Any) -> None:
    """Print one JSON document."""
    out.print(json.dumps(value, indent=2, ensure_ascii=False), markup=False)


def warn(text: str) -> None:
    """Print a line that asks for attention."""
    err.print(text, style="yellow", markup=False)


def fail(text: str) -> None:
    """Print what went wrong."""
    err.print(text, style="red", markup=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    shown = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in shown.columns:
        column.overflow = "fold"  # an id that is cut is of no use
    for row in rows:
        shown.add_row(*(escape(str(cell)) for cell in row))
    out.print(shown)


def count(number: int, what: str, plural: str = "") -> str:
    """Return a number with its noun."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def size(number: int) -> str:
    """Return a number of bytes for people."""
    if number < 1e5:
        return f"{number / 1e3:,.1f} kB"
    return f"{number / 1e6:,.1f} MB" if number < 1e9 else f"{number / 1e9:,.1f} GB"


def span(seconds: float) -> str:
    """Return a duration for people, in its two largest units."""
    rest, parts = max(0, int(seconds)), []
    for unit, length in _UNITS:
        number, rest = divmod(rest, length)
        if number:
            plural = "s" if unit == "day" and number > 1 else ""
            parts.append(f"{number} {unit}{plural}")
    return " ".join(parts[:2]) or "0 s"
