"""Secrets: held, never shown; and where they come from besides the configuration file."""

from __future__ import annotations

import re
from pathlib import Path

MAX_BYTES = 64 * 1024
"""Size of a file that holds a secret at the most."""


class Secret:
    """A password, token or key: held, but shown by nothing that prints.

    Use `reveal()` where it is sent, and nowhere else.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def variable(path: str) -> str:
    """Return the name in the environment of the secret at a path (`homeserver.password`)."""
    return "BOARDKEEPER_" + re.sub(r"[^A-Za-z0-9]+", "_", path).strip("_").upper()


def read_secret_file(path: Path) -> str:
    """Return what a file holds, without the line's end.

    Raises:
        ValueError: it cannot be read, is too large or no text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ValueError("names a file too large to be a secret")
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("names a file that is not UTF-8 text") from None


def open_to_all(path: Path) -> bool:
    """Return whether every user of the machine may read or change a file."""
    return bool(path.stat().st_mode & 0o007)
