"""Writes the sample recording: `python -m tests.unit.testing.sample`."""

from __future__ import annotations

import asyncio

from bot import recording
from bot.handlers.base import Handler
from bot.recording import Header
from bot.testing import SAMPLE, Person, SimulatedRoom
from bot.testing.homeserver import BEGIN
from bot.testing.room import KEY
from bot.whiteboard.entry import Entry

HEADER = Header(KEY, "0", BEGIN)


class Nothing(Handler):
    """Wants nothing."""


async def sample() -> list[Entry]:
    """Let two people plan a party."""
    async with SimulatedRoom(Nothing, seed=2026) as room:
        alice = await room.join("@alice:example.org", power=50)
        bob = await room.join("@bob:example.org")
        await gather(room, alice, bob)
        await arrange(room, alice, bob)
        return await room.recorded()


async def gather(room: SimulatedRoom[Nothing], alice: Person, bob: Person) -> None:
    """On the first slide they write down what comes to mind."""
    await alice.draw("rectangle", at=(60, 40), size=(900, 90), text="Summer party: ideas")
    for number, text in enumerate(("Food", "Music", "Games")):
        room.clock.advance(1.5)
        await alice.cursor(100 + 250 * number, 200)
        await alice.note(text, at=(80 + 250 * number, 180))
    mistaken = await bob.note("Fireworks?", at=(830, 180), fillColor="#ffadad")
    room.clock.advance(2)
    await bob.line((100, 500), (160, 470), (240, 530), (330, 480), strokeColor="#1d70b8")
    for number in range(8):
        await bob.cursor(830 + 5 * number, 200 + 8 * number)
    await bob.write(mistaken, "Sparklers")
    await bob.move(mistaken, 830, 380)
    await room.settle()


async def arrange(room: SimulatedRoom[Nothing], alice: Person, bob: Person) -> None:
    """A second slide says who does what; the first one is locked."""
    second = await alice.add_slide()
    await alice.focus(second)
    await alice.present(second, edit=True)
    first = await alice.note("Alice: music", slide=second, at=(100, 100))
    room.clock.advance(3)
    await bob.note("Bob: food", slide=second, at=(400, 100))
    await bob.image("mxc://example.org/map", slide=second, at=(100, 400))
    await alice.change(first, fillColor="#caffbf")
    gone = await bob.draw("ellipse", slide=second, at=(700, 400))
    await bob.remove(gone)
    await alice.lock(0)
    await alice.present(None)
    await room.settle()


def main() -> None:
    """Write it."""
    recording.write(SAMPLE, HEADER, asyncio.run(sample()), overwrite=True)


if __name__ == "__main__":
    main()
