"""Who may import whom (DESIGN, "Dependencies point down only")."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

BOT = Path(__file__).parents[1] / "bot"
MODULES = sorted(BOT.rglob("*.py"))

# What a part of the program may import of the rest; "*" stands for everything.
CORE = {"bot", "bot.errors"}
WHITEBOARD = {*CORE, "bot.whiteboard"}
SHELL = {*WHITEBOARD, "bot.rtc", "bot.backoff", "bot.metrics", "bot.handlers.base"}
ROOM = {*SHELL, "bot.commands", "bot.services", "bot.board", "bot.snapshots", "bot.roomstate"}
STEERING = {
    "bot.orders",
    "bot.room",
    "bot.host",
    "bot.past",
    "bot.shared",
    "bot.admission",
    "bot.overview",
    "bot.naming",
}
SETTINGS = {*CORE, "bot.config"}
ALLOWED: dict[str, set[str]] = {
    "bot": set(),
    "bot.errors": set(),
    "bot.backoff": set(),
    "bot.borders": set(),
    "bot.metrics": set(),
    "bot.rtc": {*CORE, "bot.rtc"},
    "bot.whiteboard": WHITEBOARD,
    "bot.commands": {"bot.commands"},
    "bot.invites": set(),
    "bot.config": SETTINGS,
    "bot.logs": CORE,
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
    "bot.matrix": {*CORE, "bot.matrix", "bot.backoff"},
    "bot.livekit": {*CORE, "bot.livekit", "bot.rtc.sticky", "bot.backoff", "bot.metrics"},
    "bot.store": {*WHITEBOARD, "bot.store"},
    "bot.control": CORE,
    "bot.web": {*CORE, "bot.web", "bot.metrics"},
    "bot.services": {*SHELL, "bot.patience"},
    "bot.patience": WHITEBOARD,
    "bot.turns": set(),
    "bot.beside": WHITEBOARD,
    "bot.board": {*SHELL, "bot.services", "bot.handlers.recorded", "bot.holding", "bot.beside"},
    "bot.holding": {*SHELL, "bot.services"},
    "bot.snapshots": SHELL,
    "bot.permission": {*CORE, "bot.whiteboard.snapshot"},
    "bot.complaints": {*SHELL, "bot.permission"},
    "bot.outlook": set(),
    "bot.saving": {*SHELL, "bot.services", "bot.board", "bot.snapshots", "bot.outlook"},
    "bot.roomstate": {*SHELL, "bot.commands", "bot.permission"},
    "bot.forms": SHELL,
    "bot.keeper": {*SHELL, "bot.forms"},
    "bot.admission": {*CORE, "bot.metrics"},
    "bot.limits": {*CORE, "bot.admission", "bot.backoff", "bot.matrix.probe"},
    "bot.presence": {*ROOM, "bot.legacy", "bot.sticky", "bot.bridge", "bot.setting"},
    "bot.bridge": ROOM,
    "bot.sticky": {
        *ROOM,
        "bot.admission",
        "bot.forms",
        "bot.legacy",
        "bot.stay",
        "bot.setting",
    },
    "bot.ears": {*ROOM, "bot.hearing", "bot.links"},
    "bot.stay": {
        *ROOM,
        "bot.ears",
        "bot.forms",
        "bot.hearing",
        "bot.keeper",
        "bot.links",
        "bot.newcomers",
        "bot.setting",
    },
    "bot.stale": ROOM,
    "bot.remembered": {*ROOM, "bot.boards"},
    "bot.legacy": {
        *ROOM,
        "bot.admission",
        "bot.forms",
        "bot.keeper",
        "bot.hearing",
        "bot.newcomers",
        "bot.links",
        "bot.setting",
    },
    "bot.hearing": {*ROOM, "bot.nameless"},
    "bot.nameless": WHITEBOARD,
    "bot.repeating": {*CORE, "bot.whiteboard"},
    "bot.newcomers": set(),
    "bot.links": {*ROOM, "bot.hearing", "bot.turns"},
    "bot.setting": {*ROOM, "bot.admission", "bot.forms", "bot.links"},
    "bot.foci": {*CORE, "bot.rtc"},
    "bot.support": CORE,
    "bot.boards": {
        *ROOM,
        "bot.mending",
        "bot.permission",
        "bot.reading",
        "bot.saving",
        "bot.repeating",
    },
    "bot.mending": ROOM,
    "bot.reading": {*SHELL, "bot.board", "bot.snapshots"},
    "bot.overview": {*CORE, "bot.roomstate", "bot.rtc", "bot.whiteboard"},
    "bot.attendance": {*SHELL, "bot.overview"},
    "bot.sessions": {*ROOM, "bot.overview", "bot.attendance", "bot.borders", "bot.turns"},
    "bot.conversation": {*CORE, "bot.commands", "bot.actions", "bot.metrics"},
    "bot.shared": {
        *ROOM,
        "bot.sessions",
        "bot.conversation",
        "bot.boards",
        "bot.remembered",
        "bot.stale",
    },
    "bot.past": SHELL,
    "bot.room": {
        *ROOM,
        "bot.past",
        "bot.sessions",
        "bot.conversation",
        "bot.boards",
        "bot.shared",
        "bot.complaints",
        "bot.permission",
        "bot.remembered",
        "bot.stale",
    },
    "bot.context": {
        *SHELL,
        "bot.board",
        "bot.commands",
        "bot.handlers.calling",
        "bot.history",
        "bot.past",
        "bot.permission",
        "bot.view",
    },
    "bot.view": {*SHELL, "bot.board", "bot.permission", "bot.rewriting"},
    "bot.history": {*SHELL, "bot.actions", "bot.services"},
    "bot.fittings": {*SHELL, *SETTINGS, "bot.admission", "bot.invites"},
    "bot.stall": {*CORE, "bot.metrics", "bot.handlers"},
    "bot.handling": {*CORE, "bot.context", "bot.handlers"},
    "bot.host": {*ROOM, "bot.borders", "bot.room", "bot.shared", "bot.invites"},
    "bot.actions": {*WHITEBOARD, "bot.services", "bot.naming", "bot.beside"},
    "bot.naming": {*CORE, "bot.whiteboard.board"},
    "bot.recording": WHITEBOARD,
    "bot.portable": {*WHITEBOARD, "bot.recording", "bot.actions"},
    "bot.steering": {*ROOM, *STEERING, "bot.actions", "bot.web.server", "bot.saved"},
    "bot.saved": {*ROOM, "bot.room", "bot.outlook", "bot.actions", "bot.permission"},
    "bot.rewriting": {*WHITEBOARD, "bot.board", "bot.actions", "bot.permission"},
    "bot.doctor": {
        *SHELL,
        *SETTINGS,
        "bot.doctor",
        "bot.admission",
        "bot.roomstate",
        "bot.matrix",
        "bot.livekit",
    },
    "bot.setup": {*SETTINGS, "bot.matrix.admin"},
    "bot.changes": {
        *WHITEBOARD,
        "bot.snapshots",
        "bot.actions",
        "bot.rewriting",
        "bot.beside",
    },
    "bot.orders": {*ROOM, "bot.actions", "bot.changes", "bot.rewriting", "bot.host"},
    "bot.testing": {
        *ROOM,
        *SETTINGS,
        "bot.testing",
        "bot.handlers",
        "bot.boards",
        "bot.context",
        "bot.fittings",
        "bot.handling",
        "bot.history",
        "bot.past",
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
    "bot.invites",
    "bot.roomstate",
    "bot.overview",
    "bot.permission",
)
IMPURE = {"asyncio", "logging", "random", "time", "secrets", "aiohttp", "mautrix", "livekit"}
HOME = {"mautrix": ("bot.matrix", "bot.store"), "livekit": ("bot.livekit",)}


def name_of(path: Path) -> str:
    parts = path.relative_to(BOT.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def part_of(module: str) -> str:
    """The longest entry of the table that this module belongs to."""
    fits = [part for part in ALLOWED if module == part or module.startswith(part + ".")]
    return max(fits, key=len)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
            if node.module == "bot":
                found |= {
                    f"bot.{alias.name}" for alias in node.names if alias.name != "__version__"
                }
    return found


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
