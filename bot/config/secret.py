"""Secrets: held, never shown; and the three places they come from.

A secret `password` comes from exactly one of: the key `password`, the key `password_file` (the path
of a file that holds nothing else), or the environment: `BOARDKEEPER_` and the path of the key,
`BOARDKEEPER_HOMESERVER_PASSWORD`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.config.yamltree import Node, Table, Wrong, path_of, text_of
from bot.errors import Mistake

MAX_BYTES = 64 * 1024
"""Size of a file that holds a secret at the most."""


PLACEHOLDERS = frozenset({"change-me", "changeme", "hunter2", "syt_…", "the password"})
"""What the example and the documentation write where a secret has to be."""


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


@dataclass(frozen=True, slots=True)
class Found:
    """A secret and what there is to say about its place.

    Attributes:
        secret: None when no place has it.
        here: whether it stood in the configuration file itself.
        warnings: what should be mended.
    """

    secret: Secret | None
    here: bool = False
    warnings: tuple[Mistake, ...] = ()


def variable(path: str) -> str:
    """Return the name in the environment of the secret at a path (`homeserver.password`)."""
    return "BOARDKEEPER_" + re.sub(r"[^A-Za-z0-9]+", "_", path).strip("_").upper()


def find_secret(
    table: Table, name: str, path: str, environ: Mapping[str, str], folder: Path
) -> Found:
    """Take a secret from its one place.

    Args:
        table: the section it belongs to.
        name: its key there.
        path: the path of that key.
        environ: the environment.
        folder: what relative paths are relative to.

    Raises:
        Wrong: it has several places, or cannot be read from its one.
    """
    lines = {key: table.entries[key][0] for key in (name, f"{name}_file") if key in table.entries}
    if environ.get(variable(path)):  # an empty one is how compose files leave one out
        lines[variable(path)] = 0
    line = max(lines.values(), default=0)
    warnings: tuple[Mistake, ...] = ()
    match list(lines):
        case []:
            return Found(None)
        case [key] if key == name:
            text = text_of(table.entries[key][1], path)
        case [key] if key in table.entries:
            text, warnings = _read_file(table.entries[key][1], f"{path}_file", folder)
        case [key]:
            text = environ[key]
        case several:
            wrong = f"is given {len(several)} times: {', '.join(several)}"
            raise Wrong(Mistake(path, line, wrong))
    if not text:
        raise Wrong(Mistake(path, line, "is empty"))
    if text in PLACEHOLDERS:
        place = "" if key == name else f", in {key}"
        warnings += (Mistake(path, line, f"is still the example's; write the real one{place}"),)
    return Found(Secret(text), here=key == name, warnings=warnings)


def _read_file(node: Node, path: str, folder: Path) -> tuple[str, tuple[Mistake, ...]]:
    """Return what a file holds, without the line's end, and a warning if all may read it."""
    where = path_of(node, path, folder)
    try:
        with where.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        mode = where.stat().st_mode
    except OSError as error:
        raise Wrong(Mistake(path, node.line, f"cannot be read: {error.strerror}")) from None
    if len(data) > MAX_BYTES:
        raise Wrong(Mistake(path, node.line, "names a file too large to be a secret"))
    try:
        text = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Wrong(Mistake(path, node.line, "names a file that is not UTF-8 text")) from None
    warning = f"names a file that every user of this machine can read or change: chmod o= {where}"
    return text, (Mistake(path, node.line, warning),) if mode & 0o007 else ()
