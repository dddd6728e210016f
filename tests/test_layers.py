"""Who may import whom (DESIGN, "Dependencies point down only")."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

BOT = Path(__file__).parents[1] / "bot"
MODULES = sorted(BOT.rglob("*.py"))

# What a part of the program may import of the rest; "*" stands for everything.
CORE = {"bot", "bot.errors"}
WHITEBOARD = {*CORE, "bot.whiteboard"}
SHELL = {*WHITEBOARD, "bot.rtc", "bot.backoff", "bot.metrics", "bot.handlers.base"}
ROOM = {*SHELL, "bot.commands", "bot.services", "bot.roomstate", "bot.permission", "bot.turns"}
SETTINGS = {*CORE, "bot.config"}
ALLOWED: dict[str, set[str]] = {
    "bot": set(),
    # What everybody may use.
    "bot.errors": set(),
    "bot.backoff": set(),
    "bot.borders": set(),
    "bot.metrics": set(),
    "bot.turns": set(),
    "bot.beside": WHITEBOARD,
    "bot.patience": WHITEBOARD,
    "bot.recording": WHITEBOARD,
    # Pure.
    "bot.rtc": {*CORE, "bot.rtc"},
    "bot.whiteboard": WHITEBOARD,
    "bot.commands": {"bot.commands"},
    "bot.config": SETTINGS,
    "bot.rooms.invites": set(),
    "bot.rooms.overview": {*CORE, "bot.roomstate", "bot.rtc", "bot.whiteboard"},
    "bot.permission": {*CORE, "bot.whiteboard.snapshot"},
    "bot.roomstate": {*SHELL, "bot.commands", "bot.permission"},
    # Shells: servers, files, people's code.
    "bot.matrix": {*CORE, "bot.matrix", "bot.backoff"},
    "bot.livekit": {*CORE, "bot.livekit", "bot.rtc.sticky", "bot.backoff", "bot.metrics"},
    "bot.store": {*WHITEBOARD, "bot.store"},
    "bot.web": {*CORE, "bot.web", "bot.metrics"},
    "bot.handlers": {
        *WHITEBOARD,
        *SETTINGS,
        "bot.handlers",
        "bot.metrics",
        "bot.backoff",
        "bot.rtc.past",
        "bot.rtc.spans",
    },
    "bot.handlers.isolated": {
        *WHITEBOARD,
        "bot.handlers",
        "bot.metrics",
        "bot.backoff",
        "bot.commands.bucket",
    },
    "bot.logs": CORE,
    "bot.support": CORE,
    "bot.limits": {*CORE, "bot.presence.admission", "bot.backoff", "bot.matrix.probe"},
    "bot.stall": {*CORE, "bot.metrics", "bot.handlers"},
    # Rooms, what is in them and what is done with it.
    "bot.services": {*SHELL, "bot.patience"},
    "bot.presence": {*ROOM, "bot.presence"},
    "bot.boards": {*ROOM, "bot.boards", "bot.beside", "bot.handlers.recorded"},
    "bot.actions": {
        *SHELL,
        "bot.actions",
        "bot.beside",
        "bot.boards",
        "bot.permission",
        "bot.recording",
        "bot.services",
    },
    "bot.rooms": {*ROOM, "bot.rooms", "bot.boards", "bot.actions", "bot.borders"},
    "bot.control": {
        *ROOM,
        "bot.control",
        "bot.rooms",
        "bot.boards",
        "bot.actions",
        "bot.presence.admission",
        "bot.web.server",
    },
    # What handlers are handed.
    "bot.view": {*SHELL, "bot.boards", "bot.actions", "bot.permission"},
    "bot.context": {
        *SHELL,
        "bot.boards",
        "bot.commands",
        "bot.handlers.calling",
        "bot.actions.history",
        "bot.permission",
        "bot.rooms.past",
        "bot.view",
    },
    "bot.handling": {*CORE, "bot.context", "bot.handlers"},
    # Where it is all put together.
    "bot.fittings": {*SHELL, *SETTINGS, "bot.presence.admission", "bot.rooms.invites"},
    "bot.doctor": {
        *SHELL,
        *SETTINGS,
        "bot.doctor",
        "bot.presence.admission",
        "bot.roomstate",
        "bot.matrix",
        "bot.livekit",
    },
    "bot.setup": {*SETTINGS, "bot.matrix.admin"},
    "bot.testing": {
        *ROOM,
        *SETTINGS,
        "bot.testing",
        "bot.handlers",
        "bot.boards",
        "bot.context",
        "bot.fittings",
        "bot.handling",
        "bot.actions",
        "bot.rooms.past",
        "bot.recording",
        "bot.store",
    },
    "bot.app": {"*"},
    "bot.account": {"*"},
    "bot.entrance": {"*"},
    "bot.cli": {"*"},
    "bot.__main__": {"*"},
}
PURE = (
    "bot.rtc",
    "bot.whiteboard",
    "bot.commands",
    "bot.rooms.invites",
    "bot.roomstate",
    "bot.rooms.overview",
    "bot.permission",
)
IMPURE = {"asyncio", "logging", "random", "time", "secrets", "aiohttp", "mautrix", "livekit"}
HOME = {"mautrix": ("bot.matrix", "bot.store"), "livekit": ("bot.livekit",)}


def name_of(path: Path) -> str:
    parts = path.relative_to(BOT.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


NAMES = {name_of(path) for path in MODULES}


def part_of(module: str) -> str:
    """The longest entry of the table that this module belongs to."""
    fits = [part for part in ALLOWED if module == part or module.startswith(part + ".")]
    return max(fits, key=len)


@cache
def imports(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= named & NAMES or {node.module}
    return frozenset(found)


def within(module: str, allowed: set[str]) -> bool:
    return any(module == one or (one != "bot" and module.startswith(one + ".")) for one in allowed)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    allowed = ALLOWED[part_of(name_of(path))]
    if "*" in allowed:
        return
    ours = {module for module in imports(path) if module.split(".")[0] == "bot"}
    wrong = {module for module in ours if not within(module, allowed | {name_of(path)})}
    assert not wrong, f"{name_of(path)} may not import {sorted(wrong)}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_core_is_pure(path: Path) -> None:
    if not name_of(path).startswith(PURE):
        return
    wrong = {module.split(".")[0] for module in imports(path)} & IMPURE
    assert not wrong, f"{name_of(path)} is pure and may not import {sorted(wrong)}"


@pytest.mark.parametrize("library", HOME)
def test_each_server_library_has_one_home(library: str) -> None:
    for path in MODULES:
        if library in {module.split(".")[0] for module in imports(path)}:
            assert name_of(path).startswith(HOME[library]), f"{name_of(path)} imports {library}"


def test_pycrdt_is_for_tests() -> None:
    """Hostile updates crash it or keep it busy for ever (bot/whiteboard/replica.py)."""
    assert not [name_of(path) for path in MODULES if "pycrdt" in imports(path)]


def test_every_part_is_in_the_table() -> None:
    names = {name_of(path) for path in MODULES} - {"bot"}
    assert {name for name in names if part_of(name) == "bot"} == set()


def test_no_module_imports_itself_through_others() -> None:
    left = {name_of(path): imports(path) for path in MODULES}
    while free := {name for name, found in left.items() if not found & (left.keys() - {name})}:
        left = {name: found for name, found in left.items() if name not in free}
    assert not left, "these import each other, or what does"
