"""This machine: open files, and the folder that everything is kept in."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator

from bot.doctor.finding import Finding, broken, ok, warning
from bot.doctor.patient import Patient
from bot.livekit.lean import raise_file_limit
from bot.whiteboard.form import FORM, SHOWN

FILES = "open files"
FOLDER = "data folder"
MERGER = "merger"

FILES_PER_ROOM = 60
"""A LiveKit connection takes 20 to 60."""
FEW_FILES = 4096
LITTLE_SPACE = 1_000_000_000
"""Bytes; a busy board writes some MB an hour."""
NO_SPACE = 50_000_000


async def files(_: Patient) -> AsyncIterator[Finding]:
    """See for how many rooms the limit of open files is enough."""
    limit = raise_file_limit()
    rooms = max(limit - 100, 0) // FILES_PER_ROOM
    text = f"{limit}, enough for {rooms} rooms at the same time"
    if limit < FEW_FILES:
        advice = "ulimit -n 65536; LimitNOFILE=65536 in the systemd unit"
        yield warning(FILES, text, advice)
    else:
        yield ok(FILES, text)


async def merger(_: Patient) -> AsyncIterator[Finding]:
    """See in which form what merges updates is installed here."""
    yield ok(MERGER, SHOWN[FORM])


async def folder(patient: Patient) -> AsyncIterator[Finding]:
    """See whether the data folder can be written, and what room is left."""
    path = patient.config.data.folder
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        # A file without a name: nothing is left behind, and a running bot is not disturbed.
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"boardkeeper")
    except OSError as error:
        text = f"{there} cannot be written: {error.strerror}"
        yield broken(FOLDER, text, f"chown -R {_user()} {there}, or another data.folder")
        return
    free = shutil.disk_usage(there).free
    text = f"{path} can be written, {free / 1e9:.1f} GB are free"
    if free < NO_SPACE:
        yield broken(FOLDER, text, "make space: nothing can be recorded")
    elif free < LITTLE_SPACE:
        yield warning(FOLDER, text, "make space, or set data.folder to a larger disk")
    else:
        yield ok(FOLDER, text)


def _user() -> str:
    return str(os.getuid())
