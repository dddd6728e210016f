"""Handlers: the public API (`base`), the runtime (`lanes`) and those built in."""
