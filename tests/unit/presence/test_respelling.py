"""How we spell LiveKit follows the others, and not too often."""

from __future__ import annotations

from bot.presence.respelling import APART, SOON, Respelling


def test_another_spelling_is_written_soon_and_then_not_for_a_while() -> None:
    here = Respelling()
    assert not here.look("livekit", 0.0)
    assert here.due is None  # nothing is in the room yet
    here.written = "livekit"
    assert not here.look("m.livekit", 10.0)
    assert here.due is not None
    assert 10.0 + SOON <= here.due <= 10.0 + 3 * SOON
    assert not here.look("m.livekit", 10.0 + SOON / 2)
    first = here.due
    assert here.look("m.livekit", first)
    assert (here.written, here.due) == ("m.livekit", None)
    assert not here.look("m.livekit", first + 1)
    assert not here.look("livekit", first + 2)
    assert here.due == first + APART
    assert here.look("livekit", first + APART)


def test_who_has_gone_meanwhile_is_not_followed() -> None:
    here = Respelling()
    here.written = "livekit"
    here.look("m.livekit", 0.0)
    assert not here.look("livekit", 1.0)
    assert here.due is None
    assert not here.look("m.livekit", 100.0)  # it waits anew


def test_of_two_bots_that_would_take_each_others_spelling_one_is_first() -> None:
    ours, theirs = Respelling(), Respelling()
    ours.written, theirs.written = "livekit", "m.livekit"
    now, changes = 0.0, 0
    while now < 1000.0:
        seen = ours.written, theirs.written
        changes += ours.look(seen[1], now) + theirs.look(seen[0], now)
        now += 0.01
    assert ours.written == theirs.written
    assert changes <= 3  # at the same hundredth of a second twice: never seen
