"""Updates a second of processor time: accepted and merged by our Document, by pycrdt, by yjs.

Ours is everything a board does with an update: read and bound it, integrate it, check what it
touched as NeoBoard would, take it back if need be, keep what waits. pycrdt's and yjs' is the bare
`apply_update`, which checks nothing. All get the same bytes, in turn, one run of each after the
other; processor time is compared, as other programs on the machine would decide otherwise.

Every ratio is ours by the other's: `merge_vs_yjs` 3 would be three times as many as yjs merges.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pycrdt import Doc, Map

from bot.whiteboard.document import Document
from tests.bench.drawing import Drawing, with_gaps
from tests.bench.results import Result
from tests.peers.yjs import Yjs
from tests.stack.client.document import initial

_BATCH = 32
"""Updates taken at a time under load: a board gets at once what has come meanwhile."""


def measure(*, updates: int, runs: int) -> list[Result]:
    """Merge the updates of a typical board.

    Args:
        updates: how many.
        runs: of each contestant.

    Raises:
        AssertionError: something is still waiting in the end.
    """
    sent = Drawing(seed=5).draw(updates)
    late = with_gaps(sent)
    unit = "updates/s of CPU"
    in_order = Result("merge_in_order", unit, goal=0.3, at_least=True)
    singly = Result("merge_in_order_singly", unit)
    gaps = Result("merge_with_gaps", unit, goal=0.3, at_least=True)
    yjs = Result("merge_vs_yjs", unit, goal=3, at_least=True)
    with Yjs() as node:
        # Once for nothing: node compiles what runs often, and nobody's first run is like the rest.
        _theirs(node, sent)
        _merged(sent, _BATCH)
        for _ in range(runs):
            in_order.ours.append(_merged(sent, _BATCH))
            bare = _pycrdt(sent)
            singly.ours.append(_merged(sent, 1))
            yjs.reference.append(_theirs(node, sent))
            gaps.ours.append(_merged(late, _BATCH))
            for one in (in_order, singly, gaps):
                one.reference.append(bare)
    yjs.ours = list(in_order.ours)
    return [in_order, singly, gaps, yjs]


def _merged(updates: Sequence[bytes], batch: int) -> float:
    document = Document()
    batches = [updates[start : start + batch] for start in range(0, len(updates), batch)]
    began = time.process_time()
    for one in batches:
        document.apply(one)
    spent = time.process_time() - began
    assert not document.has_gap
    return len(updates) / spent


def _pycrdt(updates: Sequence[bytes]) -> float:
    doc: Doc[Any] = Doc()
    doc.get("0", type=Map)
    doc.apply_update(initial("0"))
    began = time.process_time()
    for update in updates:
        doc.apply_update(update)
    return len(updates) / (time.process_time() - began)


def _theirs(node: Yjs, updates: Sequence[bytes]) -> float:
    return len(updates) / node.time([initial("0"), *updates])
