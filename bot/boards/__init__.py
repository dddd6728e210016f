"""The boards of a room: documents, snapshots, what is saved and mended, repeated and held back."""
