"""The one-shot services of docker-compose.yml: `prepare` and `users`. Python alone, no packages.

prepare: writes configuration files (anew each time, from the templates beside this file) and
secrets (once) into the volumes, each readable by the one container that needs it.
users: creates the bot's account, or accounts of people; `docker compose run --rm users alice`.
"""
# ruff: noqa: INP001 - a program, no package

from __future__ import annotations

import argparse
import base64
import getpass
import hashlib
import hmac
import json
import os
import re
import secrets
import sys
from pathlib import Path
from string import Template
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

HERE = Path(__file__).resolve().parent
BOT = "boardkeeper"
SYNAPSE_UID, BOT_UID, JWT_UID, LIVEKIT_UID = 991, 10001, 10002, 0


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=Path, default=Path("/volumes"))
    parser.add_argument("--data", default="/data", help="where Synapse sees its volume")
    parser.add_argument("--homeserver", default="http://synapse:8008")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare")
    commands.add_parser("users").add_argument("names", nargs="*")
    options = parser.parse_args()
    domain = os.environ.get("DOMAIN", "")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d+)?", domain):
        sys.exit("DOMAIN must be the public name of this server, such as chat.example.org")
    if options.command == "prepare":
        prepare(options.volumes, domain, options.data)
    elif options.names:
        for name in options.names:
            add_person(options.homeserver, options.volumes, domain, name)
    else:
        add_bot(options.homeserver, options.volumes, domain)


def prepare(volumes: Path, domain: str, data: str) -> None:
    """Write what the containers need before they start."""
    synapse, bot = volumes / "synapse", volumes / "bot"
    owner = SYNAPSE_UID
    own(synapse, owner)
    render(synapse, "homeserver.yaml", owner, domain=domain, data=data)
    render(synapse, "log.yaml", owner)
    for name in ("registration", "macaroon", "form"):
        write_once(synapse / f"{name}.secret", secrets.token_urlsafe(32), owner)
    seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    write_once(synapse / "signing.key", f"ed25519 a_{secrets.token_hex(2)} {seed}\n", owner)

    own(bot, BOT_UID)
    render(bot, "config.yaml", BOT_UID, domain=domain)
    write_once(bot / "password", secrets.token_urlsafe(24), BOT_UID)

    # The same API key for the LiveKit server and the JWT service, which run as different users.
    keys = volumes / "livekit" / "keys.yaml"
    own(keys.parent, LIVEKIT_UID)
    write_once(keys, f"{BOT}: {secrets.token_urlsafe(36)}\n", LIVEKIT_UID)
    own(volumes / "jwt", JWT_UID)
    write(volumes / "jwt" / "keys.yaml", keys.read_text("utf-8"), JWT_UID)
    say(f"{domain}: configuration and secrets are there")


def render(folder: Path, name: str, owner: int, **values: str) -> None:
    """Fill in a template; it is written anew each time, so edit the template."""
    text = (HERE / name).read_text("utf-8")
    write(folder / name, Template(text).substitute(values) if values else text, owner)


def write_once(path: Path, text: str, owner: int) -> None:
    """Write a file unless it is there."""
    if not path.exists():
        write(path, text, owner)


def write(path: Path, text: str, owner: int) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.touch(mode=0o600)
    own(new, owner)
    new.write_text(text, "utf-8")
    new.replace(path)


def own(path: Path, owner: int) -> None:
    """Hand a path to the user of a container; only root can, and in the container it is root."""
    if os.geteuid() == 0:
        os.chown(path, owner, owner)
    path.chmod(0o700 if path.is_dir() else 0o600)


def add_bot(homeserver: str, volumes: Path, domain: str) -> None:
    """Create the bot's account, unless it is there."""
    password = (volumes / "bot" / "password").read_text("utf-8")
    if register(homeserver, volumes, BOT, password):
        say(f"created @{BOT}:{domain}")
    else:
        say(f"@{BOT}:{domain} is there already")


def add_person(homeserver: str, volumes: Path, domain: str, name: str) -> None:
    """Create an account for a person; the password is asked for, or made up and shown."""
    password = getpass.getpass(f"Password for {name} (empty: make one up): ")
    made_up = "" if password else secrets.token_urlsafe(12)
    if not register(homeserver, volumes, name, password or made_up):
        sys.exit(f"@{name}:{domain} is there already")
    say(f"created @{name}:{domain}" + (f", password {made_up}" if made_up else ""))


def register(homeserver: str, volumes: Path, name: str, password: str) -> bool:
    """Create an account with Synapse's shared secret; False when the name is taken."""
    secret = (volumes / "synapse" / "registration.secret").read_text("utf-8").strip()
    nonce = request(homeserver, None)["nonce"]
    words = (nonce, name, password, "notadmin")
    mac = hmac.new(secret.encode(), "\0".join(words).encode(), hashlib.sha1)
    account = {"nonce": nonce, "username": name, "password": password, "mac": mac.hexdigest()}
    answer = request(homeserver, {**account, "admin": False})
    if "user_id" not in answer and answer.get("errcode") != "M_USER_IN_USE":
        sys.exit(f"the homeserver refused the account {name}: {answer.get('error')}")
    return "user_id" in answer


def request(homeserver: str, body: dict[str, Any] | None) -> dict[str, Any]:
    """Ask Synapse's registration for administrators; an error is an answer too."""
    url = f"{homeserver}/_synapse/admin/v1/register"
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    try:
        with urlopen(Request(url, data, headers), timeout=30) as response:  # noqa: S310 - ours
            answer: dict[str, Any] = json.load(response)
    except HTTPError as error:
        answer = json.load(error)
    return answer


def say(text: str) -> None:
    """Tell the operator."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
