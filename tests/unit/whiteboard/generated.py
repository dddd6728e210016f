"""Boards as Hypothesis makes them: every kind of element, connected and framed at will."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from hypothesis import strategies as st

NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e9, 1e9).map(
    lambda one: int(one) if one.is_integer() else one
)
POINTS = st.fixed_dictionaries({"x": NUMBERS, "y": NUMBERS})
TEXTS = st.text(max_size=8)
NAMES = st.text(min_size=1, max_size=8)
IDS = st.sampled_from(["a", "b", "c", "d", "nowhere", "ünterwegs"])
SIZES = {"width": NUMBERS, "height": NUMBERS}
ROTATED = {"rotation": st.integers(0, 359)}
FRAMED = {"attachedFrame": IDS}
MORE = {
    "zebra": st.recursive(
        st.none() | st.booleans() | TEXTS | NUMBERS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
        max_leaves=4,
    ).filter(lambda one: one is not None)
}


def _element(
    kind: str, required: dict[str, Any], optional: dict[str, Any]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"type": st.just(kind), "position": POINTS, **required}, optional={**optional, **MORE}
    )


MARKER = st.just("arrow-head-line")
ELEMENTS = (
    _element(
        "shape",
        {
            "kind": st.sampled_from(["rectangle", "circle", "ellipse", "triangle", "block-arrow"]),
            "fillColor": NAMES,
            "text": TEXTS,
        },
        {
            **SIZES,
            "strokeColor": NAMES,
            "textAlignment": st.sampled_from(["left", "center", "right"]),
            "textBold": st.booleans(),
            "stickyNote": st.booleans(),
            "textSize": NUMBERS,
            "connectedPaths": st.lists(IDS, max_size=3),
            **ROTATED,
            **FRAMED,
        },
    )
    | _element(
        "path",
        {
            "kind": st.sampled_from(["line", "polyline"]),
            "points": st.lists(POINTS, max_size=3),
            "strokeColor": NAMES,
        },
        {
            "startMarker": MARKER,
            "endMarker": MARKER,
            "connectedElementStart": IDS,
            "connectedElementEnd": IDS,
            **FRAMED,
        },
    )
    | _element(
        "image",
        {"mxc": st.sampled_from(["", "mxc://x/1", "mxc://x/2"]), "fileName": NAMES},
        {**SIZES, **ROTATED, **FRAMED},
    )
    | _element("frame", {}, {**SIZES, "attachedElements": st.lists(IDS, max_size=3)})
)


def _clean(value: Any) -> Any:
    """Nothing that a document would not give back: within objects None is left out."""
    if isinstance(value, dict):
        inner = {key: _clean(one) for key, one in value.items() if key != "__proto__"}
        return {key: one for key, one in inner.items() if one is not None}
    return [_clean(one) for one in value] if isinstance(value, list) else value


@st.composite
def slides(draw: st.DrawFn, version: str = "0") -> dict[str, Any]:
    """A slide, as `Document.content` gives it."""
    ids = draw(st.lists(IDS.filter(lambda one: one != "nowhere"), max_size=4, unique=True))
    elements = [{**_clean(draw(ELEMENTS)), "id": one} for one in ids]
    slide: dict[str, Any] = {"id": draw(st.uuids().map(str)), "elements": elements}
    if draw(st.booleans()):
        slide["lock"] = {"userId": draw(NAMES)}
    if version == "1":
        framed = [one["id"] for one in elements if one["type"] == "frame"]
        slide["frameElementIds"] = draw(st.permutations(framed))
    return slide


def boards(version: str = "0") -> st.SearchStrategy[list[dict[str, Any]]]:
    """The slides of a board; an infinite canvas has one."""
    one = slides(version)
    return one.map(lambda found: [found]) if version == "1" else st.lists(one, max_size=4)


def new_ids(prefix: str = "new") -> Callable[[], str]:
    """Ids that nothing has, always the same ones."""
    numbers = count()
    return lambda: f"{prefix}-{next(numbers)}"
