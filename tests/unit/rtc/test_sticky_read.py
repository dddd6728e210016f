"""What a sticky event says of a member, and what we write ourselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import InvalidMembership
from bot.rtc import focus
from bot.rtc.actions import Shown
from bot.rtc.membership import LEGACY, STICKY, WHITEBOARD, Focus, identity
from bot.rtc.sticky import (
    STICKY_MS,
    is_sticky,
    join_content,
    leave_content,
    pseudonym,
    read_shown,
    read_sticky,
    slot_id,
    spelling,
)
from bot.rtc.stickyevent import StickyEvent
from tests.unit.rtc import make
from tests.unit.rtc.make import ANN, BEN, NOW
from tests.unit.rtc.seats import LIVEKIT, SLOT, claim, event, join, leave, read, sdk

SFU = Focus("https://sfu.hs")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.just("one") | JSON,
        "membership": st.sampled_from(["join", "leave"]) | JSON,
        "device_id": st.just("DEV") | JSON,
        "claimed_device_id": JSON,
        "user_id": st.just(ANN) | JSON,
        "claimed_user_id": st.just(ANN) | JSON,
    },
)
CONTENTS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "slot_id": st.just(SLOT) | JSON,
        "member": MEMBERS | JSON,
        "application": st.just({"type": WHITEBOARD}) | JSON,
        "transports": st.just({"published": [LIVEKIT]}) | JSON,
        "rtc_transports": st.just([LIVEKIT]) | JSON,
        "sticky_key": st.just("one") | JSON,
        "msc4354_sticky_key": st.just("one") | JSON,
        "disconnect_reason": JSON,
        "leave_reason": JSON,
    },
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["m.rtc.member", "org.matrix.msc4143.rtc.member"]) | JSON,
        "sender": st.sampled_from([ANN, BEN]) | JSON,
        "event_id": st.sampled_from(["$1", "$2"]) | JSON,
        "origin_server_ts": st.just(NOW) | JSON,
        "sticky": st.just({"duration_ms": 1000}) | JSON,
        "msc4354_sticky": st.just({"duration_ms": 1000}) | JSON,
        "unsigned": JSON
        | st.dictionaries(st.just("msc4354_sticky_duration_ttl_ms"), st.integers() | JSON),
        "state_key": JSON,
        "content": CONTENTS,
    },
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS)
def test_any_json_is_read_or_refused(one: dict[str, Any]) -> None:
    is_sticky(one)
    read_shown(one, ANN, "one")
    try:
        member = read_sticky(one).member
    except InvalidMembership:
        return
    if member is not None:
        assert identity(member)
        assert len(member.member_id) <= 255


def test_neoboards_join_is_read() -> None:
    member = claim(join())
    assert member is not None
    assert (member.user_id, member.device_id, member.member_id) == (ANN, "DEV", "one")
    assert (member.application, member.call_id) == (WHITEBOARD, "board")
    assert (member.foci, member.spelling, member.foreign_focus) == ((SFU,), "livekit", False)
    assert (member.created_ts, member.expires_ts) == (NOW, NOW + STICKY_MS)
    assert (member.profile, member.state_key) == (STICKY, "one")
    assert member.extra == {"whiteboard_id": "board"}
    assert read(join()).once


@pytest.mark.parametrize("kind", ["m.rtc.member", "org.matrix.msc4143.rtc.member"])
def test_both_names_of_the_event_and_of_its_parts(kind: str) -> None:
    stable = event(
        join(msc4354_sticky_key=None, sticky_key="one"),
        type=kind,
        msc4354_sticky=None,
        sticky={"duration_ms": 5},
        unsigned={"sticky_duration_ttl_ms": 3},
    )
    found = read_sticky(stable)
    assert is_sticky(stable)
    assert (found.key, found.duration_ms, found.ttl_ms) == ("one", 5, 3)
    assert not is_sticky({**stable, "state_key": ""})  # R5
    assert not is_sticky({**stable, "type": "m.room.message"})
    assert not is_sticky({**stable, "type": ["m.rtc.member"]})


@pytest.mark.parametrize(
    "content",
    [
        join(slot_id="board"),
        join(slot_id=f"{WHITEBOARD}#a#b"),
        join(slot_id="m.call#board"),
        join(slot_id=7),
        join(application=None),
        join(application={}),
        join(application={"type": "m.call"}),
        join(member=None),
        join(member="one"),
        join(member={"id": "one", "membership": "join"}),
        join(member={"id": "one", "membership": "knock", "device_id": "DEV"}),
        join(member={"id": "two", "membership": "join", "device_id": "DEV"}),
        join(member={"id": "one", "membership": "join", "device_id": "D" * 256}),
        leave(member={"id": "two", "membership": "leave", "device_id": "DEV"}),
        sdk(user=BEN),
        sdk(member={"id": "one", "claimed_user_id": BEN, "claimed_device_id": "DEV"}),
        sdk(member={"user_id": ANN, "device_id": "DEV"}),
        join(transports={"published": {}}),
        join(transports=[]),
        join(transports=None, rtc_transports={}),
    ],
)
@pytest.mark.scenario("S27")
def test_s27_what_is_no_member_leaves_its_place_empty(content: dict[str, Any]) -> None:
    found = read(content)
    assert (found.key, found.member, found.is_leave) == ("one", None, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"content": join(msc4354_sticky_key=None)},
        {"content": join(msc4354_sticky_key=1)},
        {"content": join(msc4354_sticky_key="")},
        {"content": join(msc4354_sticky_key="\ud800")},
        {"content": join(sticky_key="two")},
        {"content": join(sticky_key=["one"])},
        {"content": []},
        {"sender": None},
        {"event_id": None},
        {"origin_server_ts": None},
        {"origin_server_ts": -1},
        {"msc4354_sticky": None},
        {"msc4354_sticky": {}},
        {"msc4354_sticky": {"duration_ms": True}},
        {"msc4354_sticky": []},
    ],
)
@pytest.mark.scenario("S27")
def test_s27_what_has_nobodys_place_is_refused(changes: dict[str, Any]) -> None:
    one = {**event(join()), **changes}
    one = {name: value for name, value in one.items() if value is not None}
    with pytest.raises(InvalidMembership):
        read_sticky(one)
    assert read_shown(one, ANN, "one") is None


@pytest.mark.scenario("S28")
def test_s28_one_sticky_key_under_either_name_or_both() -> None:
    assert claim(join(msc4354_sticky_key=None, sticky_key="one")) == claim(join())
    assert claim(join(sticky_key="one")) == claim(join())


@pytest.mark.scenario("S32")
def test_s32_transports_of_every_version_give_the_same_list() -> None:
    claimed = {"id": "one", "claimed_user_id": ANN, "claimed_device_id": "DEV"}
    for content in (
        sdk(),
        sdk(transports=None, rtc_transports=[LIVEKIT]),
        sdk(transports=None, rtc_transports=[LIVEKIT], member=claimed),
        sdk(transports={"published": [{**LIVEKIT, "type": "m.livekit"}]}),
    ):
        member = claim(content)
        assert member is not None
        assert (member.foci, member.device_id) == ((SFU,), "DEV")
        assert not read(content).once
    newer = {**LIVEKIT, "type": "m.livekit"}
    assert make.read(make.neoboard(foci_preferred=[newer])).foci == (SFU,)
    assert focus.read_transports({"rtc_transports": [newer]}) == [SFU]
    assert focus.read_spelling({"rtc_transports": [{"type": "x"}, newer]}) == "m.livekit"
    others: list[Any] = [{}, [], {"rtc_transports": [7]}]
    for other in others:
        assert focus.read_spelling(other) == ""


def test_a_transport_that_we_do_not_know_is_told() -> None:
    member = claim(join(transports={"published": [{"type": "other"}, LIVEKIT]}))
    assert member is not None
    assert (member.foreign_focus, member.foci, member.spelling) == (True, (SFU,), "livekit")
    member = claim(join(transports=None))
    assert member is not None
    assert (member.foreign_focus, member.foci, member.spelling) == (False, (), "")
    member = claim(join(transports={"published": [{"type": {}}]}))
    assert member is not None
    assert member.foreign_focus


@pytest.mark.parametrize(
    "content",
    [
        leave(),
        leave(member={"membership": "leave"}),
        {"msc4354_sticky_key": "one"},
        {"msc4354_sticky_key": "one", "slot_id": SLOT},
        join(disconnect_reason={"class": "user_action"}),
    ],
)
def test_leaves_of_every_version(content: dict[str, Any]) -> None:
    found = read(content)
    assert (found.member, found.is_leave) == (None, True)


@pytest.mark.scenario("S29")
def test_s29_a_longer_duration_is_cut() -> None:
    long = {"duration_ms": 10 * STICKY_MS}
    assert read(join(), msc4354_sticky=long).expires_ts(NOW) == NOW + STICKY_MS
    ttl = {"msc4354_sticky_duration_ttl_ms": 2 * STICKY_MS}
    assert read(join(), msc4354_sticky=long, unsigned=ttl).expires_ts(NOW) == NOW + STICKY_MS


def test_when_it_ends_counts_from_when_it_came() -> None:
    def ends(ago: int, **unsigned: object) -> int:
        return read(join(), ago=ago, unsigned=unsigned).expires_ts(NOW) - NOW

    assert ends(1000) == STICKY_MS - 1000
    assert ends(-1000) == STICKY_MS  # its sender's clock is ahead
    assert ends(1000, msc4354_sticky_duration_ttl_ms=500) == 500
    assert ends(1000, msc4354_sticky_duration_ttl_ms=-5) == 0
    assert ends(1000, msc4354_sticky_duration_ttl_ms=True) == STICKY_MS - 1000
    assert ends(1000, msc4354_sticky_duration_ttl_ms="x") == STICKY_MS - 1000
    short = {"duration_ms": 5}
    assert read(join(), msc4354_sticky=short).forgotten_ts(NOW) == NOW + 5
    assert read(leave(), msc4354_sticky=short).forgotten_ts(NOW) == NOW + STICKY_MS


def test_what_we_write_is_what_we_read() -> None:
    content = join_content(
        call_id="board", whose=(ANN, "DEV"), member_id="one", foci=[SFU], spelling="livekit"
    )
    # What NeoBoard demands, and what matrix-js-sdk demands beside that.
    both = {"id": "one", "membership": "join", "user_id": ANN, "device_id": "DEV"}
    assert content == join(member=both, versions=[])
    assert read(content).once
    member = claim(content)
    assert member is not None
    assert (member.user_id, member.device_id, member.foci) == (ANN, "DEV", (SFU,))
    assert member.extra["whiteboard_id"] == "board"
    left = leave_content(call_id="board", device_id="DEV", member_id="one", code="leave")
    assert left == leave()
    assert slot_id("board") == SLOT


def test_whatever_a_transport_is_called_neoboard_takes_one_list_of_what_we_hear() -> None:
    content = join_content(
        call_id="board", whose=(ANN, "DEV"), member_id="one", foci=[SFU], spelling="m.livekit"
    )
    transports = {"published": [{**LIVEKIT, "type": "m.livekit"}], "can_subscribe": ["livekit"]}
    assert content["transports"] == transports


def test_the_spelling_of_the_others_is_ours() -> None:
    old, new = make.member(spelling="livekit"), make.member(BEN, spelling="m.livekit")
    assert spelling([], "") == "livekit"
    assert spelling([make.member()], "m.livekit") == "m.livekit"
    assert spelling([new], "livekit") == "m.livekit"
    assert spelling([new, old], "m.livekit") == "livekit"
    assert spelling([new, new, old], "") == "livekit"  # one voice each
    third = make.member("@cid:hs", spelling="m.livekit")
    assert spelling([new, third, old], "") == "m.livekit"


def test_what_is_shown_of_our_member_id() -> None:
    mine = event(join(), unsigned={"org.matrix.msc4140.delay_id": "syd_1"})
    assert read_shown(mine, ANN, "one") == Shown(f"$of-{ANN}-0", True, NOW, "syd_1")
    assert read_shown(event(leave()), ANN, "one") == Shown(f"$of-{ANN}-0", True, None)
    assert read_shown(event(leave(), unsigned={"org.matrix.msc4140.delay_id": 1}), ANN, "one") == (
        Shown(f"$of-{ANN}-0", True, None)
    )
    for other in (event(join("two")), event(join(), BEN), event({}), {"type": "m.room.message"}):
        assert read_shown(other, ANN, "one") is None


@pytest.mark.scenario("J09")
def test_identities_of_both_profiles() -> None:
    member = claim(join())
    assert member is not None
    assert identity(member) == pseudonym(ANN, "DEV", "one")
    assert identity(make.member(profile=LEGACY)) == f"{ANN}:DEV"


def test_the_order_is_the_end_and_then_the_id() -> None:
    def order(**changes: Any) -> StickyEvent:
        return read(join(), **changes)

    assert order(ago=1).order < order().order
    assert order(event_id="$a").order < order(event_id="$b").order
    assert order(msc4354_sticky={"duration_ms": 9}).order < order(ago=5).order
