"""`.nwb`: a board as a file, as NeoBoard exports and imports it.

UTF-8 JSON on one line. What is undefined is left out, ids are written only where another element
refers to them, a lock loses its owner, images are embedded in base64. `content` below is what
`Document.content` returns. NeoBoard: `exportWhiteboard`; reference "board.md" 3.

Reading trusts nothing: size, how much is in it, depth are bounded before anything is made of it;
what NeoBoard's own import refuses is refused, with the place of the mistake.
"""

from __future__ import annotations

import json
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from bot.errors import InvalidNwb
from bot.whiteboard.content import as_json
from bot.whiteboard.references import references
from bot.whiteboard.schema import check_element, is_id

MAX_BYTES = 64 * 1024 * 1024
"""Pictures included."""
MAX_PARTS = 1_000_000
"""Objects, lists and fields; the largest of 60 real files has 5,000."""
MAX_DEPTH = 32
"""Objects and lists within one another; NeoBoard uses seven."""

_FILE_VERSIONS = {"0": "net.nordeck.whiteboard@v1", "1": "net.nordeck.whiteboard@v2"}
_DOCUMENT_VERSIONS = {name: version for version, name in _FILE_VERSIONS.items()}

# NeoBoard writes fields in the order in which its user interface sets them; a document does not
# keep that order when it is read. Fields that are not here follow in alphabetical order.
_FIELDS = {
    "shape": (
        "id fillColor height position type kind width text textFontFamily borderRadius stickyNote "
        "strokeColor strokeWidth textAlignment textColor textBold textItalic textSize rotation "
        "connectedPaths attachedFrame"
    ),
    "path": (
        "id position type kind startMarker endMarker points strokeColor connectedElementStart "
        "connectedElementEnd attachedFrame"
    ),
    "image": "id type width height position mxc fileName mimeType rotation attachedFrame",
    "frame": "id type position width height attachedElements",
}
_ORDER = {kind: fields.split() for kind, fields in _FIELDS.items()}


def images(content: Mapping[str, Any]) -> list[str]:
    """Return the `mxc:` addresses of a board's images, each once, in display order."""
    found = (
        element["mxc"]
        for slide in content["slides"]
        for element in slide["elements"]
        if element["type"] == "image"
    )
    return [mxc for mxc in dict.fromkeys(found) if mxc]


def export_nwb(content: Mapping[str, Any], version: str, files: Mapping[str, bytes]) -> bytes:
    """Write a board as a file.

    Args:
        content: of a valid document.
        version: of the document, `"0"` or `"1"`.
        files: the images by `mxc:` address; those that could not be had are left out.
    """
    whiteboard: dict[str, Any] = {"slides": [_slide(slide) for slide in content["slides"]]}
    embedded = [
        {"mxc": mxc, "data": b2a_base64(files[mxc], newline=False).decode()}
        for mxc in images(content)
        if files.get(mxc)
    ]
    if embedded:
        whiteboard["files"] = embedded
    document = {"version": _FILE_VERSIONS[version], "whiteboard": whiteboard}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _slide(slide: Mapping[str, Any]) -> dict[str, Any]:
    elements = slide["elements"]
    referred = {element_id for element in elements for element_id in references(element)}
    written: dict[str, Any] = {"elements": [_element(element, referred) for element in elements]}
    if slide.get("lock") is not None:
        written["lock"] = {}
    return written


def _element(element: Mapping[str, Any], referred: set[str]) -> dict[str, Any]:
    order = _ORDER[element["type"]]
    known = [key for key in order if key in element]
    fields = known + sorted(element.keys() - set(order))
    if element["id"] not in referred:
        fields.remove("id")
    return {key: element[key] for key in fields}


# -- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NwbFile:
    """A board out of a file.

    Attributes:
        version: of the document, `"0"` slides or `"1"` infinite canvas.
        slides: as `Document.content` gives them; a lock has no owner.
        files: the embedded images by the addresses that the slides name them by.
    """

    version: str
    slides: list[dict[str, Any]]
    files: dict[str, bytes]


