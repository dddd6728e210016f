"""Versions of documents, and the bytes they begin with."""

from __future__ import annotations

import base64
import re

from bot.whiteboard.update import read_update, write_update

VERSIONS = {
    "0": "AQYAACcBATAGc2xpZGVzAScAAAAVSU40aDc0c3VNaUlBSzRBVk1BZGxfAScAAAEIZWxlbWVudHMB"
    "JwAAAQplbGVtZW50SWRzACcBATAIc2xpZGVJZHMACAAABAF3FUlONGg3NHN1TWlJQUs0QVZNQWRsXwA=",
    "1": "AQcAACcBATEGc2xpZGVzAScAAAAVSU40aDc0c3VNaUlBSzRBVk1BZGxfAScAAAEIZWxlbWVudHMB"
    "JwAAAQplbGVtZW50SWRzACcBATEIc2xpZGVJZHMACAAABAF3FUlONGg3NHN1TWlJQUs0QVZNQWRsXycA"
    "AAEPZnJhbWVFbGVtZW50SWRzAAA=",
}
"""Versions we know, with what their documents begin with."""
VERSION = re.compile(r"0|[1-9][0-9]*")
"""Versions there may be."""
BEGINNING = 0
"""The client id of the initial bytes."""


def initial(version: str) -> bytes:
    """Return the fixed bytes every document of a version begins with.

    They are written with client id 0 and must never change: documents that begin with other bytes
    lose their slides when they are merged. NeoBoard: `whiteboardDocumentMigrations`.
    """
    return base64.b64decode(VERSIONS[version])


def changes(state: bytes) -> bytes:
    """Return what a state adds to its initial bytes, whose ids all versions share."""
    found = read_update(state)
    found.blocks.pop(BEGINNING, None)
    return write_update(found.blocks, found.deletes)
