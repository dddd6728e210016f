"""The container image without Docker: the steps of the Dockerfile, then the bot as its user."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests import dockerfile
from tests.stack.processes import ROOT


@pytest.mark.timeout(600)
def test_the_steps_of_the_image_make_a_bot_that_runs_as_its_user(tmp_path: Path) -> None:
    image = dockerfile.Image(tmp_path / "root", ROOT)
    steps = dockerfile.read(ROOT / "Dockerfile")
    base = f"{Path(sys.base_prefix) / 'bin'}:{os.environ['PATH']}"

    image.build(steps, base)

    assert image.user == 10001
    assert image.entrypoint == ["boardkeeper"]
    assert image.command == ["run", "-c", "/config/config.yaml"]
    packages = Path(image.here("/opt/boardkeeper/lib"))
    assert not list(packages.glob("python*/site-packages/pip"))
    before = _files(image.root)

    told = image.run(["boardkeeper", "--help"], as_user=True).stdout
    assert "boardkeeper" in told
    data = Path(image.here("/data"))
    image.run(["boardkeeper", "init", str(data / "config.yaml")], as_user=True)
    checked = image.run(["boardkeeper", "check", "-c", str(data / "config.yaml")], as_user=True)
    assert "is right" in checked.stdout

    written = _files(image.root) - before
    assert written == {data / "config.yaml"}


def _files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}
