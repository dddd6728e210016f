"""Document: a board, merged from updates and snapshots.

Does with them what a NeoBoard client does: integrates, checks, takes back what would make the board
unacceptable (`merger`). What is no update, is too large or of another version does not get there;
which version the board is of, and when it becomes another, is decided here. Nothing that was
accepted is left out of `encode()`.

           no update ────────► REFUSED
    read ─► roots, size ─ foreign, full ─► REFUSED
                 └ `merger` ─► WAITING, REFUSED, CHANGED, KNOWN
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from bot.errors import InvalidUpdate
from bot.whiteboard.beyond import is_beyond
from bot.whiteboard.causality import ends
from bot.whiteboard.content import read_content
from bot.whiteboard.gaps import gaps
from bot.whiteboard.item import Id, Shared
from bot.whiteboard.merger import CHANGED, KNOWN, Merger
from bot.whiteboard.notes import Notes
from bot.whiteboard.store import Store
from bot.whiteboard.together import together
from bot.whiteboard.update import (
    Range,
    Structure,
    merge_updates,
    read_state_vector,
    read_update,
    write_state_vector,
    write_update,
)
from bot.whiteboard.verdict import Outcome, Verdict
from bot.whiteboard.versions import VERSION, VERSIONS, changes
from bot.whiteboard.waiting import Waiting

MAX_BYTES = 20 * 1024 * 1024

_TOO_LARGE = Outcome(Verdict.REFUSED, "the document would be too large", beyond=True)
_OTHER_VERSION = Outcome(Verdict.REFUSED, "it is of another version", other_version=True)


class Document:
    """One board's document.

    Args:
        data: its state; empty for a board nothing is known of.
        default_version: what to begin with until a snapshot says the version, and the only one that
            a board may be replaced in by a copy of it.
        max_bytes: of the whole document; what would exceed it is refused.

    Attributes:
        notes: of what was touched; taken only where somebody turns them on.
    """

    def __init__(
        self, data: bytes = b"", *, default_version: str = "0", max_bytes: int = MAX_BYTES
    ) -> None:
        self._max_bytes = max_bytes
        self._default = default_version
        self._certain = False
        self._foreign = b""  # the state of a version that we do not know
        self.notes = Notes()
        self._merger = Merger(default_version, max_bytes, self.notes)
        if data:
            self.merge_snapshot(data)

    @property
    def _store(self) -> Store:
        return self._merger.replica.store

    # -- what it is ----------------------------------------------------------------------------

    @property
    def version(self) -> str | None:
        """`"0"` slides, `"1"` infinite canvas; None while nothing is known of the board."""
        known = self._certain or len(self._store.clocks) > 1 or self.waiting
        return self._merger.version if known and self.supported else None

    @property
    def supported(self) -> bool:
        """Whether the board's version is one we know."""
        return not self._foreign

    @property
    def waiting(self) -> int:
        """How many updates wait for a cause."""
        return len(self._merger.waiting)

    @property
    def lost(self) -> int:
        """How many updates exceeded a bound and were dropped, so far."""
        return self._merger.waiting.lost

    @property
    def has_gap(self) -> bool:
        """Whether something waits, or was dropped and has not come by another way since."""
        return self._merger.waiting.has_gap

    @property
    def freed(self) -> int:
        """How often something that waited had its cause come, so far."""
        return self._merger.waiting.freed

    def waits(self) -> list[bytes]:
        """Return the updates that wait."""
        return [one.data for one in self._merger.waiting]

    def causes(self) -> set[Id]:
        """Return ids that something waits for: not all, unlike `gaps`, but at little cost."""
        return {one for waiting in self._merger.waiting for one in waiting.causes}

    def gaps(self) -> tuple[Range, ...]:
        """Return the ids (client, first clock, clock after the last) that something waits for."""
        return () if self._foreign else gaps(self._merger.waiting, self._store.clocks)

    def encode(self) -> bytes:
        """Return everything accepted as one update, what waits included.

        Whoever reads it integrates of what waits what can be, as far as Yjs can tell. Updates that
        wait for each other and would make the board unacceptable together are left out.
        """
        if self._foreign:
            whole = merge_updates([self._foreign, changes(self._merger.whole())])
            return together(whole, self.waits(), lambda _: True)
        trial, whole = self._merger.trial, self._merger.whole()
        return together(whole, self.waits(), lambda one: trial.objection(one) is None)

    def snapshot(self) -> bytes:
        """Return what may be written to the room: `encode()`, if it changes nothing people see.

        Clients integrate of what waits as much as they can: they delete an old value while the new
        one waits. What shows so is left out; it comes with a later snapshot.
        """
        if self._foreign:
            return self.encode()
        whole, cost = self._merger.whole(), self._store.size
        return together(whole, self.waits(), self._is_unseen, cost=cost)

    def _is_unseen(self, update: Structure) -> bool:
        """Return whether people see nothing of what Yjs, and we, integrate of an update."""
        trial, seen = self._merger.trial, self.content()
        again = read_update(write_update(update.blocks, update.deletes))
        with trial.tried(update, patient=False) as reason:
            shows = reason is not None or self.content() != seen
        return not shows and trial.objection(again) is None

    def state_vector(self) -> bytes:
        """Return the Yjs state vector of what is integrated."""
        return write_state_vector(self._store.clocks)

    def diff(self, state_vector: bytes) -> bytes:
        """Return the update that a document with this state vector lacks.

        Raises:
            InvalidUpdate: it is no state vector.
        """
        known = read_state_vector(state_vector)
        return write_update(self._store.blocks(known), self._store.deletes(), known)

    def content(self) -> dict[str, Any]:
        """Return the board as people see it (`content.read_content`); no slides if unsupported."""
        return read_content(self._merger.replica.root) if self.supported else {"slides": []}

    @property
    def root(self) -> Shared:
        """What people's changes are in (`edit` finds the places of ours there); only to look at."""
        return self._merger.replica.root

    def preview(self, data: bytes) -> dict[str, Any]:
        """Return the content that the document would have with an update.

        Raises:
            InvalidUpdate: it is none, or NeoBoard would refuse the document.
        """
        update = read_update(data)
        if self._store.size + update.size > self._max_bytes:
            raise InvalidUpdate("the document would be too large")
        with self._merger.trial.tried(update) as reason:
            if reason:
                raise InvalidUpdate(reason)
            return self.content()

    # -- live updates --------------------------------------------------------------------------

    def apply(self, updates: Sequence[bytes]) -> list[Outcome]:
        """Take live updates, in the order they came.

        Returns:
            One outcome for each; that of a waiting one may be overtaken by the next.
        """
        return [self.notes.told(self._take(update)) for update in updates]

    def give_up(self, data: bytes) -> Outcome:
        """Note a live update as lost, without trying it."""
        try:
            update = read_update(data)
        except InvalidUpdate as error:
            return Outcome(Verdict.REFUSED, str(error))
        self._merger.waiting.give_up(ends(update))
        return Outcome(Verdict.GIVEN_UP, "its sender takes up too much time")

    def _take(self, data: bytes) -> Outcome:
        try:
            update = read_update(data)
        except InvalidUpdate as error:
            return Outcome(Verdict.REFUSED, str(error))
        if self._foreign:
            one = Waiting(data, partly=False, causes=(), brings=ends(update), weight=update.weight)
            return self._merger.wait(one)
        if update.roots and update.roots - {self._merger.version}:
            return _OTHER_VERSION
        if not self._merger.has_room(update):
            return _TOO_LARGE
        return self._merger.merge(data, update, partly=update.gaps)

    # -- snapshots -----------------------------------------------------------------------------

    def merge_snapshot(self, data: bytes) -> Outcome:
        """Merge a whole state, from the room or the archive.

        It may itself lack pieces (its writer waited for them): what it has is integrated, the rest
        waits. While the version is only assumed, the first snapshot decides it. Later NeoBoard may
        replace a board by a copy in version 1; that is followed only where people have it: one such
        snapshot, which clients of version 0 cannot read, must not take the board from them.
        """
        if len(data) > self._max_bytes:
            return Outcome(Verdict.REFUSED, "the snapshot is too large", beyond=True)
        try:
            update = read_update(data)
        except InvalidUpdate as error:
            return Outcome(Verdict.REFUSED, str(error))
        return self.notes.told(self._merge_state(data, update))

    def merged(self, data: bytes) -> tuple[Document, Outcome]:
        """Merge a whole state like `merge_snapshot`, leaving this document as it is.

        For another thread: who has this document may read it meanwhile and try what would become
        of it (`preview`, `encode`), but not change it.

        Returns:
            The document with it, this very one if it brings nothing or is refused; the outcome.
        """
        if not self._foreign and self._holds(data):
            return self, KNOWN
        other = self.copy()
        outcome = other.merge_snapshot(data)
        return (self if outcome.verdict is Verdict.REFUSED else other), outcome

    def _holds(self, data: bytes) -> bool:
        with suppress(InvalidUpdate):
            update = read_update(data)
            ours = self._certain and not update.roots - {self._merger.version}
            return ours and self._merger.holds(update)
        return False

    def copy(self) -> Document:
        """Return another document that is the same; from another thread as `merged`."""
        other = Document(default_version=self._default, max_bytes=self._max_bytes)
        other._certain, other._foreign = self._certain, self._foreign
        other.notes.on = self.notes.on
        other._merger = self._merger.copy(other.notes)
        return other

    def _merge_state(self, data: bytes, update: Structure) -> Outcome:
        if len(update.roots) > 1 or not all(map(VERSION.fullmatch, update.roots)):
            return Outcome(Verdict.REFUSED, "it is of no board")
        version = next(iter(update.roots), self._merger.version)
        if self._certain and version != self._merger.version and not self._follows(version):
            return _OTHER_VERSION
        if version not in VERSIONS:
            return self._keep_foreign(data)
        if not self._merger.has_room(update):
            return _TOO_LARGE
        if version == self._merger.version and not self._foreign:
            outcome = self._merger.merge(data, update, partly=True)
        else:
            outcome = self._begin_again(version, data)
        if outcome.verdict is Verdict.REFUSED:
            return replace(outcome, beyond=outcome.beyond or is_beyond(data, version))
        if update.roots:
            self._certain = True
        return outcome

    def _follows(self, version: str) -> bool:
        return version in VERSIONS and self._merger.version < version <= self._default

    def _keep_foreign(self, data: bytes) -> Outcome:
        """Keep a state that we cannot read, without mixing anything of ours into it."""
        merged = merge_updates(filter(None, [self._foreign, data]))
        if len(merged) > self._max_bytes:
            return _TOO_LARGE
        known = merged == self._foreign
        self._foreign = merged
        return KNOWN if known else Outcome(Verdict.WAITING, "the version is not supported")

    def _begin_again(self, version: str, data: bytes) -> Outcome:
        """Take over a state of another version; of one only assumed, what was changed in it too."""
        other = Document(default_version=version, max_bytes=self._max_bytes)
        outcome = other.merge_snapshot(data)
        if outcome.verdict is Verdict.REFUSED:
            return outcome
        if not self._certain:
            other._merger.adopt(changes(self._merger.whole()), partly=True)
            for one in self._merger.waiting:
                other._merger.adopt(one.data, partly=one.partly)
        other._merger.waiting.lost += self._merger.waiting.lost
        self.notes.compare(self.content, other.content)
        self._merger, self._foreign = other._merger, b""
        self._merger.notes = self.notes
        return CHANGED
