"""Where set-up put the servers that are not Python packages of ours.

`.ci/setup.py` installs them in a cache outside the checkout and writes their paths into
`.venv/programs.json`.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.stack.processes import ROOT, StackError

PROGRAMS_FILE = ROOT / ".venv" / "programs.json"


def find_program(name: str) -> str:
    """The path of a program that set-up installed.

    Args:
        name: `synapse_python`, `livekit_server`, `node` or `chromium`.

    Raises:
        StackError: set-up has not been run, or could not install it.
    """
    try:
        path = str(json.loads(PROGRAMS_FILE.read_text())[name])
    except (OSError, KeyError, ValueError) as error:
        raise StackError(f"{name} is not installed. Run `make setup`.") from error
    if not Path(path).exists():
        raise StackError(f"{name} is gone from {path}. Run `make setup`.")
    return path
