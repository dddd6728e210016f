"""Real Yjs (npm) beside the test, in one node process: yjs.mjs."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.stack import launch
from tests.stack.programs import find_program

_SCRIPT = Path(__file__).with_name("yjs.mjs")

Step = tuple[str, int, int]
"""What is done, by whom, to what (yjs.mjs, `actions`)."""


@dataclass(frozen=True, slots=True)
class Read:
    """What Yjs made of some updates.

    Attributes:
        content: slides and their elements in order, with their ids, as NeoBoard shows them.
        root: the whole document as it is, also what NeoBoard does not show.
        roots: names of the root types.
        state: everything as one update.
        state_vector: what of it can be seen.
        clocks: the same, client by client.
        waiting: whether something waits for an update that is missing.
    """

    content: dict[str, Any]
    root: dict[str, Any]
    roots: list[str]
    state: bytes
    state_vector: bytes
    clocks: dict[int, int]
    waiting: bool


class Yjs:
    """One node process that runs Yjs; asked and answered line by line.

    Raises:
        StackError: node is not installed.
    """

    def __init__(self) -> None:
        # As tests.stack.processes starts servers, but with pipes: it dies with us.
        launcher = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid())]
        self._node = subprocess.Popen(
            [*launcher, find_program("node"), str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._node.kill()
        self._node.wait()
        for pipe in (self._node.stdin, self._node.stdout):
            assert pipe is not None
            pipe.close()

    def read(self, updates: Iterable[bytes], version: str = "0") -> Read:
        """Gives a new document these updates in this order."""
        answer = self._ask("read", version=version, updates=[_text(one) for one in updates])
        return Read(
            content=shown(answer["content"]),
            root=answer["content"],
            roots=answer["roots"],
            state=base64.b64decode(answer["state"]),
            state_vector=base64.b64decode(answer["stateVector"]),
            clocks=dict(answer["clocks"]),
            waiting=answer["waiting"],
        )

    def judge(self, updates: Iterable[bytes], version: str = "0") -> tuple[list[bool], bytes]:
        """Gives NeoBoard these updates; returns which it takes, and all it has then."""
        answer = self._ask("judge", version=version, updates=[_text(one) for one in updates])
        return answer["taken"], base64.b64decode(answer["state"])

    def loads(self, data: bytes, version: str = "0") -> bool:
        """Whether NeoBoard takes a snapshot."""
        return bool(self._ask("load", version=version, data=_text(data))["loads"])

    def edit(
        self, base: bytes, steps: Sequence[Step], clients: Sequence[int], version: str = "0"
    ) -> list[bytes]:
        """Lets people edit a board that begins with `base`; returns their updates.

        Args:
            base: everybody has it at the beginning.
            steps: what they do, one after the other; `sync` lets one receive all of another.
            clients: their Yjs client ids.
            version: of the document.
        """
        answer = self._ask(
            "edit", version=version, base=_text(base), clients=list(clients), steps=list(steps)
        )
        return [base64.b64decode(update) for update in answer["updates"]]

    def time(self, updates: Iterable[bytes], version: str = "0") -> float:
        """Gives a new document these updates one by one; returns processor seconds it took."""
        answer = self._ask("time", version=version, updates=[_text(one) for one in updates])
        return float(answer["seconds"])

    def generate(self, seed: int, count: int) -> list[bytes]:
        """Makes so many updates of every shape that Yjs writes; the same for the same seed."""
        answer = self._ask("generate", seed=seed, count=count)
        return [base64.b64decode(update) for update in answer["updates"]]

    def decode(self, updates: Iterable[bytes]) -> list[dict[str, Any]]:
        """Reads updates with Yjs' own decoder (updates.mjs, `decoded`)."""
        answer = self._ask("decode", updates=[_text(one) for one in updates])
        found: list[dict[str, Any]] = answer["updates"]
        return found

    def _ask(self, call: str, **request: object) -> dict[str, Any]:
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(json.dumps({"call": call, **request}) + "\n")
        self._node.stdin.flush()
        answer: dict[str, Any] = json.loads(self._node.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer


def shown(root: dict[str, Any]) -> dict[str, Any]:
    """What NeoBoard shows of a document: order by the ids, each once, those of nothing left out."""
    slides = [_slide(one, root["slides"][one]) for one in _once(root["slideIds"], root["slides"])]
    return {"slides": slides}


def _slide(slide_id: str, slide: dict[str, Any]) -> dict[str, Any]:
    elements = slide["elements"]
    ids = _once(slide["elementIds"], elements)
    read = {"id": slide_id, "elements": [{"id": one, **elements[one]} for one in ids]}
    return read | {key: slide[key] for key in ("lock", "frameElementIds") if key in slide}


def _once(ids: Iterable[str], found: dict[str, Any]) -> list[str]:
    return [one for one in dict.fromkeys(ids) if one in found]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
