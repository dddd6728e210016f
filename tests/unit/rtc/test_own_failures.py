"""The table of failures in the docstring of `bot.rtc.own`, row by row."""

from __future__ import annotations

import pytest

from bot.rtc.actions import (
    Action,
    CancelDelayed,
    ClearState,
    Failed,
    Kind,
    ListDelayed,
    Restart,
    ScheduleLeave,
    SendDelayed,
    SendJoin,
)
from bot.rtc.own import Status
from tests.unit.rtc.server import Run

STEPS: dict[str, type] = {
    "LIST": ListDelayed,
    "CANCEL": CancelDelayed,
    "ARM": ScheduleLeave,
    "JOIN": SendJoin,
    "RESTART": Restart,
    "SEND": SendDelayed,
    "CLEAR": ClearState,
}
NAMES = {kind: name for name, kind in STEPS.items()}


def at(step: str) -> Run:
    """Return a machine whose action of that step is in flight at second 0."""
    run = Run()
    if step == "CANCEL":
        run.server.schedule(18.0)
    if step in {"SEND", "CLEAR"}:
        run.join().rest()
        run.server.delayed.clear()
        run.leave()
    else:
        run.join()
    while True:
        action = run.own.take(0.0)
        assert action is not None
        if isinstance(action, STEPS[step]):
            return run
        run.own.done(run.server.carry_out(action), 0.0)


def follow(run: Run) -> str:
    """Return what the machine does next: `STEP`, or `STEP in seconds`, or its status."""
    when = run.now
    while (action := run.own.take(when)) is None:
        if run.own.deadline is None:
            return run.own.status.value
        when = run.own.deadline
    return _name(action) + (f" in {when:g}" if when > run.now else "")


def _name(action: Action) -> str:
    degraded = isinstance(action, SendJoin) and action.expires == 300
    return NAMES[type(action)] + (" degraded" if degraded else "")


TABLE = """
            TIMEOUT TRANSIENT   RATE_LIMITED NOT_FOUND     FORBIDDEN     UNSUPPORTED   REFUSED
    LIST    LIST    LIST:3      LIST:5       ARM           ARM           ARM           ARM
    CANCEL  CANCEL  CANCEL:3    CANCEL:5     ARM           ARM           ARM           ARM
    ARM     LIST    LIST        ARM:5        JOIN-degraded JOIN-degraded JOIN-degraded JOIN-degraded
    JOIN    JOIN    JOIN:3      JOIN:5       RESTART:5     CANCEL        RESTART:5     RESTART:5
    RESTART RESTART RESTART:3   RESTART:5    ARM           RESTART:3     JOIN-degraded RESTART:3
    SEND    CLEAR   CLEAR       CLEAR        CLEAR         CLEAR         CLEAR         CLEAR
    CLEAR   CLEAR   CLEAR:3     CLEAR:5      left          left          left          left
"""
HEAD, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
CASES = [
    (row[0], Kind[kind], cell.replace("-", " ").replace(":", " in "))
    for row in ROWS
    for kind, cell in zip(HEAD, row[1:], strict=True)
]


@pytest.mark.parametrize(("step", "kind", "expected"), CASES)
def test_table(step: str, kind: Kind, expected: str) -> None:
    run = at(step)
    run.own.done(Failed(kind), 0.0)
    if step == "JOIN" and expected == "JOIN in 5":
        expected = "RESTART in 5"  # due at the same time, and it outranks
    assert follow(run) == expected


def test_table_is_complete() -> None:
    assert {step for step, _, _ in CASES} == set(STEPS)
    others = {Kind.AUTH_LOST, Kind.DELAY_TOO_LARGE, Kind.TOO_MANY}
    assert {kind for _, kind, _ in CASES} == set(Kind) - others


@pytest.mark.parametrize(
    ("kind", "expected"), [(Kind.DELAY_TOO_LARGE, "ARM"), (Kind.TOO_MANY, "LIST")]
)
def test_arming_has_failures_of_its_own(kind: Kind, expected: str) -> None:
    run = at("ARM")
    run.own.done(Failed(kind), 0.0)
    assert follow(run) == expected


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", [Kind.DELAY_TOO_LARGE, Kind.TOO_MANY, Kind.REFUSED])
def test_answers_out_of_place_are_like_any_other_refusal(step: str, kind: Kind) -> None:
    if step != "ARM":
        odd, refused = at(step), at(step)
        odd.own.done(Failed(kind), 0.0)
        refused.own.done(Failed(Kind.REFUSED), 0.0)
        assert follow(odd) == follow(refused)


@pytest.mark.parametrize("step", STEPS)
def test_token_lost_stops_everything(step: str) -> None:
    run = at(step)
    run.own.done(Failed(Kind.AUTH_LOST), 0.0)
    assert run.own.status is Status.STOPPED
    assert follow(run) == "stopped"


def test_send_failed_otherwise_than_not_found_cancels_afterwards() -> None:
    for kind, expected in ((Kind.NOT_FOUND, "left"), (Kind.REFUSED, "CANCEL")):
        run = at("SEND")
        run.own.done(Failed(kind), 0.0)
        assert follow(run) == "CLEAR"
        run.own.done(run.server.carry_out(ClearState(1.0)), 0.0)
        assert follow(run) == expected


def test_restart_not_found_after_the_firing_starts_over() -> None:
    run = at("RESTART")
    run.own.done(Failed(Kind.NOT_FOUND), 18.0)
    assert run.own.status is Status.JOINING
