"""Boards, as bytes and values: messages, snapshots, documents, exports. Pure (pycrdt in `document`)."""
