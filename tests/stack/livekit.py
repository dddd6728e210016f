"""A real livekit-server on loopback."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from tests.stack.http import answers
from tests.stack.ports import HOST, free_port
from tests.stack.processes import Program
from tests.stack.programs import find_program


@dataclass(frozen=True, slots=True)
class LiveKitSettings:
    """What a stack may want of its SFU.

    Attributes:
        folder: configuration and log.
        auto_create: rooms come to be when somebody joins; off as lk-jwt-service advises, which
            creates them itself.
        key, secret: the API key of the JWT service, and of tests that act as an operator.
    """

    folder: Path
    auto_create: bool = False
    port: int = field(default_factory=free_port)
    tcp_port: int = field(default_factory=free_port)
    udp_port: int = field(default_factory=free_port)
    key: str = "stackkey"
    secret: str = field(default_factory=lambda: secrets.token_hex(24))

    @property
    def url(self) -> str:
        """Where the server itself listens, past the proxy (its HTTP API)."""
        return f"http://{HOST}:{self.port}"


def livekit_program(settings: LiveKitSettings) -> Program:
    """Writes the configuration and says how to run it."""
    config = {
        "port": settings.port,
        "bind_addresses": [HOST],
        "keys": {settings.key: settings.secret},
        "room": {"auto_create": settings.auto_create},
        "rtc": {
            # libwebrtc sends no UDP from another interface to loopback and gathers no loopback
            # candidate, so data goes by ICE over TCP here. (The server listens for that on every
            # interface, whatever it is told to bind; it answers nobody without a room's secret.)
            "tcp_port": settings.tcp_port,
            "udp_port": settings.udp_port,
            "node_ip": HOST,
            "use_external_ip": False,
            "interfaces": {"includes": ["lo"]},
            "enable_loopback_candidate": True,
            # Clients are told to use these; without any the server names public ones.
            "stun_servers": [f"{HOST}:{settings.udp_port}"],
        },
        "logging": {"level": "info", "json": False},
    }
    file = settings.folder / "livekit.yaml"
    file.write_text(json.dumps(config, indent=1))
    return Program(
        name="livekit",
        command=[find_program("livekit_server"), "--config", str(file)],
        folder=settings.folder,
        ready=lambda: answers(settings.url),
        # On SIGTERM it waits for its participants to leave.
        grace=2.0,
    )
