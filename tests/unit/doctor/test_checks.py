"""The doctor, where a real server cannot show it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from rich.console import Console

from bot.config import Config, Data, Homeserver
from bot.config.secret import Secret
from bot.doctor import machine, tls
from bot.doctor.examination import Check, examine
from bot.doctor.finding import Finding, Level, broken, ok, warning, worst
from bot.doctor.patient import Patient
from bot.doctor.report import as_json, show, summary
from bot.doctor.rooms import needed_for_message
from bot.errors import UsageError


class Usage(NamedTuple):
    """What `shutil.disk_usage` returns."""

    total: int
    used: int
    free: int


def patient(folder: Path = Path(), url: str = "http://127.0.0.1:1") -> Patient:
    account = Homeserver(url, "@b:x", password=Secret("p"), well_known=url)
    return Patient(Config(account, data=Data(folder)))


async def all_of(check: AsyncIterator[Finding]) -> list[Finding]:
    return [finding async for finding in check]


async def fine(_: Patient) -> AsyncIterator[Finding]:
    yield ok("a", "fine")


async def bad(_: Patient) -> AsyncIterator[Finding]:
    yield broken("b", "bad", "mend it")


async def slow(_: Patient) -> AsyncIterator[Finding]:
    yield ok("s", "begun")
    await asyncio.sleep(60)


async def refused(_: Patient) -> AsyncIterator[Finding]:
    raise UsageError("it refuses")
    yield ok("r", "never")


async def odd(_: Patient) -> AsyncIterator[Finding]:
    raise KeyError("secret")
    yield ok("o", "never")


async def test_none_hides_another() -> None:
    found: list[Finding] = []
    checks = (
        Check("s", slow, within=0.05),
        Check("r", refused),
        Check("o", odd),
        Check("b", bad),
        Check("c", fine, ("b",)),
        Check("d", fine, ("c",)),
        Check("a", fine),
    )
    assert await examine(patient(), checks, found.append) is Level.BROKEN
    assert found == [
        ok("s", "begun"),
        broken("s", "no answer within 0.05 s"),
        broken("r", "it refuses"),
        broken("o", "the check itself failed (KeyError)"),
        broken("b", "bad", "mend it"),
        warning("c", "not checked: needs what is broken (b)"),
        warning("d", "not checked: needs what is broken (b)"),
        ok("a", "fine"),
    ]


async def test_all_well() -> None:
    assert await examine(patient(), (Check("a", fine),), lambda _: None) is Level.OK
    assert worst([]) is Level.OK


@pytest.mark.parametrize(
    ("form", "says"), [("compiled", "compiled"), ("pure", "in Python; compiled, as in the image")]
)
async def test_in_which_form_it_is(monkeypatch: pytest.MonkeyPatch, form: str, says: str) -> None:
    monkeypatch.setattr(machine, "FORM", form)
    (found,) = await all_of(machine.merger(patient()))
    assert found.level is Level.OK
    assert found.text.startswith(says)


@pytest.mark.parametrize(
    ("free", "level", "advice"),
    [
        (10_000_000, Level.BROKEN, "make space: nothing can be recorded"),
        (500_000_000, Level.WARNING, "make space, or set data.folder to a larger disk"),
        (5_000_000_000, Level.OK, ""),
    ],
)
async def test_space(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, level: Level, advice: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, free))
    (found,) = await all_of(machine.folder(patient(tmp_path / "not" / "yet")))
    assert (found.level, found.advice) == (level, advice)
    assert not list(tmp_path.iterdir())  # nothing is made, nothing left behind


async def test_what_is_not_encrypted() -> None:
    found = await all_of(tls.tls(patient(url="http://matrix.example.org")))
    assert found[0] == warning(
        "TLS",
        "http://matrix.example.org is not encrypted: passwords and boards can be read on the way",
        "https:// (or wss://) with a certificate",
    )


async def test_nobody_speaks_tls_there() -> None:
    (found,) = await all_of(tls.tls(patient(url="https://127.0.0.1:1")))
    assert found.level is Level.WARNING
    assert "https://127.0.0.1:1: no TLS connection" in found.text


@pytest.mark.parametrize(
    ("host", "is_it"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("a.b", False)],
)
def test_this_machine(host: str, *, is_it: bool) -> None:
    assert tls.is_loopback(host) is is_it


def test_needed_power() -> None:
    assert needed_for_message({}, "m.room.message") == 0
    assert needed_for_message({"events_default": 5}, "x") == 5
    assert needed_for_message({"events_default": 5, "events": {"x": 7}}, "x") == 7
    assert needed_for_message({"events_default": "no", "events": []}, "x") == 0


def test_reports() -> None:
    found = [ok("a", "fine"), warning("b", "odd"), broken("c", "[red]bad[/]", "mend it")]
    console = Console(record=True, width=100, file=None, quiet=False)
    with console.capture() as said:
        for one in found:
            show(console, one)
    lines = said.get().splitlines()
    assert lines[0].startswith("✓ ok      a")
    assert lines[2] == "✗ broken  c                [red]bad[/]"  # no markup of others
    assert lines[3].strip() == "→ mend it"
    assert summary(found) == "1 broken, 1 to look at, 1 fine."
    assert summary(found[:1]) == "All is well."
    read = cast("dict[str, object]", json.loads(as_json(found)))
    assert read["level"] == "broken"
    assert cast("list[object]", read["findings"])[2] == {
        "level": "broken",
        "subject": "c",
        "text": "[red]bad[/]",
        "advice": "mend it",
    }
