"""What NeoBoard accepts: its Joi schema, as measured (tests/data/element-validation.json).

NeoBoard validates the whole document after every change and every snapshot; one bad element makes
it refuse the whole. Unknown fields are always allowed, unknown types, kinds and markers never.

Values are as `content` reads them out of a document: numbers are `float`, an `int` is a JavaScript
BigInt (which is not a number to Joi), null is None, and what is undefined `UNDEFINED`: as good as
absent under a key that is known, but not where any key may be. Objects may inherit what they have
(`objects`). JSON is read into this form with `json.loads(text, parse_int=float)`.

All checks return what is wrong, without any content of the board, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bot.whiteboard.breath import take_breath
from bot.whiteboard.objects import PROTO, UNDEFINED, fields, keys

MAX_NUMBER: Final = float(2**53 - 1)

WRONG_ID: Final = "an element has an id that is not acceptable"
_BANNED_IDS = frozenset({"", PROTO, "constructor"})  # they break JavaScript objects
_MXC = re.compile(r"mxc://[^\n\r\u2028\u2029]*/")  # not anchored, as NeoBoard's is not

_Rule = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return type(value) is float and -MAX_NUMBER <= value <= MAX_NUMBER


def _size(value: Any) -> bool:
    """Return whether it is a number, or something that NeoBoard replaces by 1."""
    return _number(value) or value is None or value == ""


def _rotation(value: Any) -> bool:
    return type(value) is float and 0 <= value < 360


def _text(value: Any) -> bool:
    return type(value) is str


def _string(value: Any) -> bool:
    return type(value) is str and value != ""


def _boolean(value: Any) -> bool:
    return type(value) is bool or (type(value) is str and value.lower() in {"true", "false"})


def is_id(value: Any) -> bool:
    """Return whether an element may have this id."""
    return type(value) is str and value not in _BANNED_IDS


def are_ids(value: Any) -> bool:
    """Return whether it is a list of ids elements may have."""
    return type(value) is list and all(map(is_id, value))


def are_strings(value: Any) -> bool:
    """Return whether it is a list of strings that are not empty."""
    return type(value) is list and all(map(_string, value))


def _point(value: Any) -> bool:
    found = value if type(value) is dict else fields(value)
    return found is not None and _number(found.get("x")) and _number(found.get("y"))


def _points(value: Any) -> bool:
    return type(value) is list and all(map(_point, value))


def _mxc(value: Any) -> bool:
    return type(value) is str and (value == "" or _MXC.search(value) is not None)


_CHOICES: set[_Rule] = set()  # rules that name all values there are, as of this NeoBoard


def _one_of(*allowed: str) -> _Rule:
    choices = frozenset(allowed)

    def rule(value: Any) -> bool:
        return type(value) is str and value in choices

    _CHOICES.add(rule)
    return rule


@dataclass(frozen=True, slots=True)
class _Type:
    """The fields of one type of element."""

    required: frozenset[str]
    rules: Mapping[str, _Rule]


def _type(required: Mapping[str, _Rule], optional: Mapping[str, _Rule]) -> _Type:
    always = {"position": _point, **required}
    return _Type(frozenset(always), {**always, **optional})


_MARKER = _one_of("arrow-head-line")
_TYPES: Final[dict[Any, _Type]] = {
    "shape": _type(
        {
            "kind": _one_of("rectangle", "circle", "ellipse", "triangle", "block-arrow"),
            "fillColor": _string,
            "text": _text,
        },
        {
            "width": _size,
            "height": _size,
            "strokeColor": _string,
            "strokeWidth": _number,
            "borderRadius": _number,
            "textAlignment": _one_of("left", "center", "right"),
            "textColor": _string,
            "textBold": _boolean,
            "textItalic": _boolean,
            "stickyNote": _boolean,
            "textSize": _number,
            "textFontFamily": _string,
            "rotation": _rotation,
            "connectedPaths": are_ids,
            "attachedFrame": is_id,
        },
    ),
    "path": _type(
        {"kind": _one_of("line", "polyline"), "points": _points, "strokeColor": _string},
        {
            "startMarker": _MARKER,
            "endMarker": _MARKER,
            "connectedElementStart": is_id,
            "connectedElementEnd": is_id,
            "attachedFrame": is_id,
        },
    ),
    "image": _type(
        {"mxc": _mxc, "fileName": _string},
        {
            "width": _size,
            "height": _size,
            "mimeType": _one_of("image/gif", "image/jpeg", "image/png", "image/svg+xml"),
            "rotation": _rotation,
            "attachedFrame": is_id,
        },
    ),
    "frame": _type({}, {"width": _size, "height": _size, "attachedElements": are_ids}),
}


FIELDS = frozenset({"type"}).union(*(kind.rules for kind in _TYPES.values()))
"""The names of all fields that elements have."""


def is_choice(field: str, value: str) -> bool:
    """Return whether a value is one of those that NeoBoard has for a field, no text of people's."""
    if field == "type":
        return value in _TYPES
    rules = [kind.rules[field] for kind in _TYPES.values() if field in kind.rules]
    return any((rule in _CHOICES or rule is _boolean) and rule(value) for rule in rules)


