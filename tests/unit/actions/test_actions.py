from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.actions import actions
from bot.errors import NotFound, UsageError
from bot.whiteboard.document import Document
from bot.whiteboard.entry import Entry, Kind
from tests.fakes.rooms import ALICE, KEY, OTHER, MemoryArchive
from tests.unit.whiteboard.people import Person

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def archive(*updates: bytes) -> MemoryArchive:
    kept = MemoryArchive()
    kept.keys = {KEY: 1, OTHER: 2}
    for number, update in enumerate(updates):
        kept.record(Entry(1, 1000 * number, Kind.UPDATE, ALICE, "AD", update))
    return kept


async def nothing(mxc: str, max_bytes: int) -> bytes:
    raise NotFound("no such media")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m ago", NOON.replace(hour=11, minute=50)),
        (" 2h", NOON.replace(hour=10)),
        ("2026-11-20T14:05:30+01:00", NOON.replace(hour=13, minute=5, second=30)),
        (str(int(NOON.timestamp() * 1000)), NOON),
    ],
)
def test_times_as_people_write_them(text: str, moment: datetime) -> None:
    assert actions.read_time(text, NOON) == int(moment.timestamp() * 1000)


@given(st.text() | st.from_regex(r"\d+ ?[smhd]( ago)?", fullmatch=True) | st.integers().map(str))
def test_any_text_is_a_time_or_said_to_be_none(text: str) -> None:
    with suppress(UsageError):
        assert 0 <= actions.read_time(text, NOON) < 2**53


def test_what_is_no_time_is_said() -> None:
    for text in ("", "yesterday", "99999999999d ago", "9" * 30, "0001-01-01"):
        with pytest.raises(UsageError, match="is not a time"):
            actions.read_time(text, NOON)


@given(st.integers(0, 2**53))
def test_any_instant_can_be_shown(ts: int) -> None:
    assert actions.show_time(ts)


def test_an_instant_is_read_as_it_is_shown() -> None:
    ts = int(NOON.timestamp() * 1000)
    assert actions.read_time(actions.show_time(ts), NOON) == ts


def test_an_instant_is_shown_in_utc() -> None:
    assert actions.show_time(int(NOON.timestamp() * 1000)) == "2026-11-20 12:00:00 UTC"


@pytest.mark.parametrize("name", ["1", "w1", "$d1"])
async def test_a_board_is_found_by_what_it_is_called(name: str) -> None:
    assert (await actions.find_board(archive(), name)).key == KEY


@pytest.mark.parametrize(
    ("name", "says"),
    [("9", "no board"), ("", "no board"), (KEY.room_id, "by number"), ("!roo", "by")],
)
async def test_what_fits_none_or_several_is_said(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        await actions.find_board(archive(), name)


async def test_a_board_is_exported_as_it_was() -> None:
    alice = Person(7)
    kept = archive(alice.add("a"), alice.add("b"))

    async def elements(at_ts: int | None) -> int:
        row = await actions.find_board(kept, "1")
        result = await actions.export(kept, row, at_ts=at_ts, empty=Document(), download=nothing)
        return result.elements

    assert await elements(None) == 2
    assert await elements(500) == 1
    await kept.save_checkpoint(1, 1, 700, Document(alice.state()).encode())
    assert await elements(None) == 2


@pytest.mark.parametrize(
    ("paused", "at_ts", "says"),
    [
        ((400, 600), 500, "paused then, from 1970-01-01 .* until 1970-01-01 "),
        ((0, 600), 500, "paused then, until 1970-01-01 "),
        ((400, None), 500, "paused since 1970-01-01 "),
        ((400, None), None, "paused since 1970-01-01 "),
        ((400, 600), 600, None),
        ((600, None), 500, None),
        ((400, 600), None, None),
    ],
)
async def test_of_an_instant_in_a_pause_an_export_says_so(
    paused: tuple[int, int | None], at_ts: int | None, says: str | None
) -> None:
    kept = archive(Person(7).add("a"))
    kept.paused.append(paused)
    row = await actions.find_board(kept, "1")
    result = await actions.export(kept, row, at_ts=at_ts, empty=Document(), download=nothing)
    assert (says is None) == (result.paused is None)
    assert says is None or re.search(says, result.paused or "")


@pytest.mark.parametrize("at_ts", [None, 5])
async def test_nothing_recorded_is_said(at_ts: int | None) -> None:
    row = await actions.find_board(archive(), "1")
    with pytest.raises(UsageError, match="Nothing is recorded"):
        await actions.export(archive(), row, at_ts=at_ts, empty=Document(), download=nothing)


async def test_images_that_cannot_be_fetched_are_named() -> None:
    async def download(mxc: str, max_bytes: int) -> bytes:
        if mxc.endswith("gone"):
            raise NotFound("no such media")
        return b"png"

    alice = Person(7)

    def image(name: str) -> bytes:
        return alice.add(
            name,
            type="image",
            kind=None,
            fillColor=None,
            text=None,
            mxc=f"mxc://here/{name}",
            fileName=name,
            width=1.0,
            height=1.0,
        )

    kept = archive(image("there"), image("gone"))
    row = await actions.find_board(kept, "1")
    result = await actions.export(kept, row, empty=Document(), download=download)
    assert result.images == 1
    assert result.missing_images == (("mxc://here/gone", "no such media"),)
