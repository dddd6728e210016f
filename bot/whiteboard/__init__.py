"""Boards as bytes and values: messages, snapshots, documents. Pure."""