def check_element(element: Any) -> str | None:
    """Check one element (not the id it has)."""
    found = element if type(element) is dict else fields(element)
    if found is None:
        return "an element is not an object"
    name = found.get("type")
    kind = _TYPES.get(name) if type(name) is str else None
    if kind is None:
        return "an element has an unknown type"
    if not kind.required <= found.keys():
        return f"{name}: {min(kind.required.difference(found))} is missing"
    rules = kind.rules
    for field, value in found.items():
        rule = rules.get(field)
        if rule is not None and not rule(value):
            if value is UNDEFINED and field not in kind.required:
                continue
            return f"{name}: {field} is not acceptable"
    return None


def check_field(name: Any, field: str, value: Any, *, present: bool) -> str | None:
    """Check one field of an element of which all others are acceptable.

    Args:
        name: the element's type.
        field: not `type`.
        value: what the field holds.
        present: whether it is there at all.
    """
    kind = _TYPES.get(name) if type(name) is str else None
    if kind is None:
        return "an element has an unknown type"
    if not present:
        return f"{name}: {field} is missing" if field in kind.required else None
    rule = kind.rules.get(field)
    return f"{name}: {field} is not acceptable" if rule is not None and not rule(value) else None


def may_be_newer(element: Any) -> bool:
    """Return whether a newer NeoBoard may show an element that is not acceptable to ours.

    So it is with types, kinds and markers that we do not know.
    """
    found = fields(element)
    if found is None or not _string(found.get("type")):
        return False
    kind = _TYPES.get(found["type"])
    return kind is None or any(
        _string(value) and rule in _CHOICES and not rule(value)
        for field, value in found.items()
        if (rule := kind.rules.get(field)) is not None
    )


def wrong_fields(element: Any) -> list[str]:
    """Return the fields of an element that are missing or not acceptable."""
    found = fields(element) or {}
    name = found.get("type")
    kind = _TYPES.get(name) if type(name) is str else None
    if kind is None:
        return ["type"]
    return [
        field
        for field, rule in kind.rules.items()
        if not rule(value := found.get(field, UNDEFINED))
        and (value is not UNDEFINED or field in kind.required)
    ]


def check_slide(slide: Any, version: str) -> str | None:
    """Check a slide with its elements.

    Args:
        slide: its content.
        version: of the document; `"1"` (infinite canvas) asks for `frameElementIds`.
    """
    found = fields(slide)
    if found is None:
        return "a slide is not an object"
    reason = check_slide_frame(found, version)
    return reason or check_elements(keys(found["elements"]) or {})


def check_slide_frame(slide: Mapping[str, Any], version: str) -> str | None:
    """Check the fields of a slide but not its elements."""
    if keys(slide.get("elements")) is None:
        return "slide: elements is not an object"
    if not are_ids(slide.get("elementIds")):
        return "slide: elementIds is not acceptable"
    if version == "1" and not are_ids(slide.get("frameElementIds")):
        return "slide: frameElementIds is not acceptable"
    lock = slide.get("lock", UNDEFINED)
    if lock is UNDEFINED:
        return None
    found = fields(lock)
    if found is None or not _string(found.get("userId")):
        return "slide: lock is not acceptable"
    return None


def check_elements(elements: Mapping[str, Any]) -> str | None:
    """Check elements and the ids they have."""
    for element_id, element in elements.items():
        take_breath()
        if not is_id(element_id):
            return WRONG_ID
        wrong = None if element is UNDEFINED else check_element(element)
        if wrong is not None:
            return wrong
    return None


def check_document(root: Any, version: str) -> str | None:
    """Check a whole document, given as its root map's content."""
    found = fields(root)
    slides = None if found is None else keys(found.get("slides"))
    if found is None or slides is None:
        return "slides is not an object"
    if not are_strings(found.get("slideIds")):
        return "slideIds is not acceptable"
    for slide_id, slide in slides.items():
        wrong = "a slide has an empty id" if not slide_id else check_slide(slide, version)
        if wrong is not None:
            return wrong
    return None
