from __future__ import annotations

import json
from typing import Any

from pycrdt import Array, Doc, Map, Text, XmlFragment

from bot.whiteboard.content import plain, read_content
from bot.whiteboard.item import Shared
from bot.whiteboard.objects import MARKUP, SUBDOCUMENT, UNCLEAR, UNDEFINED, Inheriting
from bot.whiteboard.replica import Replica
from bot.whiteboard.update import read_update
from tests.unit.whiteboard.people import FIRST_SLIDE, Person, shape


def replica(doc: Doc[Any]) -> Shared:
    made = Replica("0")
    made.integrate(read_update(bytes(doc.get_update())))
    made.commit()
    return made.root


def root(content: dict[str, Any]) -> Shared:
    doc: Doc[Any] = Doc()
    made: Map[Any] = doc.get("0", type=Map)
    made.update(content)
    return replica(doc)


def test_null_is_not_undefined() -> None:
    # A map entry each: undefined, null, and an object and a list that hold both.
    update = (
        "010401002801013001610"
        "17f2801013001620"
        "17e280101300163017602017a7e017a7f"
        "28010130016401750"
        "27f7e00"
    )
    made = Replica("0")
    made.integrate(read_update(bytes.fromhex(update)))
    assert plain(made.root) == {
        "a": UNDEFINED,
        "b": None,
        "c": {"z": UNDEFINED},
        "d": [None, None],
    }


def test_shared_types_become_plain_values() -> None:
    shared = root(
        {
            "text": Text("ü"),
            "list": Array([Map({"a": Text("b")}), Array([1.0]), b"x"]),
            "xml": XmlFragment(),
            "sub": Doc(),
        }
    )
    assert plain(shared) == {
        "text": "ü",
        "list": [{"a": "b"}, [1.0], b"x"],
        "xml": MARKUP,
        "sub": SUBDOCUMENT,
    }


def test_what_is_deleted_is_not_there() -> None:
    doc: Doc[Any] = Doc()
    made: Map[Any] = doc.get("0", type=Map)
    made.update({"a": 1.0, "list": Array([1.0, 2.0, 3.0]), "text": Text("abc")})
    del made["a"], made["list"][1], made["text"][1]
    assert plain(replica(doc)) == {"list": [1.0, 3.0], "text": "ac"}


def test_formats_of_a_text_are_not_read() -> None:
    doc: Doc[Any] = Doc()
    made: Map[Any] = doc.get("0", type=Map)
    made["text"] = text = Text("ab")
    text.format(0, 1, {"bold": True})
    assert plain(replica(doc)) == {"text": "ab"}


def test_a_text_in_a_list_is_its_letters_and_a_format_is_nothing() -> None:
    # In a list: a string, a format, embedded JSON; in a map: a key that JavaScript does not see.
    update = "0105010027010130016c000400010003613162060001000162047472756505000100027b7d280101300"
    update += "95f5f70726f746f5f5f017800"
    made = Replica("0")
    made.integrate(read_update(bytes.fromhex(update)))
    found = plain(made.root)
    assert isinstance(found, Inheriting)
    assert found.seen == found.own == {"l": [UNCLEAR, None, "a", "1", "b"]}


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
    assert read_content(replica(person.doc)) == {
        "slides": [
            {
                "id": FIRST_SLIDE,
                "elements": [],
                "lock": {"userId": "@a:x"},
                "frameElementIds": ["f"],
            }
        ]
    }


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
    [element] = read_content(replica(person.doc))["slides"][0]["elements"]
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
