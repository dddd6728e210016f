"""Fixtures for black-box tests against real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.stack.federation import Federation
from tests.stack.processes import tail
from tests.stack.stack import Stack

_HERE = Path(__file__).parent
_TIMEOUT = 400


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The servers, started once; each test makes its own users and rooms.

    A test may cut, kill or pause what it likes: everything is healed after it. For other options,
    or to leave a mess, take `private_stack`.
    """
    async with Stack.start(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest_asyncio.fixture
async def private_stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """Servers for one test alone."""
    async with Stack.start(tmp_path / "stack") as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def federation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Federation]:
    """Two whole stacks whose homeservers federate, started once; healed after each test."""
    async with Federation.start(tmp_path_factory.mktemp("federation")) as running:
        yield running


@pytest_asyncio.fixture(autouse=True)
async def _healed(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Leaves the shared servers whole to the next test."""
    names = {"stack", "federation"}.intersection(request.fixturenames)
    shared = [request.getfixturevalue(name) for name in names]
    yield
    for running in shared:
        await running.heal()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of this folder, and gives them more time than unit tests have."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker("servers")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_TIMEOUT))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows with a failed test what the servers said."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for name in ("stack", "private_stack", "federation"):
            running = item.funcargs.get(name)
            if isinstance(running, Stack | Federation):
                for process in running.processes:
                    log = process.program.log_file
                    report.sections.append((f"{log.name} of {name}", tail(log)))
    return report
