"""Free ports on loopback for servers that have to be told their port."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

HOST = "127.0.0.1"
_LOWEST = 15_000
_WORKERS = 8
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """Finds a port that is free for TCP and UDP.

    Ports of the kernel's own range are left out: an outgoing connection may take such a port
    between this call and the server's start, or while a test keeps the server down. For the same
    reason no port is given twice, and workers that test side by side have ports of their own.
    """
    for _ in range(1000):
        port = random.randrange(_LOWEST + _worker(), _first_ephemeral(), _WORKERS)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise RuntimeError("No free port found on loopback.")


_given: set[int] = set()


def _worker() -> int:
    """Return this process' number among pytest's workers; 0 without any."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS


def _first_ephemeral() -> int:
    return int(_RANGE_FILE.read_text().split()[0]) if _RANGE_FILE.exists() else 32_768


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
    return True
