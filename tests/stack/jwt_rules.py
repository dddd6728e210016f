"""What lk-jwt-service demands of a request, and every error it answers (v0.5.0 and later)."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

_OPENID_SHAPE = {
    "access_token": str,
    "token_type": str,
    "matrix_server_name": str,
    "expires_in": int,
}
LEGACY_SHAPE = {"room": str, "openid_token": _OPENID_SHAPE, "device_id": str}
_MEMBER_SHAPE = {"id": str, "claimed_user_id": str, "claimed_device_id": str}
SHAPE = {
    "room_id": str,
    "slot_id": str,
    "openid_token": _OPENID_SHAPE,
    "member": _MEMBER_SHAPE,
}
# What it can be told to answer instead: status, errcode, error. `garbage`, `no_jwt` and `hang` are
# no answers of the real one, but of what may stand in front of it.
FAULTS: dict[str, tuple[int, str, str]] = {
    "not_json": (400, "M_NOT_JSON", "Error reading request"),
    "bad_json": (400, "M_BAD_JSON", "Missing room parameter"),
    "unauthorized": (401, "M_UNAUTHORIZED", "The request could not be authorised."),
    "forbidden": (403, "M_FORBIDDEN", "Restricted users may not delegate"),
    "not_found": (404, "M_UNRECOGNIZED", "Unrecognized request"),
    "rate_limited": (429, "M_LIMIT_EXCEEDED", "Too many requests"),
    "lookup_failed": (500, "M_LOOKUP_FAILED", "Failed to look up user info from homeserver"),
    "no_room": (500, "M_UNKNOWN", "Unable to create room on SFU"),
    "shutting_down": (503, "M_UNKNOWN", "Service is shutting down"),
    "garbage": (200, "", ""),
    "no_jwt": (200, "", ""),
    "stale_token": (200, "", ""),
    "hang": (0, "", ""),
}


class Rejected(Exception):
    """Raised when a request gets one of the service's errors."""

    def __init__(self, status: int, errcode: str, error: str) -> None:
        self.status, self.errcode, self.error = status, errcode, error
        super().__init__(error)


def read_body(body: bytes, shape: dict[str, Any]) -> dict[str, Any]:
    """The body, as Go reads it with unknown fields forbidden: missing fields are empty."""
    try:
        return _fit(json.loads(body), shape)
    except (ValueError, TypeError) as error:
        raise Rejected(400, "M_NOT_JSON", "Error reading request") from error


def _fit(value: object, shape: dict[str, Any]) -> dict[str, Any]:
    if value is None:
        value = {}
    if not isinstance(value, dict) or value.keys() - shape.keys():
        raise TypeError
    fitted: dict[str, Any] = {}
    for key, kind in shape.items():
        found = value.get(key)
        if isinstance(kind, dict):
            fitted[key] = _fit(found, kind)
        elif found is None:
            fitted[key] = kind()
        elif type(found) is kind:
            fitted[key] = found
        else:
            raise TypeError
    return fitted


def require(part: dict[str, Any], *names: str, where: str) -> None:
    """Rejects a request part that lacks one of these fields, or has it empty."""
    if not all(part[name] for name in names):
        listed = " or ".join((", ".join(f"`{name}`" for name in names[:-1]), f"`{names[-1]}`"))
        raise Rejected(400, "M_BAD_JSON", f"The request {where} is missing {listed}")


def hash_name(*parts: str) -> str:
    """Unpadded base64 of the SHA-256 of a JSON list without spaces."""
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
