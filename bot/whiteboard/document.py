"""Document: the accepted updates of a board, merged.

The live `Doc` is fed in causal order only: pycrdt loses keys when updates of one client come out
of order, and leaves what waits out of `get_update()`. So an update whose cause is missing waits
here, as bytes, until the cause is there. Nothing that was accepted is left out of `encode()`.

An update is applied first and checked afterwards, by what it touched: most are valid, and a clone
for each would cost the more the larger the board is. One that NeoBoard would refuse is taken back
by building the `Doc` anew without it; later ones of its client then wait, as they do in NeoBoard,
until a valid snapshot brings what is missing.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pycrdt import ArrayEvent, Doc, Map, MapEvent, merge_updates

from bot.errors import InvalidUpdate
from bot.whiteboard.content import plain, read_content
from bot.whiteboard.cut import cut
from bot.whiteboard.schema import check_document, check_element, is_id
from bot.whiteboard.update import Id, Structure, read_update

_INITIAL = {
    "0": "AQYAACcBATAGc2xpZGVzAScAAAAVSU40aDc0c3VNaUlBSzRBVk1BZGxfAScAAAEIZWxlbWVudHMB"
    "JwAAAQplbGVtZW50SWRzACcBATAIc2xpZGVJZHMACAAABAF3FUlONGg3NHN1TWlJQUs0QVZNQWRsXwA=",
    "1": "AQcAACcBATEGc2xpZGVzAScAAAAVSU40aDc0c3VNaUlBSzRBVk1BZGxfAScAAAEIZWxlbWVudHMB"
    "JwAAAQplbGVtZW50SWRzACcBATEIc2xpZGVJZHMACAAABAF3FUlONGg3NHN1TWlJQUs0QVZNQWRsXycA"
    "AAEPZnJhbWVFbGVtZW50SWRzAAA=",
}

MAX_WAITING = 2_000
"""Updates that wait for a cause at the most; beyond, the oldest are dropped (`lost` counts)."""
MAX_LOG = 256
"""Updates kept one by one since the last known good state, to take one back."""
CREDIT = 50
"""Refused updates that may be tried in place in a row; then unknown clients wait for a snapshot."""


class Verdict(Enum):
    """What became of an update."""

    CHANGED = "changed"
    KNOWN = "known"
    """It held nothing new."""
    WAITING = "waiting"
    """It is accepted and kept; what it builds on has not come yet."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict and, when refused, why; the reason never quotes the board."""

    verdict: Verdict
    reason: str = ""


def initial(version: str) -> bytes:
    """Return the fixed bytes every document of a version begins with (board.md 1)."""
    return base64.b64decode(_INITIAL[version])


def merge(updates: Sequence[bytes]) -> bytes:
    """Merge updates into one, whatever their order."""
    return bytes(merge_updates(*updates))


@dataclass(slots=True, eq=False)
class _Waiting:
    """An update that waits.

    Attributes:
        wants: ids; none of it can be applied until one of them is there. None: not known.
    """

    data: bytes
    structure: Structure
    wants: tuple[Id, ...] | None = None

    @property
    def divisible(self) -> bool:
        """Whether it may pay to apply a part of it: it is more than one person's one change."""
        return self.structure.skips or len(self.structure.blocks) > 1


