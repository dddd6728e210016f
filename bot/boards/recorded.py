"""What is recorded of a board, read back into a document."""

from __future__ import annotations

from bot.beside import merge, replay
from bot.services import Archive
from bot.whiteboard.document import Document
from bot.whiteboard.replay import DOCUMENT_KINDS
from bot.whiteboard.verdict import Verdict


async def read_back(archive: Archive, board_id: int, document: Document) -> tuple[int, bool]:
    """Fill an empty document with what is recorded.

    Returns:
        The number of the last entry, and whether nothing was refused that was taken once: the
        configuration may bound boards more now, or we know NeoBoard better.

    Raises:
        StoreError: the archive cannot be read.
    """
    checkpoint, reached, verdicts = await archive.checkpoint(board_id), 0, set()
    if checkpoint is not None:
        verdicts.add((await merge(document, checkpoint.data)).verdict)
        reached = checkpoint.seq
    async for entry in archive.all_entries(board_id, after_seq=reached, kinds=DOCUMENT_KINDS):
        verdicts.add((await replay(document, entry)).verdict)
        reached = entry.seq
    return reached, Verdict.REFUSED not in verdicts
