"""`make demo`: the bot at its main job, on real servers, with two simulated people.

Alice and Bob replay a session that real NeoBoard clients had (tests/data/neoboard-session/slides).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.demo.view import View
from tests.stack.bot import Bot, running_bot, until
from tests.stack.client.events import Board
from tests.stack.client.habits import Habits
from tests.stack.neoboard import NeoBoard
from tests.stack.processes import ROOT
from tests.stack.replay import Replay
from tests.stack.stack import Login, Stack

SESSION = ROOT / "tests" / "data" / "neoboard-session" / "slides"
FOLDER = ROOT / "build" / "demo"
SPEED = 3.0
LONGEST_PAUSE = 0.8
"""Seconds, at this speed: the recorded people thought longer."""

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Demo:
    """How the demo is to be.

    Attributes:
        folder: for servers, bot and export; `servers` and `bot` in it are made anew.
        speed: of the replay; pauses are shortened likewise.
        keep: whether all of it is left running at the end.
    """

    folder: Path
    speed: float
    keep: bool


def main() -> None:
    """Run the demo; Ctrl-C ends everything."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave all of it running at the end")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where everything goes")
    parser.add_argument("--speed", type=float, default=SPEED, help="of the replay")
    options = parser.parse_args()
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_until_interrupted(Demo(options.folder.resolve(), options.speed, options.keep)))


async def _until_interrupted(demo: Demo) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await _run(demo)
    except asyncio.CancelledError:
        console.print("\nEnded: servers, bot and people are gone.")
        raise


async def _run(demo: Demo) -> None:
    servers, bots = demo.folder / "servers", demo.folder / "bot"
    for left in (servers, bots):
        shutil.rmtree(left, ignore_errors=True)
    console.rule("[bold]boardkeeper: the main job, on real servers[/]", align="left")
    async with AsyncExitStack() as exits:
        with console.status("starting Synapse, livekit-server and the JWT service …"):
            stack = await exits.enter_async_context(Stack.start(servers))
        console.print("✓ Synapse, livekit-server and the JWT service run", style="green")
        logins = {who: await stack.user(who) for who in ("alice", "bob")}
        with console.status("starting the bot …"):
            bot = await exits.enter_async_context(running_bot(stack, bots, "boardkeeper"))
        console.print("✓ the bot runs (SQLite, one data folder)", style="green")
        people = await exits.enter_async_context(_people(stack, logins))
        board = await _meet(people, bot)
        await _play(people, bot, demo.speed)
        await _report(bot, board, demo)
        if demo.keep:
            _say_where(stack, bot, board, logins)
            await asyncio.Event().wait()


@asynccontextmanager
async def _people(stack: Stack, logins: dict[str, Login]) -> AsyncIterator[dict[str, NeoBoard]]:
    habits = Habits(saves=False)  # the replay brings the snapshots that the real clients wrote
    async with (
        NeoBoard(stack.homeserver_url, logins["alice"], habits) as alice,
        NeoBoard(stack.homeserver_url, logins["bob"], habits) as bob,
    ):
        yield {"alice": alice, "bob": bob}


async def _meet(people: dict[str, NeoBoard], bot: Bot) -> Board:
    """Alice makes a board and invites Bob and the bot; all go there."""
    alice, bob = people["alice"], people["bob"]
    board = await alice.create_board("Demo", invite=[bob.user_id, bot.user_id])
    await bob.join(board)
    with console.status("Alice invites Bob and the bot, and both people open the board …"):
        view = View(bot)
        await alice.open(board)
        await bob.open(board)
        await until(lambda: view.announced, 30, "the bot is not announced", bot)
        await alice.hears(bob)
        await bob.hears(alice)
    console.print("✓ Alice and Bob are on the board\n", style="green")
    return board


async def _play(people: dict[str, NeoBoard], bot: Bot, speed: float) -> None:
    with Live(View(bot), console=console, refresh_per_second=5):
        pause = LONGEST_PAUSE * SPEED / speed
        await Replay(SESSION).play(people, speed=speed, longest_pause=pause)
        await asyncio.sleep(1.0)  # the last packets, the next commit


async def _report(bot: Bot, board: Board, demo: Demo) -> None:
    output = demo.folder / "board.nwb"
    said = await asyncio.to_thread(bot.command, "export", board.room_id, "-o", str(output))
    what = said.strip().removeprefix(f"{output}: ")
    console.print(f"\n✓ exported as .nwb: {what}", style="green")
    table = Table.grid(padding=(0, 2))
    for what, where in (
        ("recording", bot.data / "boardkeeper.db"),
        ("export", output),
        ("log", bot.log),
    ):
        table.add_row(what, _short(where))
    console.print(table)
    config = _short(bot.config)
    console.print(
        "\nTry next:"
        f"\n  .venv/bin/boardkeeper boards -c {config}"
        f"\n  .venv/bin/boardkeeper export 1 -c {config} -o then.nwb --at '15s ago'"
        f"\n  import {_short(demo.folder / 'board.nwb')} in a NeoBoard (in its menu)",
        soft_wrap=True,  # to be copied
    )
    if not demo.keep:
        console.print("  make demo KEEP=1     everything stays up, with addresses and logins")


def _say_where(stack: Stack, bot: Bot, board: Board, logins: dict[str, Login]) -> None:
    console.print("\n[bold]Everything runs until you press Ctrl-C.[/]")
    table = Table.grid(padding=(0, 2))
    table.add_row("homeserver", stack.homeserver_url)
    table.add_row("JWT service", stack.jwt_url)
    table.add_row("LiveKit", stack.livekit_url)
    table.add_row("bot: health", f"{bot.url}/ready  {bot.url}/metrics")
    table.add_row("room", board.room_id)
    for login in logins.values():
        table.add_row("login", f"{login.user_id}  password {login.password}")
    console.print(table)


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


if __name__ == "__main__":
    main()
