"""A matrix-js-sdk client (npm) in node that watches who is on a board, and may join: matrix.mjs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.stack.bot import until
from tests.stack.client.events import Board
from tests.stack.processes import Process, Program, tail
from tests.stack.programs import find_program
from tests.stack.stack import Login, Stack

_SCRIPT = Path(__file__).with_name("matrix.mjs")
_MARK = "SEEN "

Seen = dict[str, Any]
"""`members` by our own reading of the room's state, `sdk` by the SDK's MatrixRTC, `left`.

The SDK counts sticky memberships too; they have a `memberId` of their own.
"""


class Watcher:
    """What the client has seen so far.

    Attributes:
        process: `stop` it, and it leaves the session if it had joined; `kill`, and its delayed
            leave does that.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.log = process.program.log_file

    @property
    def seen(self) -> list[Seen]:
        """Everything in order; a new one at each change."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line.removeprefix(_MARK)) for line in lines if line.startswith(_MARK)]

    async def until(self, check: Callable[[Seen], object], within: float, what: str) -> Seen:
        """Waits until what is seen is so, and returns it.

        Raises:
            StackError: it did not come to be; the text holds the end of the client's log.
        """

        def found() -> Seen | None:
            seen = self.seen
            return seen[-1] if seen and check(seen[-1]) else None

        result: Seen = await until(found, within, f"{what}\n{tail(self.log)}\nnot seen")
        return result


@asynccontextmanager
async def watching(
    stack: Stack, folder: Path, login: Login, board: Board, *, publishes: str = "", member: str = ""
) -> AsyncIterator[Watcher]:
    """Runs the client for the block; it has seen the room when the block begins.

    Args:
        stack: whose homeserver it asks.
        folder: for its log.
        login: who it is, a member of the room.
        board: whose session it watches.
        publishes: joins the session with a sticky event, as one that publishes on the SFU of this
            JWT service (it does not connect there).
        member: its member id, if it joins.
    """
    peer = {
        "homeserver": stack.homeserver_url,
        "userId": login.user_id,
        "deviceId": login.device_id,
        "accessToken": login.access_token,
        "roomId": board.room_id,
        "whiteboardId": board.whiteboard_id,
        "publishes": publishes,
        "memberId": member,
    }
    folder.mkdir(parents=True, exist_ok=True)

    async def ready() -> bool:
        return bool(watcher.seen)

    process = Process(
        Program(
            name="matrix-js-sdk",
            command=[find_program("node"), str(_SCRIPT)],
            folder=folder,
            ready=ready,
            environment={"PEER": json.dumps(peer)},
        )
    )
    watcher = Watcher(process)
    await process.start(within=120)
    try:
        yield watcher
    finally:
        await process.kill()
