"""YAML text as a tree of texts that knows its lines: the lower half of the configuration reader.

Only what a configuration needs: tables with plain keys, lists, texts. What a text means is decided
by the type it is read into (settings.py), so `no`, `0x10` or `1e3` never turn into something
their writer did not mean. Anchors, aliases, merge keys and tags are refused: a bomb is made of
them. Size and depth are bounded, and the parser's events are walked without recursion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from bot.errors import Mistake

MAX_BYTES = 256 * 1024
"""Size of a configuration file at the most: a long one has 20 kB."""

MAX_DEPTH = 20
"""Tables and lists inside each other at the most."""

ANCHORS = "anchors and aliases (& and *) cannot be used here"

NOTHING = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Scalar:
    """One text.

    Attributes:
        line: 1-based; 0 when it did not come from a file.
        text: as written, without quotes.
        plain: whether it stood without quotes.
    """

    line: int
    text: str
    plain: bool = False

    @property
    def nothing(self) -> bool:
        """Whether a key was written without a value, or with `null`."""
        return self.plain and self.text in NOTHING


@dataclass(frozen=True, slots=True)
class Listing:
    """A list."""

    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of keys and values.

    Attributes:
        line: where it begins.
        entries: key → (line of the key, value).
    """

    line: int
    entries: Mapping[str, tuple[int, Node]]


Node = Scalar | Listing | Table

EMPTY = Table(0, {})


class Wrong(Exception):
    """Raised when a value is not what it must be.

    Attributes:
        mistake: None when it is noted already.
    """

    def __init__(self, mistake: Mistake | None = None) -> None:
        self.mistake = mistake
        super().__init__()


def text_of(node: Node, path: str) -> str:
    """Return the text of a scalar.

    Raises:
        Wrong: it is none, or a key without a value.
    """
    if not isinstance(node, Scalar):
        raise Wrong(Mistake(path, node.line, "must be a single value"))
    if node.nothing:
        raise Wrong(Mistake(path, node.line, "has no value"))
    return node.text


def path_of(node: Node, path: str, folder: Path) -> Path:
    """Return the file that a scalar names; a relative one is below `folder`, `~` is the home.

    Raises:
        Wrong: the text names no file.
    """
    text = text_of(node, path)
    try:
        named = Path(text).expanduser()
    except RuntimeError:
        raise Wrong(Mistake(path, node.line, "names the home of a user who is not known")) from None
    if "\0" in text:
        raise Wrong(Mistake(path, node.line, "must be a path"))
    return folder / named


