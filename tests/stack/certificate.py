"""A certificate for loopback, and the authority that gave it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.stack.ports import HOST
from tests.stack.processes import StackError

_NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The files of a server's certificate, its key, and the authority others have to trust."""

    file: Path
    key: Path
    authority: Path


def make_certificate(folder: Path) -> Certificate:
    """Makes an authority and a certificate for `localhost`, good for a day.

    Raises:
        StackError: openssl is not there or refuses.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    root, root_key = folder / "root.crt", folder / "root.key"
    made = Certificate(folder / "server.crt", folder / "server.key", root)
    request, names = folder / "server.req", folder / "server.names"
    names.write_text(f"subjectAltName=DNS:localhost,IP:{HOST}\n")
    signing = f"-CA {root} -CAkey {root_key} -CAcreateserial -extfile {names}"
    for command in (
        f"req -x509 {_NEW_KEY} -subj /CN=stack -days 1 -keyout {root_key} -out {root}",
        f"req -new {_NEW_KEY} -subj /CN=localhost -keyout {made.key} -out {request}",
        f"x509 -req -in {request} {signing} -days 1 -out {made.file}",
    ):
        try:
            subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise StackError(f"No certificate could be made: {error}") from error
    return made
