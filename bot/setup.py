"""`boardkeeper setup`: with an administrator's token, makes the account and its configuration.

Synapse's admin API creates the account and lifts its rate limits. What will be done is said first.
Done again, it changes nothing that is as it should be: an account whose password we have is left
alone, and a configuration that is there already is never written over.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bot.config.file import example
from bot.config.scalars import read_http_url, read_user_id
from bot.errors import UsageError
from bot.matrix.admin import Admin

TOKEN_VARIABLE = "BOARDKEEPER_ADMIN_TOKEN"  # noqa: S105 - a name
WITHIN = 15.0
"""Seconds for one request."""
_MAX_TOKEN = 4096


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be set up.

    Attributes:
        homeserver: address of its client API.
        user_id: of the account.
        output: the configuration file; the password's file is beside it.
        token: of an administrator.
    """

    homeserver: str
    user_id: str
    output: Path
    token: str = field(repr=False)

    @property
    def password_file(self) -> Path:
        """Where the password is kept."""
        return self.output.with_name(self.output.name + ".password")


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, as sentences and as facts.

    Attributes:
        create: whether there is no such account yet.
        password: the one to set; None when the present one is known.
        write: whether there is no configuration yet.
    """

    create: bool
    password: str | None = field(repr=False)
    write: bool

    def sentences(self, wishes: Wishes) -> list[str]:
        """Say it to people."""
        said = []
        if self.create:
            said.append(f"create the account {wishes.user_id} on {wishes.homeserver}")
        elif self.password is not None:
            said.append(f"set a new password for {wishes.user_id}, which ends its sessions")
        if self.password is not None:
            said.append(f"write its password to {wishes.password_file} (only you can read it)")
        said.append(f"lift the rate limits of {wishes.user_id}")
        if self.write:
            said.append(f"write the configuration {wishes.output}")
        else:
            said.append(f"leave {wishes.output} as it is")
        return said


def add(commands: Any) -> None:
    """Add the command to the parser (argparse's own type of `commands` has no public name)."""
    parser = commands.add_parser(
        "setup", help="create the bot's account on Synapse, lift its limits, write the config"
    )
    parser.add_argument("--homeserver", required=True, metavar="URL", help="its client API")
    parser.add_argument("--user", required=True, metavar="@NAME:SERVER", help="the bot's account")
    parser.add_argument(
        "--admin-token-file",
        type=Path,
        metavar="FILE",
        help=f"an administrator's access token; else {TOKEN_VARIABLE}, else it is asked for",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("config.yaml"), metavar="FILE")
    parser.add_argument("--yes", action="store_true", help="do not ask before doing it")


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Set up; return the exit code.

    Raises:
        UsageError: it cannot be done; the text says why.
    """
    try:
        homeserver, user_id = read_http_url(options.homeserver), read_user_id(options.user)
    except ValueError as error:
        raise UsageError(str(error)) from None
    token = _token(options.admin_token_file, environ)
    wishes = Wishes(homeserver.rstrip("/"), user_id, options.output, token)
    return asyncio.run(_run(wishes, yes=options.yes))


async def _run(wishes: Wishes, *, yes: bool) -> int:
    timeout = aiohttp.ClientTimeout(total=WITHIN)
    headers = {"Authorization": f"Bearer {wishes.token}"}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as http:
        synapse = Admin(http, wishes.homeserver, wishes.user_id)
        plan = await _plan(synapse, wishes)
        _say("This will:", *(f"  - {one}" for one in plan.sentences(wishes)))
        if not yes and not _agreed():
            _say("Nothing was done.")
            return 1
        if plan.password is not None:
            # First of all: an account whose password nobody knows would be worth nothing.
            _write(wishes.password_file, plan.password)
            await synapse.make(plan.password, create=plan.create)
        await synapse.exempt()
    if plan.write:
        _write(wishes.output, configuration(wishes))
    _say(f"Done. Now: boardkeeper doctor -c {wishes.output}")
    return 0


async def _plan(synapse: Admin, wishes: Wishes) -> Plan:
    exists = await synapse.exists()
    known = _known(wishes.password_file)
    write = not wishes.output.exists()
    if known is None and not write:
        # The configuration has a password of its own, which a new one would make wrong.
        if exists:
            return Plan(create=False, password=None, write=False)
        raise UsageError(
            f"{wishes.output} exists, but not the account: give another file with -o, or move it"
        )
    right = exists and known is not None and await synapse.accepts(known)
    new = None if right else known or secrets.token_urlsafe(24)
    return Plan(not exists, new, write)


def configuration(wishes: Wishes) -> str:
    """Return the example configuration with this account in it."""
    text = example()
    for pattern, key, value in (
        (r"^  url: https://matrix\.example\.org$", "url", wishes.homeserver),
        (r'^  user_id: "@boardkeeper:example\.org"$', "user_id", wishes.user_id),
        (r"^  password: change-me$", "password_file", wishes.password_file.name),
    ):
        # JSON's strings are YAML's.
        line = f"  {key}: {json.dumps(value)}"
        # Backslashes of the replacement would be read as groups.
        text, count = re.subn(pattern, line.replace("\\", r"\\"), text, flags=re.MULTILINE)
        assert count == 1, key
    return text


def _token(file: Path | None, environ: Mapping[str, str]) -> str:
    """Return the administrator's token: never from the command line, which others can see."""
    if file is not None:
        try:
            text = file.read_text("utf-8")[:_MAX_TOKEN]
        except (OSError, UnicodeError):
            raise UsageError(f"{file} cannot be read") from None
    else:
        text = environ.get(TOKEN_VARIABLE) or _asked()
    token = text.strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise UsageError("this is no access token")
    return token


def _asked() -> str:
    if not sys.stdin.isatty():
        raise UsageError(f"give --admin-token-file, or the token in {TOKEN_VARIABLE}")
    return getpass.getpass("Access token of an administrator: ")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked here: give --yes if this is what you want")
    return input("Go on? [y/N] ").strip().lower() in {"y", "yes", "j", "ja"}


def _known(file: Path) -> str | None:
    try:
        return file.read_text("utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError):
        raise UsageError(f"{file} cannot be read") from None


def _write(file: Path, text: str) -> None:
    """Write a file that only its owner can read, at whatever time one looks."""
    part = file.with_name(file.name + ".part")
    try:
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(text)
        part.replace(file)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from None


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
