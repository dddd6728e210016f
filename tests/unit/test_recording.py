"""The recording file: what was written comes back, and nothing else is taken for it."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zstandard import ZstdCompressor, ZstdDecompressor

from bot import recording
from bot.errors import InvalidRecording, UsageError
from bot.recording import Header, Writer, read, write
from bot.whiteboard.board import BoardKey
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.lines import Trailer, entry_line, header_line, trailer_line

BOARD = BoardKey("!room:example.org", "!room:example.org_abc", "$document")
HEADER = Header(BOARD, "0", 1_795_218_261_000)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
ENTRIES = st.lists(
    st.builds(
        Entry,
        st.just(0),
        st.integers(0, 2**53),
        st.sampled_from(Kind),
        st.none() | TEXTS,
        st.none() | TEXTS,
        st.binary(max_size=300),
    ),
    max_size=12,
)
HEADERS = st.builds(
    Header,
    st.just(BOARD),
    st.sampled_from([None, "0", "1", "17"]),
    st.integers(0, 2**53),
    st.booleans(),
)


def entry(data: bytes = b"update", **fields: object) -> Entry:
    one = Entry(0, 1_795_218_261_000, Kind.UPDATE, "@anna:example.org", "ANNA", data)
    return replace(one, **fields)  # type: ignore[arg-type]


def taken(path: Path) -> tuple[Header, list[Entry]]:
    with read(path) as found:
        return found.header, list(found.entries)


def numbered(entries: list[Entry]) -> list[Entry]:
    return [replace(one, seq=seq) for seq, one in enumerate(entries, 1)]


@contextmanager
def a_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@given(header=HEADERS, entries=ENTRIES)
@settings(max_examples=60, deadline=None)
def test_what_was_written_comes_back(header: Header, entries: list[Entry]) -> None:
    with a_folder() as folder:
        path = folder / "board.rec"
        written = write(path, header, entries)
        assert (written.entries, written.size) == (len(entries), path.stat().st_size)
        assert taken(path) == (header, numbered(entries))
        assert list(folder.iterdir()) == [path]


@given(data=st.binary(max_size=400), packed=st.booleans())
@settings(max_examples=200, deadline=None)
def test_random_bytes_are_no_recording(data: bytes, packed: bool) -> None:  # noqa: FBT001
    with a_folder() as folder:
        path = folder / "board.rec"
        path.write_bytes(ZstdCompressor().compress(data) if packed else data)
        with pytest.raises(InvalidRecording, match=r"board\.rec, line \d+: .+\. .+\."):
            taken(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recording of a few entries."""
    path = tmp_path / "board.rec"
    entries = [entry(os.urandom(40), ts=ts, sender=None if ts % 2 else "@b:c") for ts in range(9)]
    write(path, HEADER, entries)
    return path


def test_a_file_that_is_cut_off_anywhere_is_recognised(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidRecording, match=r"cut off\. Copy the file once more"):
            taken(path)


def test_lines_that_are_cut_off_anywhere_are_recognised(path: Path) -> None:
    lines = ZstdDecompressor().stream_reader(path.read_bytes()).read()
    for length in range(len(lines)):
        path.write_bytes(ZstdCompressor().compress(lines[:length]))
        with pytest.raises(InvalidRecording):
            taken(path)


def test_no_flipped_bit_goes_unseen(path: Path) -> None:
    before, whole = taken(path), path.read_bytes()
    for place in range(len(whole)):
        for bit in (1, 16, 128):
            damaged = bytearray(whole)
            damaged[place] ^= bit
            path.write_bytes(damaged)
            try:
                after = taken(path)
            except InvalidRecording:
                continue
            assert after == before, "not what was written"  # a bit that zstd does not use


def test_a_line_that_is_left_out_twice_there_or_moved_is_recognised(path: Path) -> None:
    lines = ZstdDecompressor().stream_reader(path.read_bytes()).read().splitlines(keepends=True)
    for wrong in (
        lines[:3] + lines[4:],
        [*lines[:3], lines[3], *lines[3:]],
        [*lines[:3], lines[4], lines[3], *lines[5:]],
        [*lines, lines[-1]],
        [*lines, b"more"],
        [*lines[:3], lines[3].replace(b'"ts":2', b'"ts":3'), *lines[4:]],
    ):
        path.write_bytes(ZstdCompressor().compress(b"".join(wrong)))
        with pytest.raises(InvalidRecording):
            taken(path)


