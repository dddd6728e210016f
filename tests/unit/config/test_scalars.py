from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config import scalars


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5.0),
        ("1m30s", 90.0),
        ("500ms", 0.5),
        ("4h", 14400.0),
        ("7d", 604800.0),
        ("1h 5 m", 3900.0),
        ("1.5s", 1.5),
        ("12", 12.0),
        ("0.25", 0.25),
        ("0", 0.0),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert math.isclose(scalars.read_duration(text), seconds)


@pytest.mark.parametrize("text", ["", "s", "5 minutes", "-1s", "1e3", "5x", "1.s", "1,5s", "inf"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 5s, 1m30s"):
        scalars.read_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("34kB", 34_000),
        ("34KB", 34_000),
        ("20MB", 20_000_000),
        ("20 mb", 20_000_000),
        ("64MiB", 64 * 2**20),
        ("1GiB", 2**30),
        ("1.5k", 1500),
        ("123", 123),
        ("123B", 123),
        ("2G", 2_000_000_000),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert scalars.read_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "20iB", "20TB", "20 megabytes", "1e3"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 20MB"):
        scalars.read_size(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert scalars.read_address(text) == address


@pytest.mark.parametrize("text", ["8080", ":8080", "::1:8080", "host:65536", "host:", "a b:1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        scalars.read_address(text)


def test_urls_lose_the_slash_at_their_end() -> None:
    assert scalars.read_http_url("https://a.example/x/") == "https://a.example/x"
    assert scalars.read_http_url("http://[::1]:8008") == "http://[::1]:8008"
    assert scalars.read_socket_url("wss://a.example/sfu") == "wss://a.example/sfu"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "https://",
        "ftp://a",
        "wss://a",
        "http://a:99999",
        "http://[a",
        "http://a b",
    ],
)
def test_what_is_no_http_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="begins with http:// or https://"):
        scalars.read_http_url(text)


@pytest.mark.parametrize("text", ["https://u:p@a", "https://u@a", "https://a?b", "https://a/#b"])
def test_urls_hold_no_user_query_or_fragment(text: str) -> None:
    with pytest.raises(ValueError, match="without user") as caught:
        scalars.read_http_url(text)
    assert ":p@" not in str(caught.value)


def test_numbers_and_truth() -> None:
    assert scalars.read_int("-12") == -12
    assert scalars.read_float("0.5") == 0.5
    assert scalars.read_bool("true") is True
    assert scalars.read_bool("false") is False
    for read in (scalars.read_int, scalars.read_float, scalars.read_bool):
        with pytest.raises(ValueError, match="must be"):
            read("yes")


def test_patterns_for_addresses() -> None:
    assert scalars.read_url_glob("https://*.example.org/*") == "https://*.example.org/*"
    assert scalars.read_url_glob("http://sfu/") == "http://sfu"
    for text in ("*", "ftp://a", "https://a b", ""):
        with pytest.raises(ValueError, match="pattern for addresses"):
            scalars.read_url_glob(text)


def test_boards_at_the_most_are_a_number_or_auto() -> None:
    assert scalars.read_max_boards("auto") == 0
    assert scalars.read_max_boards("40") == 40
    for text in ("0", "-1", "many", ""):
        with pytest.raises(ValueError, match="auto or a whole number"):
            scalars.read_max_boards(text)


def test_names() -> None:
    assert scalars.read_user_id("@a:b.example:8448") == "@a:b.example:8448"
    assert scalars.read_user_id("@a:[::1]:8448") == "@a:[::1]:8448"
    assert scalars.read_device_id("BOARDKEEPER1") == "BOARDKEEPER1"
    assert scalars.read_glob("@*:b") == "@*:b"
    assert scalars.read_word("!b") == "!b"
    assert scalars.read_name("a-1") == "a-1"
    assert scalars.read_handler_name("my.module:Class") == "my.module:Class"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (scalars.read_user_id, "alice"),
        (scalars.read_user_id, "@alice"),
        (scalars.read_device_id, "a:b"),
        (scalars.read_device_id, ""),
        (scalars.read_device_id, "BOARD1"),
        (scalars.read_device_id, "BOARDKEEPER:1"),
        (scalars.read_glob, "alice"),
        (scalars.read_glob, "@a b"),
        (scalars.read_word, "two words"),
        (scalars.read_name, "a.b"),
        (scalars.read_handler_name, "a..b"),
    ],
)
def test_malformed_names_are_refused(read: scalars.Parser, text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        read(text)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    for name in dir(scalars):
        if name.startswith("read_"):
            try:
                getattr(scalars, name)(text)
            except ValueError as error:
                reason = str(error)
            else:
                reason = "must be nothing else"
            assert reason.startswith("must be")


@given(st.floats(0, 1e8))
def test_a_number_is_seconds(seconds: float) -> None:
    text = f"{seconds:.6f}"
    assert scalars.read_duration(text) == scalars.read_duration(f"{text}s") == float(text)
