"""The bot with its hot modules compiled (setup.py), built from this checkout as the image is.

It stands in `build/compiled`, and is built again when something that it is built from has changed.
Who puts it before the checkout on the path, as `environment` does, runs it.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.stack.processes import ROOT

_FOLDER = ROOT / "build" / "compiled"
_MARK = _FOLDER / ".built"


def hot() -> list[str]:
    """The modules that are compiled."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    (names,) = [
        ast.literal_eval(one.value)
        for one in tree.body
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "HOT"
    ]
    return [f"bot.whiteboard.{name}" for name in names]


def places() -> str:
    """A program that prints the file of each of them."""
    modules = hot()
    return f"import {', '.join(modules)}\nprint(*(m.__file__ for m in ({', '.join(modules)})))"


def built() -> Path:
    """The folder that holds it, built where it has to be: 20 seconds.

    Raises:
        AssertionError: it cannot be built; what was said is in the text.
    """
    _FOLDER.parent.mkdir(exist_ok=True)
    with (_FOLDER.parent / "compiled.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        key = _key()
        if not _MARK.exists() or _MARK.read_text() != key:
            _build()
            _MARK.write_text(key)
    return _FOLDER


def environment() -> dict[str, str]:
    """What a Python program that imports `bot` and `tests` needs to get the compiled form."""
    path = os.pathsep.join([str(built()), str(ROOT)])
    # Safe: else the working folder, which may be the checkout, would come first.
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def _build() -> None:
    # What an earlier build left there would be packed too, even if its source is gone.
    for old in (_FOLDER, *_FOLDER.parent.glob("lib*")):
        shutil.rmtree(old, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-index"]
    where = ["--no-deps", "--no-build-isolation", "--no-compile", "--target", str(_FOLDER)]
    done = subprocess.run(
        [*pip, *where, str(ROOT)],
        env={**os.environ, "BOARDKEEPER_COMPILE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def _key() -> str:
    """Names what it is built from, and by which Python."""
    whole = hashlib.sha256(sys.version.encode())
    parts = [ROOT / "setup.py", ROOT / "pyproject.toml", ROOT / ".ci" / "locks" / "build.lock"]
    for file in [*parts, *sorted((ROOT / "bot").rglob("*.*"))]:
        if file.is_file() and file.suffix != ".pyc":
            whole.update(f"{file.relative_to(ROOT)}\n".encode())
            whole.update(file.read_bytes())
    return whole.hexdigest()
