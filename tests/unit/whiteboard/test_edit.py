from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InvalidUpdate
from bot.whiteboard import edit as edits
from bot.whiteboard.comparison import alike
from bot.whiteboard.document import Document
from bot.whiteboard.edit import locked, rewrite
from bot.whiteboard.message import Update, encode
from bot.whiteboard.verdict import Verdict
from bot.whiteboard.versions import initial
from tests.unit.whiteboard.generated import boards, new_ids
from tests.unit.whiteboard.people import FIRST_SLIDE, Person, loaded, plain, shape, texts


def edit(
    document: Document,
    wanted: list[dict[str, Any]],
    *,
    client: int = 77,
    max_bytes: int = edits.MAX_PART,
) -> list[bytes]:
    """Make a document look as wanted; return the updates that did it."""
    before = document.content()
    updates = rewrite(
        document, wanted, client=client, new_id=new_ids(f"by-{client}"), max_bytes=max_bytes
    )
    for number, update in enumerate(updates):
        assert document.content() == before or not number
        before = document.content()
        assert document.apply([update])[0].verdict is Verdict.CHANGED
    assert alike(document.content()["slides"], wanted)
    return updates


def slide(*names: str, **more: Any) -> dict[str, Any]:
    elements = [{"id": name, **plain(shape(text=name))} for name in names]
    return {"id": "any", "elements": elements, **more}


def shown(document: Document) -> list[list[str]]:
    return [
        [element["text"] for element in one["elements"]] for one in document.content()["slides"]
    ]


@pytest.mark.parametrize("version", ["0", "1"])
@given(data=st.data())
def test_any_board_becomes_any_other(version: str, data: st.DataObject) -> None:
    document = Document(initial(version), default_version=version)
    for client in (70, 30, 90):
        max_bytes = data.draw(st.sampled_from([1, 300, edits.MAX_PART]))
        edit(document, data.draw(boards(version)), client=client, max_bytes=max_bytes)
    wanted = document.content()["slides"]
    assert alike(Document(document.encode()).content()["slides"], wanted)
    assert alike(loaded(document.encode(), version)["slides"], wanted)
    assert rewrite(document, wanted, client=1, new_id=new_ids()) == []


def test_what_looks_as_wanted_keeps_its_ids_and_what_is_drawn_meanwhile() -> None:
    alice = Person(7)
    document = Document(alice.state())
    first = document.content()["slides"][0]
    edit(document, [first, slide("b"), slide("c")])
    kept = [one["id"] for one in document.content()["slides"]]

    (update,) = edit(document, [first, slide("x"), slide("y"), slide("c")], client=78)

    now = [one["id"] for one in document.content()["slides"]]
    assert (now[0], now[-1]) == (FIRST_SLIDE, kept[-1])
    assert not {now[1], now[2]} & set(kept)
    document.apply([alice.add("late")])
    assert shown(document) == [[""], ["x"], ["y"], ["c"]]
    assert list(texts(document)) == ["late"]
    assert len(update) < 700


def test_what_looks_so_already_needs_nothing() -> None:
    document = Document(Person(7).state())
    assert edit(document, document.content()["slides"]) == []


def test_elements_and_locks_of_a_slide_are_changed_in_place() -> None:
    document = Document()
    edit(document, [slide("a", "b", lock={"userId": "@bob:x"})])
    (now,) = document.content()["slides"]
    a, b = now["elements"]
    lock = {"lock": {"userId": "@ann:x"}}
    edit(document, [{**now, "elements": [{**b, "text": "new"}, a], **lock}], client=78)
    assert shown(document) == [["new", "a"]]
    edit(document, [{"id": now["id"], "elements": [a]}], client=79)
    assert "lock" not in document.content()["slides"][0]
    edit(document, [{"id": now["id"], "elements": [a, b], **lock}], client=80)
    assert document.content()["slides"][0]["lock"] == lock["lock"]


def test_frames_and_what_is_in_them_keep_together() -> None:
    document = Document(initial("1"), default_version="1")
    frames = [
        {"id": name, "type": "frame", "position": {"x": 0, "y": 0}, "attachedElements": ["s"]}
        for name in ("f", "g")
    ]
    shapes = [{"id": "s", **plain(shape(attachedFrame="f", connectedPaths=["nowhere"]))}]
    edit(document, [{"id": "any", "elements": [*frames, *shapes], "frameElementIds": ["f", "g"]}])
    (now,) = document.content()["slides"]
    there = now["frameElementIds"][::-1]
    edit(document, [{**now, "frameElementIds": there}], client=78)
    assert document.content()["slides"][0]["frameElementIds"] == there


