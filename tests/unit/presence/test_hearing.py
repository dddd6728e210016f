from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import pytest

from bot import metrics
from bot.presence import hearing, nameless
from bot.presence.hearing import Hearing
from bot.rtc.membership import LEGACY
from bot.services import Arrival, Origin
from bot.whiteboard.message import FocusOn, Update, encode
from tests.fakes.rooms import ALICE, NOW


@dataclass
class Heard:
    identity: str | None
    data: bytes
    at: float


def packet(slide: str, identity: str | None = "alice", age: float = 0.0) -> Heard:
    return Heard(identity, encode(FocusOn(slide)), monotonic() - age)


class Ear:
    def __init__(self, *, strangers: bool = True) -> None:
        self.names = {"alice": (ALICE, "AD")}
        self.arrivals: list[Arrival] = []
        self.hearing = Hearing(
            lambda: dict(self.names), self.take, lambda: NOW, Origin(LEGACY), strangers=strangers
        )

    def take(self, arrivals: Sequence[Arrival]) -> None:
        self.arrivals += arrivals

    def heard(self) -> list[tuple[str, str | None]]:
        return [
            (one.message.slide_id, one.sender)
            for one in self.arrivals
            if isinstance(one.message, FocusOn)
        ]


def test_where_only_members_speak_strangers_are_not_heard() -> None:
    ear = Ear(strangers=False)
    before = metrics.PACKETS.labels("stranger")._value.get()
    early = packet("early", "bob", age=hearing.STRANGE_FOR - 10)  # from afar it may take long
    ear.hearing.take([packet("nameless", None), early, packet("known")])
    ear.hearing.settle()
    assert ear.heard() == [("known", ALICE)]
    ear.names["bob"] = ("@bob:here", "BD")
    ear.hearing.memberships_changed()
    ear.hearing.settle()
    assert ear.heard()[1:] == [("early", "@bob:here")]
    ear.hearing.take([packet("never", "mallory", age=hearing.STRANGE_FOR + 1)])
    ear.hearing.settle()
    assert len(ear.heard()) == 2
    assert metrics.PACKETS.labels("stranger")._value.get() == before + 2


def drawn_nameless(data: bytes, age: float = 0.0) -> Heard:
    return Heard(None, encode(Update("$d", data)), monotonic() - age)


def test_what_members_draw_before_they_are_announced_is_heard_once_they_are() -> None:
    ear = Ear(strangers=False)
    ear.hearing.take([drawn_nameless(b"1"), packet("known")])
    due = ear.hearing.due
    assert due is not None
    assert 3 < due - monotonic() <= nameless.ANNOUNCED_WITHIN
    ear.hearing.take([drawn_nameless(b"2", age=nameless.ANNOUNCED_WITHIN)])
    ear.hearing.came("alice")
    assert [one.sender for one in ear.arrivals] == [ALICE]


