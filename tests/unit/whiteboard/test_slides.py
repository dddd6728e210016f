"""Slides as handlers read and change them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InvalidUpdate
from bot.whiteboard.slides import Slide, read_slides, wanted
from tests.unit.whiteboard.generated import boards
from tests.unit.whiteboard.people import plain, shape


def element(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, **plain(shape(**fields))}


FRAME = {"id": "f", "type": "frame", "position": {"x": 0, "y": 0}}


@pytest.mark.parametrize("version", ["0", "1"])
@given(data=st.data())
def test_what_is_read_is_written_the_same(version: str, data: st.DataObject) -> None:
    slides = data.draw(boards(version))
    read = read_slides({"slides": slides})
    assert wanted(read, version) == slides
    assert pickle.loads(pickle.dumps(read)) == read


@pytest.mark.parametrize(
    ("version", "more"), [("0", {"lock": {"userId": "@bob:x"}}), ("1", {"frameElementIds": ["f"]})]
)
def test_a_slide_is_written_as_it_was_read(version: str, more: dict[str, Any]) -> None:
    elements = [element("a"), FRAME] if version == "1" else [element("a")]
    slides = [{"id": "s", "elements": elements, **more}]
    assert wanted(read_slides({"slides": slides}), version) == slides


def test_elements_are_put_changed_and_taken_away() -> None:
    slide = Slide("s").put(element("a")).put(element("b")).put(element("a", text="new"))
    assert [(one["id"], one["text"]) for one in slide.elements] == [("a", "new"), ("b", "")]
    assert slide.element("a") == element("a", text="new")
    assert slide.element("c") is None
    assert slide.without("a", "c").elements == (element("b"),)
    assert slide.frame_ids is None


def test_frames_of_an_infinite_canvas_are_presented_as_they_come() -> None:
    canvas = Slide("s", frame_ids=()).put(FRAME).put(element("a")).put(FRAME)
    assert canvas.frame_ids == ("f",)
    assert canvas.without("f").frame_ids == ()
    assert Slide("s").put(FRAME).frame_ids is None


def test_numbers_become_those_of_json() -> None:
    (slide,) = wanted([Slide("s", (shape_at(1.0, None),))], "0")
    assert slide["elements"][0] == element("a")


def shape_at(x: float, width: float | None) -> dict[str, Any]:
    return {**element("a"), "position": {"x": x, "y": 2}, "width": width}


@pytest.mark.parametrize(
    ("slides", "why"),
    [
        ([Slide("s", (element("a"), element("a")))], "two have the same"),
        ([Slide("s", ({"type": "shape"},))], "no id"),
        ([Slide("s", ({"id": "a", "type": "shape"},))], "shape: .* is missing"),
        ([Slide("s", (element("a", text=object()),))], "what JSON has"),
        ([Slide("s", (element("a", width=float("nan")),))], "what JSON has"),
        ([Slide("s"), Slide("s")], "two slides"),
        ([Slide("")], "a slide has an empty id"),
    ],
)
def test_what_makes_no_board_is_said(slides: list[Slide], why: str) -> None:
    with pytest.raises(InvalidUpdate, match=why):
        wanted(slides, "0")


def test_an_infinite_canvas_has_one_slide() -> None:
    with pytest.raises(InvalidUpdate, match="has one slide"):
        wanted([Slide("s"), Slide("t")], "1")
