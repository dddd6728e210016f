"""Reads a tree of texts into a dataclass, strictly: every mistake at once, with path and line.

The one reader for `config.yaml` and for the settings of handlers. It understands fields of the
types `str`, `int`, `float`, `bool`, `Path`, `Secret`, `Literal[...]`, `tuple[X, ...]`,
`Mapping[str, X]`, other dataclasses, `X | None`, `Node` (the tree as it is), and `Annotated` with
`Reads` and `Between` (scalars.py: `Duration`, `Size`). A field without a default must be there; a
key that is no field is a mistake, with the nearest name.

A dataclass may have a method `problems()` that yields `Problem`s: rules between several fields.

A `Secret` field `password` comes from exactly one of: the key `password`, the key `password_file`
(the path of a file that holds it), or the environment: `BOARDKEEPER_` and the path of the key,
`BOARDKEEPER_HOMESERVER_PASSWORD`.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as hints

from bot.errors import ConfigError, Mistake
from bot.scalars import Between, Reads, read_bool, read_float, read_int
from bot.secret import Secret, open_to_all, read_secret_file, variable
from bot.yamltree import EMPTY, Listing, Node, Scalar, Table, tree

T = TypeVar("T")

PARSERS: Final[Mapping[Any, Callable[[str], object]]] = {
    str: str,
    int: read_int,
    float: read_float,
    bool: read_bool,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What a dataclass finds wrong with its own values.

    Attributes:
        key: the field to point at.
        text: what is wrong and what to do.
        fatal: False for a warning.
    """

    key: str
    text: str
    fatal: bool = True


class _Bad(Exception):
    """Raised when a value has a mistake; the mistake is noted already."""


def read_settings(
    kind: type[T],
    source: Node | Mapping[str, Any],
    path: str = "",
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    file: str = "settings",
) -> T:
    """Read a dataclass.

    Args:
        kind: the dataclass.
        source: a tree with lines, or plain data.
        path: where in the file it stands, for messages and for the names in the environment.
        environ: where secrets may come from.
        folder: what relative paths are relative to.
        file: the file's name, for the error.

    Raises:
        ConfigError: with every mistake.
    """
    reader = Reader(environ or {}, folder or Path())
    value = reader.read(kind, tree(source) if isinstance(source, Mapping) else source, path)
    if value is None:
        raise ConfigError(file, reader.mistakes)
    return value


