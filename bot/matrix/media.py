"""The media repository: what rooms refer to by an `mxc://` address."""

from __future__ import annotations

import re

from mautrix.api import MediaPath

from bot.errors import NotFound, Refused, Transient, Unsupported
from bot.matrix.transport import Transport

_MXC = re.compile(
    r"mxc://(?P<server>[A-Za-z0-9\[][A-Za-z0-9.:\[\]-]{0,254})/(?P<media>[A-Za-z0-9_-]{1,255})"
)
_TIMEOUT = 60.0


async def download(transport: Transport, mxc: str, max_bytes: int) -> bytes:
    """Return a file of the media repository.

    Args:
        transport: asks the homeserver.
        mxc: its address; written by peers, so it is checked before it becomes a path.
        max_bytes: a larger file is not read on.

    Raises:
        Refused: not an address, or a larger file.
        NotFound: there is no such file.
        ServerError: the homeserver cannot give it.
    """
    address = _MXC.fullmatch(mxc)
    if address is None:
        raise Refused("download: not an mxc address")
    paths = ("_matrix/client/v1/media/download", "_matrix/media/v3/download")
    try:
        return await _get(transport, paths[0], address, max_bytes)
    except (Unsupported, NotFound):
        # Homeservers before Matrix 1.11 know the old path only, the newest know no other file
        # there: what the old one says counts.
        return await _get(transport, paths[1], address, max_bytes)


async def upload(transport: Transport, data: bytes, mime: str) -> str:
    """Store a file in the media repository; return its `mxc://` address.

    Args:
        transport: asks the homeserver.
        data: the file.
        mime: its media type.

    Raises:
        ServerError: the homeserver does not take it.
    """
    reply = await transport.give("upload", MediaPath.v3.upload, data, mime, _TIMEOUT)
    mxc = reply.get("content_uri") if isinstance(reply, dict) else None
    if not isinstance(mxc, str) or _MXC.fullmatch(mxc) is None:
        raise Transient("upload: the answer holds no address")
    return mxc


async def _get(transport: Transport, path: str, address: re.Match[str], max_bytes: int) -> bytes:
    base = transport.base_url
    url = base.joinpath(*path.split("/"), address["server"], address["media"])
    return await transport.fetch(
        "download", url, max_bytes=max_bytes, seconds=_TIMEOUT, matrix=True
    )
