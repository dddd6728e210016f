"""The command line's parts: what can be said, what it does, how it looks."""
