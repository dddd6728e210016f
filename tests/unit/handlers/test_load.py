"""Handlers of authors: found by file, and told what is wrong with them before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config import HandlerEntry
from bot.config.file import load
from bot.errors import ConfigError, UsageError
from bot.handlers.base import Handler
from bot.handlers.load import build, find, settings_of, untold

GOOD = """
from dataclasses import dataclass
from bot.handlers.base import DocumentUpdate, Handler

@dataclass(frozen=True)
class Settings:
    loud: bool = False

class Good(Handler):
    api = 1
    settings_type = Settings

    async def on_document_update(self, event: DocumentUpdate) -> None:
        pass
"""

CONFIG = """
homeserver:
  url: https://a.example
  user_id: "@bot:a.example"
  password: s
handlers:
  - use: own/good.py:Good
    settings: {loud: true}
"""


def written(folder: Path, code: str, name: str = "good") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.py"
    file.write_text(code)
    return file


def test_a_handler_is_found_in_a_file(tmp_path: Path) -> None:
    file = written(tmp_path / "own", GOOD)
    found = find(f"{file}:Good")
    assert issubclass(found, Handler)
    assert find(f"{file}:Good") is found
    other = written(tmp_path / "other", GOOD)
    assert find(f"{other}:Good") is not found  # of the same name
    assert list(build([HandlerEntry(f"{file}:Good", "good")])) == ["good"]


def test_files_are_found_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    written(tmp_path / "own", GOOD)
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    [entry] = load(config, {}, settings_of).handlers
    assert entry.name == "Good"
    assert entry.values.loud
    assert entry.use == f"{tmp_path / 'own' / 'good.py'}:Good"
    config.write_text(CONFIG.replace("loud", "laud"))
    with pytest.raises(ConfigError, match="loud"):
        load(config, {}, settings_of)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("class Good(Handler): api = 2", "written for version 2 of the API, this bot has 1"),
        ("class Good(Handler): settings_type = dict", "settings_type has to be a dataclass"),
        ("class Good(Handler): batch = 5", "batch has to be 1"),
        ("class Good(Handler): durable, batch = True, 5", "on_batch has to be there"),
        (
            "class Good(Handler):\n durable = True\n async def on_board_found(self, event): ...",
            "durable but asks for nothing that is recorded",
        ),
        ("class Good(Handler):\n def on_board_found(self, event): ...", "has to be “async def”"),
        (
            "class Good(Handler):\n async def on_board_found(self): ...",
            "on_board_found has to take self and one more parameter",
        ),
        ("class Good(Handler):\n async def stop(self, now): ...", "stop has to take self"),
        (
            "class Good(Handler):\n async def on_stroke(self, event): ...",
            "there is no event for on_stroke; there are: on_board_found, ",
        ),
        (
            "class Good(Handler):\n async def on_documentupdate(self, event): ...",
            r"for on_documentupdate; did you mean on_document_update\? There are: on_board_found, ",
        ),
        ("import sys\nsys.exit(0)", r"it ends the program \(SystemExit at .*wrong\.py:3\)"),
        ("Good = 7", "is not a bot.handlers.base.Handler"),
        ("raise RuntimeError('at import')", "RuntimeError: at import"),
        ("class Good(", "SyntaxError"),
    ],
)
def test_a_wrong_handler_is_named_with_the_reason(tmp_path: Path, code: str, why: str) -> None:
    file = written(tmp_path, f"from bot.handlers.base import Handler\n{code}\n", "wrong")
    with pytest.raises(UsageError, match=why) as caught:
        find(f"{file}:Good")
    assert str(file) in str(caught.value)


def test_a_class_that_is_not_there(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    with pytest.raises(UsageError) as caught:
        find(f"{file}:Wrong")
    assert str(caught.value) == "there is no class Wrong in good.py; it has: Good"
    assert caught.value.__cause__ is None
    with pytest.raises(UsageError, match=r"^there is no class Wrong in bot\.errors$"):
        find("bot.errors:Wrong")


def test_a_file_without_its_class(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    with pytest.raises(UsageError, match=r"write .*good\.py:Good$"):
        find(str(file))
    with pytest.raises(UsageError, match=r"write .*nowhere\.py:Class$"):
        find(str(tmp_path / "nowhere.py"))


def test_a_class_that_ends_the_program(tmp_path: Path) -> None:
    ends = "\n    def __init__(self, settings): raise SystemExit\n    async def on_document_update"
    file = written(tmp_path, GOOD.replace("\n    async def on_document_update", ends))
    with pytest.raises(UsageError, match=r"cannot be made: SystemExit at .*: it ends the program"):
        build([HandlerEntry(f"{file}:Good", "good")])


def test_a_module_that_may_be_a_file_is_said_to_be_one() -> None:
    with pytest.raises(UsageError, match=r"write shoutt\.py:Shout"):
        find("shoutt:Shout")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="FileNotFoundError"):
        find(f"{tmp_path}/nowhere.py:Good")


def test_who_is_told_what_is_recorded_needs_a_recording() -> None:
    log, record = HandlerEntry("log").named(), HandlerEntry("record").named()
    hook = HandlerEntry("webhook", "hook")
    assert untold([log, hook]) == ["hook"]
    assert untold([log, hook, record]) == []
    assert untold([log]) == []
