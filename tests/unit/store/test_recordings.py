"""Entries: order, filters, pages, what cannot be kept; checkpoints."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.store import recordings
from bot.store.archive import Archive
from bot.store.thinning import KEEP
from bot.whiteboard.entry import Entry, Kind
from tests.unit.store.make import entry, new_boards

GROUPS = st.lists(
    st.lists(
        st.builds(
            entry,
            st.integers(1, 3),
            st.binary(max_size=40),
            ts=st.integers(0, 20),
            kind=st.sampled_from(Kind),
            sender=st.none() | st.text(st.characters(codec="utf-8"), max_size=5),
            device=st.none() | st.just("DEVICE"),
        ),
        max_size=8,
    ),
    max_size=6,
)
FILTER = st.fixed_dictionaries(
    {},
    optional={
        "after_seq": st.integers(0, 30),
        "until_ts": st.integers(0, 20),
        "kinds": st.sets(st.sampled_from(Kind)),
    },
)


@given(groups=GROUPS, wanted=FILTER, limit=st.integers(1, 9), page_bytes=st.integers(1, 100))
@settings(max_examples=40, deadline=None)
def test_what_was_appended_comes_back_in_order(
    groups: list[list[Entry]], wanted: dict[str, Any], limit: int, page_bytes: int
) -> None:
    async def check(archive: Archive) -> None:
        await new_boards(archive, 3)
        seqs = [seq for group in groups for seq in await archive.append(group)]
        assert seqs == list(range(1, len(seqs) + 1))
        flat = [one for group in groups for one in group]
        kept = [
            Entry(one.board_id, one.ts, one.kind, one.sender, one.device, one.data, seq)
            for one, seq in zip(flat, seqs, strict=True)
        ]
        for board_id in (1, 2, 3):
            model = [
                one
                for one in kept
                if one.board_id == board_id
                and one.seq > wanted.get("after_seq", 0)
                and one.ts <= wanted.get("until_ts", 99)
                and one.kind in wanted.get("kinds", Kind)
            ]
            page = await archive.entries(board_id, limit=limit, **wanted)
            assert page == model[: len(page)]
            assert len(page) <= limit
            assert bool(page) == bool(model)
            assert [one async for one in archive.all_entries(board_id, **wanted)] == model

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with Archive(Path(folder)) as archive:
                await check(archive)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recordings, "PAGE_BYTES", page_bytes)
        asyncio.run(run())


async def test_large_entries_come_in_small_pages(
    archive: Archive, board_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "PAGE_BYTES", 10)
    sizes = [4, 4, 4, 4, 50, 1, 1]
    await archive.append([entry(board_id, bytes(size)) for size in sizes])
    pages, after = [], 0
    while page := await archive.entries(board_id, after_seq=after):
        pages.append([len(one.data) for one in page])
        after = page[-1].seq
    assert pages == [[4, 4, 4], [4, 50], [1, 1]]


async def test_entries_written_while_iterating_come_too(archive: Archive, board_id: int) -> None:
    await archive.append([entry(board_id)])
    seen = []
    async for one in archive.all_entries(board_id):
        seen.append(one.seq)
        if len(seen) < 5:
            await archive.append([entry(board_id)])
    assert seen == [1, 2, 3, 4, 5]


async def test_one_bad_entry_does_not_cost_the_others(
    archive: Archive, board_id: int, caplog: pytest.LogCaptureFixture
) -> None:
    bad: list[Any] = [
        entry(board_id + 7),
        entry(board_id, ts=2**63),
        entry(board_id, ts="soon"),  # type: ignore[arg-type]
        entry(board_id, kind="unheard-of"),  # type: ignore[arg-type]
        entry(board_id, None),  # type: ignore[arg-type]
    ]
    for one in bad:
        seqs = await archive.append([entry(board_id, b"before"), one, entry(board_id, b"after")])
        assert seqs[1] == 0
        assert 0 < seqs[0] < seqs[2]
        kept = await archive.entries(board_id, after_seq=seqs[0] - 1)
        assert [(found.seq, found.data) for found in kept] == [
            (seqs[0], b"before"),
            (seqs[2], b"after"),
        ]
    assert caplog.text.count("cannot be stored") == len(bad)
    assert (await archive.boards())[0].entries == 2 * len(bad)
    assert await archive.append([bad[0]]) == [0]


async def test_names_that_utf8_cannot_hold_are_mended(archive: Archive, board_id: int) -> None:
    await archive.append([entry(board_id, sender="@a\ud800:b", device="\udfff")])
    found = (await archive.entries(board_id))[0]
    assert (found.sender, found.device) == ("@a?:b", "?")


async def test_numbers_are_never_given_twice(folder: Path) -> None:
    async with Archive(folder) as archive:
        (board_id,) = await new_boards(archive, 1)
        assert await archive.append([entry(board_id)] * 3) == [1, 2, 3]
        async with archive._file.write() as transaction:
            await transaction.execute("DELETE FROM entries")
    async with Archive(folder) as archive:
        assert await archive.append([entry(board_id)]) == [4]


async def test_many_at_once_stay_whole_and_in_order(archive: Archive, board_id: int) -> None:
    groups = [[entry(board_id, bytes([at]))] * 7 for at in range(30)]
    seqs = await asyncio.gather(*map(archive.append, groups))
    assert sorted(seq for group in seqs for seq in group) == list(range(1, 211))
    for group, numbers in zip(groups, seqs, strict=True):
        found = await archive.entries(board_id, after_seq=numbers[0] - 1, limit=7)
        assert [one.data for one in found] == [one.data for one in group]


async def test_the_latest_checkpoint_and_the_one_for_an_instant(
    archive: Archive, board_id: int
) -> None:
    assert await archive.checkpoint(board_id) is None
    for seq, ts in ((10, 100), (20, 200), (30, 300)):
        await archive.save_checkpoint(board_id, seq, ts, b"%d" % seq)
    latest = await archive.checkpoint(board_id)
    assert latest is not None
    assert (latest.seq, latest.ts, latest.data) == (30, 300, b"30")
    for until, seq in ((99, 0), (100, 10), (299, 20), (1000, 30)):
        found = await archive.checkpoint(board_id, until)
        assert (found.seq if found else 0) == seq
    await archive.save_checkpoint(board_id, 30, 400, b"more")
    latest = await archive.checkpoint(board_id)
    assert latest is not None
    assert (latest.ts, latest.data) == (400, b"more")
    assert await archive.checkpoint(board_id + 1) is None


async def test_checkpoints_are_few(archive: Archive, board_id: int) -> None:
    for seq in range(1, 3 * KEEP):
        await archive.save_checkpoint(board_id, seq * 500, seq, b"document")
    rows = await archive._file.read("SELECT seq FROM checkpoints ORDER BY seq")
    assert len(rows) == KEEP
    assert rows[-1][0] == (3 * KEEP - 1) * 500
