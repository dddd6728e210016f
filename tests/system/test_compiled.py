"""The compiled form, which the image has, passes the tests of the pure one.

The two see the same; what only the pure form can show is how much was done, where a test replaces a
function that compiled modules call without looking for it: in test_replica_effort.py.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import compiled
from tests.stack.processes import ROOT

_WHITEBOARD = "tests/unit/whiteboard"
_OTHERS = (
    "tests/unit/handlers/test_isolation.py",  # what goes to a handler's process
    "tests/peers/test_updates.py",
    "tests/peers/test_documents.py",
)

_BREATHS = """
from bot.whiteboard import breath

taken = []
breath.take_breath = lambda: taken.append(1)

from bot.whiteboard.document import Document
from tests.bench.drawing import large_board

Document(large_board(500))
print(len(taken))
"""


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    found = compiled.environment()
    # Those of the run that we are in are not for runs within it.
    return {name: value for name, value in found.items() if not name.startswith("PYTEST_")}


def run(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.timeout(600)
def test_every_hot_module_is_compiled(environment: dict[str, str]) -> None:
    said = run(environment, "-c", compiled.places()).split()
    assert len(said) == len(compiled.hot())
    folder = environment["PYTHONPATH"].split(os.pathsep)[0]
    assert all(one.startswith(folder) and one.endswith(".so") for one in said)


def test_it_says_that_it_is_compiled(environment: dict[str, str]) -> None:
    says = "from bot.whiteboard.form import FORM; print(FORM)"
    assert run(environment, "-c", says) == "compiled\n"


@pytest.mark.timeout(600)
def test_others_may_run_between_the_elements_of_a_board(environment: dict[str, str]) -> None:
    assert "bot.whiteboard.breath" not in compiled.hot()
    assert int(run(environment, "-c", _BREATHS)) >= 500


@pytest.mark.timeout(900)
@pytest.mark.parametrize("tests", [_WHITEBOARD, *_OTHERS])
def test_it_passes(environment: dict[str, str], tests: str) -> None:
    options = ["-q", "--import-mode=append", "-p", "no:cacheprovider", "--hypothesis-profile=ci"]
    said = run(environment, "-m", "pytest", *options, tests)
    assert " passed in " in said.splitlines()[-1]
