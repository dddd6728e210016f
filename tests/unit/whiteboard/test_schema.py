from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.whiteboard.schema import check_document, check_element, check_slide, is_id
from tests.unit.whiteboard.recorded import DATA


def as_read(value: Any) -> Any:
    """JSON as pycrdt reads it: numbers are floats."""
    return json.loads(json.dumps(value), parse_int=float)


VECTORS = as_read(json.loads((DATA / "element-validation.json").read_text()))["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_elements_are_accepted_as_neoboard_accepts_them(vector: dict[str, Any]) -> None:
    assert (check_element(vector["element"]) is None) is vector["valid"]


SHAPE = as_read(
    {"type": "shape", "kind": "circle", "position": {"x": 1, "y": 2}, "fillColor": "#0", "text": ""}
)
FRAME = as_read({"type": "frame", "position": {"x": 1, "y": 2}})


@pytest.mark.parametrize(
    ("field", "value", "valid"),
    [
        ("textBold", "TRUE", True),
        ("textBold", " true", False),
        ("textSize", math.nan, False),
        ("textSize", math.inf, False),
        ("textSize", 2.0**53 - 1, True),
        ("textSize", 5, False),  # an int is a BigInt
        ("width", False, False),
        ("connectedPaths", [None], False),
        ("connectedPaths", {"0": "a"}, False),
        ("connectedPaths", ["a", ""], False),
        ("position", [1.0, 2.0], False),
        ("type", ["shape"], False),
        ("type", None, False),
    ],
)
def test_what_the_vectors_do_not_say(field: str, value: Any, valid: bool) -> None:  # noqa: FBT001
    assert (check_element(SHAPE | {field: value}) is None) is valid


@pytest.mark.parametrize("mxc", ["mxc://a\n/b", "mxc:/a/b", 5.0, None, "a"])
def test_an_image_needs_something_like_an_address(mxc: Any) -> None:
    image = {"type": "image", "position": {"x": 1.0, "y": 1.0}, "mxc": mxc, "fileName": "f"}
    assert check_element(image) is not None


@pytest.mark.parametrize("value", [None, "x", [], 5.0, {}])
def test_what_is_no_element_is_refused(value: Any) -> None:
    assert check_element(value) is not None


SLIDE = {"elements": {"a": FRAME}, "elementIds": ["a", "a", "gone"]}
DOCUMENT = {"slides": {"s": SLIDE}, "slideIds": ["s"]}


def test_slides_and_documents_are_accepted() -> None:
    assert check_slide(SLIDE, "0") is None
    assert check_slide(SLIDE | {"frameElementIds": []}, "1") is None
    assert check_slide(SLIDE | {"frameElementIds": "ignored", "other": 1}, "0") is None
    assert check_slide(SLIDE | {"lock": {"userId": "@a:x", "more": 1}}, "0") is None
    assert check_document(DOCUMENT, "0") is None
    assert check_document({"slides": {}, "slideIds": [], "more": 1}, "0") is None
    assert check_document(DOCUMENT | {"slideIds": ["__proto__"]}, "0") is None


@pytest.mark.parametrize(
    "slide",
    [
        None,
        {},
        SLIDE | {"elements": []},
        SLIDE | {"elements": {"a": None}},
        SLIDE | {"elements": {"": FRAME}},
        SLIDE | {"elements": {"constructor": FRAME}},
        SLIDE | {"elements": {"a": SHAPE | {"kind": "star"}}},
        SLIDE | {"elementIds": None},
        SLIDE | {"elementIds": [1.0]},
        SLIDE | {"lock": None},
        SLIDE | {"lock": {}},
        SLIDE | {"lock": {"userId": ""}},
    ],
)
def test_slides_that_neoboard_refuses(slide: Any) -> None:
    assert check_slide(slide, "0") is not None
    assert check_document({"slides": {"s": slide}, "slideIds": []}, "0") is not None


@pytest.mark.parametrize(
    "root",
    [
        {},
        DOCUMENT | {"slides": []},
        DOCUMENT | {"slides": {"": SLIDE}},
        DOCUMENT | {"slideIds": None},
        DOCUMENT | {"slideIds": [""]},
    ],
)
def test_documents_that_neoboard_refuses(root: dict[str, Any]) -> None:
    assert check_document(root, "0") is not None


def test_the_infinite_canvas_needs_its_list_of_frames() -> None:
    assert check_slide(SLIDE, "1") is not None
    assert check_slide(SLIDE | {"frameElementIds": ["__proto__"]}, "1") is not None


def test_ids() -> None:
    assert is_id("prototype")
    assert not any(map(is_id, ["", "__proto__", "constructor", None, 5.0]))


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(st.sampled_from(["shape", "path", "image", "frame"]), st.dictionaries(st.text(), values))
def test_anything_is_answered_without_quoting_it(kind: str, element: dict[str, Any]) -> None:
    secret = "s3cr3t"
    wrong = check_element(element | {"type": kind, "kind": secret, "text": secret})
    assert wrong is None or secret not in wrong