@st.composite
def later(draw: st.DrawFn, slides: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same slides as they may have looked at another time, in another order, with others."""
    found = []
    for one in draw(st.permutations(slides)):
        elements = [each for each in one["elements"] if draw(st.booleans())]
        elements = [
            {**each, "text": "other"} if "text" in each and draw(st.booleans()) else each
            for each in draw(st.permutations(elements))
        ]
        names = draw(st.sets(st.sampled_from("xyz")))
        there = {each["id"] for each in elements}
        back = [{"id": f"came-back-{name}", **plain(shape(text=name))} for name in names]
        elements += [each for each in back if each["id"] not in there]
        same = {key: value for key, value in one.items() if key != "lock"}
        lock = {"lock": {"userId": "@bob:x"}} if draw(st.booleans()) else {}
        found.append({**same, "elements": elements, **lock})
    return draw(st.sampled_from([found, found[1:], [slide("new"), *found]]))


@pytest.mark.parametrize("version", ["0", "1"])
@given(data=st.data())
def test_slides_that_are_there_are_changed_in_place(version: str, data: st.DataObject) -> None:
    document = Document(initial(version), default_version=version)
    edit(document, data.draw(boards(version)), client=70)
    for client in (30, 90):
        slides = document.content()["slides"]
        wanted = data.draw(later(slides)) if version == "0" else [*data.draw(later(slides))][:1]
        if version == "1" and not wanted:
            continue
        max_bytes = data.draw(st.sampled_from([1, 300, edits.MAX_PART]))
        edit(document, wanted, client=client, max_bytes=max_bytes)
        there = {one["id"]: one for one in document.content()["slides"]}
        known = {one["id"] for one in slides}
        for one in wanted:
            if one["id"] in known:
                ids = [each["id"] for each in one["elements"]]
                assert [each["id"] for each in there[one["id"]]["elements"]] == ids
    assert alike(loaded(document.encode(), version)["slides"], document.content()["slides"])


def test_what_is_drawn_on_a_slide_while_it_is_restored_stays() -> None:
    alice = Person(7)
    alice.add("a", text="a")
    alice.add("b", text="b")
    document = Document(alice.state())
    [before] = document.content()["slides"]
    document.apply([alice.add("c", text="c"), alice.remove("a")])
    late = alice.add("late", text="late")  # on its way
    (update,) = edit(document, [before])
    assert shown(document) == [[one["text"] for one in before["elements"]]]
    document.apply([late])
    [now] = document.content()["slides"]
    assert now["id"] == before["id"]
    assert sorted(one["id"] for one in now["elements"]) == ["a", "b", "late"]
    alice.hear(update)
    assert set(texts(Document(alice.state()))) == {"a", "b", "late"}


def test_slides_come_first_last_and_all_go() -> None:
    document = Document(initial("0"))
    edit(document, [slide("b")])
    edit(document, [slide("a"), slide("b")], client=78)
    edit(document, [slide("a"), slide("b"), slide("c")], client=79)
    assert shown(document) == [["a"], ["b"], ["c"]]
    edit(document, [], client=80)
    edit(document, [slide("z")], client=81)
    assert shown(document) == [["z"]]


def test_the_list_of_slides_is_cleaned_of_doubles_and_of_what_leads_nowhere() -> None:
    alice = Person(7)
    alice.do(lambda: alice.root["slideIds"].extend([FIRST_SLIDE, "nowhere"]))
    document = Document(alice.state())
    edit(document, [document.content()["slides"][0], slide("b")])
    alice.hear(document.encode())
    assert list(alice.root["slideIds"]) == [one["id"] for one in document.content()["slides"]]


def test_one_client_may_go_on() -> None:
    document = Document(initial("0"))
    for name in "ab":
        updates = rewrite(document, [slide(name)], client=5, new_id=new_ids(name))
        assert document.apply(updates)[0].verdict is Verdict.CHANGED
    assert shown(document) == [["b"]]


def test_a_large_board_comes_in_packets_and_is_seen_when_the_last_is_there() -> None:
    document = Document(initial("0"))
    large = [slide(*(f"{letter * 900}{number}" for number in range(60))) for letter in "abc"]
    updates = edit(document, large)
    assert len(updates) == 6
    assert all(len(update) <= edits.MAX_PART for update in updates)
    for update in updates:
        encode(Update("$" + "d" * 43, update))


def test_what_does_not_fit_into_the_document_is_not_written() -> None:
    document = Document(initial("0"), max_bytes=1000)
    with pytest.raises(InvalidUpdate, match="too large"):
        rewrite(document, [slide("a" * 900)], client=5, new_id=new_ids())


def test_locked_slides_that_would_go_are_named() -> None:
    document = Document(initial("0"))
    lock = {"userId": "@alice:x"}
    board = [slide("a", lock=lock), slide("b"), slide("c", lock=lock), slide("d", lock=lock)]
    edit(document, board)
    assert locked(document, board) == []
    assert locked(document, [board[0], slide("b"), slide("c"), board[3]]) == [3]
    assert locked(document, []) == [1, 3, 4]
    there = document.content()["slides"]
    assert locked(document, [slide("z"), there[2], slide("y")]) == [1, 4]


def test_what_nobody_would_accept_is_not_written() -> None:
    document = Document(initial("0"))
    before = document.encode()
    for wrong in (shape(text=None), shape(kind="star"), shape(__proto__=1)):
        unacceptable = slide()
        unacceptable["elements"] = [{"id": "a", **wrong}]
        with pytest.raises(InvalidUpdate):
            rewrite(document, [unacceptable], client=5, new_id=new_ids())
    with pytest.raises(InvalidUpdate, match="as wanted"):
        rewrite(document, [slide("a", "b")], client=5, new_id=lambda: "same")
    with pytest.raises(InvalidUpdate, match="lock"):
        rewrite(document, [slide(lock=[])], client=5, new_id=new_ids())
    assert document.encode() == before
