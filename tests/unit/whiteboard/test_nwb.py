from __future__ import annotations

import json
from typing import Any

from bot.whiteboard.nwb import export_nwb, images

SHAPE = {"type": "shape", "kind": "circle", "position": {"x": 1, "y": 2}, "fillColor": "#0"}
IMAGE = {"type": "image", "position": {"x": 1, "y": 2}, "fileName": "f"}
FRAME = {"type": "frame", "position": {"x": 0, "y": 0}}
LINE = {"type": "path", "kind": "line", "points": [], "position": {"x": 0, "y": 0}}


def board(*slides: dict[str, Any]) -> dict[str, Any]:
    return {"slides": list(slides)}


def slide(*elements: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "s", "elements": list(elements), **more}


def ids(nwb: bytes) -> list[list[str | None]]:
    slides = json.loads(nwb)["whiteboard"]["slides"]
    return [[element.get("id") for element in one["elements"]] for one in slides]


def test_versions_and_an_empty_board() -> None:
    assert export_nwb(board(), "0", {}) == (
        b'{"version":"net.nordeck.whiteboard@v1","whiteboard":{"slides":[]}}'
    )
    assert b"@v2" in export_nwb(board(slide()), "1", {})


def test_a_lock_loses_its_owner() -> None:
    locked = export_nwb(board(slide(lock={"userId": "@a:x"}), slide()), "0", {})
    assert json.loads(locked)["whiteboard"]["slides"] == [
        {"elements": [], "lock": {}},
        {"elements": []},
    ]
    assert b"@a:x" not in locked


def test_ids_are_written_only_where_somebody_refers_to_them() -> None:
    first = slide(
        {"id": "a", **SHAPE, "connectedPaths": ["b"]},
        {"id": "b", **LINE, "connectedElementStart": "a", "connectedElementEnd": "c"},
        {"id": "c", **SHAPE},
        {"id": "d", **SHAPE},
    )
    second = slide(
        {"id": "e", **FRAME, "attachedElements": ["f"], "attachedFrame": "h"},
        {"id": "f", **IMAGE, "mxc": "", "attachedFrame": "e", "connectedPaths": ["h"]},
        {"id": "h", **LINE},
        {"id": "d", **FRAME},
    )
    assert ids(export_nwb(board(first, second), "0", {})) == [
        ["a", "b", "c", None],
        ["e", "f", None, None],
    ]


def test_fields_come_in_neoboards_order_and_unknown_ones_last() -> None:
    element = {"zebra": 1, "apple": 2, **SHAPE, "text": "ü", "id": "a", "attachedFrame": "a"}
    written = json.loads(export_nwb(board(slide(element)), "0", {}))
    assert list(written["whiteboard"]["slides"][0]["elements"][0]) == [
        *("id", "fillColor", "position", "type", "kind", "text", "attachedFrame"),
        *("apple", "zebra"),
    ]


def test_images_are_embedded_once_and_missing_ones_left_out() -> None:
    content = board(
        slide({"id": "a", **IMAGE, "mxc": "mxc://x/1"}, {"id": "b", **IMAGE, "mxc": "mxc://x/2"}),
        slide({"id": "c", **IMAGE, "mxc": "mxc://x/1"}, {"id": "d", **IMAGE, "mxc": ""}),
        slide({"id": "e", **IMAGE, "mxc": "mxc://x/3"}, {"id": "f", **SHAPE}),
    )
    assert images(content) == ["mxc://x/1", "mxc://x/2", "mxc://x/3"]
    files = {"mxc://x/1": b"png", "mxc://x/3": b"", "mxc://x/4": b"unused"}
    written = json.loads(export_nwb(content, "0", files))
    assert written["whiteboard"]["files"] == [{"mxc": "mxc://x/1", "data": "cG5n"}]
