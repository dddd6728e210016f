"""Runs the checks: one after the other, each bounded in time, none hides another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from bot.doctor.finding import Finding, Level, broken, warning, worst
from bot.doctor.patient import Patient
from bot.errors import BoardkeeperError

WITHIN = 5.0
"""Seconds a check may take unless it says otherwise."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at.

    Attributes:
        subject: in a word or two; unique.
        look: looks, and yields what it finds.
        needs: subjects without which looking is of no use.
        within: seconds it may take.
    """

    subject: str
    look: Callable[[Patient], AsyncIterator[Finding]]
    needs: tuple[str, ...] = ()
    within: float = WITHIN


async def examine(
    patient: Patient, checks: Sequence[Check], tell: Callable[[Finding], None]
) -> Level:
    """Do all checks; return the worst that was found.

    Args:
        patient: is examined.
        checks: in this order; each after those it needs.
        tell: hears each finding at once.
    """
    failed: dict[str, str] = {}  # and what broke first
    levels = [Level.OK]
    for check in checks:
        missing = [failed[subject] for subject in check.needs if subject in failed]
        if missing:
            text = f"not checked: needs what is broken ({missing[0]})"
            found = [warning(check.subject, text)]
            tell(found[0])
            failed[check.subject] = missing[0]
        else:
            found = await _look(patient, check, tell)
            if worst(found) is Level.BROKEN:
                failed[check.subject] = check.subject
        levels.append(worst(found))
    return max(levels)


async def _look(patient: Patient, check: Check, tell: Callable[[Finding], None]) -> list[Finding]:
    found: list[Finding] = []

    def note(finding: Finding) -> None:
        found.append(finding)
        tell(finding)

    try:
        async with asyncio.timeout(check.within):
            async for finding in check.look(patient):
                note(finding)
    except TimeoutError:
        note(broken(check.subject, f"no answer within {check.within:g} s"))
    except BoardkeeperError as error:
        note(broken(check.subject, str(error)))
    except Exception as error:  # noqa: BLE001 - whatever one check does wrong hides no other
        note(broken(check.subject, f"the check itself failed ({type(error).__name__})"))
    return found
