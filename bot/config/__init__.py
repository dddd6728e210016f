"""The configuration as frozen dataclasses: types, defaults, and the rules between keys.

What each key means stands in `config.example.yaml`, for the people who set it; a test holds the two
together. file.py makes a `Config` of a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from bot.config.scalars import (
    Address,
    Between,
    DeviceId,
    Duration,
    Glob,
    HandlerName,
    HttpUrl,
    ListenAddress,
    MaxBoards,
    Name,
    Size,
    SocketUrl,
    UrlGlob,
    UserId,
    Word,
)
from bot.config.secret import Secret
from bot.config.settings import Problem
from bot.config.yamltree import EMPTY, Node
from bot.errors import Mistake

EXAMPLE = "example.org"
"""The name in `config.example.yaml`; nobody has it (RFC 2606)."""

OWN_SERVER = "{server}"
"""Stands for the bot's own server in the globs of `invites`."""

NOT_IN_FILE = {"in_file": False}
"""Marks a field that is no key."""

RESTART_TIMEOUT = 2.0
"""Seconds one attempt to restart the delayed leave may take (matrixrtc.md 2.1)."""


@dataclass(frozen=True, slots=True)
class Homeserver:
    """The bot's account."""

    url: HttpUrl
    user_id: UserId
    device_id: DeviceId = "BOARDKEEPER"
    password: Secret | None = None
    access_token: Secret | None = None
    well_known: HttpUrl | None = None

    @property
    def server_name(self) -> str:
        """The server's name, the part of the user id after the first colon."""
        return self.user_id.partition(":")[2]

    @property
    def well_known_url(self) -> str:
        """Where the server says which LiveKit services it has."""
        return self.well_known or f"https://{self.server_name}/.well-known/matrix/client"

    def problems(self) -> Iterator[Problem]:
        """One way to log in, and an account of one's own."""
        if self.password is None and self.access_token is None:
            yield Problem(
                "password",
                "is missing; set password, password_file or BOARDKEEPER_HOMESERVER_PASSWORD"
                " (or the same for access_token)",
            )
        if self.password is not None and self.access_token is not None:
            yield Problem("access_token", "cannot be used together with password")
        hosts = {"url": urlsplit(self.url).hostname or "", "user_id": self.server_name}
        for key, host in hosts.items():
            if host == EXAMPLE or host.endswith(f".{EXAMPLE}"):
                text = f"is still the example's: {EXAMPLE} is nobody's; write your own server"
                yield Problem(key, text, fatal=False)


@dataclass(frozen=True, slots=True)
class Data:
    """What the bot keeps on disk."""

    folder: Path = Path("data")


@dataclass(frozen=True, slots=True)
class Invites:
    """Who may invite the bot."""

    allow: tuple[Glob, ...] = (f"@*:{OWN_SERVER}",)
    deny: tuple[Glob, ...] = ()
    max_rooms: Annotated[int, Between("1", "100000")] = 1000
    per_minute: Annotated[int, Between("1", "1000")] = 10


@dataclass(frozen=True, slots=True)
class Presence:
    """When the bot takes part in a board's session."""

    when: Literal["active", "always"] = "active"
    linger: Annotated[Duration, Between("0s", "1h")] = 60.0


@dataclass(frozen=True, slots=True)
class Rtc:
    """Our membership in MatrixRTC sessions."""

    refresh: Annotated[Duration, Between("1s", "10m")] = 5.0
    delay: Annotated[Duration, Between("1s", "1h")] = 18.0
    expires: Annotated[Duration, Between("10m", "7d")] = 14400.0
    sfu_grace: Annotated[Duration, Between("0s", "5m")] = 10.0
    max_boards: MaxBoards = 0
    stretch: bool = False
    foci: tuple[HttpUrl, ...] = ()
    allowed_foci: tuple[UrlGlob, ...] = ()
    profile: Literal["auto", "legacy", "sticky"] = "auto"
    bridge_profiles: bool = True
    require_open_slot: bool = False

    def problems(self) -> Iterator[Problem]:
        """Check that a restart has the time to succeed before the leave fires."""
        least = self.refresh + RESTART_TIMEOUT + 1.0
        if self.delay < least:
            yield Problem("delay", f"must be at least refresh and 3s ({least:g}s)")
        elif self.delay < 3 * self.refresh:
            text = f"is less than three times refresh ({3 * self.refresh:g}s): short outages show"
            yield Problem("delay", text, fatal=False)


