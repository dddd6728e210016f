"""Updates a second of processor time: accepted and merged by our Document, by pycrdt, by yjs.

Ours is measured in both its forms (setup.py): compiled, as the image has it, and pure, `…_pure`. It
is everything a board does with an update: read and bound it, integrate it, check what it
touched as NeoBoard would, take it back if need be, keep what waits. pycrdt's and yjs' is the bare
`apply_update`, which checks nothing. All get the same bytes, in turn, one run of each after the
other; processor time is compared, as other programs on the machine would decide otherwise.

Every ratio is ours by the other's: `merge_vs_yjs` 3 would be three times as many as yjs merges.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from pycrdt import Doc, Map

from tests.bench.drawing import Drawing, with_gaps
from tests.bench.merger import COMPILED, PURE, Merger
from tests.bench.results import Result
from tests.peers.yjs import Yjs
from tests.stack.client.document import initial

_BATCH = 32
"""Updates taken at a time under load: a board gets at once what has come meanwhile."""
_IN_ORDER, _LATE = 0, 1
"""Of the lists that a process is given."""


def measure(*, updates: int, runs: int) -> list[Result]:
    """Merge the updates of a typical board.

    Args:
        updates: how many.
        runs: of each contestant.

    Raises:
        AssertionError: something is still waiting in the end; or the compiled form cannot be built.
    """
    sent = Drawing(seed=5).draw(updates)
    late = with_gaps(sent)
    with ExitStack() as stack:
        node = stack.enter_context(Yjs())
        # Once for nothing: node compiles what runs often, and nobody's first run is like the rest.
        _theirs(node, sent)
        found: list[Result] = []
        forms: list[_Form] = []
        for form in (COMPILED, PURE):
            merger = stack.enter_context(Merger(form, sent, late))
            merger.merge(_IN_ORDER, _BATCH)
            forms.append(_Form(form, merger))
        for _ in range(runs):
            bare, yjs = _pycrdt(sent), _theirs(node, sent)
            for one in forms:
                one.run(bare, yjs)
        for one in forms:
            found += one.results
    return found


class _Form:
    """What is measured of one form; goals are for the compiled one, which the image has."""

    def __init__(self, form: str, merger: Merger) -> None:
        self._merger = merger
        self.results = [
            _result(form, "merge_in_order", 0.3),
            _result(form, "merge_in_order_singly", None),
            _result(form, "merge_with_gaps", 0.3),
            _result(form, "merge_vs_yjs", 3),
        ]

    def run(self, bare: float, yjs: float) -> None:
        """Measure once more, beside what pycrdt and yjs have just done."""
        in_order, singly, gaps, vs_yjs = self.results
        in_order.ours.append(self._merger.merge(_IN_ORDER, _BATCH))
        singly.ours.append(self._merger.merge(_IN_ORDER, 1))
        gaps.ours.append(self._merger.merge(_LATE, _BATCH))
        vs_yjs.ours.append(in_order.ours[-1])
        for one in (in_order, singly, gaps):
            one.reference.append(bare)
        vs_yjs.reference.append(yjs)


def _result(form: str, name: str, goal: float | None) -> Result:
    unit = "updates/s of CPU"
    if form == PURE:
        return Result(f"{name}_{PURE}", unit, form=form)
    return Result(name, unit, goal=goal, at_least=True, form=form)


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
