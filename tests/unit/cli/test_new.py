"""`boardkeeper handlers new`: what it makes, and which names will not do."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

import pytest

from tests.unit.cli.test_authors import run


def test_a_new_project_has_tests_that_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "party-notes2")])
    assert run("handlers", "new", "party-notes2") == 0
    assert "boardkeeper dev party_notes2.py --replay sample" in capsys.readouterr().out
    project = tmp_path / "party-notes2"
    assert sorted(one.name for one in project.iterdir()) == [
        "README.md",
        "party_notes2.py",
        "pyproject.toml",
        "test_party_notes2.py",
    ]
    suite = unittest.TestLoader().discover(str(project))
    result = unittest.TestResult()
    suite.run(result)
    assert (result.testsRun, result.errors, result.failures) == (2, [], [])
    sys.modules.pop("party_notes2")
    sys.modules.pop("test_party_notes2")

    assert run("handlers", "new", "party-notes2") == 1
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "-x", "Über", "a b", "../x", "asyncio", "log", "x" * 41])
def test_names_that_will_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("handlers", "new", "--", name) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("1abc", "begins with a letter; single - or _ in between"),
        ("a--b", "begins with a letter; single - or _ in between"),
        ("aiohttp", "is the name of something else already"),
    ],
)
def test_what_is_wrong_with_a_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    why: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("handlers", "new", name) == 1
    assert why in capsys.readouterr().err


def test_a_name_that_only_this_folder_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    (tmp_path / "mine_too.py").write_text("")
    assert run("handlers", "new", "mine-too") == 0


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        Path, "mkdir", lambda self: (_ for _ in ()).throw(PermissionError(13, "no"))
    )
    monkeypatch.chdir(tmp_path)
    assert run("handlers", "new", "mine") == 1
    assert "cannot be made: no" in capsys.readouterr().err
