"""Objects as JavaScript has them, where they are more than keys and values.

A key `__proto__` of an object that is read or put together is no key: what is assigned to it, if it
is an object or null, becomes the object's prototype, in which is looked for every key that the
object itself has not. NeoBoard's validation looks for the keys it knows in this way, so a field may
be there that nobody sees among the object's own. Only where the chain of prototypes ends in null is
`__proto__` a key like others.

Where Yjs writes a plain object again it writes only the object's own keys. A NeoBoard does so for
every update that comes, and for every snapshot: what is acceptable only with what it inherits has
it refuse all that comes later. So what is kept is acceptable as it came and as it is `rewritten`.

Bytes as a prototype are odd. A plain object that has them cannot be written again, and to who has
them a few keys cannot be assigned (`UNASSIGNABLE`). Nor can numbers that are no index of theirs,
depending on the order and on who runs JavaScript: so they count as keys like others here.

Source: ECMA-262 10.1.9 OrdinarySet, 10.4.5.5 TypedArray [[Set]], B.2.2.1 `__proto__`; lib0
`readAny`, `writeAny`, yjs `YMap.toJSON`, Joi 17.13 `keys.js`.
"""

from __future__ import annotations

from typing import Any, Final

from bot.errors import InvalidUpdate

PROTO: Final = "__proto__"
UNASSIGNABLE: Final = frozenset(
    {"length", "byteLength", "byteOffset", "buffer", "BYTES_PER_ELEMENT"}
)
"""Keys that cannot be assigned to what has bytes as a prototype."""


class _Undefined:
    """JavaScript's undefined, which is not null."""


UNDEFINED: Final = _Undefined()


class Opaque:
    """What no board has, and no rule accepts."""


MARKUP: Final = Opaque()
"""XML, which is a text."""
SUBDOCUMENT: Final = Opaque()
"""Another document: an object with none of the keys that boards have."""
UNCLEAR: Final = Opaque()
"""An object that Joi, depending on its version, sees one way or another."""


class Inheriting:
    """An object with a prototype of its own.

    Args:
        own: its keys so far.
        plain: whether it is a value of its own, and not the content of a map.

    Attributes:
        own: its keys and their values, undefined ones too.
        prototype: what it inherits from; None is null.
        plain: see above.
    """

    __slots__ = ("own", "plain", "prototype")

    def __init__(self, own: dict[str, Any], *, plain: bool) -> None:
        self.own = own
        self.plain = plain
        self.prototype: Any = {}  # what every object has
        _TALLY[0] += 1

    def assign(self, key: str, value: Any) -> None:
        """Do what `object[key] = value` does.

        Raises:
            InvalidUpdate: JavaScript would give up.
        """
        if key == PROTO and self._has_accessor():
            if value is SUBDOCUMENT:
                self.prototype = {}
            elif value is None or value is UNCLEAR or isinstance(value, _OBJECTS):
                self.prototype = value
        else:
            if key in UNASSIGNABLE and key not in self.own and self._keeps_out(key):
                raise InvalidUpdate("an object cannot be put together")
            self.own[key] = value

    def _has_accessor(self) -> bool:
        one: Any = self
        while isinstance(one, Inheriting):
            if PROTO in one.own:
                return False
            one = one.prototype
        return one is not None

    def _keeps_out(self, key: str) -> bool:
        one: Any = self.prototype
        while isinstance(one, Inheriting):
            if key in one.own:
                return False
            one = one.prototype
        return isinstance(one, bytes)

    @property
    def origin(self) -> Any:
        """What the chain of prototypes ends with."""
        one: Any = self
        while isinstance(one, Inheriting):
            one = one.prototype
        return one

    @property
    def is_clear(self) -> bool:
        """Whether Joi can copy the object, as it does before it looks, and sees it one way only."""
        for key in UNASSIGNABLE:
            if key in self.own and self._keeps_out(key):
                return False
        return self.origin is not UNCLEAR

    @property
    def seen(self) -> dict[str, Any]:
        """What is found under any key, in the object itself or inherited."""
        chain: list[dict[str, Any]] = []
        one: Any = self
        while isinstance(one, Inheriting):
            chain.append(one.own)
            one = one.prototype
        found: dict[str, Any] = dict(one) if isinstance(one, dict) else {}
        for own in chain[::-1]:
            found.update(own)
        found.pop(PROTO, None)  # the key that is none elsewhere is left out of all we write
        return found


def made() -> int:
    """Return how many objects that inherit were made so far, by anybody."""
    return _TALLY[0]


_TALLY = [0]
REWRITES: Final = 2
"""How often an object changes by being written again: a key `__proto__` becomes a prototype first,
and is gone then."""


def rewritten(value: Any) -> Any:
    """Return what becomes of a value where Yjs writes it and reads it again.

    Raises:
        InvalidUpdate: it cannot write it.
    """
    if isinstance(value, list):
        return [rewritten(one) for one in value]
    if isinstance(value, dict):
        return {key: rewritten(one) for key, one in value.items()}
    if not isinstance(value, Inheriting):
        return value
    if value.plain and isinstance(value.origin, bytes):
        raise InvalidUpdate("an object cannot be written again")
    again = Inheriting({}, plain=value.plain)
    if not value.plain:
        again.prototype = rewritten(value.prototype)
    for key, one in value.own.items():
        again.assign(key, rewritten(one))
    return again


_OBJECTS = (dict, Inheriting, list, bytes)


def fields(value: Any) -> dict[str, Any] | None:
    """Return what is found in an object under keys that one knows; None if it is none."""
    if type(value) is dict:
        return value
    if isinstance(value, Inheriting) and value.is_clear:
        return value.seen
    return None


def keys(value: Any) -> dict[str, Any] | None:
    """Return the keys of an object and what they hold, nothing inherited; None if it is none."""
    if type(value) is dict:
        return value
    if isinstance(value, Inheriting) and value.is_clear:
        return value.own
    # Bytes are an object whose keys are numbers; none of a board's holds numbers.
    return {} if value == b"" and type(value) is bytes else None
