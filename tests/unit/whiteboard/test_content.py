from __future__ import annotations

import json
from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text, XmlFragment

from bot.whiteboard.content import plain, read_content
from tests.unit.whiteboard.people import FIRST_SLIDE, Person, shape


def root(content: dict[str, Any]) -> Map[Any]:
    doc: Doc[Any] = Doc()
    made: Map[Any] = doc.get("0", type=Map)
    made.update(content)
    return made


def test_undefined_fields_are_absent() -> None:
    shared = root({"a": None, "b": Map({"c": None, "d": False}), "e": {"f": None}, "g": [None]})
    assert plain(shared) == {"b": {"d": False}, "e": {}, "g": [None]}


def test_shared_types_become_plain_values() -> None:
    shared = root(
        {
            "text": Text("ü"),
            "list": Array([Map({"a": Text("b")}), Array([1.0])]),
            "xml": XmlFragment(),
            "bytes": b"x",
        }
    )
    assert plain(shared) == {"text": "ü", "list": [{"a": "b"}, [1.0]], "xml": "", "bytes": b"x"}
    assert plain(shared["list"]) == [{"a": "b"}, [1.0]]
    assert plain({"a": None}) == {}


@pytest.mark.parametrize("kind", [Map, Array])
def test_what_lies_too_deep_is_left_out(kind: Any) -> None:
    shared: Any = kind({} if kind is Map else [])
    for _ in range(200):
        shared = Map({"a": shared}) if kind is Map else Array([shared])
    found = json.dumps(plain(root({"deep": shared, "b": "c"})))
    assert 20 < found.count("{") + found.count("[") < 30
    assert '"b": "c"' in found


def test_slides_and_elements_come_in_order_each_once_if_they_exist() -> None:
    def slide(*ids: str) -> Map[Any]:
        elements: Map[Any] = Map({name: Map(shape()) for name in "ab"})
        return Map({"elements": elements, "elementIds": Array([*ids])})

    shared = root(
        {
            "slides": Map({"s": slide("b", "gone", "a", "b"), "t": slide(), "hidden": slide("a")}),
            "slideIds": Array(["t", "gone", "s", "t"]),
        }
    )
    found = read_content(shared)["slides"]
    assert [one["id"] for one in found] == ["t", "s"]
    assert [[element["id"] for element in one["elements"]] for one in found] == [[], ["b", "a"]]
    assert set(found[0]) == {"id", "elements"}


def test_a_slide_says_who_locked_it_and_which_frames_it_has() -> None:
    person = Person(5, "1")
    person.do(lambda: person.slide.update({"lock": {"userId": "@a:x"}, "frameElementIds": ["f"]}))
    assert read_content(person.root) == {
        "slides": [
            {
                "id": FIRST_SLIDE,
                "elements": [],
                "lock": {"userId": "@a:x"},
                "frameElementIds": ["f"],
            }
        ]
    }


def test_a_board_without_slides_is_empty() -> None:
    assert read_content(root({})) == {"slides": []}


def test_all_of_it_can_be_written_as_json() -> None:
    person = Person(5)
    person.add(
        "a",
        id="b",
        position={"x": 1.0, "y": -2.5},
        rotation=0.0,
        huge=1e300,
        exact=float(2**53),
        yes=True,
        bytes=b"x",
        nan=float("nan"),
        infinite=float("-inf"),
        list=[1.0, {"a": 2.0, "b": b"x"}, float("nan"), b"x", "y"],
    )
    [element] = read_content(person.root)["slides"][0]["elements"]
    assert json.loads(json.dumps(element, allow_nan=False)) == element
    assert repr({key: element[key] for key in sorted(element.keys() - shape().keys())}) == repr(
        {
            "exact": 9007199254740992.0,
            "huge": 1e300,
            "id": "a",
            "list": [1, {"a": 2}, None, None, "y"],
            "rotation": 0,
            "yes": True,
        }
    )
    assert repr(sorted(element["position"].items())) == "[('x', 1), ('y', -2.5)]"
