from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config.scalars import Between, Duration, Size
from bot.config.secret import MAX_BYTES, Secret
from bot.config.settings import Problem, Reader, read_settings
from bot.config.yamltree import EMPTY, Listing, Node, Scalar, parse, tree
from bot.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    word: str
    number: int = 1


@dataclass(frozen=True)
class WithPath:
    where: Path


@dataclass(frozen=True)
class Everything:
    text: str
    inner: Inner
    number: int = 0
    real: float = 0.0
    truth: bool = False
    where: Path = Path("here")
    choice: Literal["red", "green"] = "red"
    wait: Annotated[Duration, Between("1s", "1m")] = 5.0
    size: Size = 10
    maybe: int | None = 3
    words: tuple[str, ...] = ()
    inners: tuple[Inner, ...] = ()
    table: Mapping[str, int] = field(default_factory=dict)
    raw: Node = EMPTY
    token: Secret | None = None
    derived: int = field(default=7, metadata={"in_file": False})


def node(text: str) -> Node:
    root = parse(text, [])
    assert root is not None
    return root


def mistakes(kind: type[Any], text: str, **arguments: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_settings(kind, node(text), **arguments)
    return [str(each) for each in caught.value.mistakes]


def test_every_type_is_read() -> None:
    text = """
text: 0815
inner: {word: a, number: 2}
number: -3
real: 1.5
truth: true
where: there/x
choice: green
wait: 1m
size: 2kB
maybe: null
words: [a, 'b', 3]
inners:
  - {word: x}
table: {a: 1, b: 2}
raw: [1]
token: hush
"""
    read = read_settings(Everything, node(text), folder=Path("/base"))
    assert read == Everything(
        text="0815",
        inner=Inner("a", 2),
        number=-3,
        real=1.5,
        truth=True,
        where=Path("/base/there/x"),
        choice="green",
        wait=60.0,
        size=2000,
        maybe=None,
        words=("a", "b", "3"),
        inners=(Inner("x"),),
        table={"a": 1, "b": 2},
        raw=Listing(16, (Scalar(16, "1", plain=True),)),
        token=Secret("hush"),
    )


def test_defaults_hold_and_plain_data_is_read_too() -> None:
    read = read_settings(Everything, {"text": "x", "inner": {"word": "y"}, "maybe": None})
    assert read == Everything(text="x", inner=Inner("y"), maybe=None)


def test_a_section_whose_keys_are_commented_out_is_an_empty_one() -> None:
    @dataclass
    class Optional:
        number: int = 4

    assert read_settings(Optional, node("# number: 5\n")) == Optional()
    assert read_settings(Optional, node("---\n# number: 5\n")) == Optional()


def test_every_mistake_is_reported_at_once_with_its_line() -> None:
    text = """
txt: a
number: many
real: 1e3
truth: yes
choice: gren
wait: 2m
size: 20 potatoes
maybe: 1.5
words: a
inners: [{word: a, numbr: 1}, 3, {word: [x]}]
table: {a: x, b: y}
where: {}
derived: 3
token: ''
"""
    assert mistakes(Everything, text) == [
        "line 2: txt: is no setting; did you mean text?",
        "line 14: derived: is no setting",
        "line 2: text: is missing",
        "line 2: inner.word: is missing",
        "line 3: number: must be a whole number",
        "line 4: real: must be a number",
        "line 5: truth: must be true or false",
        "line 13: where: must be a single value",
        "line 6: choice: must be one of red, green; did you mean green?",
        "line 7: wait: must be between 1s and 1m",
        "line 8: size: must be a size such as 20MB, 64MiB or 34kB",
        "line 9: maybe: must be a whole number",
        "line 10: words: must be a list; [] for an empty one",
        "line 11: inners[0].numbr: is no setting; did you mean number?",
        "line 11: inners[1]: must be a table of keys and values",
        "line 11: inners[2].word: must be a single value",
        "line 12: table.a: must be a whole number",
        "line 12: table.b: must be a whole number",
        "line 15: token: is empty",
    ]


def test_a_section_that_is_not_there_has_its_defaults() -> None:
    assert read_settings(Outer, {}).pair == Pair()


def test_paths_that_name_no_file() -> None:
    assert mistakes(WithPath, "where: ~nobody-here/x") == [
        "line 1: where: names the home of a user who is not known"
    ]
    assert mistakes(WithPath, 'where: "a\\0b"') == ["line 1: where: must be a path"]
    assert mistakes(WithSecret, 'token_file: "a\\0b"') == ["line 1: token_file: must be a path"]
    assert read_settings(WithPath, {"where": "~/x"}).where == Path.home() / "x"


def test_a_path_leads_to_the_settings() -> None:
    assert mistakes(Inner, "wrd: a", path="handlers.x.settings") == [
        "line 1: handlers.x.settings.wrd: is no setting; did you mean word?",
        "line 1: handlers.x.settings.word: is missing",
    ]
    with pytest.raises(ConfigError, match=r"^my\.yaml: line 1: must be a table"):
        read_settings(Inner, node("text"), file="my.yaml")


def test_a_key_without_a_value_is_not_taken_for_an_empty_one() -> None:
    assert mistakes(Inner, "word:") == ["line 1: word: has no value"]
    assert mistakes(Everything, "text: a\ninner: {word: a}\nwords:\ntable:\nchoice: x") == [
        "line 5: choice: must be one of red, green",
        "line 3: words: must be a list; [] for an empty one",
        "line 4: table: must be a table of keys and values",
    ]


@dataclass(frozen=True)
class Pair:
    low: int = 1
    high: int = 2

    def __post_init__(self) -> None:
        if self.low < 0:
            raise ValueError("low must not be negative")

    def problems(self) -> Iterator[Problem]:
        if self.low > self.high:
            yield Problem("high", "is below low")
        if self.low == self.high:
            yield Problem("low", "equals high", fatal=False)


def test_rules_between_fields() -> None:
    assert mistakes(Pair, "\nlow: 3\n\nhigh: 2") == ["line 4: high: is below low"]
    assert mistakes(Pair, "\nlow: 3") == ["line 2: high: is below low"]
    assert mistakes(Pair, "low: -1") == ["line 1: low must not be negative"]
    reader = Reader({}, Path())
    assert reader.read(Pair, node("low: 2"), "p") == Pair(2, 2)
    assert [str(each) for each in reader.warnings] == ["line 1: p.low: equals high"]


def test_rules_are_asked_as_far_as_their_values_are_right() -> None:
    assert mistakes(Pair, "hgh: 1\nlow: 3") == [
        "line 1: hgh: is no setting; did you mean high?",
        "line 1: high: is below low",
    ]
    assert mistakes(Pair, "low: 3\nhigh: x") == ["line 2: high: must be a whole number"]


@dataclass(frozen=True)
class WithSecret:
    token: Secret


@dataclass(frozen=True)
class Outer:
    pair: Pair


class TestSecrets:
    def test_from_the_file_itself(self) -> None:
        reader = Reader({}, Path())
        assert reader.read(WithSecret, node("token: ' x '"), "") == WithSecret(Secret(" x "))
        assert reader.open_secrets

    def test_from_a_file_of_its_own(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text(" pässword \r\n", "utf-8", newline="")
        secret.chmod(0o600)
        reader = Reader({}, tmp_path)
        read = reader.read(WithSecret, node("token_file: secret"), "")
        assert read == WithSecret(Secret(" pässword "))
        assert not reader.open_secrets
        assert reader.warnings == []

    def test_a_file_open_to_all_is_warned_of(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("x")
        secret.chmod(0o644)
        reader = Reader({}, tmp_path)
        assert reader.read(WithSecret, node("\ntoken_file: secret"), "a") is not None
        warning = "names a file that every user of this machine can read or change: chmod o= "
        assert [str(each) for each in reader.warnings] == [
            f"line 2: a.token_file: {warning}{secret}"
        ]

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"\xff", "names a file that is not UTF-8 text"),
            (b"x" * (MAX_BYTES + 1), "names a file too large to be a secret"),
            (b"\n", "is empty"),
        ],
    )
    def test_files_that_hold_no_secret(self, tmp_path: Path, data: bytes, reason: str) -> None:
        (tmp_path / "secret").write_bytes(data)
        found = mistakes(WithSecret, "token_file: secret", folder=tmp_path)
        assert len(found) == 1
        assert found[0].endswith(reason)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        assert mistakes(WithSecret, "token_file: none", folder=tmp_path) == [
            "line 1: token_file: cannot be read: No such file or directory"
        ]
        assert mistakes(WithSecret, "token_file: [none]", folder=tmp_path) == [
            "line 1: token_file: must be a single value"
        ]

    def test_from_the_environment(self) -> None:
        environ = {"BOARDKEEPER_HANDLERS_MY_HOOK_SETTINGS_TOKEN": "x"}
        read = read_settings(WithSecret, {}, "handlers.my-hook.settings", environ=environ)
        assert read == WithSecret(Secret("x"))

    def test_an_empty_variable_is_none(self) -> None:
        empty = {"BOARDKEEPER_TOKEN": ""}
        assert read_settings(WithSecret, {"token": "x"}, environ=empty) == WithSecret(Secret("x"))

    def test_exactly_one_source(self) -> None:
        assert mistakes(WithSecret, "") == [
            "token: is missing; set token, token_file or BOARDKEEPER_TOKEN"
        ]
        both = mistakes(WithSecret, "token: a\ntoken_file: b", environ={"BOARDKEEPER_TOKEN": "c"})
        assert both == [
            "line 2: token: is given 3 times: token, token_file, BOARDKEEPER_TOKEN",
        ]

    def test_nothing_prints_it(self) -> None:
        secret = Secret("hush")
        shown = f"{secret} {secret!r} {secret!s} {[secret]} {WithSecret(secret)}"
        assert "hush" not in shown
        assert secret.reveal() == "hush"
        assert len({secret, Secret("hush"), Secret("other")}) == 2
        assert secret != "hush"


def test_a_type_that_cannot_be_read_is_the_programmers_mistake() -> None:
    @dataclass
    class Wrong:
        data: bytes

    with pytest.raises(TypeError, match="data: settings cannot be of the type"):
        read_settings(Wrong, {"data": "x"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["word", "number", "x"]) | st.text(max_size=5), inner)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(sorted(Everything.__dataclass_fields__)) | st.just("token_file")


@given(st.dictionaries(NAMES, JSON))
def test_any_data_is_read_or_refused_with_reasons(data: dict[str, Any]) -> None:
    reader = Reader({}, Path())
    read = reader.read(Everything, tree(data), "")
    assert (read is None) == bool(reader.mistakes)
    if read is not None:
        assert 1.0 <= read.wait <= 60.0
        assert read.choice in {"red", "green"}
