from __future__ import annotations

import asyncio
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from enum import Enum
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import logs
from bot.config.secret import Secret
from bot.errors import Transient


class Captured:
    """A log that is read back."""

    def __init__(self, level: str, style: Any) -> None:
        self.stream = StringIO()
        logs.setup(level, style, self.stream)
        self.log = logging.getLogger("bot.test")

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def last(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.text.splitlines()[-1])
        return line


Open = Callable[..., Captured]


@pytest.fixture
def log() -> Iterator[Open]:
    root, shown = logging.root, warnings.showwarning
    handlers, level, raises = list(root.handlers), root.level, logging.raiseExceptions
    levels = {name: logging.getLogger(name).level for name in logs.LIBRARIES}
    yield lambda level="info", style="json": Captured(level, style)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raises
    logging.captureWarnings(False)
    warnings.showwarning = shown
    for name, number in levels.items():
        logging.getLogger(name).setLevel(number)


def test_a_line_of_json(log: Open) -> None:
    out = log()
    out.log.info("room joined", extra={"room": "!a:b", "rooms": 3, "names": {"x"}, "share": 0.5})
    line = out.last
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "bot.test",
        "msg": "room joined",
        "room": "!a:b",
        "rooms": 3,
        "names": ["x"],
        "share": 0.5,
    }


def test_a_line_for_people(log: Open) -> None:
    out = log(style="text")
    out.log.warning("room left", extra={"room": "!a:b", "why": "by them", "n": [1], "say": 'a"b='})
    time, rest = out.text.split(" ", 1)
    assert time.endswith("Z")
    assert rest == 'WARNING bot.test: room left room=!a:b why="by them" n=[1] say="a\\"b="\n'


def test_the_least_level_is_kept(log: Open) -> None:
    out = log("warning")
    out.log.info("no")
    out.log.warning("yes")
    assert out.text.count("\n") == 1


def test_a_key_cannot_stand_for_another(log: Open) -> None:
    out = log()
    out.log.info("x", extra={"ts": 5, "level": "high", "logger": 1, "exc": "mine"})
    assert out.last["ts_"] == 5
    assert out.last["level_"] == "high"
    assert out.last["logger_"] == 1
    assert out.last["exc_"] == "mine"
    assert out.last["level"] == "info"


@pytest.mark.parametrize("style", ["json", "text"])
def test_secrets_are_not_shown(log: Open, style: str) -> None:
    out = log(style=style)
    keys = "password access_token jwt openid delay_id secret api_key Authorization cookie"
    out.log.info("x", extra=dict.fromkeys(keys.split(), "hush"))
    out.log.info("x", extra={"request": {"password": "hush", "deep": {"token": "hush"}}})
    out.log.info("x", extra={"account": Secret("hush")})
    out.log.info("GET /sync?access_token=hush&x=1 Bearer hush password=hush client_secret=hush")
    out.log.info("x", extra={"url": "wss://a/rtc?access_token=hush"})
    out.log.info("eyJhbGciOi.hush.hush and syt_hush_hush, mct_hushhushhush")
    assert "hush" not in out.text
    assert "&x=1" in out.text


@pytest.mark.parametrize("style", ["json", "text"])
def test_nobody_writes_lines_of_his_own(log: Open, style: str) -> None:
    out = log(style=style)
    out.log.info("x", extra={"user": "a\nERROR bot: fake\x1b[31m", "users": {"b\n": "c\r"}})
    assert len(out.text.splitlines()) == 1
    assert "\x1b" not in out.text


def raised(error: BaseException) -> None:
    raise error


def test_texts_of_exceptions_are_only_shown_where_they_quote_nobody(log: Open) -> None:
    out = log()

    def logged(error: BaseException) -> list[str]:
        try:
            raised(error)
        except BaseException:
            out.log.exception("failed")
        lines: list[str] = out.last["exc"]
        assert lines[1].startswith(f"  at {__file__}")
        assert lines[1].endswith(" logged")
        return [line for line in lines if not line.startswith("  at")]

    assert logged(KeyError("drawn")) == ["KeyError"]
    assert logged(Transient("no network")) == ["Transient: no network"]
    assert logged(FileNotFoundError(2, "No such file", "drawn")) == [
        "FileNotFoundError: No such file"
    ]
    assert logged(OSError("drawn")) == ["OSError"]
    caused = Transient("sync failed")
    caused.__cause__ = ValueError("drawn")
    assert logged(caused) == ["Transient: sync failed", "caused by ValueError"]
    group = ExceptionGroup("drawn", [KeyError("drawn"), Transient("a\nb")])
    assert logged(group) == ["ExceptionGroup", "holds KeyError", "holds Transient: a\\nb"]
    assert "drawn" not in out.text


