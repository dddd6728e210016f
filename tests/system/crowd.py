"""Several simulated people on one new board."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from tests.stack.client.habits import Habits
from tests.stack.client.link import Link
from tests.stack.neoboard import NeoBoard
from tests.stack.stack import Stack


@asynccontextmanager
async def crowd(
    stack: Stack,
    *names: str,
    habits: Habits | None = None,
    links: Mapping[str, Link] | None = None,
    invite: Iterable[str] = (),
    opened: bool = True,
) -> AsyncIterator[list[NeoBoard]]:
    """Logs people in, brings them to a new board of the first, and closes it at the end.

    Args:
        stack: the servers.
        names: localparts; known users get a new device.
        habits: of all of them; by default they are heard at once, unlike real clients.
        links: name → what happens to the packets that person sends.
        invite: user ids of others to invite, before anybody opens the board.
        opened: whether all have the board open and hear each other; else they are in the room.
    """
    habits = habits or Habits(announces=True)
    async with AsyncExitStack() as ends:
        found = []
        for name in names:
            login = await stack.user(name)
            person = NeoBoard(stack.homeserver_url, login, habits, link=(links or {}).get(name))
            found.append(await ends.enter_async_context(person))
        owner, *guests = found
        board = await owner.create_board(invite=[*(guest.user_id for guest in guests), *invite])
        owner.board = board
        for guest in guests:
            await guest.join(board)
            guest.board = board
        if opened:
            for person in found:
                await person.open(board)
            for person in found:
                await person.hears(*(other for other in found if other is not person))
        yield found
