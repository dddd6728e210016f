"""How a process of a measurement talks with the one that started it: JSON, line by line."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


def say(value: object) -> None:
    """Print a value for the one that started us."""
    print(json.dumps(value), flush=True)


async def told() -> Any:
    """Wait for the next value from the one that started us."""
    line = await asyncio.to_thread(sys.stdin.readline)
    if not line:
        sys.exit("the bench has ended")
    return json.loads(line)