def parse(text: str, mistakes: list[Mistake]) -> Node | None:
    """Read a YAML text.

    Args:
        text: the whole file.
        mistakes: what is wrong is added here. A syntax error ends the reading.

    Returns:
        None when there is no tree because of a mistake; an empty table for an empty file.
    """
    builder = _Builder(mistakes)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            if not builder.take(event):
                return None
    except MarkedYAMLError as error:
        mistakes.append(_syntax(error, text))
        return None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        mistakes.append(Mistake("", line, "holds a control character"))
        return None
    except (YAMLError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        # The library's own slips on text made to break it.
        mistakes.append(Mistake("", 0, f"is not YAML ({type(error).__name__})"))
        return None
    return builder.root or EMPTY


def read_tree(path: Path, mistakes: list[Mistake]) -> Node | None:
    """Read a YAML file; None when there is no tree because of a mistake, which is noted."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        mistakes.append(Mistake("", 0, "does not exist; `boardkeeper init` writes one"))
        return None
    except OSError as error:
        mistakes.append(Mistake("", 0, f"cannot be read: {error.strerror}"))
        return None
    if len(data) > MAX_BYTES:
        mistakes.append(Mistake("", 0, f"is larger than {MAX_BYTES // 1024} KiB"))
        return None
    try:
        return parse(data.decode("utf-8-sig"), mistakes)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        mistakes.append(Mistake("", line, "is not UTF-8 text"))
        return None


def tree(value: Any) -> Node:
    """Return plain data (of tests, or of code that has no file) as a tree without lines."""
    if isinstance(value, Mapping):
        return Table(0, {str(key): (0, tree(item)) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return Listing(0, tuple(tree(item) for item in value))
    if value is None:
        return Scalar(0, "", plain=True)
    if isinstance(value, bool):
        return Scalar(0, "true" if value else "false", plain=True)
    return Scalar(0, str(value), plain=not isinstance(value, str))


def _syntax(error: MarkedYAMLError, text: str) -> Mistake:
    """Say where and why, in the words of the file's writer where a tab is to blame."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Mistake("", 0, f"is not YAML ({error.problem or error.context})")
    written = text.splitlines()[mark.line : mark.line + 1]
    indent = written[0][: len(written[0]) - len(written[0].lstrip())] if written else ""
    if "\t" in indent:
        return Mistake("", mark.line + 1, "is indented with a tab; use spaces")
    reason = error.problem or error.context or "syntax error"
    return Mistake("", mark.line + 1, f"is not YAML: {reason} (column {mark.column + 1})")


@dataclass(slots=True)
class _Open:
    """A table or list whose end has not come yet."""

    line: int
    is_table: bool
    items: list[Node] = field(default_factory=list)
    entries: dict[str, tuple[int, Node]] = field(default_factory=dict)
    key: Scalar | None = None

    def node(self) -> Node:
        """Return it, now that its end has come."""
        return (
            Table(self.line, self.entries)
            if self.is_table
            else Listing(self.line, tuple(self.items))
        )


@dataclass(slots=True)
class _Builder:
    """Puts the parser's events together."""

    mistakes: list[Mistake]
    root: Node | None = None
    stack: list[_Open] = field(default_factory=list)

    def take(self, event: Any) -> bool:
        """Take the next event; False when the rest makes no sense any more."""
        line = event.start_mark.line + 1
        good = True
        match type(event).__name__:
            case "AliasEvent":
                good = self._refuse(line, ANCHORS)
            case "ScalarEvent":
                scalar = Scalar(line, event.value, plain=event.style is None)
                good = self._unmarked(event, line) and self._add(scalar)
            case "MappingStartEvent" | "SequenceStartEvent" as kind:
                self.stack.append(_Open(line, kind == "MappingStartEvent"))
                good = self._unmarked(event, line)
                if len(self.stack) > MAX_DEPTH:
                    good = self._refuse(line, "is nested too deeply")
            case "MappingEndEvent" | "SequenceEndEvent":
                good = self._add(self.stack.pop().node())
            case "DocumentStartEvent" if self.root is not None:
                good = self._refuse(line, "a second document (---) begins; only one is read")
        return good

    def _refuse(self, line: int, text: str) -> bool:
        self.mistakes.append(Mistake("", line, text))
        return False

    def _unmarked(self, event: Any, line: int) -> bool:
        if event.anchor:
            return self._refuse(line, ANCHORS)
        if event.tag:
            return self._refuse(line, "tags (!) cannot be used here")
        return True

    def _add(self, node: Node) -> bool:
        if not self.stack:
            self.root = node
            return True
        parent = self.stack[-1]
        if not parent.is_table:
            parent.items.append(node)
        elif parent.key is None:
            if not isinstance(node, Scalar):
                return self._refuse(node.line, "a key must be a single word")
            parent.key = node
        else:
            self._put(parent, parent.key, node)
            parent.key = None
        return True

    def _put(self, parent: _Open, key: Scalar, node: Node) -> None:
        if not isinstance(node, Scalar) or node.nothing:
            node = replace(node, line=key.line)  # the parser sees it begin at the next word
        first = parent.entries.get(key.text)
        if first is None:
            parent.entries[key.text] = (key.line, node)
            return
        path = ".".join([*(each.key.text for each in self.stack if each.key is not None)])
        self.mistakes.append(
            Mistake(path, key.line, f"stands here a second time; the first is in line {first[0]}")
        )
