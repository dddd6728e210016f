"""Elements as NeoBoard makes them, to be drawn by the simulated user."""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence
from typing import Any

FIRST_SLIDE = "IN4h74suMiIAK4AVMAdl_"
_ID_LETTERS = string.ascii_letters + string.digits + "_-"

Element = dict[str, Any]
Points = Sequence[tuple[float, float]]


def new_id() -> str:
    """An id as NeoBoard's nanoid makes it."""
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(21))


def shape(
    kind: str = "rectangle",
    *,
    at: tuple[float, float] = (100, 100),
    size: tuple[float, float] = (300, 200),
    text: str = "",
    **fields: Any,
) -> Element:
    """A rectangle, circle, ellipse, triangle or block-arrow."""
    return {
        "fillColor": "#ffefc1",
        "height": size[1],
        "position": {"x": at[0], "y": at[1]},
        "type": "shape",
        "kind": kind,
        "width": size[0],
        "text": text,
        "textFontFamily": "Inter",
        **fields,
    }


def note(text: str, *, at: tuple[float, float] = (100, 100)) -> Element:
    """A sticky note."""
    return shape(at=at, size=(220, 220), text=text, stickyNote=True)


def path(
    points: Points, *, at: tuple[float, float] = (100, 100), kind: str = "polyline", **fields: Any
) -> Element:
    """A freehand stroke (polyline) or a line; points are relative to `at`."""
    return {
        "position": {"x": at[0], "y": at[1]},
        "type": "path",
        "kind": kind,
        "points": [{"x": x, "y": y} for x, y in points],
        "strokeColor": "#9e9e9e",
        **fields,
    }


def image(
    mxc: str,
    *,
    at: tuple[float, float] = (100, 100),
    size: tuple[float, float] = (640, 480),
    file_name: str = "image.png",
) -> Element:
    """An uploaded picture."""
    return {
        "type": "image",
        "position": {"x": at[0], "y": at[1]},
        "mxc": mxc,
        "fileName": file_name,
        "width": size[0],
        "height": size[1],
    }


def frame(*, at: tuple[float, float], size: tuple[float, float] = (1920, 1080)) -> Element:
    """A frame of an infinite canvas."""
    return {
        "type": "frame",
        "position": {"x": at[0], "y": at[1]},
        "width": size[0],
        "height": size[1],
    }