def test_what_follows_behind_the_end_is_recognised(path: Path) -> None:
    whole = path.read_bytes()
    for more in (b"x", b"xxxxxxxx", whole, ZstdCompressor().compress(b"\n")):
        path.write_bytes(whole + more)
        with pytest.raises(InvalidRecording, match=r"goes on|unpacked"):
            taken(path)


def test_who_takes_only_some_entries_is_not_told_of_the_rest(path: Path) -> None:
    with read(path) as found:
        assert [one.ts for one in islice(found.entries, 3)] == [0, 1, 2]
        assert 0 < found.file.tell() <= found.size


# -- hostile files -------------------------------------------------------------------------------


def sealed(lines: list[bytes]) -> bytes:
    """A file of these lines, with a trailer that fits them."""
    whole = b"".join(lines)
    end = trailer_line(Trailer(len(lines) - 1, sha256(whole).hexdigest()))
    return ZstdCompressor(level=3).compress(whole + end)


def test_a_file_that_unpacks_to_far_too_much_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "ALWAYS", 10_000)
    one = entry(bytes(2_000_000))
    path.write_bytes(sealed([header_line(HEADER), entry_line(one, 1)]))
    with pytest.raises(InvalidRecording, match="line 2: it unpacks to more than 1000 times"):
        taken(path)
    monkeypatch.undo()
    assert taken(path)[1] == numbered([one])


def test_a_line_without_an_end_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_LINE", 1_000)
    path.write_bytes(ZstdCompressor().compress(header_line(HEADER) + bytes(3_000_000)))
    with pytest.raises(InvalidRecording, match="line 2: it is longer than 1000 bytes"):
        taken(path)


def test_a_file_that_wants_a_large_window_is_refused(path: Path) -> None:
    packed = ZstdCompressor(level=22).stream_writer
    with path.open("wb") as file, packed(file) as writer:
        writer.write(header_line(HEADER) + b"x" * 100)
    with pytest.raises(InvalidRecording, match="cannot be unpacked"):
        taken(path)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_what_is_no_file_is_not_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "thing")
    with pytest.raises(UsageError, match=r"thing cannot be read"):
        taken(tmp_path / "thing")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing cannot be read: No such file or directory\."):
        taken(tmp_path / "nothing")


# -- writing -------------------------------------------------------------------------------------


def test_what_is_there_is_replaced_only_when_told(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(UsageError, match="--overwrite"):
        write(path, HEADER, [])
    assert path.read_bytes() == before
    write(path, HEADER, [], overwrite=True)
    assert taken(path) == (HEADER, [])


def test_a_file_that_came_up_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "board.rec"
    with pytest.raises(UsageError, match="there already"), Writer(path, HEADER):
        path.write_bytes(b"somebody else's")
    assert path.read_bytes() == b"somebody else's"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_there_stays_until_the_new_one_is_whole(path: Path) -> None:
    before = path.read_bytes()

    def entries() -> Iterator[Entry]:
        yield entry(os.urandom(3_000_000))
        assert path.read_bytes() == before
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, HEADER, entries(), overwrite=True)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_recording_is_its_owner_s_alone(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=r"board\.rec cannot be written: No space left on device"):
        write(tmp_path / "board.rec", HEADER, [entry()])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        write(tmp_path / "no" / "board.rec", HEADER, [])


@pytest.mark.parametrize(
    "one", [entry(ts=-1), entry(ts=2**60), entry(sender="x" * 70_000), entry(device="\ud800")]
)
def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, one: Entry) -> None:
    with pytest.raises(InvalidRecording):
        write(tmp_path / "board.rec", HEADER, [one])
    assert not list(tmp_path.iterdir())


def test_more_than_can_be_read_again_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MAX_BYTES", 1_000)
    with pytest.raises(InvalidRecording, match="more than a recording can hold"):
        write(tmp_path / "board.rec", HEADER, [entry(bytes(2_000))])
    assert not list(tmp_path.iterdir())
