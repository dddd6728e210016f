"""The JWT service as a process of the stack, with its fault switch."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from tests.stack.http import answers, request
from tests.stack.jwt_rules import FAULTS
from tests.stack.jwt_service import ServiceSettings
from tests.stack.ports import HOST
from tests.stack.processes import Process, Program


class JwtProcess(Process):
    """The JWT service; what it was told to answer is forgotten when it restarts."""

    def __init__(self, folder: Path, settings: ServiceSettings) -> None:
        self._url = f"http://{HOST}:{settings.port}"
        file = folder / "jwt.json"
        file.write_text(json.dumps(dataclasses.asdict(settings), indent=1))
        program = Program(
            name="jwt",
            command=[sys.executable, "-m", "tests.stack.jwt_service", str(file)],
            folder=folder,
            ready=lambda: answers(f"{self._url}/healthz"),
        )
        super().__init__(program)

    async def fault(
        self,
        name: str,
        *,
        times: int | None = None,
        seconds: float | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        """Makes both token endpoints answer something else.

        Args:
            name: one of `jwt_rules.FAULTS`: the service's errors, and `hang` (never answers),
                `garbage` (200, no JSON), `no_jwt` (200 without a token), `stale_token` (a token
                that expired an hour ago).
            times: only for so many requests.
            seconds: only for so long. With neither: until `heal`.
            retry_after_ms: put into the error.
        """
        if name not in FAULTS:
            raise ValueError(f"No such fault: {name}. There are: {', '.join(FAULTS)}.")
        await self._tell(
            {"name": name, "times": times, "seconds": seconds, "retry_after_ms": retry_after_ms}
        )

    async def heal(self) -> None:
        """Ends a fault."""
        await self._tell({})

    async def _tell(self, body: dict[str, object]) -> None:
        await request("POST", f"{self._url}/_fault", body=body)
