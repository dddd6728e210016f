"""Handlers of other people in the running bot, and what its commands say of single cases."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.stack.bot import until
from tests.stack.client import elements
from tests.stack.processes import ROOT
from tests.stack.stack import Stack
from tests.system.people import QUICK, logged, meeting

HARMFUL = """
import asyncio

from bot.handlers.base import DocumentUpdate, Handler, SessionChanged


class Raises(Handler):
    async def on_session_changed(self, event: SessionChanged) -> None:
        raise RuntimeError("secret words")

    async def on_document_update(self, event: DocumentUpdate) -> None:
        raise RuntimeError("secret words")

    async def stop(self) -> None:
        raise RuntimeError("secret words")


class Hangs(Handler):
    async def on_document_update(self, event: DocumentUpdate) -> None:
        await asyncio.Event().wait()
"""


def from_readme(language: str, has: str) -> str:
    """Return the block of code in the README that has this in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    [block] = [block for block in blocks if has in block]
    return str(block)


def importable(folder: Path, module: str, code: str) -> dict[str, str]:
    """Put a module where the bot finds it; return the environment for that."""
    folder.mkdir()
    (folder / f"{module}.py").write_text(code)
    return {"PYTHONPATH": str(folder)}


def configured(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a configuration with these handlers, and `log`, which the tests look at."""
    return {**QUICK, "handlers": [*entries, {"use": "log"}]}


async def test_the_handler_of_the_readme_is_loaded_and_told(stack: Stack, tmp_path: Path) -> None:
    importable(tmp_path / "bot", "shout", from_readme("python", "# shout.py"))
    entries = YAML(typ="safe").load(io.StringIO(from_readme("yaml", "shout.py:Shout")))["handlers"]
    async with meeting(stack, tmp_path, configured(entries)) as here:
        assert here.bot.command("check").endswith("is right.\n")
        await here.alice.draw(elements.shape(text="one"))
        await until(lambda: logged(here.bot, "somebody drew"), 10, "not told", here.bot)
        await here.alice.draw(elements.shape(text="two"))

        def told() -> list[tuple[str, int]]:
            return [(one["who"], one["elements"]) for one in logged(here.bot, "somebody drew")]

        alice = here.alice.user_id
        await until(lambda: (alice, 2) in told(), 10, f"not told: {told()}", here.bot)
        assert told()[0] == (alice, 1)
        await here.recorded(2)  # the other handler of the README's configuration


async def test_a_handler_that_cannot_be_found_is_a_mistake_in_the_configuration(
    stack: Stack, tmp_path: Path
) -> None:
    async with meeting(stack, tmp_path, opened=False) as here:
        text = here.bot.config.read_text()
        assert '"web"' in text
        here.bot.config.write_text(text.replace("{", '{"handlers": [{"use": "shout:Shout"}],', 1))
        said = here.bot.command("check", code=2)
        assert "handlers[0].use: " in said
        assert "shout:Shout" in said


def is_total(metric: str) -> bool:
    """Whether a metric counts what the handler that raises failed on."""
    return metric.startswith("boardkeeper_handler_failures_total") and "Raises" in metric


async def test_handlers_that_raise_or_hang_harm_nobody(stack: Stack, tmp_path: Path) -> None:
    environment = importable(tmp_path / "own", "harmful", HARMFUL)
    # They come first: whoever is told before the others could hold them up.
    entries = [{"use": "harmful:Raises"}, {"use": "harmful:Hangs"}, {"use": "record"}]
    async with meeting(stack, tmp_path, configured(entries), environment=environment) as here:
        for number in range(5):
            await here.alice.draw(elements.shape(text=f"stroke {number}"))
        await here.recorded(5, kind="update")
        export = await here.bot.export(here.board.room_id)
        assert len(export["whiteboard"]["slides"][0]["elements"]) == 5
        assert await here.membership()

        def failures() -> list[dict[str, Any]]:
            return logged(here.bot, "a handler failed on an event; its lane goes on")

        # One call after the other, each with the next event.
        await until(
            lambda: [one["event"] for one in failures()].count("DocumentUpdate") == 5,
            10,
            "not told of each",
            here.bot,
        )
        assert {one["error"] for one in failures()} == {"RuntimeError"}
        assert all("harmful.py:" in one["where"] for one in failures())
        assert all("Raises" in one["handler"] for one in failures())
        metrics = await here.bot.metrics()
        # Session changes may have failed since.
        assert 5 <= sum(n for name, n in metrics.items() if is_total(name)) <= len(failures())
        await until(lambda: logged(here.bot, "session changed"), 10, "not told", here.bot)

        assert await here.bot.stop() < 60  # the hanging one is waited for, but not for ever
        assert not await here.membership()
        assert "secret words" not in here.bot.log.read_text()
        assert logged(here.bot, "a handler did not stop in order")
