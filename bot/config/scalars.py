"""What a single text in a configuration can mean: numbers, durations, sizes, addresses.

Types for the fields of settings dataclasses, and how they are read. A parser takes the text and
raises `ValueError` with a sentence that says how to write it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_origin
from urllib.parse import urlsplit

from bot.config.yamltree import Node, Wrong, path_of, text_of
from bot.errors import Mistake

Parser = Callable[[str], object]
"""Makes a value of a text; raises ValueError with a sentence."""


class Address(NamedTuple):
    """Where a server listens.

    Attributes:
        host: a name or an IP address, without brackets.
        port: 0 takes a free one.
    """

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Reads:
    """Marks a type in `Annotated`: how its text becomes the value."""

    parse: Parser


@dataclass(frozen=True, slots=True)
class Between:
    """Marks a type in `Annotated`: the least and the greatest value, written as in the file."""

    low: str
    high: str


_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})? ?(?:ms|s|m|h|d) ?)+")
_PART = re.compile(r"([\d.]+) ?(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?([kKmMgG]?)(i?)[bB]?")
_POWER = {"": 0, "k": 1, "m": 2, "g": 3}
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


def read_bool(text: str) -> bool:
    """Read `true` or `false`."""
    if text not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text == "true"


def read_int(text: str) -> int:
    """Read a whole number."""
    if not re.fullmatch(r"[-+]?\d{1,18}", text):
        raise ValueError("must be a whole number")
    return int(text)


def read_max_boards(text: str) -> int:
    """Read `auto`, which becomes 0, or a whole number."""
    if text == "auto":
        return 0
    if not re.fullmatch(r"[1-9]\d{0,5}", text):
        raise ValueError("must be auto or a whole number of at least 1")
    return int(text)


def read_float(text: str) -> float:
    """Read a number."""
    if not re.fullmatch(r"[-+]?\d{1,18}(\.\d{1,18})?", text):
        raise ValueError("must be a number")
    return float(text)


def read_duration(text: str) -> float:
    """Read `5s`, `1m30s`, `500ms`, `4h`, `7d` or a number of seconds; returns seconds."""
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        raise ValueError("must be a duration such as 5s, 1m30s, 500ms or 4h")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def read_size(text: str) -> int:
    """Read `20MB`, `64MiB`, `34kB` or a number of bytes; returns bytes."""
    match = _SIZE.fullmatch(text)
    if match is None or (match[3] and not match[2]):
        raise ValueError("must be a size such as 20MB, 64MiB or 34kB")
    unit: int = (1024 if match[3] else 1000) ** _POWER[match[2].lower()]
    return round(float(match[1]) * unit)


def read_address(text: str) -> Address:
    """Read `127.0.0.1:8080`, `localhost:8080` or `[::1]:8080`."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})", text)
    if match is None or int(match[2]) > 65535:
        raise ValueError("must be host:port, such as 127.0.0.1:8080")
    return Address(match[1].strip("[]"), int(match[2]))


def _url(text: str, schemes: frozenset[str]) -> str:
    """Return an absolute URL without a slash at its end; a secret has no place in it."""
    wrong = f"must be an address that begins with {':// or '.join(sorted(schemes))}://"
    try:
        parts = urlsplit(text)
        whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(wrong) from None
    if not whole or parts.scheme not in schemes or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError(wrong)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be an address without user, ? and #")
    return text.rstrip("/")


def read_http_url(text: str) -> str:
    """Read an `https://` or `http://` URL."""
    return _url(text, frozenset({"http", "https"}))


def read_socket_url(text: str) -> str:
    """Read a `wss://` or `ws://` URL."""
    return _url(text, frozenset({"ws", "wss"}))


def read_user_id(text: str) -> str:
    """Read a Matrix user id."""
    if not re.fullmatch(r"@[^\s:]+:[^\s:]+(:\d+)?|@[^\s:]+:\[[0-9a-fA-F:.]+\](:\d+)?", text):
        raise ValueError("must be a Matrix user id, such as @boardkeeper:example.org")
    return text


