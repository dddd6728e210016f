"""Reads a tree of texts into a dataclass, strictly: every mistake at once, with path and line.

The one reader for `config.yaml` and for the settings of handlers. It understands fields of the
types `str`, `int`, `float`, `bool`, `Path`, `Secret`, `Literal[...]`, `tuple[X, ...]`,
`Mapping[str, X]`, other dataclasses, `X | None`, `Node` (the tree as it is), and `Annotated` with
`Reads` and `Between` (scalars.py: `Duration`, `Size`). A field without a default must be there; a
key that is no field is a mistake, with the nearest name. Where secrets come from: secret.py.

A dataclass may have a method `problems()` that yields `Problem`s: rules between several fields.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from bot.config.scalars import convert
from bot.config.secret import Secret, find_secret, variable
from bot.config.yamltree import EMPTY, Listing, Node, Scalar, Table, Wrong, tree
from bot.errors import ConfigError, Mistake

T = TypeVar("T")


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
        except Wrong as wrong:
            self._note(wrong)
            return None
        return value

    def read_over(self, base: T | None, kind: type[T], node: Table, path: str) -> T | None:
        """Read some values of a dataclass; the others are those of another instance.

        Args:
            base: the other one; None when it could not be read: what is written is still looked at.
            kind: the dataclass.
            node: what is written.
            path: where it stands.

        Returns:
            None when something is wrong with it.
        """
        try:
            value: T = self._over(base, kind, node, path)
        except Wrong as wrong:
            self._note(wrong)
            return None
        return value

    def _over(self, base: Any, kind: Any, node: Table, path: str) -> Any:
        members = _members(kind)
        good = self._all_known(node, [(each.name, hint) for each, hint in members], path)
        values = {each.name: getattr(base, each.name, None) for each, _ in members}
        for member, hint in members:
            if self._given(member.name, hint, node, path):
                try:
                    values[member.name] = self._member(member, hint, node, path)
                except Wrong as wrong:
                    self._note(wrong)
                    good = False
        if not good or base is None:
            raise Wrong
        return self._made(kind, values, node, path)

    def _given(self, name: str, hint: Any, table: Table, path: str) -> bool:
        if not _is_secret(hint):
            return name in table.entries
        places = {name, f"{name}_file"} & table.entries.keys()
        return bool(places) or bool(self.environ.get(variable(_join(path, name))))

    def _note(self, wrong: Wrong) -> None:
        if wrong.mistake is not None:
            self.mistakes.append(wrong.mistake)

    def _table(self, kind: Any, node: Node, path: str) -> Any:
        if isinstance(node, Scalar) and node.nothing:
            node = Table(node.line, {})  # a section whose keys are all commented out
        if not isinstance(node, Table):
            raise Wrong(Mistake(path, node.line, "must be a table of keys and values"))
        members = _members(kind)
        good = self._all_known(node, [(each.name, hint) for each, hint in members], path)
        values: dict[str, Any] = {}
        for member, hint in members:
            try:
                values[member.name] = self._member(member, hint, node, path)
            except Wrong as wrong:
                self._note(wrong)
                good = False
        if good:
            return self._made(kind, values, node, path)
        if hasattr(kind, "problems"):
            self.healthy(kind.problems(_Partial(values)), node, path)
        raise Wrong

    def _all_known(self, node: Table, members: Iterable[tuple[str, Any]], path: str) -> bool:
        known = [name for name, _ in members]
        known += [f"{name}_file" for name, kind in members if _is_secret(kind)]
        extra = [key for key in node.entries if key not in known]
        for key in extra:
            near = get_close_matches(key, known, n=1)
            text = f"is no setting; did you mean {near[0]}?" if near else "is no setting"
            self.mistakes.append(Mistake(_join(path, key), node.entries[key][0], text))
        return not extra

    def _made(self, kind: Any, values: Mapping[str, Any], node: Table, path: str) -> Any:
        """Make the instance and ask it for its own problems."""
        try:
            made = kind(**values)
        except ValueError as error:
            raise Wrong(Mistake(path, node.line, str(error))) from None
        problems: Callable[[], Iterable[Problem]] = getattr(made, "problems", list)
        if not self.healthy(problems(), node, path):
            raise Wrong
        return made

    def healthy(self, problems: Iterable[Problem], node: Table, path: str) -> bool:
        """Note what is wrong with a table, as far as its values are there; whether nothing is."""
        good = True
        try:
            for each in problems:
                line = node.entries.get(each.key, (node.line, EMPTY))[0]
                note = self.mistakes if each.fatal else self.warnings
                note.append(Mistake(_join(path, each.key), line, each.text))
                good = good and not each.fatal
        except Wrong:
            good = False
        return good

    def _member(self, member: Field[Any], kind: Any, table: Table, path: str) -> Any:
        """Return the value of one field, or its default."""
        here = _join(path, member.name)
        missing = "is missing"
        if _is_secret(kind):
            found = find_secret(table, member.name, here, self.environ, self.folder)
            self.open_secrets = self.open_secrets or found.here
            self.warnings += found.warnings
            if found.secret is not None:
                return found.secret
            missing += f"; set {member.name}, {member.name}_file or {variable(here)}"
        elif member.name in table.entries:
            return self._value(kind, table.entries[member.name][1], here)
        if member.default is not MISSING:
            return member.default
        if member.default_factory is not MISSING:
            return member.default_factory()
        if is_dataclass(kind):
            return self._table(kind, Table(table.line, {}), here)
        raise Wrong(Mistake(here, table.line, missing))

    def _value(self, kind: Any, node: Node, path: str) -> Any:
        """Read a value of any type that is understood."""
        if kind == Node:
            return node
        plain = _inner(kind)
        if plain is not kind and isinstance(node, Scalar) and node.nothing:
            return None
        if is_dataclass(plain):
            return self._table(plain, node, path)
        if get_origin(plain) is tuple:
            return tuple(self._items(plain, node, path))
        if get_origin(plain) in {Mapping, dict}:
            return self._mapping(plain, node, path)
        return convert(plain, node, path, self.folder)

    def _items(self, kind: Any, node: Node, path: str) -> list[Any]:
        if not isinstance(node, Listing):
            raise Wrong(Mistake(path, node.line, "must be a list; [] for an empty one"))
        paths = [f"{path}[{number}]" for number in range(len(node.items))]
        return self._all(get_args(kind)[0], node.items, paths)

    def _mapping(self, kind: Any, node: Node, path: str) -> dict[str, Any]:
        if not isinstance(node, Table):
            raise Wrong(Mistake(path, node.line, "must be a table of keys and values"))
        nodes = [value for _, value in node.entries.values()]
        values = self._all(get_args(kind)[1], nodes, [_join(path, key) for key in node.entries])
        return dict(zip(node.entries, values, strict=True))

    def _all(self, kind: Any, nodes: Sequence[Node], paths: Sequence[str]) -> list[Any]:
        """Read each; note the mistakes of all before giving up."""
        values = []
        for node, path in zip(nodes, paths, strict=True):
            try:
                values.append(self._value(kind, node, path))
            except Wrong as wrong:
                self._note(wrong)
        if len(values) < len(nodes):
            raise Wrong
        return values


class _Partial:
    """Stands for a dataclass some of whose values are wrong, while it looks for its problems.

    Touching one of those ends the search: what is said about it would be guessed.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise Wrong


def _members(kind: Any) -> list[tuple[Field[Any], Any]]:
    """Return the fields of a dataclass that are keys, with their types."""
    hints = get_type_hints(kind, include_extras=True)
    return [(each, hints[each.name]) for each in fields(kind) if each.metadata.get("in_file", True)]


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _inner(kind: Any) -> Any:
    """Return `X` of `X | None`, and any other type as it is."""
    if get_origin(kind) in {Union, types.UnionType}:
        return next(each for each in get_args(kind) if each is not types.NoneType)
    return kind


def _is_secret(kind: Any) -> bool:
    return _inner(kind) is Secret
