"""Which checkpoints to keep: pure."""

from __future__ import annotations

from collections.abc import Sequence

KEEP = 16
"""Checkpoints per board."""
KEEP_BYTES = 64 * 2**20
"""Bytes of checkpoints per board; the newest two stay whatever they weigh."""


def superfluous(
    checkpoints: Sequence[tuple[int, int]], *, keep: int = KEEP, keep_bytes: int = KEEP_BYTES
) -> list[int]:
    """Return the sequence numbers of the checkpoints to drop.

    Dropped is, each time, the one whose neighbours are closest: what stays is spread over the
    board's whole history, so that no instant of it is far from a checkpoint. The newest always
    stays: it is where the next start begins.

    Args:
        checkpoints: (seq, bytes) of all, oldest first.
        keep: how many may stay, at least 2.
        keep_bytes: of how many bytes together.
    """
    kept = [(0, 0), *checkpoints]  # before the first entry there is an empty document, for free
    dropped: list[int] = []
    total = sum(size for _, size in checkpoints)
    while len(kept) - 1 > keep or (total > keep_bytes and len(kept) - 1 > 2):
        gaps = [kept[at + 1][0] - kept[at - 1][0] for at in range(1, len(kept) - 1)]
        seq, size = kept.pop(1 + gaps.index(min(gaps)))
        total -= size
        dropped.append(seq)
    return dropped