def test_an_exception_while_another_was_handled_names_it_unless_told_not_to(log: Open) -> None:
    out = log(style="text")
    error = Transient("second")
    error.__context__ = KeyError("drawn")
    out.log.error("failed", exc_info=error)
    assert out.text.endswith("failed\n    Transient: second\n    caused by KeyError\n")
    error.__suppress_context__ = True
    out.log.error("failed", exc_info=error)
    assert out.text.endswith("failed\n    Transient: second\n")


def test_endless_chains_end(log: Open) -> None:
    out = log()
    error = Transient("x")
    error.__cause__ = Transient("y")
    error.__cause__.__cause__ = error
    out.log.error("failed", exc_info=error)
    assert len(out.last["exc"]) == logs.MAX_DEPTH + 1


def test_debug_shows_the_texts_of_exceptions(log: Open) -> None:
    out = log("debug")
    out.log.error("failed", exc_info=KeyError("drawn"))
    assert out.last["exc"] == ["KeyError: 'drawn'"]


def test_libraries_are_heard_of_trouble_only_and_in_one_line(log: Open) -> None:
    out = log()
    logging.getLogger("aiohttp.access").info("GET /")
    logging.getLogger("mau.client").warning("Failed to deserialize {drawn}")
    logging.getLogger("livekit").info("connected")
    assert out.text == ""
    logging.getLogger("asyncio").error("Task exception\nfuture: <Task exception=drawn>")
    assert out.last["msg"] == "Task exception"
    assert "drawn" not in out.text
    out = log("debug")
    logging.getLogger("aiosqlite").debug("insert drawn")
    logging.getLogger("mau.http").debug("drawn")
    assert out.text == ""
    logging.getLogger("livekit").info("connected")
    assert out.last["msg"] == "connected"


def test_warnings_of_python_are_logged_in_one_line(log: Open) -> None:
    out = log()
    with warnings.catch_warnings():
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)
    assert out.text.count("\n") == 1
    assert out.last["logger"] == "py.warnings"


def test_a_task_that_nobody_awaited_shows_no_content(log: Open) -> None:
    out = log()

    async def fail() -> None:
        raise ValueError("drawn")

    async def main() -> None:
        task = asyncio.ensure_future(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task

    asyncio.run(main())
    assert out.last["msg"] == "Task exception was never retrieved"
    assert out.last["exc"][0] == "ValueError"
    assert "drawn" not in out.text


def test_a_sentence_that_does_not_fit_its_arguments_is_shown_without_them(
    log: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    out = log()
    logging.getLogger("other").warning(*("%s and %s", "drawn"))
    assert out.last["msg"] == "%s and %s"
    assert capsys.readouterr().err == ""


def test_a_record_that_cannot_be_written_is_not_printed_elsewhere(
    log: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    out = log()
    out.stream.close()
    out.log.info("drawn")
    assert capsys.readouterr().err == ""


def test_it_goes_to_standard_error_by_default(
    log: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    log()
    logs.setup("info", "text")
    logging.getLogger("bot.test").info("here")
    assert "here" in capsys.readouterr().err


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (float("nan"), "nan"),
        (b"abc", "3 bytes"),
        (Colour.RED, "Colour.RED"),
        (Path("a/b"), "a/b"),
        (KeyError("drawn"), "KeyError"),
        ({"a": [{"b": [1]}]}, {"a": ["{'b': [1]}"]}),
        ("x" * 501, "x" * 500),
    ],
)
def test_values(value: object, result: object) -> None:
    assert logs.shown(value) == result


@given(st.recursive(st.none() | st.floats() | st.text() | st.binary(), st.lists, max_leaves=5))
def test_any_value_is_json_and_one_line(value: object) -> None:
    text = json.dumps(logs.shown(value), ensure_ascii=False, allow_nan=False)
    assert len(text.splitlines()) == 1