class Document:
    """One board's document.

    Args:
        data: its state; empty for a board nothing is known of.
        default_version: what to begin with until a snapshot says the version.
        max_bytes: of the whole document; what would exceed it is refused.
    """

    def __init__(
        self, data: bytes = b"", *, default_version: str = "0", max_bytes: int = 20_000_000
    ) -> None:
        self.lost = 0
        self.supported = True
        self._max_bytes = max_bytes
        self._root_name = default_version
        self._certain = False
        self._waiting: list[_Waiting] = []
        self._raw: list[bytes] = []  # accepted while the version is a guess
        self._credit = CREDIT
        self._begin(initial(default_version))
        self._log: list[bytes] = []
        self._size = 0
        if data:
            self.merge_snapshot(data)

    # -- what it is ----------------------------------------------------------------------------

    @property
    def version(self) -> str | None:
        """`"0"` slides, `"1"` infinite canvas; None while nothing is known of the board."""
        return self._root_name if self._certain or self._raw else None

    @property
    def waiting(self) -> int:
        """How many updates wait for a cause."""
        return len(self._waiting)

    @property
    def has_gap(self) -> bool:
        """Whether something is missing that others build on."""
        return bool(self._waiting) or self.lost > 0

    def encode(self) -> bytes:
        """Return everything accepted as one update, what waits included."""
        whole = bytes(self._doc.get_update())
        if not self._waiting:
            return whole
        return merge([whole, *(one.data for one in self._waiting)])

    def snapshot(self) -> bytes:
        """Return what may be written to the room: `encode()`, if NeoBoard takes it as it is.

        Yjs does the deletions of a waiting update at once. Where the board is not valid in between,
        what waits is left out: no client would take any of it.
        """
        if not self._waiting:
            return self.encode()
        deletes = [one for waiting in self._waiting for one in waiting.structure.deletes]
        if any(start < self._clocks.get(who, 0) for who, start, _ in deletes):
            return bytes(self._doc.get_update())
        return self.encode()

    def state_vector(self) -> bytes:
        """Return the Yjs state vector of what is applied."""
        return bytes(self._doc.get_state())

    def diff(self, state_vector: bytes) -> bytes:
        """Return the update that a document with this state vector lacks."""
        return bytes(self._doc.get_update(state_vector))

    def content(self) -> dict[str, Any]:
        """Return the board as people see it (`content.read_content`)."""
        return read_content(self._root)

    # -- live updates --------------------------------------------------------------------------

    def apply(self, updates: Sequence[bytes]) -> list[Outcome]:
        """Take live updates, in the order they came.

        Returns:
            One outcome for each.
        """
        before, waited = len(self._log), list(self._waiting)
        outcomes = [self._take(update) for update in updates]
        reason = self._check()
        if reason is None:
            self._settle()
            return outcomes
        # Something in it is not valid: take all back, then one by one.
        self._undo(before, waited)
        if len(updates) > 1:
            return [outcome for update in updates for outcome in self.apply([update])]
        return [self._apply_alone(updates[0])]

    def _apply_alone(self, update: bytes) -> Outcome:
        """Apply one update, then what waited for it, each checked by itself."""
        before, waited = len(self._log), list(self._waiting)
        outcome = self._take(update, drain=False)
        reason = self._check()
        if reason is not None:
            self._undo(before, waited)
            self._credit -= 1
            return Outcome(Verdict.REFUSED, reason)
        while (one := self._free()) is not None:
            before, waited = len(self._log), list(self._waiting)
            self._feed(one.data, one.structure)
            if self._check() is not None:
                self._undo(before, waited)
        return outcome

    def _take(self, data: bytes, *, drain: bool = True) -> Outcome:
        try:
            structure = self._read(data)
        except InvalidUpdate as error:
            return Outcome(Verdict.REFUSED, str(error))
        if self._missing(structure) or self._suspicious(structure):
            one = _Waiting(data, structure)
            outcome = self._wait(one)
            return self._drain(outcome) if drain and one.divisible else outcome
        if not self._feed(data, structure):
            return Outcome(Verdict.KNOWN)
        return self._drain(Outcome(Verdict.CHANGED)) if drain else Outcome(Verdict.CHANGED)

    def _drain(self, outcome: Outcome) -> Outcome:
        """Apply all that waits no longer; returns the outcome, or that something has changed."""
        while (one := self._free()) is not None:
            if self._feed(one.data, one.structure):
                outcome = Outcome(Verdict.CHANGED)
        return outcome

    def _read(self, data: bytes) -> Structure:
        """Read a live update's structure; raises InvalidUpdate for what is never let near."""
        if len(data) + self._size > self._max_bytes:
            raise InvalidUpdate("the document would be too large")
        structure = read_update(data)
        if structure.roots - {self._root_name} or structure.subdocuments:
            raise InvalidUpdate("it does not belong to a board")
        if structure.nulls:
            raise InvalidUpdate("a field is null")
        return structure

    def _feed(self, data: bytes, structure: Structure) -> bool:
        """Apply an update whose causes are there; returns whether it brought anything."""
        events = self._events
        new = any(stop > self._clocks.get(who, 0) for who, (_, stop) in structure.blocks.items())
        self._doc.apply_update(data)
        for who, (_, stop) in structure.blocks.items():
            self._clocks[who] = max(stop, self._clocks.get(who, 0))
        if new or self._events > events:
            self._log.append(data)
            self._size += len(data)
            if not self._certain:
                self._raw.append(data)
            return True
        return False

    def _missing(self, structure: Structure) -> bool:
        """Return whether anything it builds on has not come yet."""
        clocks, blocks = self._clocks, structure.blocks
        if structure.skips or any(first > clocks.get(who, 0) for who, (first, _) in blocks.items()):
            return True
        return any(
            stop > clocks.get(who, 0) and stop > blocks.get(who, (0, 0))[1]
            for who, stop in structure.needs.items()
        ) or any(
            stop > clocks.get(who, 0) and stop > blocks.get(who, (0, 0))[1]
            for who, _, stop in structure.deletes
        )

    def _suspicious(self, structure: Structure) -> bool:
        """After many refused ones, updates of clients never seen wait: each costs a rebuild."""
        return self._credit <= 0 and any(who not in self._clocks for who in structure.blocks)

    def _wait(self, one: _Waiting) -> Outcome:
        if any(one.data == other.data for other in self._waiting):
            return Outcome(Verdict.KNOWN)
        self._waiting.append(one)
        self._size += len(one.data)
        if len(self._waiting) > MAX_WAITING:
            self._size -= len(self._waiting.pop(0).data)
            self.lost += 1
        return Outcome(Verdict.WAITING)

    def _free(self) -> _Waiting | None:
        """Take out the first update, or part of one, that waits no longer."""
        for one in list(self._waiting):
            if self._suspicious(one.structure):
                continue
            if not self._missing(one.structure):
                self._waiting.remove(one)
                self._size -= len(one.data)
                return one
            part = self._part(one) if one.divisible else None
            if part is not None:
                return part
        return None

    def _part(self, one: _Waiting) -> _Waiting | None:
        """Cut off what can be applied of an update that waits; the rest goes on waiting."""
        clocks = self._clocks
        if one.wants is not None and all(clocks.get(who, 0) <= clock for who, clock in one.wants):
            return None
        parts = cut(one.data, clocks)
        place = self._waiting.index(one)
        rest = _Waiting(parts.rest, read_update(parts.rest), parts.wants) if parts.rest else None
        self._waiting[place : place + 1] = [rest] if rest else []
        self._size -= len(one.data) - len(parts.rest)
        return _Waiting(parts.head, read_update(parts.head)) if parts.head else None

    # -- snapshots -----------------------------------------------------------------------------

    def merge_snapshot(self, data: bytes) -> Outcome:
        """Merge a whole state, from the room or the archive.

        It may itself lack pieces (its writer waited for them): what it has is applied, and the rest
        keeps waiting.
        """
        if len(data) > self._max_bytes:
            return Outcome(Verdict.REFUSED, "the snapshot is too large")
        try:
            structure = read_update(data)
        except InvalidUpdate as error:
            return Outcome(Verdict.REFUSED, str(error))
        version = self._version_of(structure)
        if version is None or structure.subdocuments:
            self.supported = self._certain
            return Outcome(Verdict.REFUSED, "it does not belong to a board this bot knows")
        candidate = self if version == self._root_name else self._with_version(version)
        return self._adopt(candidate, data)

    def _version_of(self, structure: Structure) -> str | None:
        if structure.roots <= {self._root_name} and self._certain:
            return self._root_name
        known = structure.roots & _INITIAL.keys()
        if len(structure.roots) != 1 or not known or self._certain:
            return None
        return known.pop()

    def _with_version(self, version: str) -> Document:
        """Return the same document begun with the other initial bytes: the guess was wrong."""
        other = Document(default_version=version, max_bytes=self._max_bytes)
        other.apply([*self._raw, *(one.data for one in self._waiting)])
        return other

    def _adopt(self, base: Document, data: bytes) -> Outcome:
        """Take over the merge of another document's state and a snapshot, if it is valid."""
        pool = merge([*(one.data for one in base._waiting), data]) if base._waiting else data
        reason: str | None = None
        for pieces in dict.fromkeys((pool, data)):  # what waits may be what is not valid
            fresh = Document(default_version=base._root_name, max_bytes=self._max_bytes)
            fresh._begin(bytes(base._doc.get_update()))
            fresh._waiting = [_Waiting(pieces, read_update(pieces))]
            fresh._drain(Outcome(Verdict.KNOWN))
            reason = check_document(plain(fresh._root), base._root_name)
            if reason is None:
                return self._become(fresh, base)
        return Outcome(Verdict.REFUSED, str(reason))

    def _become(self, fresh: Document, base: Document) -> Outcome:
        """Take over what became of `base` with a snapshot."""
        integrated, whole = bytes(fresh._doc.get_update()), bytes(base._doc.get_update())
        verdict = Verdict.KNOWN
        if base is not self or fresh._clocks != base._clocks or not _same(integrated, whole):
            verdict = Verdict.CHANGED
        elif _extent(fresh._waiting) != _extent(base._waiting):
            verdict = Verdict.WAITING
        self._root_name, self._certain, self._raw = base._root_name, True, []
        self._begin(integrated)
        self._waiting = fresh._waiting
        self._log.clear()
        self._measure()
        self._credit, self.lost = CREDIT, 0
        return Outcome(verdict)

    # -- the live Doc --------------------------------------------------------------------------

    def _begin(self, state: bytes) -> None:
        """Make the live Doc of a state without gaps, and watch it."""
        self._state = state
        self._doc: Doc[Any] = Doc()
        self._root: Map[Any] = self._doc.get(self._root_name, type=Map)
        self._doc.apply_update(state)
        self._clocks = {who: stop for who, (_, stop) in read_update(state).blocks.items()}
        self._events = 0
        self._touched: set[tuple[str, str]] | None = set()
        self._root.observe_deep(self._notice)

    def _notice(self, events: list[Any]) -> None:
        """Note what an update touches: elements one by one; anything else means all."""
        self._events += 1
        for event in events:
            if self._touched is None:
                return
            kind = type(event)
            match event.path:
                case ["slides", slide, "elements", element]:
                    self._touched.add((slide, element))
                case ["slides", slide, "elements"] if kind is MapEvent:
                    self._touched.update((slide, key) for key in event.keys)
                case ["slides", _, "elementIds" | "frameElementIds"] if _ids_only(event):
                    pass
                case _:
                    self._touched = None

    def _check(self) -> str | None:
        """Check what was touched; returns why it is not acceptable."""
        touched, self._touched = self._touched, set()
        if touched is None:
            return check_document(plain(self._root), self._root_name)
        for slide_id, element_id in touched:
            reason = self._check_one(slide_id, element_id)
            if reason is not None:
                return reason
        return None

    def _check_one(self, slide_id: str, element_id: str) -> str | None:
        slide = self._root["slides"].get(slide_id)
        if slide is None or element_id not in slide["elements"]:
            return None  # deleted meanwhile
        if not is_id(element_id):
            return "an element has an id that is not acceptable"
        return check_element(plain(slide["elements"][element_id]))

    def _settle(self) -> None:
        """Make what is applied the state to return to, once in a while."""
        if self._credit < CREDIT and self._log:
            self._credit += 1
        if len(self._log) > MAX_LOG:
            self._state = bytes(self._doc.get_update())
            self._log.clear()
            self._measure()

    def _undo(self, keep: int, waiting: list[_Waiting]) -> None:
        """Go back to the first `keep` updates of the log, and to what waited then."""
        taken_back = self._log[keep:]
        del self._log[keep:]
        if not self._certain:
            del self._raw[len(self._raw) - len(taken_back) :]
        self._waiting = waiting
        self._begin(self._state)
        for data in self._log:
            self._doc.apply_update(data)
            for who, (_, stop) in read_update(data).blocks.items():
                self._clocks[who] = max(stop, self._clocks.get(who, 0))
        self._touched = set()
        self._measure()

    def _measure(self) -> None:
        self._size = sum(map(len, [self._state, *self._log])) + sum(
            len(one.data) for one in self._waiting
        )


def _same(one: bytes, other: bytes) -> bool:
    """Return whether two states without gaps are equal: deletions too."""
    return sorted(read_update(one).deletes) == sorted(read_update(other).deletes)


def _extent(waiting: Sequence[_Waiting]) -> object:
    """Return what tells whether the same is waiting."""
    if not waiting:
        return None
    structure = read_update(merge([one.data for one in waiting]))
    return structure.blocks, structure.structs, sorted(structure.deletes)


def _ids_only(event: Any) -> bool:
    """Return whether this is a list and everything inserted into it is an id."""
    kind = type(event)
    return kind is ArrayEvent and all(
        is_id(one) for part in event.delta for one in part.get("insert", ())
    )
