"""What the bot writes into a document itself, real Yjs reads as it was wanted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.whiteboard.comparison import alike
from bot.whiteboard.document import Document
from bot.whiteboard.edit import MAX_PART, rewrite
from bot.whiteboard.nwb import read_nwb
from bot.whiteboard.verdict import Verdict
from bot.whiteboard.versions import initial
from tests.peers.test_documents import CLIENTS, STEPS, invalid
from tests.peers.yjs import Step, Yjs
from tests.unit.whiteboard.generated import boards

VERSIONS = st.sampled_from(("0", "1"))
ROOMY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
QUICKSTART = Path(__file__).parents[1] / "data/quickstart-pack.nwb"


def new_ids(prefix: str) -> Callable[[], str]:
    numbers = count()
    return lambda: f"{prefix}-{next(numbers)}"


@ROOMY
@given(steps=STEPS, version=VERSIONS, client=st.integers(1, 2**31 - 1), data=st.data())
def test_a_rewritten_board_is_exactly_what_was_wanted(
    yjs: Yjs, steps: list[Step], version: str, client: int, data: st.DataObject
) -> None:
    base = initial(version)
    updates = yjs.edit(base, steps, CLIENTS, version)
    document = Document(base, default_version=version)
    document.apply(updates)
    kept = document.content()["slides"]
    wanted = data.draw(boards(version))
    if version == "0":  # slides that stay, before and behind
        wanted = [*kept[:1], *wanted, *kept[1:]]

    max_bytes = data.draw(st.sampled_from([1, 300, MAX_PART]))
    ours = rewrite(document, wanted, client=client, new_id=new_ids("n"), max_bytes=max_bytes)

    received = [base, *updates, *ours]
    for number in range(len(ours)):  # every part by itself is something NeoBoard takes
        assert not invalid(yjs.read(received[: len(received) - number], version), version)
    theirs = yjs.read(received, version)
    assert alike(theirs.content["slides"], wanted)
    assert not theirs.waiting
    assert not invalid(theirs, version)
    assert {one.verdict for one in document.apply(ours)} <= {Verdict.CHANGED}
    assert document.content() == theirs.content
    assert yjs.read([document.snapshot()], version).content == theirs.content
    # Who reads what we would write next time is told that nothing is left to do.
    assert rewrite(document, wanted, client=client, new_id=new_ids("m")) == []


@ROOMY
@given(steps=STEPS, late=st.data(), version=VERSIONS)
def test_what_comes_late_or_is_missing_changes_nothing_of_it(
    yjs: Yjs, steps: list[Step], version: str, late: st.DataObject
) -> None:
    base = initial(version)
    updates = yjs.edit(base, steps, CLIENTS, version)
    numbers = range(len(updates))
    missing = late.draw(st.sets(st.sampled_from(numbers))) if updates else set()
    document = Document(base, default_version=version)
    document.apply([updates[number] for number in numbers if number not in missing])
    wanted = late.draw(boards(version))

    ours = rewrite(document, wanted, client=123, new_id=new_ids("n"))
    document.apply(ours)
    there = [base, *(updates[one] for one in numbers if one not in missing), *ours]
    reader = yjs.read(there, version)
    rest = [updates[number] for number in sorted(missing)]
    document.apply(rest)
    whole = yjs.read([reader.state, *rest], version)
    assert document.content() == whole.content
    assert document.waiting == 0
    assert not invalid(whole, version)
    made = {slide["id"]: slide for slide in whole.content["slides"]}
    for slide in document.content()["slides"]:
        if slide["id"].startswith("n-"):
            assert made[slide["id"]] == slide


def test_neoboards_own_file_on_a_board_of_yjs(yjs: Yjs) -> None:
    document = Document(initial("0"))
    slides: list[dict[str, Any]] = read_nwb(QUICKSTART.read_bytes(), new_ids("f")).slides
    updates = rewrite(document, slides, client=2**31 - 1, new_id=new_ids("n"), max_bytes=20_000)
    theirs = yjs.read([initial("0"), *updates])
    assert alike(theirs.content["slides"], slides)
    assert len(updates) > 1
