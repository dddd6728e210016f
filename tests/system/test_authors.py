"""What a developer of handlers does, with the wheel in an environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.stack.processes import ROOT

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def done(command: list[str], folder: Path, path: str = os.environ["PATH"]) -> str:
    """Runs something from an empty environment; returns what it said."""
    home = os.environ.get("HOME", "/")  # pip keeps there what it has fetched
    result = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": path, "HOME": home},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def wheel(source: Path) -> Path:
    """Builds a wheel, with the locked setuptools."""
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done([*PIP, "wheel", *options, "--wheel-dir", "wheels", "."], source)
    (built,) = source.glob("wheels/*.whl")
    return built


def copy(folder: Path) -> Path:
    """Copies the sources: building writes beside them."""
    shutil.copytree(ROOT / "bot", folder / "bot", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "config.example.yaml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def locked() -> Iterator[Path]:
    """What the locked run-time packages consist of, as it is installed here."""
    lock = (ROOT / ".ci" / "locks" / "run.lock").read_text()
    for name in set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)):
        for file in distribution(name).files or ():
            if file.parts[0] not in {"..", "__pycache__"}:
                yield Path(str(distribution(name).locate_file(file.parts[0])))


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and what it needs at run time."""
    folder = tmp_path_factory.mktemp("authors")
    venv.create(folder / "venv", symlinks=True)
    tools = folder / "venv" / "bin"
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    # Links: to install thirty packages takes a busy machine minutes.
    for one in set(locked()):
        (packages / one.name).symlink_to(one)
    install = [*PIP, "--python", str(tools / "python"), "install", "--quiet"]
    done([*install, "--no-deps", "--no-index", str(wheel(copy(folder)))], ROOT)
    return tools


@pytest.mark.timeout(600)
def test_a_handler_is_written_tried_and_installed(tools: Path, tmp_path: Path) -> None:
    path = f"{tools}:{os.environ['PATH']}"

    def run(command: str, folder: Path) -> str:
        return done(command.split(), folder, path)

    said = run("boardkeeper handlers new party-notes", tmp_path)
    project = tmp_path / "party-notes"
    told = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert told[0] == "cd party-notes"
    assert "OK" in run(told[1], project)

    shown = run(f"{told[2]} --once", project)
    assert "10 elements were drawn" in shown
    assert "0 failures" in shown

    pip = [*PIP, "--python", str(tools / "python"), "install", "--no-deps", "--no-index"]
    done([*pip, "--quiet", str(wheel(project))], project)
    config = tmp_path / "config.yaml"
    run(f"boardkeeper init {config}", tmp_path)
    handler = "handlers:\n  - use: party-notes\n    settings: {every: 7}\n"
    text = config.read_text().partition("\nhandlers:")[0].replace("example.org", "my.test")
    text = text.replace("password: change-me", "password: sesame")
    config.write_text(f"{text}\n{handler}")
    assert "is right" in run(f"boardkeeper check -c {config}", tmp_path)
