"""Findings as lines for people, or as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from bot.doctor.finding import Finding, Level, worst

_SYMBOLS = {Level.OK: "✓", Level.WARNING: "!", Level.BROKEN: "✗"}
_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.BROKEN: "bold red"}
_WIDTH = 17


def show(console: Console, finding: Finding) -> None:
    """Print one finding: symbol, word, subject, text; what to change below."""
    word = finding.level.name.lower()
    line = Text(f"{_SYMBOLS[finding.level]} {word:<8}", style=_STYLES[finding.level])
    line.append(f"{finding.subject:<{_WIDTH}}", style="bold")
    line.append(finding.text, style="default not bold")
    console.print(line)
    if finding.advice:
        console.print(Text(f"{'':<{10 + _WIDTH}}→ {finding.advice}", style="cyan"))


def summary(findings: Sequence[Finding]) -> str:
    """Say it all in one line."""
    counts = {level: sum(one.level is level for one in findings) for level in Level}
    wrong, odd = counts[Level.BROKEN], counts[Level.WARNING]
    if not wrong and not odd:
        return "All is well."
    return f"{wrong} broken, {odd} to look at, {counts[Level.OK]} fine."


def as_json(findings: Sequence[Finding]) -> str:
    """Return one JSON object: the worst level, and all findings."""
    listed = [asdict(one) | {"level": one.level.name.lower()} for one in findings]
    level = worst(findings).name.lower()
    return json.dumps({"level": level, "findings": listed}, ensure_ascii=False, indent=1)