def read_device_id(text: str) -> str:
    """Read a Matrix device id."""
    # NeoBoard splits LiveKit identities at the last colon: a device id must not hold one.
    # By the beginning bots know each other (`rtc.profile.is_bot`).
    if not re.fullmatch(r"BOARDKEEPER[A-Z0-9]{0,53}", text):
        raise ValueError("must be BOARDKEEPER, with capital letters and digits after it if need be")
    return text


def read_glob(text: str) -> str:
    """Read a pattern for user ids."""
    if text[:1] not in {"@", "*"} or re.search(r"\s", text):
        raise ValueError("must be a pattern for user ids, such as @*:example.org")
    return text


def read_url_glob(text: str) -> str:
    """Read a pattern for addresses; without the slash at its end, as addresses are kept."""
    if not re.match(r"https?://", text) or re.search(r"\s", text):
        raise ValueError("must be a pattern for addresses, such as https://*.example.org/*")
    return text.rstrip("/")


def read_word(text: str) -> str:
    """Read what a message begins with to be a command."""
    if not re.fullmatch(r"\S{1,30}", text):
        raise ValueError("must be one word, such as !board")
    return text


def read_name(text: str) -> str:
    """Read a handler's own name."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,50}", text):
        raise ValueError("must be letters, digits, _ and -")
    return text


def read_handler_name(text: str) -> str:
    """Read what a handler is found by."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.\w+)*(:\w+)?|[^:\0]+\.py:\w+", text):
        raise ValueError(
            "must be a handler's name, or its class as package.module:Class or file.py:Class"
        )
    return text


Duration = Annotated[float, Reads(read_duration)]
"""Seconds."""

Size = Annotated[int, Reads(read_size)]
"""Bytes."""

MaxBoards = Annotated[int, Reads(read_max_boards)]
"""A number of boards; 0 leaves it to the homeserver's limits."""

ListenAddress = Annotated[Address, Reads(read_address)]

HttpUrl = Annotated[str, Reads(read_http_url)]

SocketUrl = Annotated[str, Reads(read_socket_url)]

UserId = Annotated[str, Reads(read_user_id)]

DeviceId = Annotated[str, Reads(read_device_id)]

Glob = Annotated[str, Reads(read_glob)]
UrlGlob = Annotated[str, Reads(read_url_glob)]

Word = Annotated[str, Reads(read_word)]

Name = Annotated[str, Reads(read_name)]

HandlerName = Annotated[str, Reads(read_handler_name)]

PARSERS: Final[Mapping[Any, Parser]] = {
    str: str,
    int: read_int,
    float: read_float,
    bool: read_bool,
}
"""How the plain types are read."""


def convert(kind: Any, node: Node, path: str, folder: Path) -> Any:
    """Read a value that is a single text.

    Args:
        kind: its type.
        node: what is written.
        path: where it stands.
        folder: what relative paths are relative to.

    Raises:
        Wrong: the text does not fit the type.
        TypeError: no text fits the type; the dataclass is wrong.
    """
    if kind is Path:
        return path_of(node, path, folder)
    text = text_of(node, path)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _choice(arguments, text, node, path)
    base, *marks = arguments if origin is Annotated else (kind,)
    parse = next((each.parse for each in marks if isinstance(each, Reads)), PARSERS.get(base))
    if parse is None:
        raise TypeError(f"{path}: settings cannot be of the type {kind}")
    try:
        value: Any = parse(text)
    except ValueError as error:
        raise Wrong(Mistake(path, node.line, str(error))) from None
    for each in marks:
        if isinstance(each, Between) and not parse(each.low) <= value <= parse(each.high):
            wrong = f"must be between {each.low} and {each.high}"
            raise Wrong(Mistake(path, node.line, wrong))
    return value


def _choice(choices: tuple[Any, ...], text: str, node: Node, path: str) -> str:
    if text not in choices:
        near = get_close_matches(text, choices, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        wrong = f"must be one of {', '.join(choices)}{hint}"
        raise Wrong(Mistake(path, node.line, wrong))
    return text
