"""Reads a Dockerfile and does its steps in a folder, without Docker: for tests of the image.

Only what our Dockerfile uses. Absolute paths of the image become paths below a folder by
replacing them in the text of each step, so the steps must name them in full.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PLACES = ("/opt/tools", "/opt/boardkeeper", "/src", "/data")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: `RUN`, and the rest of its lines joined."""

    word: str
    rest: str


def read(path: Path) -> list[Instruction]:
    """The instructions of a Dockerfile, in order."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    found = [line.split(None, 1) for line in whole.splitlines() if line.strip()]
    return [Instruction(word, " ".join(rest.split())) for word, rest in found]


@dataclass
class Image:
    """An image that is built as folders.

    Attributes:
        root: what stands for `/`.
        context: what is copied from.
        environment: what `ENV` set.
        workdir, user, entrypoint, command: what the last stage said.
    """

    root: Path
    context: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: int = 0
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def here(self, text: str) -> str:
        """A step's text with the image's paths below the folder."""
        places = "|".join(map(re.escape, PLACES))
        return re.sub(rf"(?<![\w.])({places})\b", lambda at: f"{self.root}{at[1]}", text)

    def build(self, steps: Sequence[Instruction], path: str) -> None:
        """Does the steps.

        Args:
            steps: of the whole Dockerfile.
            path: `PATH` of the base image, where its `python` is.
        """
        for step in steps:
            match step.word:
                case "FROM":
                    self.environment = {"PATH": path}
                    self.workdir = "/"
                case "ENV" | "WORKDIR" | "COPY" | "RUN" as word:
                    getattr(self, f"_{word.lower()}")(step.rest)
                case "USER":
                    self.user = int(step.rest.partition(":")[0])
                case "ENTRYPOINT":
                    self.entrypoint = json.loads(step.rest)
                case "CMD":
                    self.command = json.loads(step.rest)
                case other:
                    assert other in {"EXPOSE", "VOLUME", "STOPSIGNAL", "HEALTHCHECK"}, other

    @property
    def folder(self) -> Path:
        """The working folder."""
        return Path(self.here(self.workdir))

    def run(self, command: Sequence[str]) -> str:
        """Runs a command as root of the image, and returns what it printed; failure raises."""
        return self._run_to_end(command)

    def run_as_user(self, command: Sequence[str]) -> str:
        """Runs a command as the image's user, where we may change to it: when we are root."""
        return self._run_to_end([*self._change, *command])

    def start_as_user(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """Starts a program as the image's user; what it prints is kept for `communicate`."""
        return subprocess.Popen(
            [*self._change, *command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def _change(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        # The interpreter or the folder may be below a home that others cannot enter: the user may
        # read everything here, but write no more than in the image.
        read = "-all,+dac_read_search"
        who = [f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--no-new-privs"]
        rights = [f"--inh-caps={read}", f"--ambient-caps={read}", f"--bounding-set={read}"]
        return ["setpriv", *who, *rights]

    def _run_to_end(self, command: Sequence[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _env(self, rest: str) -> None:
        for pair in shlex.split(rest):
            key, _, value = pair.partition("=")
            self.environment[key] = self.here(value.replace("$PATH", self.environment["PATH"]))

    def _workdir(self, rest: str) -> None:
        self.workdir = rest
        self.folder.mkdir(parents=True, exist_ok=True)

    def _run(self, rest: str) -> None:
        # Only root can give files to another user.
        script = rest if os.geteuid() == 0 else re.sub(" -[og] [0-9]+", "", rest)
        self.run(["sh", "-ec", self.here(script)])

    def _copy(self, rest: str) -> None:
        *sources, target = rest.split()
        if sources[0].startswith("--from="):
            assert sources[1:] == [target], "all stages share one folder here"
            return
        to = self.folder / target
        for source in sources:
            origin = self.context / source
            if origin.is_dir():
                skip = shutil.ignore_patterns("__pycache__")
                shutil.copytree(origin, to, symlinks=True, ignore=skip)
            else:
                into = to / origin.name if target.endswith("/") else to
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(origin, into)
