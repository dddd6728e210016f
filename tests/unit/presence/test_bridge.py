"""What is passed between people of the two profiles."""

from __future__ import annotations

import asyncio

import pytest

from bot.errors import Transient, UsageError
from bot.presence.bridge import MAX_QUEUED, Bridge, Side, device_of
from bot.rtc.membership import LEGACY, STICKY
from bot.services import Arrival
from bot.whiteboard.message import CursorMove, FocusOn, Message, Present, Update
from tests.fakes.rooms import ALICE, NOW, until

OLD, NEW = (LEGACY, "w1"), (STICKY, "w1")
WHO, OTHER = (ALICE, "AD"), ("@bob:here", "BD")


class Banks:
    """Both sides of a bridge."""

    def __init__(self) -> None:
        self.heard: list[tuple[Side, Message]] = []
        self.fails: Exception | None = None
        self.bridge = Bridge(self._send)

    async def _send(self, side: Side, message: Message) -> None:
        if self.fails is not None:
            raise self.fails
        self.heard.append((side, message))


async def test_each_sides_messages_reach_the_other() -> None:
    banks = Banks()
    banks.bridge.take(OLD, WHO, Update("d", b"1"))
    banks.bridge.take(OLD, WHO, FocusOn("s"))
    banks.bridge.take(NEW, OTHER, Update("d", b"2"))
    await banks.bridge.flush()
    assert banks.heard == [
        (NEW, Update("d", b"1")),
        (OLD, Update("d", b"2")),
        (NEW, FocusOn("s")),
    ]


async def test_a_signal_that_comes_back_is_not_passed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As between two bridges, until their memberships are known."""
    monkeypatch.setattr("bot.presence.bridge.ECHO", 600.0)  # this machine may be busy
    banks = Banks()
    banks.bridge.take(OLD, WHO, FocusOn("s"))
    await banks.bridge.flush()
    banks.bridge.take(NEW, OTHER, FocusOn("s"))
    banks.bridge.take(NEW, OTHER, CursorMove("s", 1, 2))
    banks.bridge.take(OLD, WHO, FocusOn("s"))  # once more from where it came first
    await banks.bridge.flush()
    assert banks.heard == [
        (NEW, FocusOn("s")),
        (OLD, CursorMove("s", 1, 2)),
        (NEW, FocusOn("s")),
    ]
    monkeypatch.setattr("bot.presence.bridge.ECHO", 0.0)
    banks.bridge.take(NEW, OTHER, FocusOn("s"))
    await banks.bridge.flush()
    assert banks.heard[-1] == (OLD, FocusOn("s"))


async def test_it_runs_until_cancelled() -> None:
    banks = Banks()
    running = asyncio.create_task(banks.bridge.run())
    banks.bridge.take(OLD, None, Update("d", b"1"))
    await until(lambda: banks.heard)
    banks.bridge.take(NEW, WHO, CursorMove("s", 1, 2))
    await until(lambda: len(banks.heard) == 2)
    running.cancel()
    await asyncio.wait([running])


async def test_of_a_persons_signals_only_the_latest_of_a_kind_is_passed() -> None:
    banks = Banks()
    for x in range(5):
        banks.bridge.take(OLD, WHO, CursorMove("s", x, 0))
        banks.bridge.take(OLD, WHO, FocusOn(f"s{x}"))
    banks.bridge.take(OLD, OTHER, CursorMove("s", 9, 9))
    await banks.bridge.flush()
    assert banks.heard == [
        (NEW, CursorMove("s", 4, 0)),
        (NEW, FocusOn("s4")),
        (NEW, CursorMove("s", 9, 9)),
    ]


async def test_of_peoples_signals_the_last_stays_the_last() -> None:
    banks = Banks()
    for who, slide in ((WHO, "1"), (OTHER, "2"), (WHO, "3")):
        banks.bridge.take(OLD, who, FocusOn(slide))
    await banks.bridge.flush()
    assert banks.heard == [(NEW, FocusOn("2")), (NEW, FocusOn("3"))]


async def test_what_nobody_is_known_to_have_said_is_passed_only_if_it_changes_the_board() -> None:
    banks = Banks()
    for message in (FocusOn("s"), CursorMove("s", 1, 2), Update("d", b"1")):
        banks.bridge.take(OLD, None, message)
    await banks.bridge.flush()
    assert banks.heard == [(NEW, Update("d", b"1"))]
    assert banks.bridge.shown(NEW) is None


async def test_who_comes_later_is_told_what_is_presented_on_the_other_side() -> None:
    bridge = Banks().bridge
    bridge.note(OLD, WHO, Present("slide", "s1"))
    bridge.note(OLD, WHO, Present("slide", "s2", edit=True))
    assert bridge.shown(NEW) == Present("slide", "s2", edit=True)
    assert bridge.shown(OLD) is None
    bridge.note(OLD, OTHER, Present("slide", None))  # not his to end
    assert bridge.shown(NEW) is not None
    for _ in range(2):
        bridge.note(OLD, WHO, Present("slide", None))
        assert bridge.shown(NEW) is None


async def test_a_presentation_ends_when_its_presenter_has_gone() -> None:
    banks = Banks()
    banks.bridge.note(OLD, WHO, Present("frame", "f"))
    banks.bridge.look("w1", {LEGACY: {WHO}, STICKY: {OTHER}})
    banks.bridge.look("w2", {LEGACY: set(), STICKY: set()})
    assert banks.bridge.shown(NEW) is not None
    banks.bridge.look("w1", {LEGACY: set(), STICKY: {OTHER}})
    await banks.bridge.flush()
    assert banks.heard == [(NEW, Present("frame", None))]


async def test_what_is_presented_across_ends_with_the_bridge() -> None:
    banks = Banks()
    banks.bridge.note(NEW, OTHER, Present("slide", "s"))
    banks.bridge.forget("w2")
    banks.bridge.forget("w1")
    await banks.bridge.flush()
    assert banks.heard == [(OLD, Present("slide", None))]


@pytest.mark.parametrize("error", [Transient("gone"), UsageError("too large")])
async def test_what_cannot_be_sent_holds_nothing_up(error: Exception) -> None:
    banks = Banks()
    banks.fails = error
    banks.bridge.take(OLD, WHO, FocusOn("1"))
    await banks.bridge.flush()
    banks.fails = None
    banks.bridge.take(OLD, WHO, FocusOn("2"))
    await banks.bridge.flush()
    assert banks.heard == [(NEW, FocusOn("2"))]


async def test_a_flood_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.presence.bridge.ECHO", 600.0)
    banks = Banks()
    for number in range(MAX_QUEUED + 5):
        banks.bridge.take(OLD, WHO, Update("d", b"u"))
        banks.bridge.take(OLD, (ALICE, f"D{number}"), FocusOn(f"s{number}"))
    await banks.bridge.flush()
    assert len([one for _, one in banks.heard if isinstance(one, Update)]) == MAX_QUEUED
    assert len(banks.bridge._passed) == MAX_QUEUED


def test_a_device_is_known_by_both_its_names() -> None:
    message = FocusOn("s")
    assert device_of(Arrival(message, ALICE, "AD", NOW, b"")) == (ALICE, "AD")
    assert device_of(Arrival(message, None, None, NOW, b"")) is None
