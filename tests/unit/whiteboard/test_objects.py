"""Objects that inherit, and what NeoBoard said of boards that are made of them."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest

from bot.errors import InvalidUpdate
from bot.whiteboard.comparison import alike
from bot.whiteboard.content import plain
from bot.whiteboard.document import Document
from bot.whiteboard.edit import rewrite
from bot.whiteboard.item import ANY, BINARY, DOC, MAP, TYPE
from bot.whiteboard.lib0 import value, write_text
from bot.whiteboard.nwb import export_nwb, read_nwb
from bot.whiteboard.objects import (
    PROTO,
    SUBDOCUMENT,
    UNCLEAR,
    UNDEFINED,
    Inheriting,
    fields,
    keys,
    rewritten,
)
from bot.whiteboard.schema import check_document
from bot.whiteboard.update import read_update
from bot.whiteboard.verdict import Verdict
from tests.unit.whiteboard.craft import (
    NULL,
    ONE,
    X,
    any_content,
    item,
    update,
)
from tests.unit.whiteboard.craft import (
    UNDEFINED as NOTHING,
)
from tests.unit.whiteboard.generated import new_ids
from tests.unit.whiteboard.people import shape, verdicts
from tests.unit.whiteboard.prototypes import Hostile, Odd
from tests.unit.whiteboard.prototypes import plain as written
from tests.unit.whiteboard.recorded import DATA

SESSIONS = json.loads((DATA / "prototypes.json").read_text())["sessions"]
ELEMENTS = (0, 2)
BYTES = b"\x74\x02ab"


@pytest.mark.parametrize("session", SESSIONS, ids=[one["seed"] for one in SESSIONS])
def test_what_neoboard_takes_is_taken_and_nothing_else(session: dict[str, Any]) -> None:
    document = Document(default_version=session["version"])
    for encoded, taken in session["updates"]:
        [outcome] = document.apply([b64decode(encoded)])
        assert (outcome.verdict is not Verdict.REFUSED) is taken
        document.content()
    again = Document(document.snapshot(), default_version=session["version"])
    assert again.content() == document.content()


@pytest.mark.parametrize("version", ["0", "1"])
def test_what_was_touched_tells_the_same_as_everything(version: str) -> None:
    for seed in range(200):
        hostile = Hostile(seed, version)
        document = Document(default_version=version)
        for _ in range(6):
            if verdicts(document, [hostile.write()]) == "R":
                hostile.forget()
            found = plain(document.root)
            for _ in range(3):
                assert check_document(found, version) is None
                found = rewritten(found)


def plain_of(*pairs: tuple[str, bytes]) -> bytes:
    """A plain object as it is written."""
    return written(Odd(shared=False, pairs=list(pairs)))


BASE = plain_of(("x", ONE))


def read(*pairs: tuple[str, bytes]) -> Any:
    return value(plain_of(*pairs), 0)[0]


def test_a_key_that_is_not_its_own_is_looked_for_in_the_prototype() -> None:
    found = read(("y", X), (PROTO, BASE))
    assert fields(found) == {"x": 1.0, "y": "x"}
    assert keys(found) == {"y": "x"}
    assert [keys(one) for one in rewritten([found])] == [{"y": "x"}]
    assert fields(rewritten(found)) == {"y": "x"}


def test_undefined_hides_what_is_inherited() -> None:
    assert fields(read(("x", NOTHING), (PROTO, BASE))) == {"x": UNDEFINED}


@pytest.mark.parametrize("one", [ONE, X, NOTHING, b"\x78"])
def test_only_an_object_or_null_becomes_a_prototype(one: bytes) -> None:
    assert fields(read((PROTO, BASE), (PROTO, one))) == {"x": 1.0}
    assert fields(read((PROTO, BASE), (PROTO, NULL))) == {}
    assert fields(read((PROTO, BASE), (PROTO, b"\x75\0"))) == {}


def test_without_any_prototype_its_name_is_a_key_like_others() -> None:
    found = read((PROTO, NULL), (PROTO, BASE), (PROTO, X))
    assert keys(found) == {PROTO: "x"}
    assert fields(found) == {}  # we write that key nowhere
    heir = Inheriting({}, plain=True)
    heir.assign(PROTO, found)
    heir.assign(PROTO, {"x": 1.0})
    assert keys(heir) == {PROTO: {"x": 1.0}}
    # Written and read again, it is the prototype; and then it is gone.
    assert fields(rewritten(heir)) == {"x": 1.0}
    assert fields(rewritten(rewritten(heir))) == {}


def test_a_subdocument_is_a_prototype_without_keys_of_a_board() -> None:
    heir = Inheriting({"x": 1.0}, plain=False)
    heir.assign(PROTO, SUBDOCUMENT)
    assert fields(heir) == {"x": 1.0}


def test_what_joi_may_see_one_way_or_another_is_not_acceptable() -> None:
    heir = Inheriting({"x": 1.0}, plain=False)
    heir.assign(PROTO, UNCLEAR)
    assert fields(heir) is None
    assert keys(heir) is None


def test_to_what_has_bytes_as_a_prototype_not_every_key_can_be_assigned() -> None:
    heir = Inheriting({"length": 1.0, "x": 1.0}, plain=False)
    heir.assign(PROTO, b"ab")
    assert fields(heir) is None  # Joi gives up where it copies the length
    del heir.own["length"]
    assert keys(heir) == {"x": 1.0}
    with pytest.raises(InvalidUpdate, match="put together"):
        heir.assign("length", 5.0)
    heir.assign(PROTO, Inheriting({"length": 0.0}, plain=False))
    heir.assign("length", 5.0)
    assert fields(heir) == {"length": 5.0, "x": 1.0}


def test_empty_bytes_are_an_object_without_keys() -> None:
    assert keys(b"") == {}
    assert keys(b"a") is None
    assert keys([]) is None
    assert fields(b"") is None


def placed(content: bytes, kind: int = ANY) -> bytes:
    return update((5, 0, [item(kind, content, "0", "anywhere")]))


def test_a_plain_object_with_bytes_as_its_prototype_is_kept_nowhere() -> None:
    odd = plain_of((PROTO, BYTES))
    # Who writes this again leaves it out with the prototype that it is in.
    in_vain = plain_of((PROTO, plain_of(("a", odd))))
    assert verdicts(Document(), [placed(any_content(odd))]) == "R"
    assert verdicts(Document(), [placed(any_content(plain_of(("a", odd))))]) == "R"
    assert verdicts(Document(), [placed(any_content(plain_of((PROTO, odd))))]) == "R"
    assert verdicts(Document(), [placed(any_content(in_vain))]) == "C"
    later = plain_of((PROTO, NULL), (PROTO, BYTES))  # a prototype where it is written again
    assert verdicts(Document(), [placed(any_content(later))]) == "R"
    assert verdicts(Document(), [placed(write_text("id") + odd, DOC)]) == "R"
    assert verdicts(Document(), [placed(write_text("id") + BASE, DOC)]) == "C"


def test_what_javascript_cannot_put_together_is_no_update() -> None:
    broken = plain_of((PROTO, BYTES), ("length", ONE))
    with pytest.raises(InvalidUpdate, match="put together"):
        read_update(placed(any_content(broken)))


def test_a_map_that_javascript_cannot_put_together_is_refused_wherever_it_is() -> None:
    def heir(key: str) -> bytes:
        maps = [item(TYPE, bytes([MAP]), "0", "anywhere"), item(TYPE, bytes([MAP]), (5, 0), PROTO)]
        return update((5, 0, [*maps, item(ANY, any_content(ONE), (5, 0), key)]))

    odd = item(BINARY, b"\2ab", (5, 1), PROTO)
    proto, gone = update((6, 0, [odd])), update(deletes=[(5, 0, 1)])
    length = update((7, 0, [item(ANY, any_content(ONE), (5, 0), "length")]))
    assert verdicts(Document(), [heir("length"), proto]) == "CR"
    assert verdicts(Document(), [heir("x"), proto, length]) == "CCR"
    assert verdicts(Document(), [heir("x"), length, proto]) == "CCR"
    # What is deleted is seen by nobody.
    together = update((6, 0, [odd]), deletes=[(5, 0, 1)])
    assert verdicts(Document(), [heir("length"), together]) == "CC"
    assert verdicts(Document(), [heir("length"), gone, proto]) == "CCC"


@pytest.mark.parametrize("version", ["0", "1"])
def test_what_is_written_of_such_boards_is_as_neoboard_makes_it(version: str) -> None:
    wanted = [{"id": "new", "elements": [{"id": "e", **shape()}]}]
    if version == "1":
        wanted[0]["frameElementIds"] = []
    rewritten_boards = 0
    for seed in range(150):
        hostile, document = Hostile(seed, version), Document(default_version=version)
        for _ in range(6):
            if verdicts(document, [hostile.write()]) == "R":
                hostile.forget()
        slides = document.content()["slides"]
        if version == "0" or len(slides) == 1:
            file = read_nwb(export_nwb({"slides": slides}, version, {}), new_ids())
            assert [len(one["elements"]) for one in file.slides] == [
                len(one["elements"]) for one in slides
            ]
        for whole in (wanted, [{**one, "elements": wanted[0]["elements"]} for one in slides[:1]]):
            try:
                parts = rewrite(document, whole, client=2, new_id=new_ids(f"{seed}-"))
            except InvalidUpdate:
                continue  # what everything hangs on is no shared map
            rewritten_boards += 1
            copy = document.copy()
            assert verdicts(copy, parts) in {"", "C"}
            assert alike(copy.content()["slides"], whole)
    assert rewritten_boards > 50