@pytest.mark.parametrize(("came", "heard"), [(["alice"], 1), ([], 0), (["alice", "mallory"], 0)])
def test_a_nameless_change_is_a_members_if_only_members_came(
    came: list[str], heard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Ear(strangers=False)
    ear.hearing.take([drawn_nameless(b"1")])
    for who in came:
        ear.hearing.came(who)
    now = monotonic() + nameless.ANNOUNCED_WITHIN
    monkeypatch.setattr(hearing, "monotonic", lambda: now)
    ear.hearing.settle()
    assert [(one.message, one.sender) for one in ear.arrivals] == [
        (Update("$d", b"1"), None)
    ] * heard
    assert ear.hearing.due is None


def test_who_was_there_long_before_has_a_name_and_did_not_send_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ear, now = Ear(strangers=False), monotonic()
    monkeypatch.setattr(hearing, "monotonic", lambda: now)
    ear.hearing.came("mallory")
    now += nameless.BEFORE + 1
    ear.hearing.take([Heard(None, encode(Update("$d", b"1")), now)])
    ear.hearing.came("alice")
    now += nameless.ANNOUNCED_WITHIN
    ear.hearing.settle()
    assert len(ear.arrivals) == 1


def test_of_nameless_changes_only_so_many_are_kept() -> None:
    ear = Ear(strangers=False)
    before = metrics.PACKETS.labels("stranger")._value.get()
    ear.hearing.take([drawn_nameless(b"1") for _ in range(nameless.MAX_KEPT + 3)])
    assert metrics.PACKETS.labels("stranger")._value.get() == before + 3


def test_what_somebody_sent_who_has_just_gone_is_still_his(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ear = Ear(strangers=False)
    ear.hearing.take([packet("first")])
    del ear.names["alice"]
    ear.hearing.memberships_changed()
    ear.hearing.memberships_changed()
    ear.hearing.take([packet("last")])
    assert ear.heard() == [("first", ALICE), ("last", ALICE)]
    now = monotonic() + hearing.UNKNOWN_FOR
    monkeypatch.setattr(hearing, "monotonic", lambda: now)
    ear.hearing.take([packet("late")])
    ear.hearing.memberships_changed()
    ear.hearing.settle()
    assert len(ear.heard()) == 2


def test_packets_get_the_name_and_the_time_they_came() -> None:
    ear = Ear()
    ear.hearing.take([packet("a", age=1.0)])
    [arrival] = ear.arrivals
    assert (arrival.sender, arrival.device) == (ALICE, "AD")
    assert -1100 < arrival.ts - NOW <= -1000
    assert ear.hearing.due is None


def test_an_unknown_sender_waits_for_his_membership() -> None:
    ear = Ear()
    ear.hearing.take([packet("a", "bob")])
    assert ear.hearing.due is not None
    ear.hearing.settle()
    assert ear.heard() == []
    ear.names["bob"] = ("@bob:here", "BD")
    ear.hearing.memberships_changed()
    ear.hearing.take([packet("b", "bob")])
    assert ear.heard() == [("a", "@bob:here"), ("b", "@bob:here")]


@pytest.mark.scenario("J10")
def test_names_come_from_memberships_never_out_of_an_identity() -> None:
    ear = Ear()
    ear.names["@u:hs:8448:DEV"] = ("@u:hs:8448", "DEV")  # a server name with a port
    strange = ["something", ":", "@u:DEV", "@u:hs:8448", "alice:"]
    late = hearing.UNKNOWN_FOR
    ear.hearing.take([packet("a", "@u:hs:8448:DEV")])
    ear.hearing.take([packet("b", identity, age=late) for identity in strange])
    ear.hearing.settle()
    assert ear.heard() == [("a", "@u:hs:8448"), *[("b", None)] * len(strange)]


def test_who_never_gets_a_name_is_heard_without_one() -> None:
    ear = Ear()
    ear.hearing.take([packet("a", "bob", age=hearing.UNKNOWN_FOR), packet("b", None)])
    ear.hearing.settle()
    assert ear.heard() == [("b", None), ("a", None)]


@pytest.mark.parametrize(("bound", "most"), [("MAX_UNKNOWN", 2), ("MAX_UNKNOWN_BYTES", 200)])
def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch, bound: str, most: int) -> None:
    monkeypatch.setattr(hearing, bound, most)
    ear = Ear()
    ear.hearing.take([packet(slide, "bob") for slide in "abcdef"])
    heard = [slide for slide, _ in ear.heard()]
    assert heard
    assert heard == list("abcdef")[: len(heard)]
    assert len(heard) < 6


def test_floods_and_nonsense_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(outcome: str) -> float:
        labels = {"reason": outcome}
        return metrics.REGISTRY.get_sample_value("boardkeeper_packets_dropped_total", labels) or 0.0

    monkeypatch.setattr(hearing, "MAX_IN_WINDOW", 2)
    before = count("too_many"), count("invalid")
    ear = Ear()
    ear.hearing.take([Heard("alice", encode(FocusOn(slide)), 100.0) for slide in "abc"])
    ear.hearing.take([Heard("alice", encode(FocusOn("d")), 104.0), Heard("alice", b"{", 104.0)])
    assert [slide for slide, _ in ear.heard()] == ["a", "b", "d"]
    assert (count("too_many"), count("invalid")) == (before[0] + 1, before[1] + 1)
