"""A real Synapse on loopback: SQLite, no outside network, all that MatrixRTC needs."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.stack.certificate import Certificate
from tests.stack.http import answers
from tests.stack.ports import HOST, free_port
from tests.stack.processes import Program
from tests.stack.programs import find_program

_PLENTY = {"per_second": 10_000, "burst_count": 10_000}
# Registering and logging in are the tests' own doing, whatever limits a test is about.
_LIMITS_ALWAYS_LOOSE: dict[str, Any] = {
    "rc_registration": _PLENTY,
    "rc_login": {"address": _PLENTY, "account": _PLENTY, "failed_attempts": _PLENTY},
}
_LIMITS_LOOSE: dict[str, Any] = {
    "rc_message": _PLENTY,
    "rc_delayed_event_mgmt": _PLENTY,
    "rc_joins": {"local": _PLENTY, "remote": _PLENTY},
    "rc_joins_per_room": _PLENTY,
    "rc_invites": {"per_room": _PLENTY, "per_user": _PLENTY, "per_issuer": _PLENTY},
    "rc_room_creation": _PLENTY,
    "rc_media_create": _PLENTY,
    "rc_presence": {"per_user": _PLENTY},
}


# With Synapse's own times a cut of 20 s heals after more than a minute.
_QUICK_FEDERATION: dict[str, Any] = {
    "client_timeout": "5s",
    "max_short_retries": 1,
    "max_short_retry_delay": 500,
    "max_long_retries": 300,
    "max_long_retry_delay": "1s",
    "destination_min_retry_interval": "1s",
    "destination_retry_multiplier": 1,
    "destination_max_retry_interval": "2s",
}


@dataclass(frozen=True, slots=True)
class Federating:
    """What a homeserver needs to talk to others on loopback.

    Attributes:
        port: where others reach it, with TLS; its server name is `localhost:PORT`.
        certificate: of it and of the authority that all of them trust.
        proxy_port: the HTTP proxy through which it reaches others.
        quick: tries again soon after a cut.
    """

    port: int
    certificate: Certificate
    proxy_port: int
    quick: bool = True


@dataclass(frozen=True, slots=True)
class SynapseSettings:
    """What a stack may want of its Synapse.

    Attributes:
        folder: configuration, database, media, log.
        server_name: the part of user ids after the colon.
        public_url: where clients reach it (the proxy).
        jwt_url: the JWT service announced in the well-known file and as a transport.
        default_limits: keep Synapse's own rate limits except for registering and logging in.
        sticky: has what the sticky profile needs: sticky events and the list of transports.
        federating: talks to other homeservers; by default to none.
        extra: merged into homeserver.yaml, one level deep.
    """

    folder: Path
    server_name: str
    public_url: str
    jwt_url: str
    default_limits: bool = False
    sticky: bool = True
    federating: Federating | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    registration_secret: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def url(self) -> str:
        """Where the server itself listens, past the proxy."""
        return f"http://{HOST}:{self.port}"


def synapse_program(settings: SynapseSettings) -> Program:
    """Writes the configuration and says how to run it."""
    folder = settings.folder
    # JSON is YAML.
    (folder / "homeserver.yaml").write_text(json.dumps(_config(settings), indent=1))
    (folder / "log.yaml").write_text(json.dumps(_log_config(folder), indent=1))
    (folder / "signing.key").write_text(f"ed25519 a_stack {_signing_seed()}\n")
    return Program(
        name="synapse",
        command=[
            find_program("synapse_python"),
            "-m",
            "synapse.app.homeserver",
            "-c",
            str(folder / "homeserver.yaml"),
        ],
        folder=folder,
        ready=lambda: answers(f"{settings.url}/health"),
        # One helper library prints a warning for each event otherwise.
        environment={"PYTHONWARNINGS": "ignore", "PYTHONPATH": ""},
    )


def _config(settings: SynapseSettings) -> dict[str, Any]:
    folder = settings.folder
    focus = {"type": "livekit", "livekit_service_url": settings.jwt_url}
    config: dict[str, Any] = {
        "server_name": settings.server_name,
        "public_baseurl": settings.public_url,
        "listeners": [
            {
                "port": settings.port,
                "bind_addresses": [HOST],
                "type": "http",
                "x_forwarded": False,
                # The JWT service asks one federation endpoint, `openid`, that needs no server name.
                # The rest is closed below, unless a test opens it.
                "resources": [{"names": ["client", "federation"]}],
            }
        ],
        "database": {"name": "sqlite3", "args": {"database": str(folder / "homeserver.db")}},
        "media_store_path": str(folder / "media"),
        "log_config": str(folder / "log.yaml"),
        "signing_key_path": str(folder / "signing.key"),
        "registration_shared_secret": settings.registration_secret,
        "macaroon_secret_key": secrets.token_hex(16),
        "form_secret": secrets.token_hex(16),
        "bcrypt_rounds": 4,
        "enable_registration": False,
        "report_stats": False,
        "trusted_key_servers": [],
        "suppress_key_server_warning": True,
        "serve_server_wellknown": True,
        "extra_well_known_client_content": {"org.matrix.msc4143.rtc_foci": [focus]},
        "matrix_rtc": {"transports": [focus]},
        "max_event_delay_duration": "24h",
        "experimental_features": {
            "msc4143_enabled": settings.sticky,
            "msc4354_enabled": settings.sticky,
        },
        # Otherwise a repeated identical initial /sync is up to two minutes old.
        "caches": {"sync_response_cache_duration": "0s"},
        **_LIMITS_ALWAYS_LOOSE,
        **_federation(settings.federating),
        **({} if settings.default_limits else _LIMITS_LOOSE),
    }
    if settings.federating is not None:
        config["listeners"].append(_federation_listener(settings.federating))
    for key, value in settings.extra.items():
        merge = isinstance(value, Mapping) and isinstance(config.get(key), dict)
        config[key] = {**config[key], **value} if merge else value
    return config


def _federation(federating: Federating | None) -> dict[str, Any]:
    if federating is None:
        return {"federation_domain_whitelist": []}
    certificate = federating.certificate
    return {
        "tls_certificate_path": str(certificate.file),
        "tls_private_key_path": str(certificate.key),
        "federation_custom_ca_list": [str(certificate.authority)],
        "ip_range_blacklist": [],
        "https_proxy": f"http://{HOST}:{federating.proxy_port}",
        "no_proxy_hosts": [],
        "federation": _QUICK_FEDERATION if federating.quick else {},
    }


def _federation_listener(federating: Federating) -> dict[str, Any]:
    return {
        "port": federating.port,
        "bind_addresses": [HOST],
        "type": "http",
        "tls": True,
        "resources": [{"names": ["federation"]}],
    }


def _log_config(folder: Path) -> dict[str, Any]:
    return {
        "version": 1,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {
            "file": {
                "class": "logging.FileHandler",
                "formatter": "line",
                "filename": str(folder / "synapse.log"),
            }
        },
        "root": {"level": "INFO", "handlers": ["file"]},
        "disable_existing_loggers": False,
    }


def _signing_seed() -> str:
    # 32 bytes in unpadded base64, as signedjson reads them.
    return secrets.token_urlsafe(32).replace("-", "A").replace("_", "B")
