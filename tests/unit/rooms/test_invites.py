from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.backoff import backoff
from bot.rooms.invites import Invite, Policy, read_invite

ME = "@bot:here"


def policy(**values: Any) -> Policy:
    settings: dict[str, Any] = {"allow": ["@*:here"], "deny": [], "max_rooms": 3, "per_minute": 2}
    return Policy(**(settings | values))


def member(sender: str = "@a:here") -> dict[str, Any]:
    return {
        "type": "m.room.member",
        "state_key": ME,
        "sender": sender,
        "content": {"membership": "invite"},
    }


def test_reads_who_invites() -> None:
    assert read_invite("!r", ME, [member()]) == Invite("!r", "@a:here", False)
    encrypted = {"type": "m.room.encryption", "content": {}}
    assert read_invite("!r", ME, [encrypted, member()]) == Invite("!r", "@a:here", True)


@pytest.mark.parametrize(
    "state",
    [
        [],
        [{"type": "m.room.member", "state_key": "@x:y", "content": {"membership": "invite"}}],
        [{**member(), "content": {"membership": "join"}}],
        [{**member(), "content": None}],
        [{**member(), "sender": 5}],
    ],
)
def test_an_invite_without_inviter_is_none(state: list[dict[str, Any]]) -> None:
    assert read_invite("!r", ME, state) is None


@given(st.lists(st.dictionaries(st.sampled_from(["type", "state_key"]), st.text())))
def test_any_state_is_read(state: list[dict[str, Any]]) -> None:
    read_invite("!r", ME, state)


def test_own_server_may_invite_others_may_not() -> None:
    assert policy().refusal(Invite("!r", "@a:here", False), 0, 0.0) is None
    assert "may invite" in str(policy().refusal(Invite("!r", "@a:there", False), 0, 0.0))
    assert "may invite" in str(policy().refusal(Invite("!r", "@a:here.evil", False), 0, 0.0))


def test_deny_wins() -> None:
    refusal = policy(deny=["@bad*:*"]).refusal(Invite("!r", "@badger:here", False), 0, 0.0)
    assert "not allowed" in str(refusal)


def test_encrypted_rooms_are_declined() -> None:
    assert "encrypted" in str(policy().refusal(Invite("!r", "@a:here", True), 0, 0.0))


def test_count_and_rate_are_bounded() -> None:
    one = policy()
    invite = Invite("!r", "@a:here", False)
    assert "as many rooms" in str(one.refusal(invite, 3, 0.0))
    assert one.refusal(invite, 0, 0.0) is None
    assert one.refusal(invite, 0, 1.0) is None
    assert "Too many" in str(one.refusal(invite, 0, 2.0))
    assert one.refusal(invite, 0, 60.5) is None


@given(st.floats(0, 1, exclude_max=True))
def test_backoff_grows_to_its_cap(value: float) -> None:
    waits = backoff(lambda: value, first=1, cap=8)
    first = [next(waits) for _ in range(6)]
    assert all(
        0.5 * top <= wait <= top for wait, top in zip(first, [1, 2, 4, 8, 8, 8], strict=True)
    )
