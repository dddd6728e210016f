"""What stands under a room's state keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rtc import keys
from bot.rtc.keys import Keys, Where
from bot.rtc.membership import MEMBER_TYPE, Membership
from tests.unit.rtc.make import ANN, BEN, HOUR, NOW, member


def at(key: str) -> Where:
    return MEMBER_TYPE, key


def test_what_is_put_stands_until_it_is_left() -> None:
    room = Keys()
    assert room.put(at("a"), (member(),))
    assert room.memberships == {at("a"): (member(),)}
    assert room.put(at("a"), ())
    assert room.put(at("nothing there"), ())
    assert room.memberships == {}


def test_a_renewal_goes_on_and_a_late_one_begins() -> None:
    room = Keys()
    first = member(event_id="$1", created_ts=NOW, expires_ts=NOW + HOUR)
    renewed = member(event_id="$2", created_ts=NOW + HOUR, expires_ts=NOW + 2 * HOUR)
    again = member(event_id="$3", created_ts=NOW + 2 * HOUR, expires_ts=NOW + 3 * HOUR)
    late = member(event_id="$4", created_ts=NOW + 4 * HOUR, expires_ts=NOW + 5 * HOUR)
    for one, since in ((first, NOW), (renewed, NOW), (again, NOW), (late, NOW + 4 * HOUR)):
        room.put(at("a"), (one,))
        assert room.since(one) == since
    assert room._since == {}


def test_a_redacted_event_has_put_nothing_there() -> None:
    room = Keys()
    room.put(at("a"), (member(event_id="$1"),))
    room.put(at("b"), (member(BEN, event_id="$2"),))
    assert room.redact("$1") == [at("a")]
    assert room.redact("$1") == []
    assert list(room.memberships) == [at("b")]


def test_nobody_takes_the_places_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MAX_OF_ONE", 2)
    monkeypatch.setattr(keys, "MAX_MEMBERSHIPS", 4)
    room = Keys()
    room.put(at("ben"), (member(BEN),))
    assert [room.put(at(f"ann{number}"), (member(ANN),)) for number in range(3)] == [1, 1, 0]
    assert list(room.memberships) == [at("ben"), at("ann1"), at("ann2")]
    room.put(at("cid"), (member("@cid:hs"),))
    assert not room.put(at("dan"), (member("@dan:hs"),))
    assert room.put(at("ben"), (member(BEN, event_id="$renewed"),))


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.none() | st.builds(member, st.sampled_from((ANN, BEN)), event_id=st.text("xy")),
            st.none() | st.text("xy"),
        )
    )
)
def test_what_is_counted_is_what_stands(
    happened: list[tuple[str, Membership | None, str | None]],
) -> None:
    room = Keys()
    for key, one, redacted in happened:
        room.put(at(key), () if one is None else (one,))
        room.redact(redacted)
        standing = [many[0].user_id for many in room.memberships.values()]
        assert room._held == {user: standing.count(user) for user in standing}
        ids = {one.event_id for many in room.memberships.values() for one in many}
        assert room._since.keys() <= ids
