"""What stands for what people called and wrote things, where nobody is to know it.

    a person's id          person-1             a device            device-1
    a slide's, an element's id, any name nobody knows              id-1
    a text                 x for each character; spaces and line breaks stay
    an image's address     mxc://anonymised.invalid/image-1

What NeoBoard itself chose stays: names of fields, kinds, colours, fonts. The same always becomes
the same, so that what belongs together still does.
"""

from __future__ import annotations

import re

from bot.whiteboard.schema import FIELDS, is_choice

_NAMES = FIELDS | {
    *("slides", "slideIds", "elements", "elementIds", "frameElementIds"),
    *("lock", "userId", "x", "y"),
}
_IDS = frozenset(
    {
        "connectedPaths",
        "connectedElementStart",
        "connectedElementEnd",
        "attachedFrame",
        "attachedElements",
    }
)
_COLOURS = frozenset({"fillColor", "strokeColor", "textColor"})
_COLOUR = re.compile(
    r"#(?:[0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})|transparent|(?:rgb|hsl)a?\([0-9., %]*\)"
)
_FONTS = frozenset({"Abel", "Actor", "Adamina", "Chewy", "Gwendolyn", "Inter", "Pirata One"})
_KEPT = _NAMES | {"", "__proto__", "constructor", "IN4h74suMiIAK4AVMAdl_"}
"""Keys that mean something by themselves, also those that break boards and every board's slide."""
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_VISIBLE = re.compile("[^ \t\r\n]")


def masked(text: str) -> str:
    """Return a text of as many UTF-16 units that says nothing but where its words end."""
    if not text.isascii():
        text = _ASTRAL.sub("xx", text)
    return _VISIBLE.sub("x", text)


class Masks:
    """Remembers what stands for what."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def _mask(self, kind: str, what: str) -> str:
        given = self._given.get((kind, what))
        if given is None:
            self._counts[kind] = count = self._counts.get(kind, 0) + 1
            given = self._given[kind, what] = f"{kind}-{count}"
        return given

    def person(self, user_id: str) -> str:
        """Return what stands for a person."""
        return self._mask("person", user_id)

    def device(self, user_id: str | None, device: str) -> str:
        """Return what stands for a device: different people's never are the same."""
        return self._mask("device", f"{user_id} {device}")

    def id(self, text: str) -> str:
        """Return what stands for a slide's or element's id, or a key, which may be one."""
        return text if text in _KEPT else self._mask("id", text)

    def text(self, field: str | None, text: str) -> str:
        """Return what stands for a text in a document.

        Args:
            field: the key that it is under; None where that is not known, as in lists of ids.
            text: what is there.
        """
        if field is None or field in _IDS:
            return self.id(text)
        if field == "userId":
            return self.person(text) if text else ""
        if field == "mxc" and text.startswith("mxc://"):
            return f"mxc://anonymised.invalid/{self._mask('image', text)}"
        kept = (
            is_choice(field, text)
            or (field in _COLOURS and _COLOUR.fullmatch(text))
            or (field == "textFontFamily" and text in _FONTS)
        )
        return text if kept else masked(text)
