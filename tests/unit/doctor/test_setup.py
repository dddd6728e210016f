"""Setup, where somebody is asked."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

import pytest

from bot import setup
from bot.config.file import load
from bot.errors import UsageError
from bot.matrix.admin import Admin
from bot.setup import Wishes, configuration, run


class Terminal:
    """A person who answers."""

    def isatty(self) -> bool:
        return True


def options(folder: Path, homeserver: str = "https://hs.example") -> argparse.Namespace:
    return argparse.Namespace(
        homeserver=homeserver,
        user="@b:hs.example",
        admin_token_file=None,
        output=folder / "c.yaml",
        yes=False,
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done to the account."""
    done: list[str] = []

    async def exists(_: Admin) -> bool:
        return False

    async def make(_: Admin, password: str, *, create: bool) -> None:
        done.append(f"make {bool(password)} {create}")

    async def exempt(_: Admin) -> None:
        done.append("exempt")

    monkeypatch.setattr(Admin, "exists", exists)
    monkeypatch.setattr(Admin, "make", make)
    monkeypatch.setattr(Admin, "exempt", exempt)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda _: "syt_token")
    return done


@pytest.mark.parametrize("answer", ["", "n", "no", "x"])
def test_whoever_does_not_agree_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: list[str], answer: str
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert run(options(tmp_path), {}) == 1
    assert asked == []
    assert not list(tmp_path.iterdir())


def test_whoever_agrees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: list[str]) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert run(options(tmp_path), {}) == 0
    assert asked == ["make True True", "exempt"]
    assert {file.name for file in tmp_path.iterdir()} == {"c.yaml", "c.yaml.password"}
    account = load(tmp_path / "c.yaml", {}).homeserver
    assert account.url == "https://hs.example"
    assert account.password is not None
    assert account.password.reveal() == (tmp_path / "c.yaml.password").read_text()


@pytest.mark.parametrize("token", ["", " \n", "a\tb", "é"])
def test_what_is_no_token(tmp_path: Path, token: str) -> None:
    (tmp_path / "token").write_text(token)
    call = options(tmp_path)
    call.admin_token_file = tmp_path / "token"
    with pytest.raises(UsageError, match="no access token"):
        run(call, {})


def test_what_is_no_address(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="http"):
        run(options(tmp_path, "ftp://x"), {setup.TOKEN_VARIABLE: "t"})


def test_odd_names_stay_what_they_are(tmp_path: Path) -> None:
    output = tmp_path / 'a "b" \\1.yaml'
    wishes = Wishes("https://hs.example", "@b:hs.example", output, "t")
    output.write_text(configuration(wishes))
    wishes.password_file.write_text("secret")
    password = load(output, {}).homeserver.password
    assert password is not None
    assert password.reveal() == "secret"
