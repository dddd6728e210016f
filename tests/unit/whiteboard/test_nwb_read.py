from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InvalidNwb
from bot.whiteboard import nwb
from bot.whiteboard.comparison import same_ends
from bot.whiteboard.nwb import export_nwb, images, read_nwb
from tests.unit.whiteboard.generated import boards, new_ids

QUICKSTART = Path(__file__).parents[2] / "data/quickstart-pack.nwb"


def read(data: bytes) -> nwb.NwbFile:
    return read_nwb(data, new_ids())


def owned(slides: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Locks without their owners."""
    return [{**slide, "lock": {}} if "lock" in slide else slide for slide in slides]


@pytest.mark.parametrize("version", ["0", "1"])
@given(data=st.data())
def test_what_is_exported_is_imported_the_same(version: str, data: st.DataObject) -> None:
    slides = data.draw(boards(version))
    files = {mxc: data.draw(st.binary(min_size=1)) for mxc in images({"slides": slides})}
    written = export_nwb({"slides": slides}, version, files)

    found = read(written)

    assert (found.version, found.files) == (version, files)
    assert len(found.slides) == len(slides)
    # The order in which frames are presented is not in a file: it becomes that of the elements.
    ours = [{**slide, "frameElementIds": _framed(slide)} for slide in owned(slides)]
    theirs = [{**slide, "frameElementIds": _framed(slide)} for slide in found.slides]
    assert same_ends(ours, theirs) == (len(slides), 0)
    assert export_nwb({"slides": found.slides}, version, files) == written


def _framed(slide: dict[str, Any]) -> list[str]:
    return [one["id"] for one in slide["elements"] if one["type"] == "frame"]


def test_neoboards_own_file_comes_back_byte_for_byte_in_meaning() -> None:
    data = QUICKSTART.read_bytes()
    found = read(data)
    assert (found.version, len(found.slides), found.files) == ("0", 10, {})
    assert sum(len(slide["elements"]) for slide in found.slides) == 220
    written = export_nwb({"slides": found.slides}, "0", {})
    assert json.loads(written) == json.loads(data)


def board(*elements: dict[str, Any], **more: Any) -> dict[str, Any]:
    slide = {"elements": list(elements)}
    return {
        "version": "net.nordeck.whiteboard@v1",
        "whiteboard": {"slides": [slide], **more},
    }


SHAPE: dict[str, Any] = {
    "type": "shape",
    "kind": "circle",
    "position": {"x": 1, "y": 2.5},
    "fillColor": "#0",
    "text": "t",
    "width": 10.0,
    "height": None,
}


def test_numbers_ids_locks_and_what_json_has_no_form_for() -> None:
    file = board({**SHAPE, "id": "a", "huge": [1e999], "none": None, "__proto__": 1}, SHAPE)
    file["whiteboard"]["slides"][0]["lock"] = {"anything": 1}
    text = json.dumps(file).replace("Infinity", "1e999").replace('"t"', '"\\ud83d t"')
    first, second = read(text.encode()).slides[0]["elements"]
    assert (first["id"], first["width"], first["position"]) == ("a", 10, {"x": 1, "y": 2.5})
    assert isinstance(first["width"], int)
    assert first["text"] == "\ufffd t"
    assert first["huge"] == [None]
    assert not {"none", "height", "__proto__"} & first.keys()
    assert second["id"] == "new-0"
    assert read(text.encode()).slides[0]["lock"] == {}


ENTRY = {"mxc": "mxc://x/1", "data": "cG5n"}


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ([], "the file is not an object"),
        ({**board(), "version": 1}, "version 1 or 2"),
        ({**board(), "version": "net.nordeck.whiteboard@v3"}, "version 1 or 2"),
        ({**board(), "whiteboard": None}, "whiteboard is not an object"),
        ({**board(), "whiteboard": {}}, "slides is not a list"),
        ({"version": "net.nordeck.whiteboard@v2", "whiteboard": {"slides": []}}, "one slide"),
        (board(slides=[1]), "slide 1 is not an object"),
        (board(slides=[{}]), "slide 1, elements is not a list"),
        (board(slides=[{"elements": [], "lock": None}]), "slide 1, lock is not"),
        (board(SHAPE, []), "slide 1, element 2 is not an object"),  # type: ignore[arg-type]
        (board({**SHAPE, "id": "constructor"}), "element 1 has an id"),
        (board({**SHAPE, "id": "a"}, {**SHAPE, "id": "a"}), "two elements have the same id"),
        (board(SHAPE, {**SHAPE, "kind": "star"}), "slide 1, element 2: shape: kind is not"),
        (board({**SHAPE, "text": None}), "slide 1, element 1: shape: text is not"),
        (board(files={}), "files is not a list"),
        (board(files=[ENTRY, {**ENTRY, "name": "x"}]), "file 2 is not an address"),
        (board(files=[{**ENTRY, "data": ""}]), "file 1 is not an address"),
        (board(files=[{**ENTRY, "data": "cG5"}]), "file 1 is not base64"),
        (board(files=[{**ENTRY, "data": "ü"}]), "file 1 is not base64"),
    ],
)
def test_what_neoboard_would_not_import_is_refused_with_its_place(file: Any, says: str) -> None:
    with pytest.raises(InvalidNwb, match=says):
        read(json.dumps(file).encode())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"version": NaN}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[" * 40 + b"]" * 40, "too deep"),
        (b"[" * 1_000_001, "too much"),
        (b" " * (nwb.MAX_BYTES + 1), "larger than 64 MiB"),
    ],
    ids=["empty", "bytes", "nan", "endless", "deep", "many", "large"],
)
def test_what_exceeds_a_bound_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(InvalidNwb, match=says):
        read(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["elements", "slides", "id", "lock", "type", "text"]), inner, max_size=4
        )
    ),
)


@given(st.binary(max_size=50) | JSON.map(lambda one: json.dumps(board(slides=one)).encode()))
def test_any_bytes_are_a_board_or_said_to_be_none(data: bytes) -> None:
    with suppress(InvalidNwb):
        read(data)