def read_nwb(data: bytes, new_id: Callable[[], str]) -> NwbFile:
    """Read a file.

    Args:
        data: the file.
        new_id: makes ids; a file has none of slides, and few of elements.

    Raises:
        InvalidNwb: it is none, or NeoBoard would not take it.
    """
    document = _object(_decode(data), "the file")
    version = document.get("version")
    if not isinstance(version, str) or version not in _DOCUMENT_VERSIONS:
        raise InvalidNwb("it is not a whiteboard file of version 1 or 2")
    whiteboard = _object(document.get("whiteboard"), "whiteboard")
    slides = [
        _read_slide(slide, f"slide {number}", new_id)
        for number, slide in enumerate(_list(whiteboard.get("slides"), "slides"), 1)
    ]
    if version.endswith("2") and len(slides) != 1:
        raise InvalidNwb("an infinite canvas has one slide, this file another number")
    found = [
        _read_file(one, f"file {number}")
        for number, one in enumerate(_list(whiteboard.get("files", []), "files"), 1)
    ]
    return NwbFile(_DOCUMENT_VERSIONS[version], slides, dict(found))


def _decode(data: bytes) -> Any:
    if len(data) > MAX_BYTES:
        raise InvalidNwb(f"it is larger than {MAX_BYTES // 1024**2} MiB")
    if sum(map(data.count, (b"{", b"[", b","))) > MAX_PARTS:
        raise InvalidNwb("there is too much in it")
    try:
        found = json.loads(data.decode(), parse_int=float, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidNwb("it is not JSON") from None
    return _clean(found, MAX_DEPTH)


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError


def _clean(value: Any, depth: int) -> Any:
    """Bound the depth, and make texts such as can be written: halves of characters are not."""
    if isinstance(value, str):
        return value if value.isascii() else _whole(value)
    if isinstance(value, dict | list) and not depth:
        raise InvalidNwb("it is nested too deep")
    if isinstance(value, dict):
        # JavaScript takes this key for the object's prototype, so nobody would see it there.
        fields = {_whole(key): inner for key, inner in value.items() if key != "__proto__"}
        return {key: _clean(inner, depth - 1) for key, inner in fields.items()}
    if isinstance(value, list):
        return [_clean(inner, depth - 1) for inner in value]
    return value


def _whole(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidNwb(f"{place} is not an object")
    return value


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidNwb(f"{place} is not a list")
    return value


def _read_slide(value: Any, place: str, new_id: Callable[[], str]) -> dict[str, Any]:
    slide = _object(value, place)
    elements = [
        _read_element(element, f"{place}, element {number}", new_id)
        for number, element in enumerate(_list(slide.get("elements"), f"{place}, elements"), 1)
    ]
    if len({element["id"] for element in elements}) < len(elements):
        raise InvalidNwb(f"{place}: two elements have the same id")
    read: dict[str, Any] = {"id": new_id(), "elements": elements}
    if "lock" in slide:
        _object(slide["lock"], f"{place}, lock")
        read["lock"] = {}
    return read


def _read_element(value: Any, place: str, new_id: Callable[[], str]) -> dict[str, Any]:
    element = dict(_object(value, place))
    element_id = element.pop("id") if "id" in element else new_id()
    if not is_id(element_id):
        raise InvalidNwb(f"{place} has an id that is not acceptable")
    wrong = check_element(element)
    if wrong is not None:
        raise InvalidNwb(f"{place}: {wrong}")
    return {**as_json(element), "id": element_id}


def _read_file(value: Any, place: str) -> tuple[str, bytes]:
    match _object(value, place):
        case {"mxc": str(mxc), "data": str(data), **others} if mxc and data and not others:
            try:
                return mxc, a2b_base64(data, strict_mode=True)
            except (Base64Error, ValueError):
                raise InvalidNwb(f"{place} is not base64") from None
        case _:
            raise InvalidNwb(f"{place} is not an address and its data")