@dataclass(slots=True)
class Reader:
    """Reads dataclasses and keeps what is wrong with them.

    Attributes:
        environ: where secrets may come from.
        folder: what relative paths are relative to.
        mistakes: what makes the configuration unusable.
        warnings: what does not, but should be mended.
        open_secrets: whether a secret stood in the file itself.
    """

    environ: Mapping[str, str]
    folder: Path
    mistakes: list[Mistake] = field(default_factory=list)
    warnings: list[Mistake] = field(default_factory=list)
    open_secrets: bool = False

    def read(self, kind: type[T], node: Node, path: str) -> T | None:
        """Read a dataclass; None when something is wrong with it."""
        try:
            value: T = self._table(kind, node, path)
        except _Bad:
            return None
        return value

    def _bad(self, path: str, line: int, text: str) -> _Bad:
        """Note a mistake; what it returns is to be raised."""
        self.mistakes.append(Mistake(path, line, text))
        return _Bad()

    def _table(self, kind: Any, node: Node, path: str) -> Any:
        if isinstance(node, Scalar) and node.nothing:
            node = Table(node.line, {})  # a section whose keys are all commented out
        if not isinstance(node, Table):
            raise self._bad(path, node.line, "must be a table of keys and values")
        types_ = hints(kind, include_extras=True)
        members = [each for each in fields(kind) if each.metadata.get("in_file", True)]
        secret = {each.name for each in members if _is_secret(types_[each.name])}
        known = [each.name for each in members] + [f"{name}_file" for name in sorted(secret)]
        good = self._unknown(node, known, path)
        values: dict[str, Any] = {}
        for member in members:
            try:
                self._member(member, types_[member.name], node, path, values)
            except _Bad:
                good = False
        if not good:
            raise _Bad
        return self._make(kind, values, node, path)

    def _unknown(self, node: Table, known: Iterable[str], path: str) -> bool:
        known = list(known)
        extra = [key for key in node.entries if key not in known]
        for key in extra:
            near = get_close_matches(key, known, n=1)
            text = f"is no setting; did you mean {near[0]}?" if near else "is no setting"
            self._bad(_join(path, key), node.entries[key][0], text)
        return not extra

    def _make(self, kind: Any, values: Mapping[str, Any], node: Table, path: str) -> Any:
        """Make the instance and ask it for its own problems."""
        try:
            made = kind(**values)
        except ValueError as error:
            raise self._bad(path, node.line, str(error)) from None
        good = True
        problems: Callable[[], Iterable[Problem]] = getattr(made, "problems", list)
        for each in problems():
            line = node.entries.get(each.key, (node.line, EMPTY))[0]
            note = self.mistakes if each.fatal else self.warnings
            note.append(Mistake(_join(path, each.key), line, each.text))
            good = good and not each.fatal
        if not good:
            raise _Bad
        return made

    def _member(
        self, member: Field[Any], kind: Any, table: Table, path: str, values: dict[str, Any]
    ) -> None:
        """Read one field into `values`; leave it out where its default is meant."""
        here = _join(path, member.name)
        if _is_secret(kind):
            found = self._secret(member.name, table, here)
            if found is not None:
                values[member.name] = found
                return
        elif member.name in table.entries:
            values[member.name] = self._value(kind, table.entries[member.name][1], here)
            return
        if member.default is not MISSING or member.default_factory is not MISSING:
            return
        if is_dataclass(kind):
            values[member.name] = self._table(kind, Table(table.line, {}), here)
            return
        hint = f"; set {member.name}, {member.name}_file or {variable(here)}"
        raise self._bad(here, table.line, "is missing" + (hint if _is_secret(kind) else ""))

    def _secret(self, name: str, table: Table, path: str) -> Secret | None:
        """Take a secret from its one source; None when it has none."""
        sources = [key for key in (name, f"{name}_file") if key in table.entries]
        if variable(path) in self.environ:
            sources.append(variable(path))
        if not sources:
            return None
        line = max(table.entries[key][0] if key in table.entries else 0 for key in sources)
        if len(sources) > 1:
            raise self._bad(path, line, f"is given {len(sources)} times: {', '.join(sources)}")
        if sources == [name]:
            self.open_secrets = True
            text = self._text(table.entries[name][1], path)
        elif sources == [f"{name}_file"]:
            text = self._secret_file(table.entries[sources[0]][1], f"{path}_file")
        else:
            text = self.environ[sources[0]]
        if not text:
            raise self._bad(path, line, "is empty")
        return Secret(text)

    def _secret_file(self, node: Node, path: str) -> str:
        where = self.folder / Path(self._text(node, path)).expanduser()
        try:
            text = read_secret_file(where)
        except ValueError as error:
            raise self._bad(path, node.line, str(error)) from None
        if open_to_all(where):
            hint = "names a file that every user of this machine can read or change"
            self.warnings.append(Mistake(path, node.line, f"{hint}: chmod o= {where}"))
        return text

    def _text(self, node: Node, path: str) -> str:
        if not isinstance(node, Scalar):
            raise self._bad(path, node.line, "must be a single value")
        if node.nothing:
            raise self._bad(path, node.line, "has no value")
        return node.text

    def _value(self, kind: Any, node: Node, path: str) -> Any:
        """Read a value of any type that is understood."""
        if kind == Node:
            return node
        plain = _inner(kind)
        if plain is not kind and isinstance(node, Scalar) and node.nothing:
            return None
        shapes = {tuple: self._items, Mapping: self._mapping, dict: self._mapping}
        shape = shapes.get(get_origin(plain), self._scalar)
        return (self._table if is_dataclass(plain) else shape)(plain, node, path)

    def _items(self, kind: Any, node: Node, path: str) -> tuple[Any, ...]:
        if not isinstance(node, Listing):
            raise self._bad(path, node.line, "must be a list; [] for an empty one")
        paths = [f"{path}[{number}]" for number in range(len(node.items))]
        return tuple(self._all(get_args(kind)[0], node.items, paths))

    def _mapping(self, kind: Any, node: Node, path: str) -> dict[str, Any]:
        if not isinstance(node, Table):
            raise self._bad(path, node.line, "must be a table of keys and values")
        nodes = [value for _, value in node.entries.values()]
        values = self._all(get_args(kind)[1], nodes, [_join(path, key) for key in node.entries])
        return dict(zip(node.entries, values, strict=True))

    def _all(self, kind: Any, nodes: Iterable[Node], paths: Iterable[str]) -> list[Any]:
        """Read each; note the mistakes of all before giving up."""
        values, good = [], True
        for node, path in zip(nodes, paths, strict=True):
            try:
                values.append(self._value(kind, node, path))
            except _Bad:
                good = False
        if not good:
            raise _Bad
        return values

    def _scalar(self, kind: Any, node: Node, path: str) -> Any:
        text = self._text(node, path)
        origin, arguments = get_origin(kind), get_args(kind)
        marks = arguments[1:] if origin is Annotated else ()
        base = arguments[0] if origin is Annotated else kind
        if origin is Literal:
            return self._choice(arguments, text, node.line, path)
        if base is Path:
            return self.folder / Path(text).expanduser()
        parse = next((each.parse for each in marks if isinstance(each, Reads)), PARSERS.get(base))
        if parse is None:
            raise TypeError(f"{path}: settings cannot be of the type {kind}")
        try:
            value: Any = parse(text)
        except ValueError as error:
            raise self._bad(path, node.line, str(error)) from None
        for each in marks:
            if isinstance(each, Between) and not parse(each.low) <= value <= parse(each.high):
                raise self._bad(path, node.line, f"must be between {each.low} and {each.high}")
        return value

    def _choice(self, choices: tuple[Any, ...], text: str, line: int, path: str) -> str:
        if text not in choices:
            near = get_close_matches(text, choices, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise self._bad(path, line, f"must be one of {', '.join(choices)}{hint}")
        return text


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _inner(kind: Any) -> Any:
    """Return `X` of `X | None`, and any other type as it is."""
    if get_origin(kind) in {Union, types.UnionType}:
        return next(each for each in get_args(kind) if each is not types.NoneType)
    return kind


def _is_secret(kind: Any) -> bool:
    return _inner(kind) is Secret