@dataclass(frozen=True, slots=True)
class Livekit:
    """How the bot is let into LiveKit rooms."""

    auth: Literal["sfu_get", "api_key"] = "sfu_get"
    url: SocketUrl | None = None
    api_key: str | None = None
    api_secret: Secret | None = None

    def problems(self) -> Iterator[Problem]:
        """Keys of the SFU are there exactly if they are used."""
        given = {"url": self.url, "api_key": self.api_key, "api_secret": self.api_secret}
        for key, value in given.items():
            if self.auth == "api_key" and value is None:
                hint = ", api_secret_file or BOARDKEEPER_LIVEKIT_API_SECRET"
                yield Problem(
                    key, f"is missing{hint if key == 'api_secret' else ''}: auth needs it"
                )
            elif self.auth != "api_key" and value is not None:
                yield Problem(key, "is only used with auth: api_key")


@dataclass(frozen=True, slots=True)
class Boards:
    """Documents."""

    mode: Literal["keep", "observe"] = "keep"
    save_after: Annotated[Duration, Between("1s", "10m")] = 8.0
    default_version: Literal["slides", "infinite"] = "slides"
    max_document: Annotated[Size, Between("64kB", "20MB")] = 20_000_000
    tell_repairs: bool = False

    @property
    def default_root(self) -> str:
        """The version as NeoBoard's documents spell it: `"0"` or `"1"`."""
        return "0" if self.default_version == "slides" else "1"


@dataclass(frozen=True, slots=True)
class Commands:
    """What people can tell the bot in a room."""

    prefix: Word = "!board"
    power: Annotated[int, Between("0", "100")] = 50


@dataclass(frozen=True, slots=True)
class Notices:
    """What the bot says in rooms."""

    languages: tuple[Literal["en", "de"], ...] = ("en", "de")

    def problems(self) -> Iterator[Problem]:
        """At least one, none twice."""
        if not self.languages or len(set(self.languages)) < len(self.languages):
            yield Problem("languages", "must be en, de or both")


@dataclass(frozen=True, slots=True)
class HandlerEntry:
    """One handler of the list.

    Attributes:
        use: a built-in's name, an entry point's name, or `package.module:Class`.
        name: its own name, for its lanes and logs; the last part of `use` by default.
        optional: whether the bot also starts when there is no such handler, or it cannot start.
        isolation: whether it has the bot's event loop, or one in a thread or process of its own.
        settings: what is written under `settings`.
        rooms: by room id, what is other there: a table of settings, or `off`.
        values: `settings`, read into the handler's own dataclass when `load` knew that.
        room_values: likewise, by room id; None where it is off.
    """

    use: HandlerName
    name: Name = ""
    optional: bool = False
    isolation: Literal["none", "thread", "process"] = "none"
    settings: Node = EMPTY
    rooms: Mapping[str, Node] = field(default_factory=dict)
    values: Any = field(default=None, metadata=NOT_IN_FILE)
    room_values: Mapping[str, Any] = field(default_factory=dict, metadata=NOT_IN_FILE)

    def named(self) -> HandlerEntry:
        """Return it with a name."""
        return replace(self, name=self.name or re.split("[.:]", self.use)[-1])


DEFAULT_LISTEN = Address("127.0.0.1", 8080)

DEFAULT_HANDLERS = (HandlerEntry("record"), HandlerEntry("log"))


@dataclass(frozen=True, slots=True)
class Web:
    """Health and metrics."""

    listen: ListenAddress = DEFAULT_LISTEN


@dataclass(frozen=True, slots=True)
class Log:
    """The program's log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


@dataclass(frozen=True, slots=True)
class Config:
    """All of it.

    Attributes:
        warnings: what should be mended but does not keep the bot from working.
    """

    homeserver: Homeserver
    data: Data = Data()
    invites: Invites = Invites()
    presence: Presence = Presence()
    rtc: Rtc = Rtc()
    livekit: Livekit = Livekit()
    boards: Boards = Boards()
    commands: Commands = Commands()
    notices: Notices = Notices()
    handlers: tuple[HandlerEntry, ...] = DEFAULT_HANDLERS
    web: Web = Web()
    log: Log = Log()
    warnings: tuple[Mistake, ...] = field(default=(), metadata=NOT_IN_FILE)
