"""Document: the accepted updates of a board, merged.

The live `Doc` is fed in causal order only: pycrdt loses keys when updates of one client come out
of order, and leaves what waits out of `get_update()`. So an update whose cause is missing waits
here, as bytes, until the cause is there. Nothing that was accepted is left out of `encode()`.

An update is applied first and checked afterwards (`live`). One that NeoBoard would refuse is taken
back by building the `Doc` anew without it; later ones of its client then wait, as they do in
NeoBoard, until a valid snapshot brings what is missing.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pycrdt import merge_updates

from bot.errors import InvalidUpdate
from bot.whiteboard.live import Live
from bot.whiteboard.update import Structure, read_update
from bot.whiteboard.waiting import Held, Waiting

_INITIAL = {
    "0": "AQYAACcBATAGc2xpZGVzAScAAAAVSU40aDc0c3VNaUlBSzRBVk1BZGxfAScAAAEIZWxlbWVudHMB"
    "JwAAAQplbGVtZW50SWRzACcBATAIc2xpZGVJZHMACAAABAF3FUlONGg3NHN1TWlJQUs0QVZNQWRsXwA=",
    "1": "AQcAACcBATEGc2xpZGVzAScAAAAVSU40aDc0c3VNaUlBSzRBVk1BZGxfAScAAAEIZWxlbWVudHMB"
    "JwAAAQplbGVtZW50SWRzACcBATEIc2xpZGVJZHMACAAABAF3FUlONGg3NHN1TWlJQUs0QVZNQWRsXycA"
    "AAEPZnJhbWVFbGVtZW50SWRzAAA=",
}

NOTHING = b"\0\0"
"""The update that brings nothing."""
MAX_LOG = 256
"""Updates kept one by one since the last known good state, to take one back."""
CREDIT = 50
"""Updates between two snapshots that may turn out invalid, each of which costs a rebuild; after
these, nothing is taken of clients never seen, and after twice as many nothing at all. What people
draw meanwhile comes with their next snapshot."""


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


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where to go back to: how many updates of the log were applied, and what waited."""

    applied: int
    waiting: Waiting


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
        self.supported = True
        self._max_bytes = max_bytes
        self._root_name = default_version
        self._certain = False
        self._waiting = Waiting()
        self._raw: list[bytes] = []  # accepted while the version is a guess
        self._credit = CREDIT
        self._state = initial(default_version)
        self._live = Live(default_version, self._state)
        self._log: list[bytes] = []  # applied since `_state`
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
    def lost(self) -> int:
        """How many of them were dropped, since the last snapshot."""
        return self._waiting.lost

    @property
    def has_gap(self) -> bool:
        """Whether something is missing that others build on."""
        return len(self._waiting) > 0 or self._waiting.lost > 0

    def encode(self) -> bytes:
        """Return everything accepted as one update, what waits included."""
        whole = self._live.state()
        if not self._waiting:
            return whole
        return merge(self._waiting.bytes_with(whole))

    def snapshot(self) -> bytes:
        """Return what may be written to the room: `encode()`, if NeoBoard takes it as it is.

        Yjs does the deletions of a waiting update at once. Where the board is not valid in between,
        what waits is left out: no client would take any of it.
        """
        if not self._waiting:
            return self.encode()
        deletes = [one for waiting in self._waiting for one in waiting.structure.deletes]
        if any(start < self._live.clocks.get(who, 0) for who, start, _ in deletes):
            return self._live.state()
        return self.encode()

    def state_vector(self) -> bytes:
        """Return the Yjs state vector of what is applied."""
        return self._live.state_vector()

    def diff(self, state_vector: bytes) -> bytes:
        """Return the update that a document with this state vector lacks."""
        return self._live.diff(state_vector)

    def content(self) -> dict[str, Any]:
        """Return the board as people see it (`content.read_content`)."""
        return self._live.content()

    # -- live updates --------------------------------------------------------------------------

    def apply(self, updates: Sequence[bytes]) -> list[Outcome]:
        """Take live updates, in the order they came.

        Returns:
            One outcome for each.
        """
        before = self._mark()
        outcomes = [self._take(update) for update in updates]
        if self._live.check() is None:
            self._settle()
            return outcomes
        # Something in it is not valid: take all back, then one by one.
        self._undo(before)
        outcomes = [self._take_alone(update) for update in updates]
        self._settle()
        return outcomes

    def _take_alone(self, update: bytes) -> Outcome:
        """Take one update, then what waited for it, each checked by itself."""
        before = self._mark()
        outcome = self._take(update, drain=False)
        reason = self._live.check()
        if reason is not None:
            self._undo(before)
            self._credit -= 1
            return Outcome(Verdict.REFUSED, reason)
        self._drain_alone()
        return outcome

    def _drain_alone(self) -> None:
        """Apply all that waits no longer and is valid."""
        while (one := self._waiting.free(self._live)) is not None:
            if self._distrusted(one.structure):
                self._waiting.lost += 1
                continue
            before = self._mark()
            self._feed(one)
            if self._live.check() is not None:
                self._undo(before)
                self._credit -= 1

    def _distrusted(self, structure: Structure) -> bool:
        """Return whether it may not even be tried, since that may cost a rebuild (`CREDIT`)."""
        return self._credit <= -CREDIT or (
            self._credit <= 0 and not structure.blocks.keys() <= self._live.clocks.keys()
        )

    def _take(self, data: bytes, *, drain: bool = True) -> Outcome:
        try:
            one = Held(data, self._read(data))
        except InvalidUpdate as error:
            return Outcome(Verdict.REFUSED, str(error))
        if self._live.lacks(one.structure):
            outcome = self._wait(one)
            return self._drain(outcome) if drain and one.divisible else outcome
        if self._distrusted(one.structure):
            # It must not wait either: whoever reads `encode()` would apply it.
            return Outcome(Verdict.REFUSED, "too many were refused")
        if not self._feed(one):
            return Outcome(Verdict.KNOWN)
        return self._drain(Outcome(Verdict.CHANGED)) if drain else Outcome(Verdict.CHANGED)

    def _drain(self, outcome: Outcome) -> Outcome:
        """Apply all that waits no longer; returns the outcome, or that something has changed."""
        while (one := self._waiting.free(self._live)) is not None:
            if self._feed(one):
                outcome = Outcome(Verdict.CHANGED)
        return outcome

    def _read(self, data: bytes) -> Structure:
        """Read a live update's structure; raises InvalidUpdate for what is never let near."""
        if len(data) + self._size + self._waiting.size > self._max_bytes:
            raise InvalidUpdate("the document would be too large")
        structure = read_update(data)
        if structure.roots - {self._root_name} or structure.subdocuments:
            raise InvalidUpdate("it does not belong to a board")
        if structure.nulls:
            raise InvalidUpdate("a field is null")
        return structure

    def _feed(self, one: Held) -> bool:
        """Apply an update whose causes are there; returns whether it brought anything."""
        if not self._live.feed(one.data, one.structure):
            return False
        self._log.append(one.data)
        self._size += len(one.data)
        if not self._certain:
            self._raw.append(one.data)
        return True

    def _wait(self, one: Held) -> Outcome:
        if not _mergeable(one.data):
            return Outcome(Verdict.REFUSED, "it cannot be decoded")
        return Outcome(Verdict.WAITING if self._waiting.add(one) else Verdict.KNOWN)

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
        if not _mergeable(data):
            return Outcome(Verdict.REFUSED, "it cannot be decoded")
        if structure.nulls and _shows_null(data, structure):
            return Outcome(Verdict.REFUSED, "a field is null")
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
        other.apply(self._waiting.bytes_with(*self._raw))
        return other

    def _adopt(self, base: Document, data: bytes) -> Outcome:
        """Take over the merge of another document's state and a snapshot, if it is valid."""
        pool = merge(base._waiting.bytes_with(data)) if len(base._waiting) else data
        fresh, reason = self._merged(base, pool)
        if reason is not None and pool != data:  # what waits may be what is not valid
            fresh, reason = self._merged(base, data, base._waiting)
        return self._become(fresh, base) if reason is None else Outcome(Verdict.REFUSED, reason)

    def _merged(
        self, base: Document, data: bytes, others: Iterable[Held] = ()
    ) -> tuple[Document, str | None]:
        """Return a new document with both, and with those of the others that are valid.

        Returns:
            The document, and what is wrong with it.
        """
        fresh = Document(default_version=base._root_name, max_bytes=self._max_bytes)
        fresh._state = base._live.state()
        fresh._live = Live(base._root_name, fresh._state)
        fresh._waiting = Waiting([Held(data, read_update(data))])
        fresh._drain(Outcome(Verdict.KNOWN))
        reason = fresh._live.check() or fresh._live.check_all()
        if reason is None:
            for one in others:
                fresh._waiting.add(one)
            fresh._drain_alone()
            if len(fresh._live.state()) + fresh._waiting.size > self._max_bytes:
                reason = "the document would be too large"
        return fresh, reason

    def _become(self, fresh: Document, base: Document) -> Outcome:
        """Take over what became of `base` with a snapshot."""
        integrated, whole = fresh._live.state(), base._live.state()
        verdict = Verdict.KNOWN
        if (
            base is not self
            or fresh._live.clocks != base._live.clocks
            or not _same(integrated, whole)
        ):
            verdict = Verdict.CHANGED
        elif _extent(fresh._waiting) != _extent(base._waiting):
            verdict = Verdict.WAITING
        self._root_name, self._certain, self._raw = base._root_name, True, []
        self._state, self._live = integrated, fresh._live
        self._waiting = fresh._waiting
        self._log.clear()
        self._measure()
        self._credit, self.supported = CREDIT, True
        return Outcome(verdict)

    # -- going back -----------------------------------------------------------------------------

    def _mark(self) -> _Mark:
        return _Mark(len(self._log), self._waiting.copy())

    def _undo(self, mark: _Mark) -> None:
        """Go back to what was applied, and to what waited, at a mark since the last `_settle`."""
        taken_back = len(self._log) - mark.applied
        del self._log[mark.applied :]
        if not self._certain:
            del self._raw[len(self._raw) - taken_back :]
        self._waiting = mark.waiting
        self._live = Live(self._root_name, self._state)
        for data in self._log:
            self._live.feed(data, read_update(data))
        self._live.check()  # they all were valid
        self._measure()

    def _settle(self) -> None:
        """Make what is applied the state to return to, once in a while."""
        if len(self._log) > MAX_LOG:
            self._state = self._live.state()
            self._log.clear()
            if not self._certain:
                self._raw = [merge(self._raw)]
            self._measure()

    def _measure(self) -> None:
        applied = [self._state, *self._log] if self._certain else self._raw
        self._size = sum(map(len, applied))


def _mergeable(data: bytes) -> bool:
    """Return whether pycrdt can read it: there may be JSON in it that is none."""
    try:
        merge([data, NOTHING])
    except ValueError:
        return False
    return True


def _shows_null(data: bytes, structure: Structure) -> bool:
    """Return whether any null in it is not deleted again.

    NeoBoard refuses null, which cannot be told from undefined once pycrdt has read it.
    """
    structs = read_update(data, details=True).details or []
    return any(
        one.start <= place < one.stop
        and not any(
            who == one.client and start <= one.clock and one.clock + one.length <= stop
            for who, start, stop in structure.deletes
        )
        for place in structure.nulls
        for one in structs
    )


def _same(one: bytes, other: bytes) -> bool:
    """Return whether two states without gaps are equal: deletions too."""
    return sorted(read_update(one).deletes) == sorted(read_update(other).deletes)


def _extent(waiting: Waiting) -> object:
    """Return what tells whether the same is waiting."""
    structure = read_update(merge(waiting.bytes_with(NOTHING)))
    return structure.blocks, structure.structs, sorted(structure.deletes)
