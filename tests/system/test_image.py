"""The container image without Docker: the steps of the Dockerfile, then the bot as its user."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import compiled, dockerfile
from tests.stack.ports import HOST, free_port
from tests.stack.processes import ROOT

STEPS = dockerfile.read(ROOT / "Dockerfile")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> dockerfile.Image:
    """The image, built once."""
    built = dockerfile.Image(tmp_path_factory.mktemp("image"), ROOT)
    built.build(STEPS, f"{Path(sys.base_prefix) / 'bin'}:{os.environ['PATH']}")
    return built


@pytest.mark.timeout(600)
def test_it_holds_the_bot_and_no_tools(image: dockerfile.Image) -> None:
    assert image.user == 10001
    assert image.entrypoint == ["boardkeeper"]
    assert image.command == ["run", "-c", "/config/config.yaml"]
    assert "boardkeeper" in image.run_as_user(["boardkeeper", "--help"])
    packages = list(Path(image.here("/opt/boardkeeper/lib")).glob("python*/site-packages/*"))
    assert {"bot", "livekit", "mautrix"} <= {path.name for path in packages}
    assert not {"mypy", "pip", "setuptools"} & {path.name for path in packages}


def test_what_merges_updates_is_compiled_in_it(image: dockerfile.Image) -> None:
    python = image.here("/opt/boardkeeper/bin/python")
    found = image.run_as_user([python, "-c", compiled.places()]).split()
    assert len(found) == len(compiled.hot())
    assert all(one.startswith(image.here("/opt/boardkeeper/lib")) for one in found)
    assert all(one.endswith(".so") for one in found)


def test_its_first_configuration_has_no_mistake(image: dockerfile.Image) -> None:
    path = image.here("/data/config.yaml")
    image.run_as_user(["boardkeeper", "init", path])
    assert "can be read" in image.run_as_user(["boardkeeper", "check", "-c", path])


def test_it_is_healthy_ends_when_told_and_writes_to_its_data_alone(
    image: dockerfile.Image, tmp_path: Path
) -> None:
    port, data = free_port(), Path(image.here("/data"))
    config = {
        # Nobody answers there: the bot waits for its homeserver, alive but not ready.
        "homeserver": {"url": f"http://{HOST}:{free_port()}", "user_id": "@b:c", "password": "x"},
        "data": {"folder": str(data)},
        "web": {"listen": f"{HOST}:{port}"},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    before = _files(image.root)

    arguments = ["run", "-c", str(tmp_path / "config.yaml")]
    bot = image.start_as_user([*image.entrypoint, *arguments])
    try:
        assert _healthy(image, port)
    finally:
        bot.send_signal(signal.SIGTERM)
        said, _ = bot.communicate(timeout=200)

    assert bot.returncode == 0, said
    written = _files(image.root) - before
    assert written
    assert all(data in path.parents for path in written)


def _healthy(image: dockerfile.Image, port: int) -> bool:
    """Asks with the image's own command until the answer is yes, for two minutes."""
    (check,) = [step.rest.partition(" CMD ")[2] for step in STEPS if step.word == "HEALTHCHECK"]
    command = json.loads(check.replace(":8080/", f":{port}/"))
    until = time.monotonic() + 120
    while time.monotonic() < until:
        asked = subprocess.run(command, env=image.environment, capture_output=True, check=False)
        if asked.returncode == 0:
            return True
        time.sleep(0.2)
    return False


def _files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}
