"""The pure parts: entries as rows, and which checkpoints to keep."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bot.store.entries import from_row, mend, sums, to_rows
from bot.store.thinning import superfluous
from bot.whiteboard.entry import Entry, Kind
from tests.unit.store.make import entry

ENTRIES = st.builds(
    Entry,
    st.integers(1, 5),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(Kind),
    st.none() | st.text(max_size=5),
    st.none() | st.text(max_size=5),
    st.binary(max_size=20),
)
ANYTHING = st.none() | st.integers() | st.floats() | st.text() | st.binary()


@given(st.lists(ENTRIES), st.integers(1, 1000))
def test_rows_hold_all_of_an_entry(entries: list[Entry], first: int) -> None:
    rows = to_rows(entries, first)
    assert [row[0] for row in rows] == list(range(first, first + len(entries)))
    back = [from_row(row) for row in rows]
    assert [(one.sender, one.data, one.kind, one.ts) for one in back] == [
        (one.sender, one.data, one.kind, one.ts) for one in entries
    ]
    assert all(type(value) in {int, str, bytes, type(None)} for row in rows for value in row)


@given(st.lists(ENTRIES))
def test_sums_are_those_of_each_board(entries: list[Entry]) -> None:
    found = sums(entries)
    assert found.keys() == {one.board_id for one in entries}
    for board_id, total in found.items():
        mine = [one for one in entries if one.board_id == board_id]
        assert total.entries == len(mine)
        assert total.bytes == sum(len(one.data) for one in mine)
        assert total.first_ts == min(one.ts for one in mine)
        assert total.last_ts == max(one.ts for one in mine)


@given(ENTRIES)
def test_a_good_entry_is_not_changed_by_mending(one: Entry) -> None:
    plain = all(
        text is None or text.isascii() or text == text.encode("utf-8", "replace").decode()
        for text in (one.sender, one.device)
    )
    mended = mend(one, {1, 2, 3, 4, 5})
    assert mended is not None
    assert (mended == one) == plain


@given(st.tuples(*[ANYTHING] * 6))
def test_whatever_survives_mending_can_be_stored(values: tuple[object, ...]) -> None:
    mended = mend(Entry(*values), {1})  # type: ignore[arg-type]
    if mended is not None:
        assert from_row(to_rows([mended], 1)[0]).data == mended.data
        for text in (mended.sender, mended.device):
            assert text is None or text.encode()


def test_what_sqlite_has_no_room_for_is_left_out() -> None:
    assert mend(entry(1, bytes(900_000_001)), {1}) is None


@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.integers(0, 100)), unique_by=lambda one: one[0])
)
def test_thinning_keeps_the_bounds_and_the_newest(checkpoints: list[tuple[int, int]]) -> None:
    checkpoints.sort()
    dropped = superfluous(checkpoints, keep=5, keep_bytes=200)
    kept = [one for one in checkpoints if one[0] not in dropped]
    assert len(dropped) == len(set(dropped)) == len(checkpoints) - len(kept)
    assert len(kept) <= 5
    assert len(kept) <= 2 or sum(size for _, size in kept) <= 200
    assert kept[-2:][-1:] == checkpoints[-1:]
    if len(checkpoints) <= 5 and sum(size for _, size in checkpoints) <= 200:
        assert dropped == []


@given(st.lists(st.integers(1, 20), min_size=40, max_size=200))
def test_no_instant_is_far_from_a_checkpoint(steps: list[int]) -> None:
    kept: list[tuple[int, int]] = []
    seq = 0
    for step in steps:
        seq += step
        kept.append((seq, 1))
        drop = superfluous(kept, keep=16)
        kept = [one for one in kept if one[0] not in drop]
    gaps = [after - before for before, after in pairwise([0, *(one for one, _ in kept)])]
    assert max(gaps) <= 4 * seq / 16 + 40
