"""The bot's Document and real Yjs agree, whatever people do and however it arrives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.whiteboard.document import Document
from bot.whiteboard.schema import check_document
from bot.whiteboard.verdict import Outcome, Verdict
from bot.whiteboard.versions import initial
from tests.peers.yjs import Read, Step, Yjs
from tests.stack.client.document import BoardDocument, Refused
from tests.stack.client.recording import Recording, SentPacket
from tests.stack.processes import ROOT

CLIENTS = (7, 1_000_000_007, 4_294_967_295)
ACTIONS = (
    "add",
    "add",  # else most boards stay empty
    "change",
    "change",
    "unset",
    "remove",
    "reorder",
    "lock",
    "addSlide",
    "removeSlide",
    "reorderSlide",
    "sync",
    "sync",
)
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 2), st.integers(0, 4)), max_size=25
)
VERSIONS = st.sampled_from(("0", "1"))
ROOMY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """How updates reach the bot.

    Attributes:
        order: of their indexes; an index may come twice.
        cuts: after how many of them a batch ends.
        late: which of them come only at the very end.
    """

    order: list[int]
    cuts: set[int]
    late: set[int]

    def batches(self, updates: list[bytes]) -> list[list[bytes]]:
        """What comes in time, as it is handed over."""
        batches: list[list[bytes]] = [[]]
        for number, index in enumerate(self.order):
            if index not in self.late:
                batches[-1].append(updates[index])
            if number in self.cuts:
                batches.append([])
        return batches


@st.composite
def arrivals(draw: st.DrawFn, count: int) -> Arrival:
    order = draw(st.permutations(range(count)))
    numbers = st.sets(st.integers(0, max(0, count - 1)), max_size=count)
    again = draw(st.lists(st.sampled_from(range(count)), max_size=3)) if count else []
    return Arrival([*order, *again], draw(numbers), draw(numbers) if draw(st.booleans()) else set())


def invalid(read: Read, version: str) -> bool:
    """Whether NeoBoard would not take a document."""
    root = json.loads(json.dumps(read.root), parse_int=float)  # as pycrdt reads numbers
    return check_document(root, version) is not None


def fed(document: Document, batches: list[list[bytes]]) -> list[Outcome]:
    outcomes = [outcome for batch in batches for outcome in document.apply(batch)]
    assert Verdict.REFUSED not in {outcome.verdict for outcome in outcomes}, outcomes
    return outcomes


@ROOMY
@given(steps=STEPS, version=VERSIONS, data=st.data())
def test_what_yjs_writes_is_read_the_same_in_any_order(
    yjs: Yjs, steps: list[Step], version: str, data: st.DataObject
) -> None:
    base = initial(version)
    updates = yjs.edit(base, steps, CLIENTS, version)
    everything = yjs.read([base, *updates], version)
    arrival = data.draw(arrivals(len(updates)))
    late = [updates[index] for index in sorted(arrival.late)]
    document = Document(default_version=version)

    fed(document, arrival.batches(updates))
    half = document.encode()
    # Nothing is missing but what is late, here and for whoever reads what is kept.
    assert yjs.read([half, *late], version).content == everything.content
    # What is written to the room is shown by everybody, and heals by itself.
    written = yjs.read([document.snapshot()], version)
    assert not invalid(written, version)
    assert written.content == document.content()

    reloaded = Document(half, default_version=version)
    assert reloaded.content() == document.content()
    for whole in (document, reloaded):
        fed(whole, [late])
        assert whole.waiting == 0
        assert not whole.has_gap
        assert whole.content() == everything.content
        saved = yjs.read([whole.encode()], version)
        assert saved.content == everything.content
        assert saved.clocks == everything.clocks
        assert saved.roots == [version]
        assert not saved.waiting


@ROOMY
@given(steps=STEPS, version=VERSIONS, data=st.data())
def test_a_snapshot_written_by_yjs_while_something_was_missing(
    yjs: Yjs, steps: list[Step], version: str, data: st.DataObject
) -> None:
    base = initial(version)
    updates = yjs.edit(base, steps, CLIENTS, version)
    arrival = data.draw(arrivals(len(updates)))
    held = [update for batch in arrival.batches(updates) for update in batch]
    # Read once more: among several missing updates Yjs passes over some that it could integrate.
    theirs = yjs.read([yjs.read([base, *held], version).state], version)
    document = Document(default_version=version)

    outcome = document.merge_snapshot(theirs.state)
    if invalid(theirs, version):
        # Something was deleted whose successor is missing: no client takes it.
        assert outcome.verdict is Verdict.REFUSED
        return
    assert outcome.verdict is not Verdict.REFUSED
    assert document.content() == theirs.content
    assert yjs.read([document.encode()], version).clocks == theirs.clocks
    assert document.has_gap == theirs.waiting
    assert document.merge_snapshot(theirs.state).verdict is Verdict.KNOWN

    fed(document, [[updates[index] for index in sorted(arrival.late)]])
    assert document.content() == yjs.read([base, *updates], version).content
    assert document.waiting == 0


@ROOMY
@given(steps=STEPS, version=VERSIONS, data=st.data())
def test_a_difference_is_all_that_the_other_side_lacks(
    yjs: Yjs, steps: list[Step], version: str, data: st.DataObject
) -> None:
    base = initial(version)
    updates = yjs.edit(base, steps, CLIENTS, version)
    everything = yjs.read([base, *updates], version)
    # Both hold a beginning of what happened, so neither waits for anything.
    known = updates[: data.draw(st.integers(0, len(updates)))]
    theirs = yjs.read([base, *known], version)
    document = Document(default_version=version)
    fed(document, [updates])

    difference = document.diff(theirs.state_vector)

    assert yjs.read([theirs.state, difference], version).content == everything.content
    other = Document(default_version=version)
    fed(other, [known])
    fed(other, [[document.diff(other.state_vector())]])
    assert other.content() == everything.content
    assert yjs.read([other.encode()], version).content == everything.content


@ROOMY
@given(steps=STEPS, version=VERSIONS, data=st.data())
def test_the_simulated_user_sees_what_yjs_shows(
    yjs: Yjs, steps: list[Step], version: str, data: st.DataObject
) -> None:
    base = initial(version)
    updates = yjs.edit(base, steps, CLIENTS, version)
    arrival = data.draw(arrivals(len(updates)))
    held = [update for batch in arrival.batches(updates) for update in batch]
    late = [updates[index] for index in sorted(arrival.late)]
    someone = BoardDocument(version)
    taken = [base]
    for update in [*held, *late]:
        theirs = yjs.read([*taken, update], version)
        if invalid(theirs, version):
            with pytest.raises(Refused):
                someone.receive(update)
            continue
        taken.append(update)
        someone.receive(update)
        for slide in theirs.content["slides"]:
            slide.pop("frameElementIds", None)
        assert someone.content() == theirs.content
        assert theirs.waiting or not someone.waiting


@pytest.mark.parametrize("session", ["slides", "infinite"])
def test_what_real_people_drew(yjs: Yjs, session: str) -> None:
    folder = Path(ROOT / "tests/data/neoboard-session" / session)
    recording = Recording.read(folder)
    updates = [
        one.update
        for one in recording.sent
        if isinstance(one, SentPacket) and one.update is not None
    ]
    assert len(updates) > 5
    document = Document(default_version=recording.version)
    document.apply(updates)

    theirs = yjs.read([initial(recording.version), *updates], recording.version)
    assert document.content() == theirs.content
    saved = yjs.read([document.encode()], recording.version)
    assert saved.content == theirs.content
    assert saved.waiting == theirs.waiting
