"""`boardkeeper doctor`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console

from bot.config import Config
from bot.doctor import calls, machine, rooms, server, sticky, tls
from bot.doctor.examination import Check, examine
from bot.doctor.finding import Finding, Level
from bot.doctor.patient import Patient
from bot.doctor.report import as_json, show, summary

_IN = (server.ACCOUNT,)

CHECKS = (
    Check(machine.FILES, machine.files),
    Check(machine.FOLDER, machine.folder),
    Check(machine.MERGER, machine.merger),
    Check(server.SERVER, server.reach),
    Check(server.CLOCK, server.clock, (server.SERVER,)),
    Check(server.ACCOUNT, server.account, (server.SERVER,)),
    Check(server.DELAYED, server.delayed, _IN),
    Check(sticky.EVENTS, sticky.events, _IN),
    # Before the next one, which uses up what one may do with delayed events.
    Check(sticky.LEAVING, sticky.leaving, (*_IN, server.DELAYED), within=12.0),
    # Without delayed events their limits cannot be found out.
    Check(server.LIMITS, server.limits, (*_IN, server.DELAYED), within=12.0),
    Check(calls.FOCI, calls.foci, within=10.0),
    # After those who name services: what they name goes into the advice.
    Check(sticky.TRANSPORTS, sticky.transports, _IN),
    Check(calls.TOKEN, calls.token, (*_IN, calls.FOCI), within=15.0),
    Check(calls.AUDIBLE, calls.audible, (*_IN, calls.FOCI), within=calls.AUDIBLE_WITHIN),
    Check(sticky.TOKENS, sticky.tokens, (*_IN, calls.FOCI, calls.TOKEN), within=15.0),
    Check(sticky.AUDIBLE, sticky.audible, (*_IN, sticky.TOKENS), within=calls.AUDIBLE_WITHIN),
    Check(rooms.ROOMS, rooms.rooms, _IN, within=rooms.WITHIN),
    Check(tls.TLS, tls.tls, within=tls.WITHIN),
)
"""All, in the order in which people look for a fault; TLS last, when all addresses are known."""


def checks(config: Config) -> tuple[Check, ...]:
    """Return those that this configuration has a use for."""
    if config.rtc.profile == "legacy":
        needless = sticky.ALL
    elif config.livekit.auth == "api_key":
        needless = {sticky.TOKENS, sticky.AUDIBLE}  # the same key opens both profiles' rooms
    elif config.rtc.profile == "sticky":
        needless = {calls.TOKEN, calls.AUDIBLE}
    else:
        needless = set()
    return tuple(check for check in CHECKS if check.subject not in needless)


def add(commands: Any, config: argparse.ArgumentParser) -> None:
    """Add the command to the parser (argparse's own type of `commands` has no public name)."""
    parser = commands.add_parser(
        "doctor", parents=[config], help="examine the deployment and say what to change"
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def run(config: Config, *, machine_readable: bool) -> int:
    """Examine; return the exit code: 1 when something is broken."""
    console = Console(highlight=False, soft_wrap=True)
    findings: list[Finding] = []

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if not machine_readable:
            show(console, finding)

    level = asyncio.run(_examine(config, tell))
    if machine_readable:
        sys.stdout.write(as_json(findings) + "\n")
    else:
        console.print(summary(findings), style="bold")
    return 1 if level is Level.BROKEN else 0


async def _examine(config: Config, tell: Callable[[Finding], None]) -> Level:
    async with Patient(config) as patient:
        return await examine(patient, checks(config), tell)
