"""`boardkeeper recording`, as an operator types it, on real archives."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from zstandard import ZstdCompressor, ZstdDecompressor

from bot.__main__ import main
from bot.recording import read
from bot.store.archive import Archive
from bot.whiteboard.board import BoardKey
from bot.whiteboard.document import Document
from bot.whiteboard.entry import Entry, Kind
from bot.whiteboard.message import CursorMove, FocusOn, Present, Update, decode
from bot.whiteboard.replay import apply_entry
from tests.unit.whiteboard.recorded import packets, snapshots

KEY = BoardKey("!room:example.org", "!room:example.org_abc", "$document")
BEGIN_TS = 1_795_218_261_000
KINDS = {
    Update: Kind.UPDATE,
    CursorMove: Kind.CURSOR,
    FocusOn: Kind.FOCUS,
    Present: Kind.PRESENT,
}
Run = Callable[..., tuple[int, str, str]]


def session(board: str) -> list[Entry]:
    """What real clients did, as the archive keeps it."""
    first = snapshots(board)[0]
    entries = [Entry(1, BEGIN_TS, Kind.SNAPSHOT, first.sender, None, first.data)]
    for number, packet in enumerate(packets(board)):
        message = decode(packet.raw)
        data = message.data if isinstance(message, Update) else packet.raw
        kind, ts = KINDS[type(message)], BEGIN_TS + 1000 * number
        entries.append(Entry(1, ts, kind, packet.sender, "DEV", data))
    return [*entries, Entry(1, BEGIN_TS + 10, Kind.REFUSED, "@eve:example.org", None, b"no update")]


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a configuration with a data folder of its own."""

    def write(name: str) -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(
            "homeserver:\n  url: http://127.0.0.1:1\n  user_id: '@bot:board.example'\n"
            f"  access_token: t\ndata:\n  folder: {tmp_path / name}\n"
        )
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command; returns its exit code, what it said, what it complained of."""
    monkeypatch.setattr(
        "bot.actions.actions.LOGIN_WITHIN", 0.1
    )  # there is no server to have images from

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(one) for one in arguments])
        said, complained = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, said, complained

    return run


@pytest.fixture(params=["slides", "infinite"])
def source(request: pytest.FixtureRequest, configured: Callable[[str], Path]) -> Path:
    """A configuration with a board that real clients drew."""
    config = configured("source")

    async def fill() -> None:
        async with Archive(config.with_suffix("")) as archive:
            assert await archive.board_id(KEY, 1) == 1
            await archive.append(session(request.param))

    asyncio.run(fill())
    return config


@pytest.fixture
def target(configured: Callable[[str], Path]) -> Path:
    return configured("target")


def nwb(run: Run, config: Path, board: int = 1, *more: str) -> Any:
    path = config.with_suffix(f".{board}.nwb")
    code, _, complained = run("export", board, "-o", path, "-c", config, *more)
    assert code == 0, complained
    return json.loads(path.read_bytes())


def shape(board: Any) -> list[list[tuple[Any, ...]]]:
    """Kinds, places and sizes, slide by slide."""
    return [
        [
            (one["type"], one.get("kind"), one["position"], one.get("width"), one.get("points"))
            for one in slide["elements"]
        ]
        for slide in board["whiteboard"]["slides"]
    ]


def test_a_board_goes_into_another_archive_as_it_is(
    run: Run, source: Path, target: Path, tmp_path: Path
) -> None:
    path = tmp_path / "board.rec"
    code, said, _ = run("recording", "export", 1, "-o", path, "-c", source)
    assert code == 0
    pattern = rf"{path}: \d+ entries of \d+ people, 2026-11-20 .* UTC – .* UTC, \d+\.\d kB\n"
    assert re.fullmatch(pattern, said)
    code, said, _ = run("recording", "import", path, "-c", target)
    assert code == 0
    assert "recording imported as board 1." in said
    assert nwb(run, target) == nwb(run, source)
    assert run("boards", "-c", target)[1].count("imported") == 1

    async def compare() -> None:
        async with (
            Archive(source.with_suffix(""), read_only=True) as one,
            Archive(target.with_suffix(""), read_only=True) as other,
        ):
            before = [entry async for entry in one.all_entries(1)]
            assert [entry async for entry in other.all_entries(1)] == before
            (row,), (copy,) = await one.boards(), await other.boards()
            assert (copy.key, copy.entries, copy.bytes) == (row.key, row.entries, row.bytes)
            assert (copy.participants, copy.last_ts) == (row.participants, row.last_ts)

    asyncio.run(compare())


def test_an_anonymised_one_has_the_same_shapes(
    run: Run, source: Path, target: Path, tmp_path: Path
) -> None:
    path, again = tmp_path / "board.rec", tmp_path / "again.rec"
    code, _, complained = run("recording", "export", 1, "-o", path, "--anonymise", "-c", source)
    assert (code, complained) == (0, "1 entry could not be anonymised and is left out\n")
    run("recording", "export", 1, "-o", again, "--anonymise", "-c", source)
    assert (
        "anonymised recording imported as board 1."
        in run("recording", "import", path, "-c", target)[1]
    )
    assert run("recording", "import", again, "-c", target)[0] == 0, "another one of the same"
    before = nwb(run, source)
    assert shape(nwb(run, target)) == shape(nwb(run, target, 2)) == shape(before)
    with read(path) as found:
        whole = repr((found.header, list(found.entries)))
    assert "example.org" not in whole
    assert found.header.anonymised
    assert "2026-11" not in run("boards", "-c", target)[1]


def test_a_part_replays_by_itself(run: Run, source: Path, tmp_path: Path) -> None:
    path, middle = tmp_path / "part.rec", BEGIN_TS + 20_000
    end = BEGIN_TS + 30_000
    times = ("--from", middle, "--to", end)
    assert run("recording", "export", 1, "-o", path, "-c", source, *times)[0] == 0
    document = Document()
    with read(path) as found:
        entries = list(found.entries)
    for entry in entries:
        apply_entry(document, entry)
    assert (entries[0].kind, entries[0].ts, entries[0].sender) == (Kind.BASELINE, middle, None)
    assert all(middle <= entry.ts <= end for entry in entries)

    async def then() -> Document:
        whole = Document()
        async with Archive(source.with_suffix(""), read_only=True) as archive:
            async for entry in archive.all_entries(1, until_ts=end):
                apply_entry(whole, entry)
        return whole

    assert document.content() == asyncio.run(then()).content()
    assert found.header.version == document.version


def test_what_was_before_the_beginning_needs_no_baseline(
    run: Run, source: Path, tmp_path: Path
) -> None:
    path = tmp_path / "part.rec"
    run("recording", "export", 1, "-o", path, "-c", source, "--from", "2020-01-01")
    with read(path) as found:
        assert next(found.entries).kind is Kind.SNAPSHOT


def test_what_cannot_be_anonymised_at_all_makes_no_file(
    run: Run, configured: Callable[[str], Path], tmp_path: Path
) -> None:
    config = configured("source")

    async def fill() -> None:
        async with Archive(config.with_suffix("")) as archive:
            await archive.board_id(KEY, 1)
            await archive.append([Entry(1, BEGIN_TS, Kind.REFUSED, None, None, b"no update")])

    asyncio.run(fill())
    path = tmp_path / "board.rec"
    code, _, complained = run("recording", "export", 1, "-o", path, "--anonymise", "-c", config)
    assert (code, path.exists()) == (1, False)
    assert "cannot be anonymised: no file was written." in complained


@pytest.mark.parametrize(
    ("action", "what"), [("export", "no file was written"), ("import", "nothing was imported")]
)
def test_control_c_leaves_nothing_behind(
    run: Run,
    source: Path,
    target: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    what: str,
) -> None:
    whole, path = tmp_path / "whole.rec", tmp_path / "board.rec"
    run("recording", "export", 1, "-o", whole, "-c", source)

    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    if action == "export":
        monkeypatch.setattr("bot.actions.portable.Summary.add", interrupt)
        code, _, complained = run("recording", "export", 1, "-o", path, "-c", source)
        assert sorted(tmp_path.glob("*.rec*")) == [whole]
    else:
        monkeypatch.setattr(Archive, "append", interrupt)
        code, _, complained = run("recording", "import", whole, "-c", target)
        assert "No boards yet" in run("boards", "-c", target)[1]
    assert (code, complained) == (1, f"boardkeeper: Ended before it was done: {what}.\n")


# -- what cannot be done -------------------------------------------------------------------------


def test_a_board_that_is_there_is_refused(run: Run, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "board.rec"
    run("recording", "export", 1, "-o", path, "-c", source)
    code, _, complained = run("recording", "import", path, "-c", source)
    assert code == 1
    assert "The archive has this board already as number 1" in complained


def test_a_file_that_is_there_stays(run: Run, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "board.rec"
    path.write_text("mine")
    code, _, complained = run("recording", "export", 1, "-o", path, "-c", source)
    assert (code, path.read_text()) == (1, "mine")
    assert "is there already: name another file, or say --overwrite." in complained
    assert run("recording", "export", 1, "-o", path, "--overwrite", "-c", source)[0] == 0


@pytest.mark.parametrize(
    ("times", "why"),
    [
        (("--from", "2030-01-01", "--to", "2029-01-01"), "--to is before --from"),
        (("--to", "2020-01-01"), "Nothing is recorded of this board in that time"),
        (("--from", "then"), "“then” is not a time"),
    ],
)
def test_times_that_make_no_sense(
    run: Run, source: Path, tmp_path: Path, times: tuple[str, ...], why: str
) -> None:
    path = tmp_path / "board.rec"
    code, _, complained = run("recording", "export", 1, "-o", path, "-c", source, *times)
    assert code == 1
    assert why in complained
    assert not path.exists()


def test_a_damaged_file_leaves_nothing_behind(
    run: Run, source: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.actions.portable.BATCH", 5)
    path = tmp_path / "board.rec"
    run("recording", "export", 1, "-o", path, "-c", source)
    whole = path.read_bytes()
    lines = ZstdDecompressor().stream_reader(whole).read()
    path.write_bytes(ZstdCompressor().compress(lines[:-10]))
    code, _, complained = run("recording", "import", path, "-c", target)
    assert code == 1
    assert re.search(rf"{path}, line \d+: the file ends here.*export it again\.", complained)
    assert "No boards yet" in run("boards", "-c", target)[1]

    async def numbers() -> tuple[int, int]:
        async with Archive(target.with_suffix(""), read_only=True) as archive:
            found = await archive.statistics()
            rows = await archive._file.read("SELECT COUNT(*) FROM entries")
            return found.boards, rows[0][0]

    assert asyncio.run(numbers()) == (0, 0)
    path.write_bytes(whole)
    assert run("recording", "import", path, "-c", target)[0] == 0


def test_what_is_no_recording_makes_no_archive(run: Run, target: Path, tmp_path: Path) -> None:
    path = tmp_path / "board.rec"
    path.write_text("hello")
    code, _, complained = run("recording", "import", path, "-c", target)
    assert code == 1
    assert f"{path}, line 1: it cannot be unpacked, or is not compressed by zstd." in complained
    assert not target.with_suffix("").exists()
