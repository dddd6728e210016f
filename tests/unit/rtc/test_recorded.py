"""The memberships of a recorded NeoBoard session, read and computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bot.rtc.focus import choose
from bot.rtc.legacy import join_content
from bot.rtc.membership import MEMBER_TYPE, WHITEBOARD, Membership, read_memberships
from bot.rtc.session import Slot, sessions

SLIDES = Path(__file__).parents[2] / "data" / "neoboard-session" / "slides"
BOARD = Slot(WHITEBOARD, "!a3UEvPS4B7bXlWXyckTlsCrnH6oaPrLnBBEE8q8vLjc_whiteboard")


def recorded() -> list[dict[str, Any]]:
    events = json.loads((SLIDES / "timeline.json").read_text())
    return [event for event in events if event["type"] == MEMBER_TYPE]


def test_who_was_there() -> None:
    keys: dict[str, list[Membership]] = {}
    counts = []
    for event in recorded():
        keys[event["state_key"]] = read_memberships(event)
        memberships = [one for many in keys.values() for one in many]
        found = sessions(memberships, event["origin_server_ts"], lambda _: True)
        counts.append(len(found[BOARD].members) if found else 0)
    assert counts == [1, 2, 3, 4, 3, 2, 1, 2, 1, 0, 1, 2, 3, 2, 1, 2, 1, 2, 1, 0]


def test_everybody_follows_the_oldest() -> None:
    alice, bob = [read_memberships(event)[0] for event in recorded()[:2]]
    assert alice.user_id < bob.user_id
    assert choose([bob, alice], "@x:hs:DEV", []) == list(alice.foci)


def test_what_we_write_is_what_neoboard_wrote() -> None:
    event = recorded()[0]
    (alice,) = read_memberships(event)
    written = join_content(
        alice.call_id,
        alice.device_id,
        event["content"]["foci_preferred"][0]["livekit_alias"],
        alice.foci,
        alice.expires,
    )
    assert written == event["content"]
