"""`.nwb`: a board as a file, as NeoBoard exports it.

UTF-8 JSON on one line. What is undefined is left out, ids are written only where another element
refers to them, a lock loses its owner, images are embedded in base64. `content` below is what
`Document.content` returns. NeoBoard: `exportWhiteboard`; reference "board.md" 3.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import Iterator, Mapping
from typing import Any

_FILE_VERSIONS = {"0": "net.nordeck.whiteboard@v1", "1": "net.nordeck.whiteboard@v2"}

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
    referred = {element_id for element in elements for element_id in _references(element)}
    written: dict[str, Any] = {"elements": [_element(element, referred) for element in elements]}
    if slide.get("lock") is not None:
        written["lock"] = {}
    return written


def _references(element: Mapping[str, Any]) -> Iterator[str]:
    """Name the elements that this one refers to, by its type."""
    kind = element["type"]
    if kind == "frame":
        yield from element.get("attachedElements", ())
        return
    if kind == "shape":
        yield from element.get("connectedPaths", ())
    elif kind == "path":
        for end in ("connectedElementStart", "connectedElementEnd"):
            if end in element:
                yield element[end]
    if "attachedFrame" in element:
        yield element["attachedFrame"]


def _element(element: Mapping[str, Any], referred: set[str]) -> dict[str, Any]:
    order = _ORDER[element["type"]]
    known = [key for key in order if key in element]
    fields = known + sorted(element.keys() - set(order))
    if element["id"] not in referred:
        fields.remove("id")
    return {key: element[key] for key in fields}
