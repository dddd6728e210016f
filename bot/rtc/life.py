"""Life: one run of the program, told from other ones by the member ids it takes in rooms.

In the sticky profile a claim of our user and device may be of three kinds (docs/matrixrtc.md, 2.9):

    of this life       its member id has our mark
    left behind        of an earlier life, whose dead man was lost: from before we began
    of a twin          another process that runs beside us: since we began, without our mark

What an earlier life had on its way as it ended is older than we are: a program takes longer to
start than a homeserver to answer.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from bot.rtc.membership import Membership

UNSURE_MS = 600
"""How far the homeserver's clock may be from what we take it for at a start: answers tell whole
seconds. An earlier life ended before this program was loaded, which takes about as long."""


@dataclass(frozen=True, slots=True)
class Life:
    """One run.

    Attributes:
        mark: random; what our member ids begin with.
        began_ts: ms by the homeserver's clock; rather too early (`UNSURE_MS`): a claim of an
            earlier life goes by itself, but of a twin's nobody else would say a word.
    """

    mark: str = ""
    began_ts: int = 0

    def is_twin(self, claim: Membership) -> bool:
        """Whether a claim of our user and device is that of another process that runs."""
        return claim.created_ts > self.began_ts and not claim.member_id.startswith(self.mark)

    def ghosts(self, claims: Iterable[Membership], held: Container[str]) -> list[Membership]:
        """Return the claims of our user and device that nobody is about any more.

        Args:
            claims: all of them.
            held: the member ids under which we are announced now.
        """
        return [one for one in claims if not (one.member_id in held or self.is_twin(one))]

    def yields(self, claims: Iterable[Membership], own: str) -> bool:
        """Whether a twin among the claims was first: then one of the two is enough.

        Both processes see the same claims, in the same order.

        Args:
            claims: of our user and device on one board.
            own: under which member id we are there; "" if we are not.
        """
        ages = {one.member_id: (one.created_ts, one.member_id) for one in claims}
        twins = [ages[one.member_id] for one in claims if self.is_twin(one)]
        return bool(twins) and (own not in ages or min(twins) < ages[own])


ALONE = Life()
"""One that knows of no twins: every claim may be its own."""
