"""Life: claims of ours, of an earlier life, and of a twin (docs/matrixrtc.md, 2.9)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.rtc.life import ALONE, Life
from bot.rtc.membership import Membership
from tests.unit.rtc import seats
from tests.unit.rtc.make import NOW

LIFE = Life("us", NOW)


def made(member_id: str, later: int = 1) -> Membership:
    """Return a claim made so many ms after our life began."""
    member = seats.claim(seats.join(member_id), ago=-later)
    assert member is not None
    return member


def test_a_claim_made_since_we_began_without_our_mark_is_a_twins() -> None:
    assert LIFE.is_twin(made("them1"))
    assert not LIFE.is_twin(made("us1"))
    assert not LIFE.is_twin(made("them1", later=-1))
    assert not ALONE.is_twin(made("them1"))


def test_what_nobody_is_about_is_left_behind() -> None:
    held, former, earlier = made("us1"), made("us2"), made("them1", later=-5)
    claims = [held, former, earlier, made("them2")]
    assert LIFE.ghosts(claims, {"us1"}) == [former, earlier]


def test_of_two_who_was_there_first_stays() -> None:
    ours, earlier, later = made("us1", 5), made("them1", 4), made("them2", 6)
    assert not LIFE.yields([ours], "us1")
    assert not LIFE.yields([], "")
    assert LIFE.yields([later], "")
    assert LIFE.yields([later], "us1")  # which has not come yet
    assert not LIFE.yields([ours, later], "us1")
    assert LIFE.yields([ours, earlier, later], "us1")


def test_what_an_earlier_life_left_behind_is_not_yielded_to() -> None:
    assert not LIFE.yields([made("them1", -5)], "")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3)), unique=True))
def test_of_many_exactly_one_stays(seen: list[tuple[str, int]]) -> None:
    """Each sees the claims of all, its own among them."""
    claims = [made(f"{mark}{at}", at) for mark, at in seen]
    lives = {mark: Life(mark, NOW) for mark, _ in seen}
    ids = {mark: min(one.member_id for one in claims if one.member_id[0] == mark) for mark in lives}
    staying = [mark for mark, life in lives.items() if not life.yields(claims, ids[mark])]
    assert len(staying) == bool(lives)
