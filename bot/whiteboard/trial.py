"""What would become of a document with an update: integrated, looked at, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

from bot.errors import InvalidUpdate
from bot.whiteboard.inspection import inspect
from bot.whiteboard.replica import Replica
from bot.whiteboard.update import Structure


class Trial:
    """Tries updates on a replica.

    Args:
        replica: of the document.
        version: the document's.

    Attributes:
        alone: held while what is only tried is in the replica; and by who copies it, which another
            thread may do.
    """

    def __init__(self, replica: Replica, version: str) -> None:
        self.alone = RLock()
        self._replica = replica
        self._version = version

    def attempt(
        self, update: Structure, *, patient: bool = True
    ) -> tuple[Structure | None, str | None]:
        """Integrate an update; return what has to wait, and what speaks against it."""
        try:
            rest = self._replica.integrate(update, patient=patient)
            return rest, inspect(self._replica.root, self._replica.touched, self._version)
        except InvalidUpdate as error:
            return None, str(error)

    @contextmanager
    def tried(self, update: Structure, *, patient: bool = True) -> Iterator[str | None]:
        """Have what can be integrated of an update in the document; give what speaks against it."""
        with self.alone:
            try:
                yield self.attempt(update, patient=patient)[1]
            finally:
                self._replica.rollback()

    def objection(self, update: Structure) -> str | None:
        """Return what speaks against what can be integrated of an update, without doing it."""
        with self.tried(update) as reason:
            return reason
