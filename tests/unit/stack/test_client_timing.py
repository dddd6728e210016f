"""The beat of cursors and snapshots, and what a bad connection does."""

from __future__ import annotations

import itertools

import pytest

from tests.stack.client.link import Link
from tests.stack.client.recording import SentPacket, SentSnapshot, pauses
from tests.stack.client.throttle import Throttle
from tests.unit.stack.conftest import Recorded


def outcome(throttle: Throttle[int], times: list[float]) -> list[tuple[float, int]]:
    """When which value leaves; values are the numbers of the times."""
    left = []
    for value, now in enumerate(times):
        while throttle.deadline is not None and throttle.deadline <= now:
            due = throttle.deadline
            taken = throttle.take(due)
            if taken is not None:
                left.append((due, taken))
        through = throttle.offer(value, now)
        if through is not None:
            left.append((now, through))
    while throttle.deadline is not None:
        due = throttle.deadline
        taken = throttle.take(due)
        if taken is not None:
            left.append((due, taken))
    return left


def test_cursors_leave_at_once_and_then_ten_times_a_second() -> None:
    cursors = Throttle[int](0.1, leading=True)
    assert outcome(cursors, [0, 0.03, 0.06, 0.15, 0.5]) == [
        (0, 0),
        (0.1, 2),
        (0.2, 3),
        (0.5, 4),
    ]


def test_nothing_is_due_before_its_time() -> None:
    throttle = Throttle[int](5, leading=False)
    assert throttle.take(0) is None
    assert throttle.offer(1, 0) is None
    assert throttle.take(4.9) is None
    assert throttle.take(5) == 1


@pytest.mark.parametrize("person", ["alice", "bob"])
def test_snapshots_come_when_the_real_clients_wrote_theirs(slides: Recorded, person: str) -> None:
    sent = slides.recording.of([person])
    drawn = [one.ts / 1000 for one in sent if isinstance(one, SentPacket) and one.update]
    saved = [one.ts / 1000 for one in sent if isinstance(one, SentSnapshot)]
    expected = [at for at, _ in outcome(Throttle[int](5, leading=False), drawn)]
    assert len(saved) == len(expected)
    assert [abs(a - b) < 0.6 for a, b in zip(saved, expected, strict=True)] == [True] * len(saved)


def test_a_good_link_changes_nothing() -> None:
    link = Link()
    packets = [bytes([number]) for number in range(50)]
    assert [link.offer(packet) for packet in packets] == [[packet] for packet in packets]
    assert not link.holds


def test_a_bad_link_does_what_it_says_and_the_same_again() -> None:
    packets = [number.to_bytes(2, "big") for number in range(2000)]

    def arrived() -> tuple[list[bytes], Link]:
        link = Link(loss=0.1, duplicate=0.05, reorder=0.1, seed=3)
        found = [arriving for packet in packets for arriving in link.offer(packet)]
        return found + link.flush(), link

    found, link = arrived()
    assert found == arrived()[0]
    assert 150 < link.counts["lost"] < 250
    assert 60 < link.counts["duplicated"] < 140
    assert 140 < link.counts["reordered"] < 220
    assert len(set(found)) == 2000 - link.counts["lost"]
    assert len(found) == len(set(found)) + link.counts["duplicated"]
    assert found != sorted(found)
    assert all(abs(packets.index(packet) - place) < 250 for place, packet in enumerate(found))


def test_pauses_are_scaled_and_capped(slides: Recorded) -> None:
    sent = slides.recording.of(["alice", "bob"])
    real = pauses(sent, 1, None)
    assert sum(real) == pytest.approx((sent[-1].ts - sent[0].ts) / 1000, abs=0.3)
    assert sum(pauses(sent, 10, None)) == pytest.approx(sum(real) / 10, rel=0.05)
    assert max(pauses(sent, 1, 2.0)) == 2.0
    fast = pauses(sent, float("inf"), None)
    assert set(fast) == {0.0, 0.2}
    authors = [one.sender for one in sent if isinstance(one, SentPacket) and one.update is not None]
    turns = sum(before != after for before, after in itertools.pairwise(authors))
    assert sum(fast) == pytest.approx(0.2 * turns)
    assert pauses([], 1, None) == []
