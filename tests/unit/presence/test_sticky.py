"""Our own taking part in the sticky profile: member ids, connections, the end of a stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import pytest

from bot.errors import Transient
from bot.presence.hearing import Packet
from bot.presence.memory import LEAVES
from bot.presence.presence import Presence
from bot.presence.setting import Setting
from bot.roomstate import RoomState
from bot.rtc.membership import LEGACY, STICKY, Focus
from bot.rtc.profile import AUTO
from bot.rtc.slots import SLOT_TYPE
from bot.rtc.sticky import Seat, pseudonym
from bot.rtc.timing import Timing
from bot.services import Arrival
from bot.whiteboard.message import CursorMove, FocusOn, Message, Present, Update, decode, encode
from tests.fakes.rooms import (
    ALICE,
    BOT,
    DEVICE,
    KEY,
    NOW,
    ROOM,
    Server,
    board_event,
    member,
    off_board,
    on_board,
    on_sticky,
    until,
)

HERE, THERE = "https://sfu.here", "https://sfu.there"
BOB = "@bob:there"


@dataclass
class Heard:
    identity: str | None
    data: bytes
    at: float


class Wire:
    """A connection that stands at once, or when told to."""

    def __init__(
        self,
        where: str,
        seat: Seat | None,
        changed: Callable[[], None],
        participant: Callable[[str, bool], None],
        *,
        stands: bool,
    ) -> None:
        self.where, self.seat, self.participant = where, seat, participant
        self.connected = self.refused = self.closed = False
        self.sent: list[tuple[Message, bool, tuple[str, ...]]] = []
        self._stands = stands
        self._inbox: asyncio.Queue[Packet] = asyncio.Queue()
        self._changed = changed

    async def run(self) -> None:
        if self._stands:
            self.stands()

    def stands(self, *, now: bool = True) -> None:
        self.connected = now
        self._changed()

    def hears(self, identity: str, message: Message) -> None:
        self._inbox.put_nowait(Heard(identity, encode(message), monotonic()))

    async def packets(self) -> Sequence[Packet]:
        return [await self._inbox.get()]

    async def publish(self, data: bytes, *, reliable: bool, to: Sequence[str] = ()) -> None:
        self.sent.append((decode(data), reliable, tuple(to)))

    async def close(self) -> None:
        self.connected, self.closed = False, True


class Places:
    """So many places."""

    def __init__(self) -> None:
        self.free = 10
        self.taken: set[str] = set()

    def claim(self, room_id: str, whiteboard_id: str) -> bool:
        if whiteboard_id not in self.taken and len(self.taken) < self.free:
            self.taken.add(whiteboard_id)
        return whiteboard_id in self.taken

    def release(self, room_id: str, whiteboard_id: str) -> None:
        self.taken.discard(whiteboard_id)


class World:
    """A presence in a room where sticky events are possible."""

    def __init__(self, **values: Any) -> None:
        self.room_id = ROOM
        self.state = RoomState(ROOM, BOT)
        for event in (member(BOT), member(ALICE), member(BOB), board_event()):
            self.state.apply(event)
        self.state.power_levels = {"users": {BOT: 100}}
        self.server = Server()
        self.wires: list[Wire] = []
        self.foci = [Focus(HERE)]
        self.stand = True
        self.arrivals: list[Arrival] = []
        self.told: list[str] = []
        self.lacks: Message | None = None
        self.places = Places()
        given: dict[str, Any] = {"sfu_grace": 10.0, "timing": Timing, "sticky_timing": Timing}
        given["sticky"] = lambda: True
        self.presence = Presence(
            self,
            Setting(
                homeserver=self.server,
                own_user=BOT,
                own_device=DEVICE,
                connect=self._connect,
                delayed=lambda: True,
                own_foci=lambda: self.foci,
                allowed=lambda focus: "evil" not in focus.service_url,
                configured_foci=[],
                now_ts=lambda: NOW,
                admission=self.places,
                **(given | values),
            ),
        )

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        self.arrivals += arrivals
        for arrival in arrivals:  # as a board would that takes all
            self.presence.pass_on("w1", arrival)

    def lacking(self, whiteboard_id: str) -> Message | None:
        return self.lacks

    def forbidden(self, profile: str) -> None:
        self.told.append(f"forbidden {profile}")

    def full(self) -> None:
        self.told.append("full")

    def unheard(self) -> None:
        self.told.append("unheard")

    def bridged(self) -> None:
        self.told.append("bridged")

    def _connect(
        self,
        _room_id: str,
        where: str,
        changed: Callable[[], None],
        participant: Callable[[str, bool], None],
        seat: Seat | None = None,
    ) -> Wire:
        self.wires.append(Wire(where, seat, changed, participant, stands=self.stand))
        return self.wires[-1]

    def says(self, *events: dict[str, Any]) -> None:
        """Have sync bring events."""
        for event in events:
            if "state_key" in event:
                self.state.apply(event)
            else:
                self.state.take_sticky(event, NOW)
                if event["sender"] == BOT:
                    self.presence.own_sticky(event)
        self.presence.room_changed()

    def shows(self, number: int) -> None:
        """Have sync bring what we sent."""
        content = self.server.stickies[number]
        event = on_sticky(BOT, DEVICE, ts=NOW + number)
        self.says({**event, "content": content, "event_id": f"$sticky{number + 1}"})

    def seats(self) -> list[Seat]:
        return [one.seat for one in self.wires if one.seat is not None]

    def memberships(self) -> list[tuple[str, str]]:
        return [(one["member"]["membership"], one["member"]["id"]) for one in self.server.stickies]


@asynccontextmanager
async def world(*events: dict[str, Any], **values: Any) -> AsyncIterator[World]:
    here = World(**values)
    here.says(*events)
    here.presence.want(frozenset({"w1"}))
    task = asyncio.create_task(here.presence.run())
    try:
        yield here
    finally:
        await here.presence.close()
        await asyncio.wait_for(task, 15)
    assert all(wire.closed for wire in here.wires)
    assert not here.places.taken


def name(user: str = ALICE, device: str = "AD") -> str:
    return pseudonym(user, device, f"{user}{device}")


async def turns() -> None:
    """Let everybody do what is to be done at once."""
    for _ in range(20):
        await asyncio.sleep(0)


async def joined(here: World) -> Wire:
    await until(lambda: here.server.stickies and not here.server.calls["send_state"])
    return here.wires[0]


async def test_it_is_announced_with_the_id_it_is_connected_by() -> None:
    async with world(on_sticky()) as here:
        wire = await joined(here)
        content = here.server.stickies[0]
        assert wire.seat == Seat(content["slot_id"], content["member"]["id"])
        assert content["transports"]["published"] == [
            {"type": "livekit", "livekit_service_url": HERE}
        ]
        assert content["slot_id"] == "net.nordeck.whiteboard#w1"
    assert here.memberships()[-1] == ("leave", content["member"]["id"])
    assert here.server.calls["send_state"] == 0


async def test_it_spells_livekit_as_the_others_do_also_when_they_come_later(
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr("bot.presence.respelling.SOON", 0.05)

    def spelled() -> list[str]:
        contents = [one for one in here.server.stickies if "transports" in one]
        return [one["transports"]["published"][0]["type"] for one in contents]

    def newer(event: dict[str, Any]) -> dict[str, Any]:
        event["content"]["transports"]["published"][0]["type"] = "m.livekit"
        return event

    async with world(on_sticky(), spelling=lambda: "m.livekit") as here:
        await joined(here)
        assert spelled() == ["livekit"]
        here.says(newer(on_sticky(BOB, "BD")))
        await asyncio.sleep(0.2)
        assert spelled() == ["livekit"]  # one and one
        here.says(on_sticky(joined=False, ts=NOW))
        await until(lambda: spelled() == ["livekit", "m.livekit"])
        here.says(on_sticky(BOB, "BD", joined=False, ts=NOW))
        await asyncio.sleep(0.2)
        assert len(spelled()) == 2  # nobody is there to read it
        assert len({member_id for _, member_id in here.memberships()}) == 1


async def test_it_is_announced_only_while_others_can_hear_it() -> None:
    async with world(on_sticky(), sfu_grace=0.05) as here:
        await joined(here)
        here.stand = False
        here.wires[0].stands(now=False)
        await until(lambda: here.memberships()[-1][0] == "leave")
        await until(lambda: len(here.wires) == 2)
        await asyncio.sleep(0.1)
        assert len(here.server.stickies) == 2
        here.wires[1].stands()
        await until(lambda: len(here.server.stickies) == 3)
        assert len({seat.member_id for seat in here.seats()}) == 2
        assert here.memberships()[-1] == ("join", here.seats()[1].member_id)


@pytest.mark.scenario("C04", "C11")
async def test_c04_c11_sticky_who_is_wanted_out_stays_away_for_a_while(monkeypatch: Any) -> None:
    monkeypatch.setattr("bot.presence.sticky.AWAY_FOR", 0.5)
    async with world(on_sticky(), sfu_grace=0.05) as here:
        first = await joined(here)
        removed = monotonic()
        first.refused = True
        first.stands(now=False)
        await until(lambda: here.memberships()[-1][0] == "leave")
        await until(lambda: len(here.wires) == 2)
        assert monotonic() >= removed + 0.5
        await until(lambda: here.memberships()[-1] == ("join", here.seats()[1].member_id))


async def test_who_comes_and_goes_makes_nobody_forget_that_we_are_to_stay_away(
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr("bot.presence.holding.HOLD", 0.05)
    async with world(on_board(), on_sticky(BOB, "BD"), sfu_grace=0.05) as here:
        await until(lambda: here.seats() and here.server.stickies)
        first = next(one for one in here.wires if one.seat is not None)
        first.refused = True
        first.stands(now=False)
        await until(lambda: here.memberships()[-1][0] == "leave")
        here.says(on_sticky(BOB, "BD", joined=False, ts=NOW))
        await until(lambda: first.closed)
        await asyncio.sleep(0.2)
        here.says(on_sticky(BOB, "BD", member_id="again", ts=NOW + 1))
        await asyncio.sleep(0.2)
        assert len(here.seats()) == 1


async def test_a_slot_that_is_closed_and_opened_does_not_have_it_come_and_go_each_time() -> None:
    async with world(on_sticky(), slot("open")) as here:
        for number in range(LEAVES + 1):
            await until(lambda number=number: len(here.server.stickies) == 2 * number + 1)
            here.says(slot("closed"))
            await until(lambda number=number: len(here.server.stickies) == 2 * number + 2)
            here.says(slot("open"))
        await asyncio.sleep(0.2)
        assert len(here.server.stickies) == 2 * LEAVES + 2


async def test_it_listens_wherever_members_publish_and_speaks_at_home(monkeypatch: Any) -> None:
    there = on_sticky(BOB, "BD", url=THERE)
    async with world(on_sticky(), there, on_sticky(BOB, "B2", url="https://evil")) as here:
        await until(lambda: [one.where for one in here.wires] == [HERE, THERE])
        assert here.seats()[0] == here.seats()[1]
        home, away = here.wires
        away.hears(name(BOB, "BD"), FocusOn("s"))
        await until(lambda: here.arrivals)
        arrival = here.arrivals[0]
        assert (arrival.sender, arrival.device) == (BOB, "BD")
        assert arrival.origin is not None
        assert (arrival.origin.profile, arrival.origin.whiteboard_id) == (STICKY, "w1")
        await here.presence.publish(Update(KEY.document_id, b"u"))
        await here.presence.publish(Update("$another", b"u"))
        assert [one[0] for one in home.sent] == [Update(KEY.document_id, b"u")]
        assert away.sent == []
        monkeypatch.setattr("bot.presence.ears.LINGER", 0.0)
        here.says(on_sticky(BOB, "BD", joined=False, ts=NOW))
        await until(lambda: away.closed)
        assert not home.closed


async def test_who_is_on_another_board_is_neither_followed_nor_heard() -> None:
    others = on_sticky(BOB, "BD", "w2", url=THERE), on_sticky(BOB, "B2", "w2")
    async with world(on_sticky(), *others) as here:
        home = await joined(here)
        home.hears(name(BOB, "B2"), FocusOn("no"))
        home.hears(name(), FocusOn("yes"))
        await until(lambda: here.arrivals)
        assert [one.sender for one in here.arrivals] == [ALICE]
        assert [one.where for one in here.wires] == [HERE]


async def test_of_the_homeservers_foci_it_goes_where_it_may() -> None:
    async with world() as here:
        here.foci = [Focus("https://evil"), Focus(HERE)]
        here.says(on_sticky())
        assert (await joined(here)).where == HERE


async def test_a_change_reaches_those_who_can_be_reached() -> None:
    async with world(on_board(), on_sticky(BOB, "BD")) as here:
        await until(lambda: here.server.stickies and here.server.states)
        new, old = sorted(here.wires, key=lambda wire: wire.seat is None)

        async def broken(*_: Any, **__: Any) -> None:
            raise Transient("not connected")

        new.publish = broken  # type: ignore[method-assign]
        with pytest.raises(Transient):
            await here.presence.publish(Update(KEY.document_id, b"u"))
        assert [one[0] for one in old.sent] == [Update(KEY.document_id, b"u")]


async def test_who_runs_an_sfu_cannot_speak_for_those_who_publish_elsewhere(
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr("bot.presence.hearing.STRANGE_FOR", 0.05)
    async with world(on_sticky(), on_sticky(BOB, "BD", url=THERE)) as here:
        await until(lambda: len(here.wires) == 2)
        here.wires[1].hears(name(), FocusOn("not hers"))
        here.wires[1].hears("nobody in the room", FocusOn("nobody's"))
        await asyncio.sleep(0.2)
        here.wires[1].hears(name(BOB, "BD"), FocusOn("his"))
        await until(lambda: here.arrivals)
        assert [one.message for one in here.arrivals] == [FocusOn("his")]


async def test_what_was_sent_last_is_heard_of_who_has_left() -> None:
    async with world(on_sticky(), on_sticky(BOB, "BD", url=THERE)) as here:
        await until(lambda: len(here.wires) == 2)
        here.wires[1].hears(name(BOB, "BD"), FocusOn("first"))
        await until(lambda: here.arrivals)
        here.says(on_sticky(BOB, "BD", joined=False, ts=NOW))
        await turns()
        assert not here.wires[1].closed
        here.wires[1].hears(name(BOB, "BD"), FocusOn("last"))
        await until(lambda: len(here.arrivals) == 2)
        assert here.arrivals[1].sender == BOB


async def test_nobody_takes_the_places_of_others_by_naming_many_foci() -> None:
    greedy = [
        on_sticky(ALICE, f"D{number}", url=f"https://{number}.example", ts=NOW - 5000)
        for number in range(50)
    ]
    async with world(*greedy, on_sticky(BOB, "BD", url=THERE)) as here:
        await until(lambda: THERE in [one.where for one in here.wires])
        assert len(here.wires) == 4  # at home, two of hers, his


async def test_who_comes_and_goes_has_no_connection_opened_each_time(monkeypatch: Any) -> None:
    monkeypatch.setattr("bot.presence.ears.AT_ONCE", 2)
    monkeypatch.setattr("bot.presence.ears.EVERY", 60.0)
    monkeypatch.setattr("bot.presence.ears.LINGER", 0.0)
    async with world(on_sticky()) as here:
        await joined(here)
        for number in range(6):
            url = f"https://{number}.example"
            here.says(on_sticky(BOB, "BD", member_id=f"m{number}", url=url, ts=NOW + number))
            await until(lambda number=number: len(here.wires) >= min(number + 2, 3))
            await asyncio.sleep(0.02)  # and no other one
            gone = on_sticky(BOB, "BD", member_id=f"m{number}", joined=False, ts=NOW + number)
            here.says(gone)
            await asyncio.sleep(0.02)
        assert len(here.wires) == 3


async def test_a_membership_that_was_taken_out_is_followed_by_another_one() -> None:
    async with world(on_sticky()) as here:
        first = await joined(here)
        here.shows(0)
        spent = here.seats()[0].member_id
        here.stand = False
        here.says(on_sticky(BOT, DEVICE, member_id=spent, joined=False, ts=NOW + 5))
        await until(lambda: len(here.wires) == 2)
        await until(lambda: here.server.calls["cancel_delayed"])
        await turns()
        here.presence.room_changed()
        await turns()
        assert not first.closed  # nothing is left to do, but it listens until the next one stands
        first.hears(name(), FocusOn("s"))
        await until(lambda: here.arrivals)
        here.wires[1].stands()
        await until(lambda: first.closed)
        await until(lambda: here.memberships()[-1] == ("join", here.seats()[1].member_id))
        assert here.seats()[1].member_id != spent


async def test_who_is_taken_out_again_and_again_stays_away() -> None:
    async with world(on_sticky(), sticky_timing=lambda: Timing(fight_limit=2)) as here:
        for number in range(3):
            await until(lambda number=number: len(here.server.stickies) == number + 1)
            here.shows(number)
            spent = here.seats()[-1].member_id
            here.says(on_sticky(BOT, DEVICE, member_id=spent, joined=False, ts=NOW + 50 + number))
        await asyncio.sleep(0.2)
        assert len(here.seats()) == 3


async def test_another_focus_of_the_homeserver_is_another_stay() -> None:
    async with world(on_sticky()) as here:
        await joined(here)
        here.foci = [Focus("https://sfu.new"), Focus(HERE)]
        here.presence.room_changed()
        await asyncio.sleep(0.05)
        assert len(here.wires) == 1  # the old one is still offered
        here.foci = [Focus("https://sfu.new")]
        here.presence.room_changed()
        await until(lambda: len(here.wires) > 1)
        assert here.wires[1].where == "https://sfu.new"
        await until(lambda: here.memberships()[-1] == ("join", here.seats()[-1].member_id))
        here.foci = []
        here.presence.room_changed()
        await until(lambda: all(one.closed for one in here.wires))


async def test_a_newcomer_is_told_alone() -> None:
    async with world(on_sticky()) as here:
        wire = await joined(here)
        here.lacks = Update(KEY.document_id, b"lacking")
        wire.participant(name(), True)
        await until(lambda: wire.sent)
        assert wire.sent[0] == (here.lacks, True, (name(),))
        wire.participant(name(), False)


async def test_without_power_nothing_is_announced_and_people_hear_why() -> None:
    async with world() as here:
        here.state.power_levels = {"events_default": 50}
        here.says(on_sticky())
        await until(lambda: f"forbidden {STICKY}" in here.told)
        assert here.seats() == []
        here.state.power_levels = {}
        here.presence.permission_changed()
        await joined(here)


def slot(status: str) -> dict[str, Any]:
    return {
        "type": SLOT_TYPE,
        "state_key": "net.nordeck.whiteboard#w1",
        "sender": ALICE,
        "content": {"status": status, "application": {"type": "net.nordeck.whiteboard"}},
    }


@pytest.mark.scenario("S31")
async def test_s31_it_leaves_a_closed_slot_and_says_why() -> None:
    async with world(on_sticky(), slot("open")) as here:
        wire = await joined(here)
        here.says(slot("closed"))
        await until(lambda: wire.closed)
        assert here.server.stickies[-1]["leave_reason"] == {"code": "slot_closed"}
        here.says(slot("open"))
        await until(lambda: len(here.server.stickies) == 3)
        assert here.server.states == []  # meanwhile nobody was there for whom to be in the other
    assert here.server.stickies[-1]["leave_reason"] == {"code": "leave"}


async def test_without_a_place_it_waits() -> None:
    async with world() as here:
        here.places.free = 0
        here.says(on_sticky())
        await until(lambda: "full" in here.told)
        assert here.seats() == []
        here.places.free = 1
        here.presence.room_changed()
        await joined(here)


async def test_its_place_is_free_once_it_has_left(monkeypatch: Any) -> None:
    monkeypatch.setattr("bot.presence.holding.HOLD", 0.1)
    async with world(on_sticky()) as here:
        await joined(here)
        here.server.slow.add("send_sticky")
        here.says(on_sticky(joined=False, ts=NOW))
        await until(lambda: here.server.calls["send_sticky"] == 2)
        await turns()
        assert "sticky w1" in here.places.taken
        here.server.go.set()
        await until(lambda: "sticky w1" not in here.places.taken)


async def test_people_of_both_profiles_hear_each_other_through_it() -> None:
    async with world(on_board(), on_sticky(BOB, "BD")) as here:
        await until(lambda: here.server.stickies and here.server.states)
        new = next(one for one in here.wires if one.seat is not None)
        old = next(one for one in here.wires if one.seat is None)
        update, cursor = Update(KEY.document_id, b"u"), CursorMove("s", 1.0, 2.0)
        old.hears(f"{ALICE}:AD", update)
        old.hears(f"{ALICE}:AD", cursor)
        await until(lambda: len(new.sent) == 2)
        assert new.sent == [(update, True, ()), (cursor, False, ())]
        assert "bridged" in here.told
        new.hears(name(BOB, "BD"), Present("slide", "s"))
        await until(lambda: old.sent)
        assert old.sent[0][0] == Present("slide", "s")
        here.says(on_sticky(BOB, "BD", joined=False, ts=NOW))
        await until(lambda: len(old.sent) == 2)
        assert old.sent[1][0] == Present("slide", None)


async def test_what_another_bridge_does_is_not_passed_on() -> None:
    other = ("@a-bridge:here", "B")
    events = (on_board(), on_sticky(BOB, "BD"), member(other[0]))
    async with world(*events, on_board(*other, event_id="$b"), on_sticky(*other)) as here:
        await until(lambda: here.server.stickies and here.server.states)
        new = next(one for one in here.wires if one.seat is not None)
        old = next(one for one in here.wires if one.seat is None)
        old.hears(f"{other[0]}:B", FocusOn("its"))
        old.hears(f"{ALICE}:AD", FocusOn("hers"))
        await until(lambda: new.sent)
        assert [one[0] for one in new.sent] == [FocusOn("hers")]


async def test_another_bot_keeps_it_in_no_profile(monkeypatch: Any) -> None:
    monkeypatch.setattr("bot.presence.holding.HOLD", 0.1)
    other = ("@a-bot:here", "BOARDKEEPER2")
    events = (on_board(), member(other[0]), on_board(*other, event_id="$b"), on_sticky(*other))
    async with world(*events, on_sticky(BOB, "BD")) as here:
        await until(lambda: here.server.stickies and here.server.states)
        here.says(on_sticky(BOB, "BD", joined=False, ts=NOW))
        await until(lambda: here.memberships()[-1][0] == "leave")


async def test_who_has_come_with_a_newer_neoboard_is_served_though_the_older_is_not_cleared() -> (
    None
):
    async with world(on_board(), on_board(BOB, "BD"), on_sticky(ts=NOW)) as here:
        await until(lambda: here.server.stickies and here.server.states)
        new = next(one for one in here.wires if one.seat is not None)
        old = next(one for one in here.wires if one.seat is None)
        new.hears(name(), Update(KEY.document_id, b"u"))
        await until(lambda: old.sent)
        assert old.sent[0][0] == Update(KEY.document_id, b"u")


async def test_what_was_presented_on_a_board_nobody_is_on_is_over() -> None:
    async with world(on_board(), on_sticky(BOB, "BD")) as here:
        await until(lambda: here.server.stickies and here.server.states)
        new = next(one for one in here.wires if one.seat is not None)
        old = next(one for one in here.wires if one.seat is None)
        old.hears(f"{ALICE}:AD", Present("slide", "s"))
        await until(lambda: new.sent)
        here.presence.want(frozenset({"w2"}))
        here.presence.want(frozenset({"w1"}))
        new.participant(name(BOB, "BD"), True)
        await until(lambda: len(new.sent) > 1)
        assert [one[0] for one in new.sent[1:]] == [Present("slide", None)]


async def test_it_leaves_a_profile_that_nobody_speaks_any_more(monkeypatch: Any) -> None:
    monkeypatch.setattr("bot.presence.holding.HOLD", 0.1)
    async with world(on_board(), on_sticky(BOB, "BD")) as here:
        await until(lambda: here.server.stickies and here.server.states)
        here.says(on_sticky(BOB, "BD", joined=False, ts=NOW))
        await until(lambda: here.memberships()[-1][0] == "leave")
        here.says(on_sticky(BOB, "BD", member_id="again", ts=NOW + 1))
        await until(lambda: here.memberships()[-1][0] == "join")


async def test_who_comes_while_it_leaves_has_it_come_back(monkeypatch: Any) -> None:
    monkeypatch.setattr("bot.presence.holding.HOLD", 0.1)
    async with world(on_board(), on_sticky(BOB, "BD")) as here:
        await until(lambda: here.server.stickies and here.server.states)
        here.server.slow.add("send_sticky")
        here.says(on_sticky(BOB, "BD", joined=False, ts=NOW))
        await until(lambda: here.server.calls["send_sticky"] == 2)
        here.says(on_sticky(BOB, "BD", member_id="again", ts=NOW + 1))
        await turns()
        here.server.slow.clear()
        here.server.go.set()
        await until(lambda: here.memberships()[-1][0] == "join" and len(here.seats()) == 2)


async def test_switched_off_nothing_is_passed_on_while_a_side_is_held() -> None:
    async with world(on_board(), bridge=False) as here:
        await until(lambda: here.server.states)
        here.says(on_sticky(BOB, "BD"))
        await until(lambda: here.server.stickies)
        new = next(one for one in here.wires if one.seat is not None)
        old = next(one for one in here.wires if one.seat is None)
        old.hears(f"{ALICE}:AD", FocusOn("s"))
        await until(lambda: here.arrivals)
        await asyncio.sleep(0.05)
        assert new.sent == []


async def test_people_are_not_told_of_bridging_where_nobody_is_on_the_other_side() -> None:
    async with world(on_board()) as here:
        await until(lambda: here.server.states)
        here.says(off_board(), on_sticky(ts=NOW))  # the same person with a newer NeoBoard
        await until(lambda: here.server.stickies)
        new = next(one for one in here.wires if one.seat is not None)
        old = next(one for one in here.wires if one.seat is None)
        new.hears(name(), Update(KEY.document_id, b"u"))
        await until(lambda: old.sent)  # the older side is held for a while
        await asyncio.sleep(0)
        assert here.told == []


@pytest.mark.parametrize("profile", [AUTO, STICKY])
async def test_where_sticky_events_are_impossible_people_hear_that_they_are_not_heard(
    profile: str,
) -> None:
    async with world(on_board(), sticky=lambda: False, profile=profile) as here:
        here.says(on_sticky())  # the same device: she is heard by the older one
        await turns()
        assert here.told == []
        here.says(on_sticky(BOB, "BD"))
        await until(lambda: here.told)
        assert set(here.told) == {"unheard"}
        assert here.seats() == []


async def test_only_the_profile_it_is_told_to(monkeypatch: Any) -> None:
    async with world(on_board(), on_sticky(BOB, "BD"), profile=LEGACY) as here:
        await until(lambda: here.server.states)
        assert here.seats() == []
        assert here.told == []
