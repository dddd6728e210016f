"""What an examination finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad it is."""

    OK = 0
    WARNING = 1
    BROKEN = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        level: how bad it is.
        subject: what was looked at, in a word or two.
        text: what was found; never a secret.
        advice: what to change, exactly; empty when nothing.
    """

    level: Level
    subject: str
    text: str
    advice: str = ""


def ok(subject: str, text: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(Level.OK, subject, text)


def warning(subject: str, text: str, advice: str = "") -> Finding:
    """Return that something works, but not always or not well."""
    return Finding(Level.WARNING, subject, text, advice)


def broken(subject: str, text: str, advice: str = "") -> Finding:
    """Return that something does not work."""
    return Finding(Level.BROKEN, subject, text, advice)


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level; ok when nothing was found."""
    return max((finding.level for finding in findings), default=Level.OK)
