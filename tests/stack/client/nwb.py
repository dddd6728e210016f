"""Boards compared by what is on them, in the form of NeoBoard's own export."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

_ONE_ID = ("connectedElementStart", "connectedElementEnd", "attachedFrame")
_MANY_IDS = ("connectedPaths", "attachedElements")


def exported(
    content: Mapping[str, Any], version: str, files: Mapping[str, bytes]
) -> dict[str, Any]:
    """A board as the client's export writes it, except that every element keeps its id.

    Args:
        content: as `BoardDocument.content` gives it.
        version: of the document.
        files: picture address → bytes.
    """
    slides = [
        {"elements": slide["elements"], **({"lock": {}} if "lock" in slide else {})}
        for slide in content["slides"]
    ]
    whiteboard: dict[str, Any] = {"slides": slides}
    if files:
        whiteboard["files"] = [
            {"mxc": mxc, "data": base64.b64encode(data).decode()} for mxc, data in files.items()
        ]
    return {"version": f"net.nordeck.whiteboard@v{int(version) + 1}", "whiteboard": whiteboard}


def comparable(file: Mapping[str, Any]) -> dict[str, Any]:
    """An exported board with everything that may differ made equal.

    Ids become places (`0/3`: the fourth element of the first slide), and are there only where
    another element refers to them; addresses of pictures become what the picture is; integral
    numbers are whole.
    """
    board = json.loads(json.dumps(file["whiteboard"]), parse_float=_number)
    pictures = {
        entry["mxc"]: hashlib.sha256(base64.b64decode(entry["data"])).hexdigest()
        for entry in board.get("files", [])
    }
    places = {
        element["id"]: f"{row}/{column}"
        for row, slide in enumerate(board["slides"])
        for column, element in enumerate(slide["elements"])
        if "id" in element
    }
    for slide in board["slides"]:
        slide["elements"] = [_element(element, places, pictures) for element in slide["elements"]]
    return {
        "version": file["version"],
        "slides": board["slides"],
        "files": sorted(pictures.values()),
    }


def _element(
    element: dict[str, Any], places: Mapping[str, str], pictures: Mapping[str, str]
) -> dict[str, Any]:
    element.pop("id", None)
    for key in _ONE_ID:
        if key in element:
            element[key] = places.get(element[key], "nowhere")
    for key in _MANY_IDS:
        if key in element:
            element[key] = [places.get(one, "nowhere") for one in element[key]]
    if "mxc" in element:
        element["mxc"] = pictures.get(element["mxc"], "no file")
    return element


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value
