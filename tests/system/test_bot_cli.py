"""The command line from outside: from nothing to a configuration that is right, and every help."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bot import __version__
from tests.stack.processes import ROOT

COMMANDS = (
    *("init", "check", "run", "boards", "export"),
    *("status", "sessions", "pause", "resume", "leave", "drain"),
)


def boardkeeper(
    *arguments: object, folder: Path, code: int = 0, module: bool = True
) -> tuple[str, str]:
    """Run it in a folder; return what it said, and what it said of errors."""
    program = [sys.executable, "-m", "bot"]
    if not module:  # as the installed command does it
        program = [sys.executable, "-c", "from bot.__main__ import main; main()"]
    done = subprocess.run(
        [*program, *map(str, arguments)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def test_from_nothing_to_a_configuration_that_is_right(tmp_path: Path) -> None:
    said, _ = boardkeeper("init", folder=tmp_path)
    assert "boardkeeper check -c config.yaml" in said
    config = tmp_path / "config.yaml"
    assert config.stat().st_mode & 0o077 == 0  # it will hold a password
    said, warned = boardkeeper("check", folder=tmp_path)
    assert said == "config.yaml can be read; see 3 things to mend, above.\n"
    text = config.read_text()
    number = text[: text.index("  password: change-me")].count("\n") + 1
    assert f"config.yaml: line {number}: homeserver.password: is still the example's; " in warned
    config.write_text(text.replace("example.org", "here.org").replace("change-me", "s3cret"))
    assert boardkeeper("check", folder=tmp_path) == ("config.yaml is right.\n", "")

    _, errors = boardkeeper("init", folder=tmp_path, code=1)
    assert "config.yaml" in errors  # never written over


def test_every_mistake_at_once_with_path_and_line(tmp_path: Path) -> None:
    boardkeeper("init", "my.yaml", folder=tmp_path)
    config = tmp_path / "my.yaml"
    text = config.read_text()
    for good, bad in {
        "  refresh: 5s": "  refersh: 5s",
        "  linger: 1m": "  linger: soon",
        "  when: active": "  when: sometimes",
        "  max_rooms: 1000": "  max_rooms: many",
        "  - use: log": "  - use: blog",
    }.items():
        assert good in text
        text = text.replace(good, bad)
    config.write_text(text)
    _, errors = boardkeeper("check", "-c", "my.yaml", folder=tmp_path, code=2)
    for wrong, path in {
        "max_rooms: many": "invites.max_rooms",
        "when: sometimes": "presence.when",
        "linger: soon": "presence.linger",
        "refersh: 5s": "rtc.refersh",
        "use: blog": "handlers[1].use",
    }.items():
        number = text[: text.index(wrong)].count("\n") + 1
        assert f"my.yaml: line {number}: {path}: " in errors
    assert "refresh?" in errors  # the nearest name
    assert len(errors.splitlines()) == 5
    # Nothing else runs with it either, and says the same.
    assert boardkeeper("run", "-c", "my.yaml", folder=tmp_path, code=2)[1] == errors


@pytest.mark.parametrize(
    "text", ["", "homeserver: [", "- 1\n", "homeserver: {url: \t}", "\0", "a: &a [*a]", "\xff"]
)
def test_what_is_no_configuration_is_one_clear_mistake(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_bytes(text.encode("latin-1"))
    _, errors = boardkeeper("check", folder=tmp_path, code=2)
    assert "config.yaml" in errors


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    _, errors = boardkeeper("check", "-c", "nowhere.yaml", folder=tmp_path, code=2)
    assert "nowhere.yaml" in errors


def test_boards_and_export_without_an_archive(tmp_path: Path) -> None:
    boardkeeper("init", folder=tmp_path)
    _, errors = boardkeeper("boards", folder=tmp_path, code=1)
    assert "did the bot ever run?" in errors
    _, errors = boardkeeper("export", "1", "-o", "x.nwb", folder=tmp_path, code=1)
    assert "did the bot ever run?" in errors
    assert not (tmp_path / "x.nwb").exists()
    assert not (tmp_path / "data").exists()  # reading makes nothing


@pytest.mark.parametrize("module", [True, False])
def test_version(tmp_path: Path, *, module: bool) -> None:
    said, _ = boardkeeper("--version", folder=tmp_path, module=module)
    assert said == f"boardkeeper {__version__}\n"


def test_help_names_all_and_tells_what_each_is_for(tmp_path: Path) -> None:
    said, _ = boardkeeper("--help", folder=tmp_path)
    for command in COMMANDS:
        assert re.search(rf"^ +{command} +\w+", said, re.MULTILINE)
        text, _ = boardkeeper(command, "--help", folder=tmp_path)
        assert text.startswith(f"usage: boardkeeper {command}")
    text, _ = boardkeeper("export", "--help", folder=tmp_path)
    assert "10m ago" in text


@pytest.mark.parametrize("arguments", [(), ("fly",), ("export",), ("check", "--force"), ("pause",)])
def test_a_wrong_call_says_how_it_is_right(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    _, errors = boardkeeper(*arguments, folder=tmp_path, code=2)
    assert errors.startswith("usage: boardkeeper")
