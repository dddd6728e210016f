"""What the demo shows while it runs: how far the bot is, and what it has recorded of whom."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tests.stack.bot import Bot
from tests.system.archive import query

STEPS = {
    "invited": "invited: joining",
    "joined the room, board found": "board found",
    "somebody is on the board": "session changed",
    "connected to LiveKit, data only": "connected",
    "announced in the MatrixRTC session": "joined",
}
"""What a step is called → what the bot's log says when it is taken."""
COLUMNS = {"update": "strokes", "cursor": "cursors", "focus": "focus", "present": "presenting"}


@dataclass(slots=True)
class View:
    """Draws the bot as it looks from its log and its archive; times since the invite."""

    bot: Bot
    _taken: dict[str, float] = field(default_factory=dict)

    def __rich__(self) -> RenderableType:
        """Draw it as it is now."""
        return Group(self._steps(), self._people(), self._totals())

    @property
    def announced(self) -> bool:
        """Whether the last step is taken."""
        self._look()
        return len(self._taken) == len(STEPS)

    def _look(self) -> None:
        begun: datetime | None = None
        for event in self.bot.events():
            said = {event["msg"], event.get("state"), event.get("status")}
            at = datetime.fromisoformat(event["ts"])
            for step, text in STEPS.items():
                if text in said and step not in self._taken:
                    begun = begun or at
                    self._taken[step] = (at - begun).total_seconds()

    def _steps(self) -> RenderableType:
        self._look()
        lines = Text()
        for step in STEPS:
            if step in self._taken:
                lines.append(f" ✓ {step}", style="green")
                lines.append(f"  {self._taken[step]:.2f} s\n", style="dim")
            else:
                lines.append(f" · {step}\n", style="dim")
        lines.rstrip()
        return Panel(lines, title="the bot", title_align="left")

    def _people(self) -> RenderableType:
        table = Table("who", *COLUMNS.values(), box=None, padding=(0, 3, 0, 0))
        counted: dict[str, Counter[str]] = {}
        for sender, kind, count in self._query(
            "SELECT sender, kind, count(*) FROM entries GROUP BY sender, kind"
        ):
            if kind in COLUMNS:
                counted.setdefault(str(sender), Counter())[str(kind)] = int(str(count))
        for who, kinds in sorted(counted.items()):
            table.add_row(who.partition(":")[0], *(str(kinds[kind] or "") for kind in COLUMNS))
        return Panel(table, title="what people did", title_align="left")

    def _totals(self) -> RenderableType:
        [(entries, size)] = self._query(
            "SELECT count(*), coalesce(sum(length(data)), 0) FROM entries"
        ) or [(0, 0)]
        [(snapshots,)] = self._query("SELECT count(*) FROM snapshots") or [(0,)]
        text = Text()
        text.append(f"{entries}", style="bold")
        text.append(f" entries recorded ({int(str(size)) / 1000:.0f} kB), ")
        text.append(f"{snapshots}", style="bold")
        text.append(" snapshots seen in the room")
        return Panel(text, title="the archive", title_align="left")

    def _query(self, sql: str) -> list[tuple[object, ...]]:
        try:
            return query(self.bot.data, sql)
        except sqlite3.Error:
            return []  # not there yet
