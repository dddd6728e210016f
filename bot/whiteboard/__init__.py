"""Boards as bytes and values: messages, snapshots, documents. Pure (pycrdt in `document` only)."""
