"""Merger: the accepted updates of one version of a board, and those that wait.

         a cause is missing ─► waits ───────────► WAITING
               ▲      ▲ cause there
    update ────┴► integrate ─► inspect ─ not acceptable ─► rollback ──► REFUSED
                                   └ acceptable ─────► commit ────► CHANGED, KNOWN

An update whose cause is missing waits until it is there, as do all later ones of a client whose
update was refused, until a snapshot brings what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bot.whiteboard.causality import begins, causes, ends, fits, holds, missing
from bot.whiteboard.item import Id
from bot.whiteboard.notes import Notes
from bot.whiteboard.replica import Replica
from bot.whiteboard.trial import Trial
from bot.whiteboard.update import Structure, read_update, write_update
from bot.whiteboard.verdict import Outcome, Verdict
from bot.whiteboard.versions import initial
from bot.whiteboard.waiting import Waiting, WaitingRoom

MAX_ITEMS = 300_000  # 9 MB of a real board; what is encoded has to be readable (`update`)
MAX_IN_VAIN = 200_000
"""Steps on what waited and is refused now, at once; what waited beyond that is given up."""

CHANGED: Final = Outcome(Verdict.CHANGED)
KNOWN: Final = Outcome(Verdict.KNOWN)
_WAITING: Final = Outcome(Verdict.WAITING)


class Merger:
    """Merges updates of one version, beginning with its initial bytes.

    Args:
        version: one that we know.
        max_bytes: that may be accepted, and wait, together.
        notes: of what is touched.

    Attributes:
        version: of the board.
        replica: what is accepted.
        trial: tries what is not.
        waiting: what waits.
        notes: see above.
    """

    def __init__(self, version: str, max_bytes: int, notes: Notes) -> None:
        self.version = version
        self.notes = notes
        self.replica = Replica(version)
        self.trial = Trial(self.replica, version)
        self.waiting = WaitingRoom(max_bytes)
        self._max_bytes = max_bytes
        self._begin(initial(version))

    def _begin(self, data: bytes) -> None:
        self.replica.integrate(read_update(data))
        self.replica.commit()

    def copy(self, notes: Notes) -> Merger:
        """Return another one that has accepted and keeps the same; also from another thread."""
        other = Merger(self.version, self._max_bytes, notes)
        with self.trial.alone:
            whole, other.waiting = self.whole(), self.waiting.copy()
        other._begin(whole)
        return other

    def whole(self) -> bytes:
        """Return what is accepted as one update."""
        return write_update(self.replica.store.blocks(), self.replica.store.deletes())

    def holds(self, update: Structure) -> bool:
        """Return whether all of an update is accepted already; also from another thread."""
        with self.trial.alone:
            return holds(self.replica.store.clocks, self.replica.store.deletes(), update)

    def has_room(self, update: Structure) -> bool:
        """Return whether an update may come; where it may not, that is noted as a gap."""
        store = self.replica.store
        free = self._max_bytes - store.size - self.waiting.size
        if fits(update, store.clocks, free, MAX_ITEMS - store.count):
            return True
        self.waiting.give_up(ends(update))
        return False

    def merge(self, data: bytes, update: Structure, *, partly: bool) -> Outcome:
        """Integrate an update now, or let it wait.

        Args:
            data: the update.
            update: as read.
            partly: whether what can be integrated of it is, without the rest.
        """
        if not partly and (cause := missing(update, self.replica.store.clocks)) is not None:
            # A client that has the beginning of it integrates that; who reads our bytes too.
            if begins(update, self.replica.store.clocks):
                reason = self.trial.objection(update)
                if reason is not None:
                    return Outcome(Verdict.REFUSED, reason)
            return self.wait(_later(data, update, cause))
        outcome, rest = self._integrate(update, partly=partly)
        if outcome is CHANGED and self.waiting.has_gap:
            self._settle(update.blocks)
        if rest is None:
            return outcome
        waits = self.wait(rest)
        return waits if outcome is KNOWN else outcome

    def _integrate(self, update: Structure, *, partly: bool) -> tuple[Outcome, Waiting | None]:
        """Integrate an update and check the document; return what of it has to wait."""
        with self.trial.alone:
            clocks, noting = self.replica.store.clocks, self.notes.on
            began = {client: clocks.get(client, 0) for client in update.blocks} if noting else {}
            rest, reason = self.trial.attempt(update)
            if reason is None and rest is not None and not partly:
                reason = "it is its own cause"  # nothing else was missing
            if reason is not None:
                self.replica.rollback()
                return Outcome(Verdict.REFUSED, reason), None
            if changed := self.replica.changed:
                self.notes.take(self.replica, began)
            self.replica.commit()
        return CHANGED if changed else KNOWN, None if rest is None else self._left(rest)

    def _left(self, rest: Structure) -> Waiting:
        data, clocks = write_update(rest.blocks, rest.deletes), self.replica.store.clocks
        return Waiting(
            data,
            partly=True,
            causes=causes(rest, clocks),
            brings=ends(rest),
            weight=rest.weight,
        )

    def wait(self, one: Waiting) -> Outcome:
        """Let an update wait."""
        if one.data in self.waiting:
            return KNOWN
        self.waiting.add(one)
        return _WAITING

    def _settle(self, clients: Iterable[int]) -> None:
        """Let go on what waited for these clients, and what waited for that.

        Each of them may cost as much as the document is large, only to be refused.
        """
        fresh, bound = set(clients), self.replica.wasted + MAX_IN_VAIN
        while ready := self.waiting.take_ready(fresh, self.replica.store.clocks):
            fresh.clear()
            for one in ready:
                if self.replica.wasted > bound:
                    self.waiting.give_up(one.brings)
                    continue
                update = read_update(one.data)
                cause = None if one.partly else missing(update, self.replica.store.clocks)
                if cause is not None:
                    self.waiting.add(_later(one.data, update, cause))
                    continue
                outcome, rest = self._integrate(update, partly=one.partly)
                if rest is not None:
                    self.waiting.add(rest)
                if outcome is CHANGED:
                    fresh.update(update.blocks)

    def adopt(self, data: bytes, *, partly: bool) -> None:
        """Merge what came while another version was assumed; what is not of ours is lost."""
        update = read_update(data)
        foreign = update.roots - {self.version}
        if foreign or self.merge(data, update, partly=partly).verdict is Verdict.REFUSED:
            self.waiting.give_up(ends(update))


def _later(data: bytes, update: Structure, cause: Id) -> Waiting:
    return Waiting(data, partly=False, causes=(cause,), brings=ends(update), weight=update.weight)
