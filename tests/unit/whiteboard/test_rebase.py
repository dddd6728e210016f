"""What somebody made of a board, on the board as it is now."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot.whiteboard.rebase import rebased
from bot.whiteboard.slides import Slide, read_slides
from tests.unit.whiteboard.generated import boards

NAMES = st.sampled_from("abcdef")
FRAMES = st.none() | st.just(())


def element(name: str, text: str = "", kind: str = "shape") -> dict[str, Any]:
    return {"id": name, "type": kind, "text": text}


@st.composite
def slides(draw: st.DrawFn) -> list[Slide]:
    found = []
    for name in draw(st.lists(st.sampled_from("stu"), unique=True)):
        names = draw(st.lists(NAMES, unique=True))
        elements = tuple(element(one, draw(st.sampled_from("xy"))) for one in names)
        lock = draw(st.none() | st.just({"userId": "@a:x"}))
        found.append(Slide(name, elements, lock))
    return found


@given(slides(), slides())
def test_where_only_one_did_something_it_is_that(was: list[Slide], then: list[Slide]) -> None:
    assert rebased(was, then, was) == then
    assert rebased(was, was, then) == then


@given(boards("1"))
def test_also_on_an_infinite_canvas(content: list[dict[str, Any]]) -> None:
    now = list(read_slides({"slides": content}))
    other = [Slide(now[0].id, frame_ids=())]
    assert rebased(now, other, now) == other


def places(found: list[Slide]) -> dict[tuple[str, str], Any]:
    return {(slide.id, one["id"]): one for slide in found for one in slide.elements}


@given(slides(), slides(), slides())
def test_of_both_nothing_gets_lost(was: list[Slide], wanted: list[Slide], now: list[Slide]) -> None:
    result = rebased(was, wanted, now)
    ids = [{one.id for one in each} for each in (was, wanted, now, result)]
    assert len(ids[3]) == len(result)
    assert ids[3] == (ids[0] & ids[1] & ids[2]) | (ids[1] - ids[0]) | (ids[2] - ids[0])
    before, mine, there, found = map(places, (was, wanted, now, result))
    for place, one in found.items():
        if place[0] in ids[0] & ids[1]:  # neither brought this slide anew
            changed = place in mine and mine[place] != before.get(place)
            assert one == (mine[place] if changed or place not in there else there[place])
    for slide in ids[0] & ids[1] & ids[2]:
        of = [{name for one, name in each if one == slide} for each in (before, mine, there, found)]
        assert of[3] == (of[0] & of[1] & of[2]) | (of[1] - of[0]) | (of[2] - of[0])


def test_what_came_meanwhile_stays_where_it_is() -> None:
    was = [Slide("s", (element("a"), element("b")))]
    now = [Slide("s", (element("b"), element("n"), element("a"))), Slide("t")]
    wanted = [was[0].put(element("a", "mine")).put(element("m"))]
    result = rebased(was, wanted, now)
    assert [slide.id for slide in result] == ["s", "t"]
    assert [one["id"] for one in result[0].elements] == ["b", "m", "n", "a"]
    assert result[0].element("a") == element("a", "mine")


def test_his_order_holds_where_he_changed_it() -> None:
    was = [Slide("s"), Slide("t")]
    assert [one.id for one in rebased(was, was[::-1], [*was, Slide("u")])] == ["t", "u", "s"]


def test_frames_are_merged_too() -> None:
    was = Slide("s", (element("f", kind="frame"),), frame_ids=("f",))
    now = was.put(element("g", kind="frame"))
    (result,) = rebased([was], [was.put(element("h", kind="frame"))], [now])
    assert set(result.frame_ids or ()) == {"f", "g", "h"}
    (result,) = rebased([was], [was.without("f")], [now])
    assert result.frame_ids == ("g",)
