"""Document: the accepted updates of a board, merged.

Does with updates and snapshots what a NeoBoard client does: integrates, checks, takes back what
would make the board unacceptable. An update whose cause is missing waits until it is there, as do
all later ones of a client whose update was refused, until a snapshot brings what is missing.
Nothing that was accepted is left out of `encode()`.

                         no update ──────────────────────────────► REFUSED
    read ─► roots, size ─ foreign, full ─────────────────────────► REFUSED
                 │        a cause is missing ─► waits ───────────► WAITING
                 ▼                 ▲ cause there
             integrate ─► inspect ─ not acceptable ─► rollback ──► REFUSED
                                  └ acceptable ─────► commit ────► CHANGED, KNOWN
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from bot.errors import InvalidUpdate
from bot.whiteboard.causality import causes, ends, fits, holds, missing
from bot.whiteboard.content import read_content
from bot.whiteboard.gaps import gaps
from bot.whiteboard.item import Id, Shared
from bot.whiteboard.notes import Notes
from bot.whiteboard.replica import Replica
from bot.whiteboard.together import together
from bot.whiteboard.trial import Trial
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
from bot.whiteboard.versions import VERSION, VERSIONS, changes, initial
from bot.whiteboard.waiting import Waiting, WaitingRoom

MAX_BYTES = 20 * 1024 * 1024
MAX_ITEMS = 300_000  # 9 MB of a real board; what is encoded has to be readable (`update`)
MAX_IN_VAIN = 200_000
"""Steps on what waited and is refused now, at once; what waited beyond that is given up."""

_CHANGED, _KNOWN, _WAITING = map(Outcome, (Verdict.CHANGED, Verdict.KNOWN, Verdict.WAITING))
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
        self._version = self._default = default_version
        self._certain = False
        self._foreign = b""  # the state of a version that we do not know
        self._waiting = WaitingRoom(max_bytes)
        self.notes = Notes()
        self._replica = Replica(default_version)
        self._trial = Trial(self._replica, default_version)
        self._replica.integrate(read_update(initial(default_version)))
        self._replica.commit()
        if data:
            self.merge_snapshot(data)

    # -- what it is ----------------------------------------------------------------------------

    @property
    def version(self) -> str | None:
        """`"0"` slides, `"1"` infinite canvas; None while nothing is known of the board."""
        known = self._certain or len(self._replica.store.clocks) > 1 or len(self._waiting)
        return self._version if known and self.supported else None

    @property
    def supported(self) -> bool:
        """Whether the board's version is one we know."""
        return not self._foreign

    @property
    def waiting(self) -> int:
        """How many updates wait for a cause."""
        return len(self._waiting)

    @property
    def lost(self) -> int:
        """How many updates exceeded a bound and were dropped, so far."""
        return self._waiting.lost

    @property
    def has_gap(self) -> bool:
        """Whether something waits, or was dropped and has not come by another way since."""
        return self._waiting.has_gap

    @property
    def freed(self) -> int:
        """How often something that waited had its cause come, so far."""
        return self._waiting.freed

    def waits(self) -> list[bytes]:
        """Return the updates that wait."""
        return [one.data for one in self._waiting]

    def causes(self) -> set[Id]:
        """Return ids that something waits for: not all, unlike `gaps`, but at little cost."""
        return {one for waiting in self._waiting for one in waiting.causes}

    def gaps(self) -> tuple[Range, ...]:
        """Return the ids (client, first clock, clock after the last) that something waits for."""
        return () if self._foreign else gaps(self._waiting, self._replica.store.clocks)

    def encode(self) -> bytes:
        """Return everything accepted as one update, what waits included.

        Whoever reads it integrates of what waits what can be, as far as Yjs can tell. Updates that
        wait for each other and would make the board unacceptable together are left out.
        """
        if self._foreign:
            whole = merge_updates([self._foreign, changes(self._whole())])
            return together(whole, self.waits(), lambda _: True)
        return together(self._whole(), self.waits(), lambda one: self._trial.objection(one) is None)

    def _whole(self) -> bytes:
        return write_update(self._replica.store.blocks(), self._replica.store.deletes())

    def snapshot(self) -> bytes:
        """Return what may be written to the room: `encode()`, if it changes nothing people see.

        Clients integrate of what waits as much as they can: they delete an old value while the new
        one waits. What shows so is left out; it comes with a later snapshot.
        """
        if self._foreign:
            return self.encode()
        cost = self._replica.store.size
        return together(self._whole(), self.waits(), self._is_unseen, cost=cost)

    def _is_unseen(self, update: Structure) -> bool:
        """Return whether people see nothing of what Yjs, and we, integrate of an update."""
        seen, again = self.content(), read_update(write_update(update.blocks, update.deletes))
        with self._trial.tried(update, patient=False) as reason:
            shows = reason is not None or self.content() != seen
        return not shows and self._trial.objection(again) is None

    def state_vector(self) -> bytes:
        """Return the Yjs state vector of what is integrated."""
        return write_state_vector(self._replica.store.clocks)

    def diff(self, state_vector: bytes) -> bytes:
        """Return the update that a document with this state vector lacks.

        Raises:
            InvalidUpdate: it is no state vector.
        """
        known = read_state_vector(state_vector)
        return write_update(self._replica.store.blocks(known), self._replica.store.deletes(), known)

    def content(self) -> dict[str, Any]:
        """Return the board as people see it (`content.read_content`); no slides if unsupported."""
        return read_content(self._replica.root) if self.supported else {"slides": []}

    @property
    def root(self) -> Shared:
        """What people's changes are in (`edit` finds the places of ours there); only to look at."""
        return self._replica.root

    def preview(self, data: bytes) -> dict[str, Any]:
        """Return the content that the document would have with an update.

        Raises:
            InvalidUpdate: it is none, or NeoBoard would refuse the document.
        """
        update = read_update(data)
        if self._replica.store.size + update.size > self._max_bytes:
            raise InvalidUpdate("the document would be too large")
        with self._trial.tried(update) as reason:
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
        self._waiting.give_up(ends(update))
        return Outcome(Verdict.GIVEN_UP, "its sender takes up too much time")

    def _take(self, data: bytes) -> Outcome:
        try:
            update = read_update(data)
        except InvalidUpdate as error:
            return Outcome(Verdict.REFUSED, str(error))
        if self._foreign:
            return self._wait(Waiting(data, False, (), ends(update), update.weight))
        if update.roots - {self._version}:
            return _OTHER_VERSION
        if self._full(update):
            return Outcome(Verdict.REFUSED, "the document would be too large")
        return self._try(data, update, partly=update.gaps)

    def _try(self, data: bytes, update: Structure, *, partly: bool) -> Outcome:
        """Integrate an update now, or let it wait."""
        if not partly and (cause := missing(update, self._replica.store.clocks)) is not None:
            one = Waiting(data, False, (cause,), ends(update), update.weight)
            # A client that has the beginning of it integrates that; who reads our bytes too.
            reason = self._trial.objection(update)
            return self._wait(one) if reason is None else Outcome(Verdict.REFUSED, reason)
        outcome, rest = self._integrate(update, partly=partly)
        if outcome is _CHANGED:
            self._settle(update.blocks)
        if rest is None:
            return outcome
        waits = self._wait(rest)
        return waits if outcome is _KNOWN else outcome

    def _integrate(self, update: Structure, *, partly: bool) -> tuple[Outcome, Waiting | None]:
        """Integrate an update and check the document; return what of it has to wait."""
        with self._trial.alone:
            began = {client: self._replica.store.clocks.get(client, 0) for client in update.blocks}
            rest, reason = self._trial.attempt(update)
            if reason is None and rest is not None and not partly:
                reason = "it is its own cause"  # nothing else was missing
            if reason is not None:
                self._replica.rollback()
                return Outcome(Verdict.REFUSED, reason), None
            if changed := self._replica.changed:
                self.notes.take(self._replica, began)
            self._replica.commit()
        return _CHANGED if changed else _KNOWN, None if rest is None else self._left(rest)

    def _left(self, rest: Structure) -> Waiting:
        data, clocks = write_update(rest.blocks, rest.deletes), self._replica.store.clocks
        return Waiting(data, True, causes(rest, clocks), ends(rest), rest.weight)

    def _wait(self, one: Waiting) -> Outcome:
        if one.data in self._waiting:
            return _KNOWN
        self._waiting.add(one)
        return _WAITING

    def _settle(self, clients: Iterable[int]) -> None:
        """Let go on what waited for these clients, and what waited for that.

        Each of them may cost as much as the document is large, only to be refused.
        """
        fresh, bound = set(clients), self._replica.wasted + MAX_IN_VAIN
        while ready := self._waiting.take_ready(fresh, self._replica.store.clocks):
            fresh.clear()
            for one in ready:
                if self._replica.wasted > bound:
                    self._waiting.give_up(one.brings)
                    continue
                update = read_update(one.data)
                cause = None if one.partly else missing(update, self._replica.store.clocks)
                if cause is not None:
                    self._waiting.add(replace(one, causes=(cause,)))
                    continue
                outcome, rest = self._integrate(update, partly=one.partly)
                if rest is not None:
                    self._waiting.add(rest)
                if outcome is _CHANGED:
                    fresh.update(update.blocks)

    def _full(self, update: Structure) -> bool:
        store = self._replica.store
        free = self._max_bytes - store.size - self._waiting.size
        if fits(update, store.clocks, free, MAX_ITEMS - store.count):
            return False
        self._waiting.give_up(ends(update))
        return True

    # -- snapshots -----------------------------------------------------------------------------

    def merge_snapshot(self, data: bytes) -> Outcome:
        """Merge a whole state, from the room or the archive.

        It may itself lack pieces (its writer waited for them): what it has is integrated, the rest
        waits. While the version is only assumed, the first snapshot decides it. Later NeoBoard may
        replace a board by a copy in version 1; that is followed only where people have it: one such
        snapshot, which clients of version 0 cannot read, must not take the board from them.
        """
        if len(data) > self._max_bytes:
            return Outcome(Verdict.REFUSED, "the snapshot is too large")
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
            return self, _KNOWN
        other = self.copy()
        outcome = other.merge_snapshot(data)
        return (self if outcome.verdict is Verdict.REFUSED else other), outcome

    def _holds(self, data: bytes) -> bool:
        with self._trial.alone, suppress(InvalidUpdate):
            update = read_update(data)
            store = self._replica.store
            ours = self._certain and not update.roots - {self._version}
            return ours and holds(store.clocks, store.deletes(), update)
        return False

    def copy(self) -> Document:
        """Return another document that is the same; from another thread as `merged`."""
        other = Document(default_version=self._version, max_bytes=self._max_bytes)
        other._certain, other._foreign = self._certain, self._foreign
        other._default, other.notes.on = self._default, self.notes.on
        with self._trial.alone:
            whole, other._waiting = self._whole(), self._waiting.copy()
        other._replica.integrate(read_update(whole))
        other._replica.commit()
        return other

    def _merge_state(self, data: bytes, update: Structure) -> Outcome:
        if len(update.roots) > 1 or not all(map(VERSION.fullmatch, update.roots)):
            return Outcome(Verdict.REFUSED, "it is of no board")
        version = next(iter(update.roots), self._version)
        if self._certain and version != self._version and not self._follows(version):
            return _OTHER_VERSION
        if version not in VERSIONS:
            return self._keep_foreign(data)
        if self._full(update):
            return Outcome(Verdict.REFUSED, "the document would be too large")
        if version == self._version and not self._foreign:
            outcome = self._try(data, update, partly=True)
        else:
            outcome = self._begin_again(version, data)
        if update.roots and outcome.verdict is not Verdict.REFUSED:
            self._certain = True
        return outcome

    def _follows(self, version: str) -> bool:
        return version in VERSIONS and self._version < version <= self._default

    def _keep_foreign(self, data: bytes) -> Outcome:
        """Keep a state that we cannot read, without mixing anything of ours into it."""
        merged = merge_updates(filter(None, [self._foreign, data]))
        if len(merged) > self._max_bytes:
            return Outcome(Verdict.REFUSED, "the document would be too large")
        known = merged == self._foreign
        self._foreign = merged
        return _KNOWN if known else Outcome(Verdict.WAITING, "the version is not supported")

    def _begin_again(self, version: str, data: bytes) -> Outcome:
        """Take over a state of another version; of one only assumed, what was changed in it too."""
        other = Document(default_version=version, max_bytes=self._max_bytes)
        outcome = other.merge_snapshot(data)
        if outcome.verdict is Verdict.REFUSED:
            return outcome
        if not self._certain:
            other._adopt(changes(self._whole()), partly=True)
            for one in self._waiting:
                other._adopt(one.data, partly=one.partly)
        other._waiting.lost += self._waiting.lost
        self.notes.compare(self.content, other.content)
        self._replica, self._trial, self._waiting = other._replica, other._trial, other._waiting
        self._version, self._foreign = version, b""
        return _CHANGED

    def _adopt(self, data: bytes, *, partly: bool) -> None:
        update = read_update(data)
        foreign = update.roots - {self._version}
        if foreign or self._try(data, update, partly=partly).verdict is Verdict.REFUSED:
            self._waiting.give_up(ends(update))
