"""What kind of image NeoBoard would take some bytes for: it looks at them, not at their name."""

from __future__ import annotations

import re

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_SVG = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*<(?:svg[\s>]|\?xml[^>]*>.*?<svg[\s>]|!.*?<svg[\s>])", re.DOTALL
)
_HEAD = 4096


def kind_of_image(data: bytes) -> str | None:
    """Return the media type of an image that NeoBoard shows, or None."""
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    return "image/svg+xml" if _SVG.match(data[:_HEAD]) else None
