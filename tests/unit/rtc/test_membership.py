"""Reading memberships: R5 to R8, R11, and whatever else a room may hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InvalidMembership
from bot.rtc.membership import (
    ARRAY,
    LEGACY,
    MAX_FOCI,
    WHITEBOARD,
    Focus,
    Membership,
    identity,
    read_foci,
    read_memberships,
)
from tests.unit.rtc.make import ANN, BEN, HOUR, NOW, element_call, event, foci, neoboard, read

# -- what real clients write ---------------------------------------------------------------------


def test_neoboard() -> None:
    assert read(neoboard()) == Membership(
        state_key="_@ann:hs_DEV",
        user_id=ANN,
        device_id="DEV",
        application=WHITEBOARD,
        call_id="board",
        foci=(Focus("https://sfu.hs"),),
        focus_selection="oldest_membership",
        created_ts=NOW,
        expires_ts=NOW + 4 * HOUR,
        expires=NOW + 4 * HOUR,
        event_id="$of-@ann:hs",
        profile=LEGACY,
        foreign_focus=False,
        extra={"scope": "m.room"},
    )


def test_element_call() -> None:
    membership = read(element_call(), state_key="_@ann:hs_DEV_m.call", origin_server_ts=NOW - HOUR)
    assert (membership.application, membership.call_id) == ("m.call", "")
    assert membership.expires_ts == NOW + 3 * HOUR


@pytest.mark.scenario("M54")
def test_owned_room_key_without_underscore() -> None:
    assert read(neoboard(), state_key="@ann:hs_DEV_net.nordeck.whiteboardboard").user_id == ANN


def test_r5_session_object() -> None:
    content = {
        "session": {"application": WHITEBOARD, "id": "board"},
        "member": {"id": "x", "device_id": "PHONE", "user_id": ANN},
        "foci_preferred": foci("https://sfu.hs"),
        "focus_active": {"type": "livekit", "focus_selection": "oldest_membership"},
    }
    membership = read(content, state_key="@ann:hs_x")
    assert (membership.device_id, membership.call_id) == ("PHONE", "board")
    assert membership.expires_ts == NOW + 4 * HOUR
    with pytest.raises(InvalidMembership):
        read(content | {"member": {"device_id": "PHONE", "user_id": BEN}})


def test_r11_prefixed_names() -> None:
    content = neoboard(application=None, call_id=None)
    content |= {"m.application": WHITEBOARD, "m.call_id": "board"}
    assert read(content, state_key='["@ann:hs","DEV"]').call_id == "board"


def test_every_name_may_be_prefixed() -> None:
    plain = neoboard(created_ts=NOW - 5, scope=None)
    assert read({f"m.{name}": value for name, value in plain.items()}) == read(plain)


def test_r8_array_is_history_only() -> None:
    entry = {
        "application": "m.call",
        "call_id": "",
        "scope": "m.room",
        "device_id": "OLD",
        "membershipID": "x",
        "expires": HOUR,
        "foci_active": foci("https://sfu.hs"),
    }
    later = {**entry, "device_id": "NEW", "expires_ts": NOW + 7, "created_ts": NOW - 5}
    old, new = read_memberships(
        event({"memberships": [entry, "i am a fish", {}, later]}, state_key=ANN)
    )
    assert (old.device_id, old.profile, old.expires_ts) == ("OLD", ARRAY, NOW + HOUR)
    assert (new.device_id, new.created_ts, new.expires_ts) == ("NEW", NOW - 5, NOW + 7)
    assert read_memberships(event({"memberships": [entry]})) == []  # under another key


@pytest.mark.scenario("S09")
def test_s09_junk_array() -> None:
    assert read_memberships(event({"memberships": ["i am a fish"]}, state_key=ANN)) == []


@pytest.mark.scenario("S05")
@pytest.mark.parametrize(
    "content",
    [
        {},
        {"leave_reason": "lost_connection"},
        {"m.calls": [{"m.call_id": "x", "m.devices": []}]},
        {"memberships": {}},
        {"memberships": []},
    ],
)
def test_s05_left(content: dict[str, Any]) -> None:
    assert read_memberships(event(content)) == []


@pytest.mark.scenario("S21")
def test_s21_foreign_empty_content_is_a_leave() -> None:
    assert read_memberships(event({}, BEN, state_key="_@ann:hs_DEV")) == []


@pytest.mark.scenario("S22")
def test_s22_redacted() -> None:
    assert read_memberships(event({}, unsigned={"redacted_because": {}})) == []


# -- fields ----------------------------------------------------------------------------------


@pytest.mark.scenario("S06", "S07")
@pytest.mark.parametrize("missing", ["device_id", "call_id"])
def test_s06_s07_missing_field(missing: str) -> None:
    with pytest.raises(InvalidMembership):
        read(neoboard(**{missing: None}))


@pytest.mark.scenario("S08")
@pytest.mark.parametrize("missing", ["scope", "focus_active", "foci_preferred", "expires"])
def test_s08_tolerated(missing: str) -> None:
    assert read(neoboard(**{missing: None})).call_id == "board"


@pytest.mark.scenario("S10")
def test_s10_created_ts_and_span() -> None:
    assert read(element_call(created_ts=500, expires=1000)).expires_ts == 1500


@pytest.mark.scenario("S11", "S12")
def test_s11_s12_created_ts() -> None:
    assert read(neoboard(), origin_server_ts=12345).created_ts == 12345
    assert read(neoboard(created_ts=67890), origin_server_ts=12345).created_ts == 67890


@pytest.mark.scenario("S13")
def test_s13_default_expires() -> None:
    assert read(element_call(expires=None)).expires_ts == NOW + 4 * HOUR


@pytest.mark.scenario("S15")
def test_s15_span_under_neoboards_application() -> None:
    membership = read(neoboard(expires=4 * HOUR))
    assert (membership.expires, membership.expires_ts) == (4 * HOUR, NOW + 4 * HOUR)


@pytest.mark.scenario("S20")
def test_s20_key_of_another_user() -> None:
    for key in ("_@ben:hs_DEV", "DEV", "@ann:hs.org", "_@ann:hs.org_DEV", "__@ann:hs_DEV", ""):
        with pytest.raises(InvalidMembership):
            read(neoboard(), state_key=key)


@pytest.mark.scenario("S25")
def test_s25_unknown_fields_are_kept() -> None:
    own = {"org.example": [1], "memberships": [], "m.call.intent": "video"}
    assert read(neoboard(**own)).extra == own | {"scope": "m.room"}
    assert read(neoboard(**own, session={})) == read(neoboard(**own))


@pytest.mark.scenario("S25")
def test_s25_unknown_fields_are_bounded_not_rejected() -> None:
    assert read(neoboard(long="x" * 3000)).extra == {}
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert read(neoboard(deep=deep)).extra == {}


@pytest.mark.scenario("S33")
def test_s33_ids_without_server_part() -> None:
    board = "!a3UEvPS4B7bXlWXyckTlsCrnH6oaPrLnBBEE8q8vLjc_whiteboard"
    assert read(neoboard(call_id=board)).call_id == board


@pytest.mark.parametrize(
    "changes",
    [
        {"application": 5},
        {"application": ""},
        {"application": "x" * 256},
        {"call_id": "ä" * 200},
        {"call_id": "\ud800"},
        {"device_id": ["DEV"]},
        {"expires": "soon"},
        {"expires": True},
        {"expires": -1},
        {"expires": 2**60},
        {"expires": float("nan")},
        {"expires": float("inf")},
        {"created_ts": "1"},
        {"focus_active": "oldest_membership"},
        {"focus_active": {"focus_selection": 1}},
        {"foci_preferred": {}},
    ],
)
def test_malformed_content(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidMembership):
        read(neoboard(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"content": None},
        {"sender": None},
        {"event_id": 7},
        {"origin_server_ts": None},
        {"state_key": None},
    ],
)
def test_malformed_event(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidMembership):
        read_memberships(event(neoboard()) | changes)


def test_fractional_numbers_become_integers() -> None:
    assert read(element_call(expires=1000.9, created_ts=5e2)).expires_ts == 1500


def test_identity_is_what_sfu_get_gives() -> None:
    assert identity(read(neoboard(), "@u:hs:8448")) == "@u:hs:8448:DEV"


# -- foci ------------------------------------------------------------------------------------


@pytest.mark.scenario("S32", "F22")
def test_s32_f22_foci() -> None:
    assert read_foci(foci("https://a.hs/", "http://[::1]:8080/jwt//", "https://a.hs")) == (
        Focus("https://a.hs"),
        Focus("http://[::1]:8080/jwt"),
    )


@pytest.mark.scenario("F16")
@pytest.mark.parametrize(
    "url",
    [
        5,
        "",
        "sfu.hs",
        "ws://sfu.hs",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user:secret@sfu.hs",
        "https://sfu.hs?x=1",
        "https://sfu.hs#x",
        "https://sfu.hs?",
        "https://sfu.hs:0",
        "https://sfu.hs:99999",
        "https://[sfu.hs",
        "https://sfu.hs/a b",
        "https://sfu.hs/\n",
        "https://süd.hs",
        "https://sfu.hs/" + "a" * 2048,
    ],
)
def test_f16_urls_we_cannot_use(url: Any) -> None:
    assert read_foci([{"type": "livekit", "livekit_service_url": url}]) == ()
    assert read(neoboard(foci_preferred=foci(url))).foreign_focus


@pytest.mark.scenario("F16")
def test_f16_other_types() -> None:
    others = [{"type": "full_mesh"}, "livekit", {}, *foci("https://sfu.hs")]
    membership = read(neoboard(foci_preferred=others))
    assert membership.foci == (Focus("https://sfu.hs"),)
    assert membership.foreign_focus


@pytest.mark.scenario("F14")
def test_f14_no_focus_yet_is_not_foreign() -> None:
    membership = read(neoboard(foci_preferred=[]))
    assert (membership.foci, membership.foreign_focus) == ((), False)


def test_foci_are_bounded() -> None:
    many = foci(*(f"https://sfu{number}.hs" for number in range(1000)))
    assert len(read_foci(many)) == MAX_FOCI
    assert read_foci({"0": many[0]}) == ()


# -- anything ----------------------------------------------------------------------------------

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([ANN, "_@ann:hs_DEV", WHITEBOARD, "livekit", "https://sfu.hs", "http://["]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_names = [*neoboard(), "session", "member", "memberships", "m.application", "created_ts"]


@given(
    content=_json | st.dictionaries(st.sampled_from(_names), _json),
    changed=st.dictionaries(st.sampled_from(_names), _json, max_size=3),
    outside=st.dictionaries(st.sampled_from(list(event({}))), _json, max_size=2),
    entry=st.dictionaries(st.sampled_from([*_names, "expires_ts", "foci_active"]), _json),
)
def test_any_json_gives_memberships_or_invalid(
    content: Any, changed: dict[str, Any], outside: dict[str, Any], entry: dict[str, Any]
) -> None:
    for each in (content, neoboard(**changed), {"memberships": [entry]}):
        try:
            memberships = read_memberships(event(each, state_key=ANN) | outside)
        except InvalidMembership:
            memberships = []
        for membership in memberships:
            hash(membership)
            assert identity(membership).encode()
            assert all(len(focus.service_url) <= 2048 for focus in membership.foci)
            assert membership.expires_ts <= 2**54
