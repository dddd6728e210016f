"""Handlers in threads and processes of their own: as any other, and what they do harms nobody."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from bot.config import HandlerEntry
from bot.errors import UsageError
from bot.handlers import calling, durable
from bot.handlers.base import (
    Context,
    DocumentUpdate,
    Handler,
    Slide,
    TryLater,
)
from bot.handlers.calling import Elsewhere
from bot.handlers.isolated import messages, outside, process, proxy
from bot.handlers.isolated.messages import packed
from bot.handlers.isolated.outside import Interrupted
from bot.handlers.lanes import Lanes
from bot.handlers.load import build, problems_of
from bot.handling import Handling
from bot.stall import StallDetector
from tests.unit.handlers.delivering import running
from tests.unit.handlers.isolating import (
    HERE,
    OTHER,
    FakeContext,
    Told,
    lives,
    made,
    told,
    until,
)

BOTH = pytest.mark.parametrize("isolation", ["thread", "process"])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(durable, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(outside, "CANCEL_WITHIN", 0.3)


@BOTH
async def test_it_is_told_and_stopped_like_any_other(tmp_path: Path, isolation: str) -> None:
    async with told(isolation, tmp_path, collect=2.5) as here:
        assert here.handler.wants() == {DocumentUpdate}
        assert here.handler.collect == 2.5
        for number in range(3):
            await here.tell(f"x {number}")
        [pid] = here.starts()
        assert (pid == os.getpid()) == (isolation == "thread")
    assert here.notes[1:] == ["got w x 0", "got w x 1", "got w x 2", "stopped"]
    await until(lambda: isolation == "thread" or not lives(pid))


@BOTH
async def test_it_has_its_context(tmp_path: Path, isolation: str) -> None:
    async with told(isolation, tmp_path) as here:
        await here.tell("ask")
        assert here.notes[2:] == [
            "find True None",
            "now 17 power 50",
            "kept text",
            "refused it is empty",
            "http False",
            f"board 0 {{'slides': []}} {(Slide('s'),)}",
            "yjs b'sv' b'lacks sv'",
            "changed True False",
        ]
        assert here.context.posts == ["hello"]
        assert here.context.metrics.counted == [("strokes", 2)]
        assert here.context.view.changes == [b"u", ((), None, True)]
        await here.tell("recorded")
        assert here.notes[-1] == "changed ('recorded',) {'at': 1}"
        await here.tell("sessions 7")
        assert here.notes[-1] == "there ('@a:b',) 7 net.nordeck.whiteboard#w"
        await here.tell("flood 130")
        assert here.notes[-1] == "refused 30"
        with pytest.raises(Elsewhere) as caught:  # no such board: its own mistake
            await here.tell("ask", OTHER)
        assert calling.said(caught.value).startswith("AssertionError at ")


@BOTH
async def test_what_it_raises_is_said_without_its_text(
    tmp_path: Path, isolation: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with told(isolation, tmp_path) as here:
        with pytest.raises(Elsewhere) as caught:
            await here.tell("raise")
        said = calling.said(caught.value)
        assert said.startswith("ValueError at ")
        assert "elsewhere.py:" in said
        assert "on the board" not in repr(caught.value) + str(caught.value)
        with pytest.raises(Elsewhere) as exited:
            await here.tell("exit")
        assert exited.value.kind == "SystemExit"
        with pytest.raises(TryLater, match="the receiver is down") as later:
            await here.tell("later")
        assert later.value.after == 12.0
        await here.tell("spawn")
        await until(lambda: "a handler's task failed" in caplog.text)
        await here.tell("log alice")
        await until(lambda: "hello" in caplog.text)
        assert "on the board" not in caplog.text
        [line] = [record for record in caplog.records if record.getMessage() == "hello"]
        assert (line.name, line.levelno) == ("boardkeeper.talking", logging.WARNING)
        assert line.__dict__["who"] == "alice"
        assert here.handler.restarts == 0


@BOTH
async def test_a_call_that_takes_too_long_is_cancelled_and_the_rest_goes_on(
    tmp_path: Path, isolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "CALL_DEADLINE", 0.2)
    monkeypatch.setattr(outside, "CANCEL_WITHIN", 30.0)
    async with told(isolation, tmp_path) as here:
        with pytest.raises(TimeoutError):
            await here.tell("wait")
        monkeypatch.setattr(calling, "CALL_DEADLINE", 60.0)
        await here.tell("x")
        assert here.handler.restarts == 0
        call = asyncio.create_task(here.tell("wait"))
        await until(lambda: here.notes[-1] == "got w wait")
        call.cancel()  # the bot ends
        with pytest.raises(asyncio.CancelledError):
            await call
        await here.tell("x")


async def test_a_process_that_computes_for_ever_is_replaced_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with told("process", tmp_path) as here:
        turns = 0

        async def turning() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.01)

        loop = asyncio.create_task(turning())
        monkeypatch.setattr(calling, "CALL_DEADLINE", 0.5)
        burning = asyncio.create_task(here.tell("burn"))
        await until(lambda: "got w burn" in here.notes)
        waiting = asyncio.create_task(here.tell("x", OTHER))  # not even seen by it
        before = turns
        with pytest.raises(Elsewhere, match="did not end in time"):
            await burning
        assert turns > before
        loop.cancel()
        monkeypatch.setattr(calling, "CALL_DEADLINE", 60.0)
        await waiting  # given to the new one
        first, second = here.starts()
        assert not lives(first)
        assert lives(second)
        assert here.handler.restarts == 1
    await until(lambda: not lives(second))


async def test_a_process_that_dies_is_replaced_and_the_one_event_is_blamed(tmp_path: Path) -> None:
    async with told("process", tmp_path) as here:
        with pytest.raises(Elsewhere) as caught:
            await here.tell("die")
        assert calling.said(caught.value) == "Ended"
        await here.tell("x")
        # Two at a time: nobody knows which of them it was, so they are given again one by one.
        here.handler._careful_until = 0.0
        other = asyncio.create_task(here.tell("wait", OTHER))
        await until(lambda: "got w2 wait" in here.notes)
        for call in (here.tell("die"), other):
            with pytest.raises(Interrupted):
                await call
        with pytest.raises(Elsewhere):
            await here.tell("die")
        one = asyncio.create_task(here.tell("block 0.2"))
        await until(lambda: "got w block 0.2" in here.notes)
        await here.tell("x", OTHER)
        assert one.done()
        await one
        assert here.handler.restarts == 3


async def test_one_that_dies_is_started_again_as_soon_as_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    handler = made("process", tmp_path / "notes", "Moody")
    await handler.start(cast("Context", FakeContext()))
    here = Told(handler, FakeContext(), tmp_path / "notes")
    with pytest.raises(Elsewhere):
        await here.tell("die")
    await here.tell("x")  # waits for it
    assert len(here.starts()) == 3
    assert handler.restarts == 2
    assert "a handler could not be started again" in caplog.text
    await handler.stop()


async def test_one_that_is_being_started_again_holds_up_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "FIRST_PAUSE", 1000.0)
    monkeypatch.setattr(proxy, "LONGEST_PAUSE", 1000.0)
    monkeypatch.setattr(proxy, "READY_WITHIN", 0.1)
    async with told("process", tmp_path) as here:
        with pytest.raises(Elsewhere):
            await here.tell("die")
        with pytest.raises(Interrupted, match="could not be started again yet"):
            await here.tell("x")


async def test_what_kills_it_becomes_a_dead_letter_and_the_rest_arrives(tmp_path: Path) -> None:
    handler = made("process", tmp_path / "notes", "Durable")
    await handler.start(cast("Context", FakeContext()))
    async with running(tmp_path, talking=handler) as here:
        await here.drawn(b"x 1", b"die", b"x 2")
        notes = tmp_path / "notes"
        await until(lambda: "got w x 2" in notes.read_text())
        assert notes.read_text().count("got w die") == 5
        assert notes.read_text().count("got w x 1") == 1
        assert await here.letters() == [2]
    await handler.stop()


async def test_a_thread_that_hangs_is_abandoned_and_after_some_the_handler_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(proxy, "MAX_ABANDONED", 2)
    async with told("thread", tmp_path) as here:
        for number in range(2):
            monkeypatch.setattr(calling, "CALL_DEADLINE", 60.0)
            await here.tell("x")
            assert here.handler.restarts == number
            monkeypatch.setattr(calling, "CALL_DEADLINE", 0.5)
            with pytest.raises(Elsewhere, match="did not end in time"):
                await here.tell("block 3600")
        with pytest.raises(Interrupted, match="2 of its threads hang"):
            await here.tell("x")
        async with Lanes({"talking": here.handler}) as lanes:
            status = lanes.status()["talking"]
        assert (status["isolation"], status["restarts"]) == ("thread", 1)
        assert status["stopped"] == "2 of its threads hang: it is called no more"
        assert "too many threads of a handler hang" in caplog.text


@BOTH
async def test_one_that_cannot_start_is_named_with_the_reason(
    tmp_path: Path, isolation: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = FakeContext()
    broken = made(isolation, tmp_path / "notes", "Broken")
    handlers: dict[str, Handler] = {"broken": broken}
    with pytest.raises(UsageError, match=r"“broken” could not start: ValueError at .*: no such"):
        await Handling(handlers, lambda _: cast("Any", context)).start()
    assert context.ended
    good = made(isolation, tmp_path / "notes")
    handling = Handling({**handlers, "good": good}, lambda _: cast("Any", context), {"broken"})
    assert list(await handling.start()) == ["good"]
    assert "an optional handler is left out" in caplog.text
    await handling.stop()


@BOTH
async def test_one_that_hangs_in_its_start_too(
    tmp_path: Path, isolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "START_WITHIN", 0.5)
    stuck = made(isolation, tmp_path / "notes", "Stuck")
    with pytest.raises(Elsewhere, match=r"did not start within 0\.5 s"):
        await stuck.start(cast("Context", FakeContext()))
    await stuck.stop()


class Local:
    """No place where a process could find it."""

    def __reduce__(self) -> Any:
        raise TypeError


async def test_what_a_process_cannot_have_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = HandlerEntry(f"{HERE}:Talking", "talking", isolation="process", values=Local())
    with pytest.raises(UsageError, match="settings cannot be sent to a process: TypeError"):
        await build([entry])["talking"].start(cast("Context", FakeContext()))
    with pytest.raises(UsageError, match="a Local cannot be sent to another process"):
        packed(Local())
    async with told("process", tmp_path) as here:
        with pytest.raises(Elsewhere) as caught:  # the question, not the process
            await here.tell("large")
        assert caught.value.kind == "UsageError"
        monkeypatch.setattr(messages, "MAX_MESSAGE", 1000)
        with pytest.raises(UsageError, match="a Call is too large for another process"):
            await here.tell("x" * 2000)
        await here.tell("x")
        assert here.handler.restarts == 0
    record = HandlerEntry("record", "record", isolation="thread")
    assert [problem.key for problem in problems_of(record)] == ["isolation"]


async def test_the_stall_detector_does_not_look_at_them(tmp_path: Path) -> None:
    handler = made("thread", tmp_path / "notes")
    assert not StallDetector({"talking": handler})._files


BOT = """
import asyncio, sys
from pathlib import Path
from typing import Any, cast
from tests.unit.handlers.isolating import FakeContext, event, made

async def main() -> None:
    handler = made("process", Path(sys.argv[1]))
    await handler.start(cast("Any", FakeContext()))
    await handler.on_document_update(event(sys.argv[2]))

asyncio.run(main())
"""


@pytest.mark.parametrize("doing", ["wait", "burn"])
async def test_it_ends_with_the_bot_however_that_ends(tmp_path: Path, doing: str) -> None:
    notes = tmp_path / "notes"
    bot = subprocess.Popen([sys.executable, "-c", BOT, str(notes), doing])
    await until(lambda: notes.exists() and f"got w {doing}" in notes.read_text())
    pid = int(notes.read_text().split()[1])
    assert lives(pid)
    bot.send_signal(signal.SIGKILL)
    bot.wait()
    await until(lambda: not lives(pid))


def test_its_process_is_given_no_secrets_of_the_bot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOARDKEEPER_HOMESERVER_PASSWORD", "secret")
    monkeypatch.setenv("ITS_OWN", "value")
    environment = process._environment()
    assert environment["ITS_OWN"] == "value"
    assert not [key for key in environment if key.startswith("BOARDKEEPER_")]
