"""The client well-known document, in which an organisation names its LiveKit backends."""

from __future__ import annotations

from typing import Any

from yarl import URL

from bot.errors import NotFound, Refused, ServerError, Transient
from bot.matrix.replies import decode
from bot.matrix.transport import Transport

TIMEOUT = 5.0
_MAX_BYTES = 65_536


async def well_known(transport: Transport, url: str) -> dict[str, Any] | None:
    """Return the document at this address; None when the server has none.

    Whoever asks keeps the last good one: a failed request says nothing about the document, and a
    focus list that empties for a minute would tear sessions apart (docs/matrixrtc.md, 6).

    Raises:
        Transient: it cannot be read now.
    """
    try:
        raw = await transport.fetch(
            "well-known", URL(url), max_bytes=_MAX_BYTES, seconds=TIMEOUT, matrix=False
        )
    except NotFound:
        return None
    except (ServerError, Refused) as error:
        raise Transient(str(error)) from None
    document = decode(raw)
    if not isinstance(document, dict):
        raise Transient("well-known: not a JSON object")
    return document


def address(server_name: str) -> str:
    """Return where the document of a server *name* is; its client API may be anywhere else."""
    return f"https://{server_name}/.well-known/matrix/client"
