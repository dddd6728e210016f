"""What was measured: medians for programs, and with the spread for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(slots=True)
class Result:
    """One thing measured.

    Attributes:
        name: of the result.
        unit: of its values.
        goal: what the ratio of ours to the reference should reach; None where there is no goal.
        at_least: whether the ratio should be at least the goal, not at most.
        form: of ours, "compiled" or "pure"; empty where it is the checkout as it is.
        ours: each run of ours.
        reference: each run of the reference; empty where there is none.
    """

    name: str
    unit: str
    goal: float | None = None
    at_least: bool = False
    form: str = ""
    ours: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """Median of ours by median of the reference."""
        if not self.ours or not self.reference:
            return None
        return median(self.ours) / median(self.reference)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.goal is None or self.ratio is None:
            return None
        return self.ratio >= self.goal if self.at_least else self.ratio <= self.goal


def write(results: Sequence[Result], path: Path) -> None:
    """Write the medians and, beside them, every single run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "results": [_row(one) for one in results],
        "runs": {
            one.name: {"ours": _rounded(one.ours), "reference": _rounded(one.reference)}
            for one in results
        },
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def _row(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "ours": round(median(result.ours), 3) if result.ours else None,
        "reference": round(median(result.reference), 3) if result.reference else None,
        "ratio": None if result.ratio is None else round(result.ratio, 3),
        "unit": result.unit,
        "runs": len(result.ours),
        **({"form": result.form} if result.form else {}),
    }


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 3) for value in values]


def show(results: Sequence[Result], console: Console) -> None:
    """Print the table."""
    title = "boardkeeper and what it is measured against: median (smallest to largest)"
    table = Table(title=title)
    for name in ("", "ours", "reference", "unit", "ratio", "goal"):
        table.add_column(
            name, justify="left" if name in {"", "unit"} else "right", no_wrap=not name
        )
    for one in results:
        ratio = "" if one.ratio is None else f"{one.ratio:.2f}"
        colour = {True: "green", False: "red", None: "default"}[one.met]
        table.add_row(
            one.name,
            _spread(one.ours),
            _spread(one.reference),
            one.unit,
            f"[{colour}]{ratio}[/]" if ratio else "",
            "" if one.goal is None else f"{'≥' if one.at_least else '≤'} {one.goal:g}",
        )
    console.print(table)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    middle = _short(median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({_short(min(values))} to {_short(max(values))})"


def _short(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
