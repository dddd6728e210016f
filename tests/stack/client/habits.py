"""How one simulated person differs from another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.stack.client.sticky import STICKY_MS


@dataclass(frozen=True, slots=True)
class Habits:
    """What a client or the person in front of it does.

    Attributes:
        version: `0` or `1` (infinite canvas): a setting of the deployment.
        saves: writes snapshots of own changes; without it, what the author drew is nowhere but in
            the other clients.
        announces: sets own attributes after connecting and so is heard at once. Real clients do
            not: others hear them only after up to 3 s.
        reloads: opens the board again when the connection or the JWT service is lost, as a person
            does; the client alone gives up until the focus changes.
    """

    version: str = "0"
    saves: bool = True
    announces: bool = False
    reloads: bool = True
    profile: Literal["legacy", "sticky"] = "legacy"
    sticky_ms: int = STICKY_MS
    spelling: str = "livekit"
    needs_slot: bool = False

    @property
    def sticky(self) -> bool:
        """Whether this is the sticky profile."""
        return self.profile == "sticky"
