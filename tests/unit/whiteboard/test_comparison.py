from __future__ import annotations

from typing import Any

from hypothesis import given

from bot.whiteboard.comparison import Counts, Difference, difference, same_ends
from tests.unit.whiteboard.generated import boards
from tests.unit.whiteboard.people import plain, shape


def slide(name: str, *elements: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": name, "elements": list(elements), **more}


def box(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, **plain(shape(**fields))}


def line(name: str, start: str) -> dict[str, Any]:
    return {
        "id": name,
        "type": "path",
        "kind": "line",
        "points": [],
        "position": {"x": 0, "y": 0},
        "strokeColor": "#000",
        "connectedElementStart": start,
    }


@given(boards(), boards())
def test_what_is_added_one_way_is_removed_the_other(
    one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> None:
    there, back = difference(one, other), difference(other, one)
    for way, opposite in ((there.slides, back.slides), (there.elements, back.elements)):
        assert (way.added, way.changed, way.removed) == (
            *(opposite.removed, opposite.changed),
            opposite.added,
        )
    assert difference(one, one) == Difference()


def test_ids_do_not_count_but_what_they_connect_does() -> None:
    one = slide("s", box("a"), box("b"), line("l", "a"))
    same = slide("t", box("x"), box("y"), line("m", "x"))
    other = slide("t", box("x"), box("y"), line("m", "y"))
    assert same_ends([one], [same]) == (1, 0)
    assert same_ends([one], [other]) == (0, 0)
    assert same_ends([one, slide("u", box("q")), one], [same, same]) == (1, 1)


def test_counts() -> None:
    before = [
        slide("1", box("a"), box("b"), box("c", text="c")),
        slide("2", box("d")),
        slide("3"),
        slide("4", box("e")),
    ]
    after = [
        slide("1", box("a", text="new"), box("c", text="c"), box("z", text="z"), box("y")),
        slide("2", box("d")),
        slide("5", box("f"), box("g")),
    ]
    assert difference(before, after) == Difference(Counts(0, 2, 1), Counts(3, 1, 1))
    assert difference(after[:1], before[:3]) == Difference(Counts(2, 1, 0), Counts(1, 1, 1))


def test_a_lock_and_the_order_of_elements_change_a_slide_but_no_element() -> None:
    before = slide("1", box("a"), box("b", text="b"))
    locked = slide("1", box("a"), box("b", text="b"), lock={"userId": "x"})
    swapped = slide("1", box("b", text="b"), box("a"))
    for after in (locked, swapped):
        assert difference([before], [after]) == Difference(Counts(changed=1))


def test_slides_in_another_order_are_neither_added_nor_removed() -> None:
    one, two = slide("1", box("a")), slide("2")
    assert difference([one, two], [two, one]) == Difference()
