"""Slots: open, closed, never mentioned."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.rtc import session, slots
from bot.rtc.membership import WHITEBOARD
from bot.rtc.slots import SLOT_TYPE, Slot, Slots
from tests.unit.rtc.test_sticky_read import JSON

HERE = session.Slot(WHITEBOARD, "board")
OPEN = {"status": "open", "application": {"type": WHITEBOARD}}


def said(content: Any = OPEN, key: object = str(HERE), event_id: str = "$slot") -> dict[str, Any]:
    return {"state_key": key, "event_id": event_id, "content": content}


def room(*events: dict[str, Any]) -> Slots:
    found = Slots()
    for event in events:
        assert found.take(SLOT_TYPE, event)
    return found


@pytest.mark.scenario("S31")
def test_s31_a_slot_is_opened_closed_and_opened_again() -> None:
    found = room()
    assert found.state(HERE) is Slot.ABSENT
    for content, state in (
        (OPEN, Slot.OPEN),
        ({**OPEN, "status": "closed"}, Slot.CLOSED),
        ({"application": {"type": WHITEBOARD}}, Slot.OPEN),  # of October 2025
        ({}, Slot.CLOSED),
        (OPEN, Slot.OPEN),
        ({"status": "open"}, Slot.CLOSED),
        ({**OPEN, "application": {"type": "m.call"}}, Slot.CLOSED),
        ({**OPEN, "application": []}, Slot.CLOSED),
        ([], Slot.CLOSED),
    ):
        found.take(SLOT_TYPE, said(content))
        assert found.state(HERE) is state


def test_either_type_opens_a_slot() -> None:
    found = room(said({}))
    found.take("m.rtc.slot", said())
    assert found.state(HERE) is Slot.OPEN
    found.take("m.rtc.slot", said({}))
    assert found.state(HERE) is Slot.CLOSED


@pytest.mark.scenario("S22")
def test_a_redacted_slot_is_closed() -> None:
    found = room(said())
    found.redact("$other")
    assert found.state(HERE) is Slot.OPEN
    found.redact("$slot")
    assert found.state(HERE) is Slot.CLOSED


def test_keys_that_name_no_slot_mean_nothing() -> None:
    found = room(said(key="board"), said(key=f"{HERE}#more"), said(key=None))
    assert found.state(HERE) is Slot.ABSENT


def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "MAX_SLOTS", 1)
    found = room(said())
    assert not found.take(SLOT_TYPE, said(key="m.call#x"))
    assert found.take(SLOT_TYPE, said({}))
    assert found.state(HERE) is Slot.CLOSED


SAID = {"state_key": st.just(str(HERE)) | JSON, "event_id": JSON, "content": st.just(OPEN) | JSON}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.fixed_dictionaries({}, optional=SAID)))
def test_any_json_is_taken(events: list[dict[str, Any]]) -> None:
    found = Slots()
    for event in events:
        found.take(SLOT_TYPE, event)
        found.redact(event.get("event_id"))
        assert found.state(HERE) in Slot
