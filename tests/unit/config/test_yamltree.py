from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config.yamltree import (
    EMPTY,
    MAX_BYTES,
    MAX_DEPTH,
    Listing,
    Node,
    Scalar,
    Table,
    parse,
    read_tree,
    tree,
)
from bot.errors import Mistake


def mistakes_of(text: str) -> list[str]:
    found: list[Mistake] = []
    parse(text, found)
    return [str(each) for each in found]


def test_a_tree_knows_its_lines() -> None:
    found: list[Mistake] = []
    root = parse("a: 1\nb:\n  - 'x'\n  - y: z\n", found)
    assert root == Table(
        1,
        {
            "a": (1, Scalar(1, "1", plain=True)),
            "b": (
                2,
                Listing(2, (Scalar(3, "x"), Table(4, {"y": (4, Scalar(4, "z", plain=True))}))),
            ),
        },
    )
    assert found == []


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_an_empty_table_or_nothing(text: str) -> None:
    root = parse(text, [])
    assert root == EMPTY or (isinstance(root, Scalar) and root.nothing)


def test_texts_stay_as_written() -> None:
    root = parse("a: no\nb: 0x10\nc: 1e3\nd: ''\ne:\nf: null\n", [])
    assert isinstance(root, Table)
    scalars = {key: node for key, (_, node) in root.entries.items() if isinstance(node, Scalar)}
    assert [scalars[key].text for key in "abc"] == ["no", "0x10", "1e3"]
    assert [scalars[key].nothing for key in "abcdef"] == [False, False, False, False, True, True]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("a:\n\tb: 1", "line 2: is indented with a tab; use spaces"),
        ("a: [1\nb: 2", "line 2: is not YAML: "),
        ("a: 'x", "line 1: is not YAML: found unexpected end of stream (column 6)"),
        ("a: 1\nb: \x07", "line 2: holds a control character"),
        ("a: &x 1", "line 1: anchors and aliases (& and *) cannot be used here"),
        ("a: &x [1]", "line 1: anchors and aliases (& and *) cannot be used here"),
        ("a: 1\nb: *a", "line 2: anchors and aliases (& and *) cannot be used here"),
        ("a: !!python/name:os.system 1", "line 1: tags (!) cannot be used here"),
        ("a: !!map {}", "line 1: tags (!) cannot be used here"),
        ("a: 1\n---\nb: 1", "line 2: a second document (---) begins; only one is read"),
        ("? [a]\n: 1", "line 1: a key must be a single word"),
        ("a: 1\na: 2", "line 2: a: stands here a second time; the first is in line 1"),
        ("x:\n  a: 1\n  a: 2", "line 3: x.a: stands here a second time; the first is in line 2"),
        ("[" * (MAX_DEPTH + 1), "line 1: is nested too deeply"),
        ("{a: " * 5000, "line 1: is nested too deeply"),
    ],
)
def test_mistakes_have_a_line_and_a_reason(text: str, mistake: str) -> None:
    found = mistakes_of(text)
    assert len(found) == 1
    assert found[0].startswith(mistake)


def test_every_doubled_key_is_named() -> None:
    assert len(mistakes_of("a: 1\na: 2\na: 3\nb: 1\nb: 2\n")) == 3


def test_a_bomb_of_aliases_is_refused_at_its_first_anchor() -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 50)]
    assert mistakes_of("\n".join(lines)) == [
        "line 1: anchors and aliases (& and *) cannot be used here"
    ]


def test_slips_of_the_library_are_mistakes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def slip(_self: object, _stream: str) -> object:
        raise AttributeError

    monkeypatch.setattr("ruamel.yaml.YAML.parse", slip)
    assert mistakes_of("a: 1") == ["is not YAML (AttributeError)"]


def test_a_syntax_error_without_a_place_is_a_mistake_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from ruamel.yaml.error import MarkedYAMLError

    def fail(_self: object, _stream: str) -> object:
        raise MarkedYAMLError(problem="no idea")

    monkeypatch.setattr("ruamel.yaml.YAML.parse", fail)
    assert mistakes_of("a: 1") == ["is not YAML (no idea)"]


def test_files(tmp_path: Path) -> None:
    def read(data: bytes) -> tuple[Node | None, list[str]]:
        (tmp_path / "f").write_bytes(data)
        found: list[Mistake] = []
        return read_tree(tmp_path / "f", found), [str(each) for each in found]

    assert read(b"\xef\xbb\xbfa: 1") == (Table(1, {"a": (1, Scalar(1, "1", plain=True))}), [])
    assert read(b"a: 1\nb: \xff") == (None, ["line 2: is not UTF-8 text"])
    assert read(b"#" * (MAX_BYTES + 1)) == (None, ["is larger than 256 KiB"])
    found: list[Mistake] = []
    assert read_tree(tmp_path / "none", found) is None
    assert read_tree(tmp_path, found) is None
    assert [str(each) for each in found] == [
        "does not exist; `boardkeeper init` writes one",
        "cannot be read: Is a directory",
    ]


def test_plain_data_becomes_a_tree_without_lines() -> None:
    assert tree({"a": [1, "1", None, True, False], "b": (0.5,)}) == Table(
        0,
        {
            "a": (
                0,
                Listing(
                    0,
                    (
                        Scalar(0, "1", plain=True),
                        Scalar(0, "1"),
                        Scalar(0, "", plain=True),
                        Scalar(0, "true", plain=True),
                        Scalar(0, "false", plain=True),
                    ),
                ),
            ),
            "b": (0, Listing(0, (Scalar(0, "0.5", plain=True),))),
        },
    )


YAML_PIECES = st.sampled_from("aé[]{},'\"|>#\\\n\t\u2028\x85") | st.sampled_from(
    ("b: ", ": ", "- ", "? ", "  ", "%YAML 1.1\n", "---\n", "...\n", "&x", "*x", "!t ", "<<")
)


@given(st.lists(YAML_PIECES, max_size=25).map("".join) | st.text(max_size=60))
def test_any_text_is_a_tree_or_a_mistake(text: str) -> None:
    found: list[Mistake] = []
    root = parse(text, found)
    assert root is not None or found
    assert all(0 <= each.line <= len(text) + 1 for each in found)
