"""`boardkeeper handlers new`: a project to begin a handler with."""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from importlib.machinery import PathFinder
from importlib.resources import files
from pathlib import Path
from string import Template

from bot.cli.output import say
from bot.errors import UsageError
from bot.handlers.load import BUILT_IN

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
MAX_NAME = 40

_FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "{module}.py": "handler.py.txt",
    "test_{module}.py": "test.py.txt",
}
"""What is made, and from what."""


def add(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    new = actions.add_parser("new", help="make a folder to begin a handler with, with a test")
    new.add_argument("name", metavar="NAME", help="the handler's name, and the folder's")


def run(options: argparse.Namespace) -> None:
    """Make the project.

    Raises:
        UsageError: the name will not do, or something is there already.
    """
    make(Path(), options.name)
    say(
        f"Made {options.name}: a handler with its tests. Now:\n\n"
        f"  cd {options.name}\n"
        "  python -m unittest\n"
        f"  boardkeeper dev {_module(options.name)}.py --replay sample"
    )


def make(folder: Path, name: str) -> None:
    """Make a project in a folder.

    Raises:
        UsageError: the name will not do, or something is there already.
    """
    _check(name)
    values = {
        "project": name,
        "module": _module(name),
        "name": "".join(part.capitalize() for part in re.split("[-_]", name)),
    }
    home = folder / name
    try:
        home.mkdir()
        for target, source in _FILES.items():
            template = Template(files("bot.cli").joinpath("templates", source).read_text("utf-8"))
            text = template.substitute(values)
            (home / target.format_map(values)).write_text(text, "utf-8")
    except FileExistsError:
        raise UsageError(f"{home} is there already: choose another name.") from None
    except OSError as error:
        raise UsageError(f"{home} cannot be made: {error.strerror}.") from error


def _module(name: str) -> str:
    return name.replace("-", "_")


def _installed(name: str) -> bool:
    """Return whether its module would hide, or be hidden by, another one that is installed."""
    here = {Path.cwd(), Path.cwd() / name}
    elsewhere = [path for path in sys.path if Path(path).resolve() not in here]
    return PathFinder.find_spec(_module(name), elsewhere) is not None


def _check(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise UsageError(
            f"“{name}” cannot be a handler's name: a to z and 0 to 9; it begins with a letter;"
            f" single - or _ in between; at most {MAX_NAME} characters."
        )
    taken = {*BUILT_IN, *keyword.kwlist, *sys.stdlib_module_names, "bot", "boardkeeper"}
    if _module(name) in taken or _installed(name):
        raise UsageError(f"“{name}” is the name of something else already: choose another one.")
