"""`python -m tests.stack up|down|status [--folder FOLDER]`: the servers, for people.

`up` leaves a keeper process behind that owns the servers; `down` ends the keeper, and with it
everything. A keeper that is killed takes the servers with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.stack.processes import ROOT, StackError, start_time, tail
from tests.stack.stack import Options, Stack

_USERS = ("alice", "bob", "boardkeeper")
_STATE = "stack.json"
_KEEPER_LOG = "keeper.log"


def main() -> int:
    """Runs one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.stack", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status", "keep"])
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "stack")
    parser.add_argument("--default-limits", action="store_true", help="Synapse's own rate limits")
    chosen = parser.parse_args()
    folder = chosen.folder.resolve()
    try:
        if chosen.command == "up":
            return up(folder, default_limits=chosen.default_limits)
        if chosen.command == "down":
            return down(folder)
        if chosen.command == "status":
            return status(folder)
        asyncio.run(keep(folder, Options(default_limits=chosen.default_limits)))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def up(folder: Path, *, default_limits: bool) -> int:
    """Starts the servers, unless they run already, and prints where they are."""
    if _read_state(folder) is None:
        _clear(folder)
        print("Starting Synapse, livekit-server and the JWT service …", flush=True)
        begun = time.monotonic()
        _start_keeper(folder, ["--default-limits"] if default_limits else [])
        print(f"Started in {time.monotonic() - begun:.1f} s.\n")
    return status(folder)


def down(folder: Path) -> int:
    """Ends the servers."""
    state = _read_state(folder)
    if state is None:
        print("Nothing runs.")
        return 0
    os.kill(state["pid"], signal.SIGTERM)
    deadline = time.monotonic() + 20
    while start_time(state["pid"]) == state["started"]:
        if time.monotonic() > deadline:
            # Its servers are killed by the kernel with it.
            os.kill(state["pid"], signal.SIGKILL)
        time.sleep(0.05)
    (folder / _STATE).unlink(missing_ok=True)
    print("Ended.")
    return 0


def status(folder: Path) -> int:
    """Prints addresses and logins; exit status 3 when nothing runs."""
    state = _read_state(folder)
    if state is None:
        print("Nothing runs. Start it with `python -m tests.stack up`.")
        return 3
    for name, value in state["addresses"].items():
        print(f"{name:16} {value}")
    print()
    for login in state["logins"]:
        print(f"{login['user_id']}\n    password  {login['password']}")
        print(f"    device    {login['device_id']}\n    token     {login['access_token']}")
    print(f"\nLogs are in {folder}. End it with `python -m tests.stack down`.")
    return 0


async def keep(folder: Path, options: Options) -> None:
    """Owns the servers until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with Stack.start(folder, options) as stack:
        state = await _describe(stack)
        draft = folder / f"{_STATE}.draft"
        draft.write_text(json.dumps(state, indent=1))
        draft.rename(folder / _STATE)
        await ended.wait()
    (folder / _STATE).unlink(missing_ok=True)


async def _describe(stack: Stack) -> dict[str, Any]:
    logins = [await stack.user(name) for name in _USERS]
    return {
        "pid": os.getpid(),
        "started": start_time(os.getpid()),
        "addresses": {
            "homeserver": stack.homeserver_url,
            "server name": stack.server_name,
            "JWT service": stack.jwt_url,
            "LiveKit": stack.livekit_url,
            "LiveKit key": stack.livekit_key,
            "LiveKit secret": stack.livekit_secret,
        },
        "logins": [
            {
                "user_id": login.user_id,
                "password": login.password,
                "device_id": login.device_id,
                "access_token": login.access_token,
            }
            for login in logins
        ],
    }


def _start_keeper(folder: Path, options: list[str]) -> None:
    folder.mkdir(parents=True, mode=0o700)
    log = folder / _KEEPER_LOG
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.stack", "keep", "--folder", str(folder), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            start_new_session=True,
        )
    while _read_state(folder) is None:
        if keeper.poll() is not None:
            raise StackError(f"The servers did not start:\n{tail(log)}")
        time.sleep(0.05)


def _read_state(folder: Path) -> dict[str, Any] | None:
    """What the keeper wrote, while it lives."""
    try:
        state: dict[str, Any] = json.loads((folder / _STATE).read_text())
    except OSError:
        return None
    return state if start_time(state["pid"]) == state["started"] else None


def _clear(folder: Path) -> None:
    """Removes what an earlier run left: Synapse refuses a database of another server name."""
    if not folder.exists() or not any(folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)
    elif (folder / _KEEPER_LOG).exists():
        shutil.rmtree(folder)
    else:
        raise StackError(f"{folder} holds files of somebody else; choose another folder.")


if __name__ == "__main__":
    sys.exit(main())
