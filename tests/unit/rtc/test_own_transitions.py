"""The drawing in the docstring of `bot.rtc.own` as tables: the ladders, and status by event."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.rtc.actions import (
    CancelDelayed,
    ClearState,
    Failed,
    Kind,
    Restart,
    ScheduleLeave,
    SendDelayed,
)
from bot.rtc.actions import SendJoin as Join
from bot.rtc.own import Status
from tests.unit.rtc.server import FAIL, Run, joined, seated
from tests.unit.rtc.test_own_failures import NAMES


def restart_late() -> Run:
    return fired_unseen(joined())


def fired_unseen(run: Run) -> Run:
    run.says(Restart, Failed(Kind.RATE_LIMITED, retry_after=30.0))
    run.synced = False  # only the 404 tells
    return run


def redacted() -> Run:
    run = seated()
    run.server.redact()
    return run


def arming() -> Run:
    """The leave is armed; the membership has not been sent yet."""
    return Run().says(Join, Failed(Kind.RATE_LIMITED, retry_after=60.0)).join().rest()


def forgotten(run: Run, kind: type) -> Run:
    """Nobody but the machine knows of the delayed event any more."""
    run.server.delayed.clear()
    return run.says(kind, FAIL[Kind.NOT_FOUND])


def leftover() -> Run:
    run = Run()
    run.server.schedule(18.0)
    return run


def fired(run: Run) -> Run:
    run.server.fire(next(iter(run.server.delayed)))
    return run


def cleared(times: int = 1, *, twin: bool = False) -> Run:
    run = joined()
    for number in range(times):
        if number:
            run.rest()
        run.forget()
        if twin:
            run.server.clear_by_twin()
        else:
            run.server.clear_by_other()
    return run


def leaving() -> Run:
    """One whose cancelling waits."""
    return arming().says(CancelDelayed, FAIL[Kind.RATE_LIMITED]).leave().rest()


LADDERS: dict[str, tuple[Callable[[], Run], float, str]] = {
    "join": (lambda: Run().join(), 5, "LIST ARM JOIN RESTART RESTART"),
    "join after a crash": (lambda: leftover().join(), 5, "LIST CANCEL ARM JOIN RESTART RESTART"),
    "outcome of arming unknown": (
        lambda: Run().says(ScheduleLeave, FAIL[Kind.TIMEOUT]).join(),
        11,
        "LIST ARM LIST ARM JOIN RESTART",
    ),
    "waiting for the join": (arming, 10, "LIST ARM JOIN RESTART RESTART"),
    "renewal": (lambda: joined(renew=7.0), 7, "RESTART RESTART JOIN RESTART"),
    "404 in time": (lambda: forgotten(joined(), Restart), 6, "RESTART ARM"),
    "404 too late": (restart_late, 35, "RESTART RESTART ARM JOIN RESTART"),
    "cleared by our delayed leave": (lambda: fired(joined()), 0, "ARM JOIN RESTART"),
    "cleared by somebody": (cleared, 0, "CANCEL ARM JOIN RESTART"),
    "cleared four times": (lambda: cleared(4), 50, "CANCEL"),
    "cleared by a twin": (lambda: cleared(twin=True), 50, "CANCEL"),
    "leave": (lambda: joined().leave(), 50, "SEND"),
    "leave, delayed event gone": (
        lambda: forgotten(joined(), SendDelayed).leave(),
        50,
        "SEND CLEAR",
    ),
    "leave, send failed": (
        lambda: joined().says(SendDelayed, FAIL[Kind.REFUSED]).leave(),
        50,
        "SEND CLEAR CANCEL",
    ),
    "leave before the join": (lambda: arming().forget().leave(), 50, "CANCEL"),
    "forbidden": (
        lambda: Run().says(Join, FAIL[Kind.FORBIDDEN]).join(),
        50,
        "LIST ARM JOIN CANCEL",
    ),
    "once: join": (lambda: Run(once=True).join(), 5, "ARM JOIN RESTART RESTART"),
    "once: renewal": (
        lambda: seated(renew=7.0),
        7,
        "RESTART RESTART JOIN RESTART ARM CANCEL",
    ),
    "once: leave": (lambda: seated().leave(), 50, "CLEAR CANCEL"),
    "once: leave refused": (
        lambda: seated().says(ClearState, FAIL[Kind.REFUSED]).leave(),
        50,
        "CLEAR",
    ),
    "once: 404 in time": (lambda: forgotten(seated(), Restart), 6, "RESTART ARM"),
    "once: 404 too late": (lambda: fired_unseen(seated()), 35, "RESTART RESTART CLEAR"),
    "once: our delayed leave seen": (lambda: fired(seated()), 50, ""),
    "once: redacted": (redacted, 50, "CLEAR CANCEL"),
    "once: 403 for a renewal": (
        lambda: seated(renew=7.0).says(Join, FAIL[Kind.FORBIDDEN]),
        50,
        "RESTART RESTART JOIN CLEAR CANCEL",
    ),
    "token lost": (lambda: Run().says(Join, FAIL[Kind.AUTH_LOST]).join(), 50, "LIST ARM JOIN"),
}


@pytest.mark.parametrize("ladder", LADDERS)
def test_ladders(ladder: str) -> None:
    make, seconds, steps = LADDERS[ladder]
    run = make().rest(seconds)
    assert " ".join(NAMES[type(action)] for _, action in run.done) == steps


STARTS: dict[str, Callable[[], Run]] = {
    "left": lambda: Run().rest(),
    "joining": arming,
    "joined": joined,
    "degraded": lambda: Run().says(ScheduleLeave, FAIL[Kind.UNSUPPORTED]).join().rest(),
    "forbidden": lambda: Run().says(Join, FAIL[Kind.FORBIDDEN]).join().rest(),
    "paused": lambda: cleared(twin=True).rest(),
    "stopped": lambda: Run().says(Join, FAIL[Kind.AUTH_LOST]).join().rest(),
    "leaving": leaving,
    "ended": lambda: seated().leave().rest(),
}


EVENTS: dict[str, Callable[[Run], object]] = {
    "join": lambda run: run.join(),
    "leave": lambda run: run.leave(),
    "give way": lambda run: run.own.give_way(run.now),
    "allowed": lambda run: run.own.permission_changed(run.now),
    "other": lambda run: run.server.clear_by_other(),
    "twin": lambda run: run.server.clear_by_twin(),
}

STATES = """
              join      leave    give-way  allowed    other      twin
    left      joined    left     left      left       left       left
    joining   joining   left     left      joining    joining    joining
    joined    joined    left     left      joined     joined     paused
    degraded  degraded  left     left      degraded   degraded   paused
    forbidden forbidden left     left      joined     forbidden  forbidden
    paused    paused    left     left      paused     paused     paused
    stopped   stopped   stopped  stopped   stopped    stopped    stopped
    leaving   joining   leaving  leaving   leaving    leaving    leaving
    ended     ended     ended    ended     ended      ended      ended
"""
HEAD, *ROWS = [line.split() for line in STATES.strip().splitlines()]
CASES = [
    (row[0], event.replace("-", " "), then)
    for row in ROWS
    for event, then in zip(HEAD, row[1:], strict=True)
]


@pytest.mark.parametrize(("state", "event", "then"), CASES)
def test_states(state: str, event: str, then: str) -> None:
    run = STARTS[state]()
    assert run.own.status.value == state
    EVENTS[event](run)
    run.rest()
    assert run.own.status.value == then


def test_every_state_is_in_the_table() -> None:
    assert {state for state, _, _ in CASES} == {status.value for status in Status}


@pytest.mark.scenario("M37", "M39")
def test_who_cleared_us_is_known_while_paused() -> None:
    assert cleared(twin=True).rest().own.twin
    assert not cleared(4).rest().own.twin
    assert not cleared(twin=True).rest(61).own.twin
