"""The judging of `make chaos` and `make soak`: what they would call a ghost, a gap, a request."""

from __future__ import annotations

from datetime import datetime
from math import inf
from pathlib import Path

from tests.chaos.checks import (
    Gap,
    Life,
    Mark,
    gaps,
    middle_and_worst,
    outlived,
    standing,
)
from tests.chaos.requests import requests


def on(ts: float) -> Mark:
    return Mark(ts, joined=True)


def off(ts: float) -> Mark:
    return Mark(ts, joined=False)


LIVES = [Life(0, 10), Life(12, 20)]


def test_a_membership_that_ends_with_its_process_is_no_ghost() -> None:
    assert outlived([on(1), off(9)], LIVES) == []


def test_what_outlives_its_process_ends_with_the_next_event() -> None:
    assert outlived([on(1), on(5), off(14), on(15), off(19)], LIVES) == [4]
    assert outlived([on(1), on(13)], LIVES) == [3, inf]


def test_nobodys_membership_is_not_judged() -> None:
    assert outlived([on(-1)], LIVES) == []


def test_gaps_lie_between_memberships() -> None:
    marks = [off(0), on(1), on(2), off(3), off(4), on(6), off(8)]
    assert gaps(marks) == [Gap(3, 6), Gap(8, inf)]
    assert gaps(marks)[0].length == 3
    assert gaps([off(1)]) == []
    assert gaps([]) == []


def test_sticky_memberships_overlap_and_each_ends_for_itself() -> None:
    one, two = Mark(1, joined=True, member="a"), Mark(13, joined=True, member="b")
    gone = Mark(14, joined=False, member="a")
    assert outlived([one, two, gone], LIVES) == [4, inf]
    assert standing([one, two]) == {"a": 1, "b": 13}
    assert standing([one, two, gone]) == {"b": 13}
    assert gaps([one, two, gone]) == []
    assert gaps([one, Mark(9, joined=False, member="a"), two]) == [Gap(9, 13)]


def test_middle_and_worst() -> None:
    assert middle_and_worst([3, 1, 2.004]) == {"count": 3, "median": 2.0, "worst": 3}
    assert middle_and_worst([4, 1])["median"] == 2.5
    assert middle_and_worst([]) == {"count": 0, "median": None, "worst": None}


LINE = (
    "2026-11-21 05:55:{:02},236 INFO synapse.access.http.23880: 127.0.0.1 - 23880 - {{{}}}"
    " Processed request: 0.113sec/0.003sec ru=(0.001sec, 0.001sec) db=(0.049sec/0.005sec/15)"
    ' 2B {} "{} {}'
    ' HTTP/1.1" "boardkeeper/0.1.0" [0 dbevts]\n'
)
DELAYED = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"


def test_requests_are_counted_by_kind(tmp_path: Path) -> None:
    bot = "@bot:here"
    log = tmp_path / "synapse.log"
    log.write_text(
        "something else\n"
        + LINE.format(1, bot, "200", "POST", f"{DELAYED}/syd_a/restart")  # too early
        + LINE.format(10, bot, "200", "POST", f"{DELAYED}/syd_a/restart")
        + LINE.format(11, bot, "429", "POST", f"{DELAYED}/syd_a/restart")
        + LINE.format(12, bot, "200", "POST", f"{DELAYED}/syd_a/send")
        + LINE.format(12, bot, "200", "GET", DELAYED)
        + LINE.format(13, bot, "499!", "GET", "/_matrix/client/v3/sync?since=s1")
        + LINE.format(14, bot, "200", "PUT", "/_matrix/client/v3/rooms/!r/state/t/k")
        + LINE.format(14, bot, "200", "GET", "/_matrix/client/versions")
        + LINE.format(15, "@other:here", "200", "GET", "/_matrix/client/versions")
    )
    begun = datetime(2026, 11, 21, 5, 55, 5).timestamp()  # noqa: DTZ001 - local, as in the log
    assert requests(log, bot, begun, begun + 50) == {
        "restart": 1,
        "refused": 1,
        "send or cancel": 1,
        "list delayed events": 1,
        "sync": 1,
        "state": 1,
        "other": 1,
    }
