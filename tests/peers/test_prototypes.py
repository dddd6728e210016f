"""The bot takes what NeoBoard takes, and nothing else: real Yjs and Joi say what that is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.whiteboard.document import Document
from bot.whiteboard.item import ANY, MAP, TYPE
from bot.whiteboard.lib0 import write_value
from bot.whiteboard.update import merge_updates
from bot.whiteboard.verdict import Verdict
from bot.whiteboard.versions import initial
from tests.peers.yjs import Yjs
from tests.unit.whiteboard.craft import any_content, item, update
from tests.unit.whiteboard.prototypes import Hostile
from tests.unit.whiteboard.recorded import DATA

CASES = 200
VECTORS = json.loads((DATA / "element-validation.json").read_text())["vectors"]


def drawn(element: dict[str, Any]) -> bytes:
    """A board with one element."""
    here = item(TYPE, bytes([MAP]), (0, 2), "a")
    fields = [item(ANY, any_content(write_value(one)), (5, 0), key) for key, one in element.items()]
    return merge_updates([initial("0"), update((5, 0, [here, *fields]))])


def test_the_rules_are_those_that_were_measured(yjs: Yjs) -> None:
    found = {one["name"]: yjs.loads(drawn(one["element"])) for one in VECTORS}
    assert found == {one["name"]: one["valid"] for one in VECTORS}


def taken(seed: int, version: str, yjs: Yjs) -> tuple[int, int]:
    """How many hostile updates were taken, and refused, by the bot and NeoBoard alike."""
    hostile = Hostile(seed, version)
    document = Document(default_version=version)
    updates, ours = [hostile.first], [True]
    for _ in range(6):
        one = hostile.write()
        outcome = document.apply([one])[0]
        updates.append(one)
        ours.append(outcome.verdict is not Verdict.REFUSED)
        if not ours[-1]:
            hostile.forget()
        document.content()
    theirs, state = yjs.judge(updates, version)
    assert ours == theirs, (seed, [one.hex() for one in updates])
    # What either writes, the other takes.
    assert yjs.loads(document.snapshot(), version)
    assert Document(default_version=version).merge_snapshot(state).verdict is not Verdict.REFUSED
    return sum(ours), len(ours) - sum(ours)


@pytest.mark.parametrize("version", ["0", "1"])
def test_objects_that_inherit_are_taken_as_neoboard_takes_them(yjs: Yjs, version: str) -> None:
    found = [taken(seed, version, yjs) for seed in range(CASES)]
    assert sum(refused for _, refused in found) > CASES
    assert sum(accepted for accepted, _ in found) > 2 * CASES
