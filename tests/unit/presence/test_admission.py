"""How many boards the homeserver's limits carry, and who gets the places."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.presence.admission import (
    AGAIN_AND_AGAIN,
    CLOSED_FOR,
    MAX_HINT,
    MAX_RELAX_AFTER,
    RELAX_AFTER,
    SHARE,
    STRETCH,
    WINDOW,
    Admission,
    Claims,
    Limits,
    boards_by_rate,
    capacity,
    stretched,
)

USUAL = Limits(1.0, 100)
EXEMPT = Limits(inf, 100)


class Desk:
    """An admission with a clock of its own, and what it tells others."""

    def __init__(
        self,
        limits: Limits,
        *,
        wished: int | None = None,
        stretch: bool = False,
        refresh: float = 5,
    ) -> None:
        self.now = 1000.0
        self.freed: list[str] = []
        self.changes = 0
        self.admission = Admission(
            refresh,
            wished,
            stretch=stretch,
            clock=lambda: self.now,
        )
        self.admission.tell(self.freed.append, self._changed)
        self.admission.learned(limits)

    def _changed(self) -> None:
        self.changes += 1

    def claim(self, *rooms: str) -> list[bool]:
        return [self.admission.claim(room, "w") for room in rooms]

    def refuse(
        self, times: int = AGAIN_AND_AGAIN, every: float = 1.0, hint: float | None = 1.0
    ) -> None:
        for _ in range(times):
            self.now += every
            self.admission.restart_refused(hint)


@pytest.mark.parametrize(
    ("limits", "refresh", "wished", "stretch", "boards"),
    [
        (USUAL, 5, None, False, 4),
        (USUAL, 1, None, False, 1),
        (Limits(4.0, 100), 5, None, False, 16),
        (EXEMPT, 5, None, False, 99),
        (Limits(inf, None), 5, None, False, inf),
        (Limits(inf, 0), 5, None, False, 0),
        (EXEMPT, 5, 20, False, 20),
        (EXEMPT, 5, 500, False, 99),
        (USUAL, 5, 8, False, 8),
        (USUAL, 5, None, True, 32),
        (Limits(0.01, 100), 5, None, False, 1),
    ],
)
def test_capacity(
    limits: Limits, refresh: float, wished: int | None, *, stretch: bool, boards: float
) -> None:
    assert capacity(limits, refresh, wished, stretch=stretch) == boards


@pytest.mark.scenario("M48")
def test_beyond_the_limits_nobody_is_admitted_and_nobody_is_put_off() -> None:
    desk = Desk(USUAL)
    assert desk.claim("a", "b", "c", "d", "e", "f") == [True] * 4 + [False] * 2
    assert desk.claim("a", "b", "c", "d") == [True] * 4


@pytest.mark.scenario("M49")
def test_an_exempt_account_keeps_its_interval() -> None:
    desk = Desk(EXEMPT)
    assert all(desk.claim(*map(str, range(20))))
    assert desk.admission.refresh == 5


def test_who_is_refused_is_asked_again_when_another_goes() -> None:
    desk = Desk(USUAL)
    desk.claim("a", "b", "c", "d", "e", "f")
    desk.admission.release("f", "w")  # it does not want to any more
    assert desk.freed == []
    desk.admission.release("b", "w")
    assert desk.freed == ["e"]
    assert desk.claim("e", "f", "b") == [True, False, False]


def test_several_boards_of_a_room_count_each() -> None:
    desk = Desk(USUAL)
    assert [desk.admission.claim("a", str(number)) for number in range(5)] == [True] * 4 + [False]
    desk.admission.release("a", "0")
    desk.admission.release("a", "0")
    assert desk.admission.claim("a", "4")


def test_restarts_refused_again_and_again_close_admission_and_slow_down_what_stands() -> None:
    desk = Desk(EXEMPT)
    desk.claim(*"abcdefgh")
    desk.refuse(AGAIN_AND_AGAIN - 1, hint=0.8)
    assert (desk.admission.refresh, desk.changes) == (5, 0)
    assert desk.claim("i") == [True]
    desk.refuse(1)
    assert desk.claim("j") == [False]
    assert desk.claim(*"abcdefghi") == [True] * 9
    assert (round(desk.admission.refresh, 3), desk.changes) == (9 * 1.25, 1)
    for room in "abcde":
        desk.admission.release(room, "w")
    assert (desk.admission.refresh, desk.changes) == (5, 6)
    assert desk.claim("j") == [False]
    desk.admission.release("f", "w")
    assert desk.claim("j", "k") == [True, False]


def test_what_is_learned_counts_more_than_the_operators_number() -> None:
    desk = Desk(EXEMPT, wished=20)
    desk.claim(*"abcdefgh")
    desk.refuse(hint=None)
    assert desk.admission.capacity == 4


def test_it_is_learned_once() -> None:
    desk = Desk(EXEMPT)
    desk.claim(*"abcdefgh")
    desk.refuse(4 * AGAIN_AND_AGAIN)
    assert desk.changes == 1
    desk.refuse(hint=2.0)
    assert desk.changes == 2
    assert desk.admission.refresh == 20


def test_a_hint_beyond_all_measure_is_believed_to_a_measure() -> None:
    desk = Desk(EXEMPT)
    desk.claim(*"abcdefgh")
    desk.refuse(hint=3600.0)
    assert round(desk.admission.refresh, 6) == 8 / SHARE * MAX_HINT


def test_what_was_learned_is_doubted_when_nothing_is_refused_any_more() -> None:
    desk = Desk(EXEMPT)
    desk.claim(*"abcdefgh")
    desk.refuse(hint=4.0)
    intervals = []
    for _ in range(4):
        desk.now += RELAX_AFTER - 1
        before = desk.admission.refresh
        desk.claim("a")
        assert desk.admission.refresh == before
        desk.now += 1
        desk.claim("a")
        intervals.append(desk.admission.refresh)
    assert intervals == [20, 10, 5, 5]
    assert desk.claim("z") == [True]  # the refusals were what closed it


def test_a_limit_that_stays_is_run_into_less_and_less_often() -> None:
    desk = Desk(EXEMPT)
    desk.claim(*"abcdefgh")
    desk.refuse(hint=1.0)
    times, began = 0, desk.now
    while desk.now < began + 30 * MAX_RELAX_AFTER:
        desk.now += 60
        before = desk.admission.refresh
        desk.claim("a")
        if desk.admission.refresh < before:
            times += 1
            desk.refuse(hint=1.0)
            assert desk.admission.refresh == before
    assert 30 <= times <= 45  # once a day in the end


def test_single_refusals_mean_nothing() -> None:
    desk = Desk(EXEMPT)
    desk.claim("a")
    desk.refuse(50, every=WINDOW / 3)
    assert desk.claim("b") == [True]


def test_what_was_probed_is_believed_more_than_refusals_while_many_join() -> None:
    desk = Desk(USUAL)
    desk.claim("a", "b")
    desk.refuse()
    assert desk.claim("c", "d", "e") == [True, True, False]


def test_too_many_delayed_events_close_admission_for_a_while() -> None:
    desk = Desk(Limits())
    desk.claim("a", "b")
    desk.admission.schedule_refused()
    assert desk.claim("c") == [False]
    desk.now += CLOSED_FOR - 1
    desk.admission.schedule_refused()
    desk.now += 2
    assert desk.claim("c") == [False]
    desk.now += CLOSED_FOR
    assert desk.claim("c") == [True]


def test_stretched_intervals() -> None:
    desk = Desk(USUAL, stretch=True)
    desk.claim(*"abcd")
    assert (desk.admission.refresh, desk.changes) == (5, 0)
    assert desk.claim("e") == [True]
    assert (desk.admission.refresh, desk.changes) == (10, 1)
    desk.claim(*"fgh")
    assert desk.changes == 1
    desk.claim("i")
    assert desk.admission.refresh == 20
    for room in "abcdefghi":
        desk.admission.release(room, "w")
    assert desk.admission.refresh == 5


@given(
    st.floats(0.05, 50), st.floats(1, 60), st.integers(1, 200)
)  # the limits' rate, the interval, the boards
def test_what_is_admitted_fits_into_the_limits(rate: float, refresh: float, boards: int) -> None:
    limits = Limits(rate, None)
    carried = boards_by_rate(limits, refresh)
    assert carried == 1 or carried / refresh <= rate * SHARE * (1 + 1e-6)
    if boards <= STRETCH * carried:
        interval = stretched(limits, refresh, boards)
        assert interval >= refresh
        assert boards <= carried or boards / interval <= rate * SHARE * (1 + 1e-6)


class Book:
    """Gives places to the boards it was told of, and notes."""

    def __init__(self, *free: str) -> None:
        self.free = set(free)
        self.released: list[str] = []

    def claim(self, room_id: str, whiteboard_id: str) -> bool:
        return whiteboard_id in self.free

    def release(self, room_id: str, whiteboard_id: str) -> None:
        self.released.append(whiteboard_id)


def test_a_rooms_claims_follow_what_it_wants() -> None:
    book = Book("a", "b")
    claims = Claims(book, "r")
    assert claims.follow(frozenset("abc"), lambda _: False) == {"a", "b"}
    assert claims.follow(frozenset("b"), lambda one: one != "a") == {"b"}
    assert book.released == ["c"]  # what still stands keeps its place until it has left
    claims.follow(frozenset("b"), lambda _: True)
    assert book.released == ["c", "a"]
    claims.end()
    claims.end()
    assert book.released == ["c", "a", "b"]
