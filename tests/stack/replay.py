"""Plays a recorded session of real clients with simulated users.

    replay = Replay(ROOT / "tests/data/neoboard-session/slides")
    played = await replay.play({"alice": alice, "bob": bob}, speed=10, until_ts=EXPORTED_TS)
    assert comparable(export) == comparable(replay.recording.export)

Everybody has the board open already. Packets are sent as recorded, byte for byte, but for two
things that belong to the old server: the document id, and the addresses of pictures, which are
uploaded anew from the client's export and replaced inside the updates and snapshots.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.stack.client.document import Refused
from tests.stack.client.meeting import now_ts
from tests.stack.client.recording import Recording, Sent, SentSnapshot, pauses
from tests.stack.neoboard import NeoBoard

Snapshots = Literal["recorded", "own", "none"]


@dataclass(slots=True)
class Played:
    """What a replay did.

    Attributes:
        pictures: recorded address → address now.
        begun: recorded time and time now (ms) of everything sent.
        ended_ts: when the last of it was sent.
        withheld: updates that were not sent.
    """

    pictures: Mapping[str, str]
    begun: list[tuple[float, int]] = field(default_factory=list)
    ended_ts: int = 0
    withheld: int = 0

    def moment(self, recorded_ts: float) -> int:
        """The last instant (ms) before anything that was recorded after this one was sent."""
        later = (now for ts, now in self.begun if ts > recorded_ts)
        return next(later, self.ended_ts + 1) - 1


class Replay:
    """A recorded session, ready to be played.

    Args:
        folder: with livekit.jsonl, timeline.json and export.nwb.
    """

    def __init__(self, folder: Path) -> None:
        self.recording = Recording.read(folder)

    async def play(
        self,
        people: Mapping[str, NeoBoard],
        *,
        speed: float = 1.0,
        longest_pause: float | None = None,
        until_ts: float | None = None,
        snapshots: Snapshots = "recorded",
        withhold: tuple[float, float] | None = None,
        pictures: Mapping[str, str] | None = None,
    ) -> Played:
        """Lets people send what was sent; returns when all is sent.

        Args:
            people: who plays whom: localpart as recorded (`alice`, `bob`, `bot`; `?` for packets
                of somebody not announced) → simulated user. Whoever is not there is left out.
            speed: times faster than recorded; infinity means as fast as possible, except that
                updates of different people keep 0.2 s apart: nothing else keeps their order.
            longest_pause: seconds; longer pauses are cut.
            until_ts: recorded time of the last packet or snapshot.
            snapshots: the recorded ones, sent by the same people (who then should not save by
                themselves: `Habits(saves=False)`); or `own`: people save what they draw, as ever.
            withhold: recorded times between which no update is sent; its author has it all the
                same.
            pictures: the addresses, when they have been uploaded by an earlier replay.
        """
        recording = self.recording
        sent = recording.of(list(people), until_ts, snapshots=snapshots == "recorded")
        if pictures is None:
            pictures = await self._upload(next(iter(people.values())))
        played = Played(pictures)
        due = time.monotonic()
        for pause, one in zip(pauses(sent, speed, longest_pause), sent, strict=True):
            due += pause
            await asyncio.sleep(due - time.monotonic())
            played.begun.append((one.ts, now_ts()))
            person = people[one.sender]
            moved = recording.moved(one, person.board.document_id, pictures)
            hidden = withhold is not None and withhold[0] <= one.ts < withhold[1]
            played.withheld += await _send(person, moved, hidden=hidden, own=snapshots == "own")
        for person in people.values():
            await person.outbox.flush()
        played.ended_ts = now_ts()
        return played

    async def _upload(self, person: NeoBoard) -> dict[str, str]:
        return {
            mxc: await person.user.upload(data, "application/octet-stream", "picture")
            for mxc, data in self.recording.files.items()
        }


async def _send(person: NeoBoard, one: Sent, *, hidden: bool, own: bool) -> bool:
    """Sends one thing; returns whether it was withheld."""
    if isinstance(one, SentSnapshot):
        await person.keeping.save(one.data)
        return False
    update = one.update
    if update is not None:
        try:
            person.document.receive(update)
        except Refused:
            hidden = False  # it builds on what this person has not received: sent all the same
        if own:
            person.keeping.changed()
        if hidden:
            return True
    await person.send(one.payload, reliable=one.reliable)
    return False
