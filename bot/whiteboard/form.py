"""In which form that which merges updates runs: compiled (setup.py), or in Python, as it stands."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES

from bot.whiteboard import merger

FORM = "compiled" if merger.__file__.endswith(tuple(EXTENSION_SUFFIXES)) else "pure"
"""`compiled`, which takes a sixth of the time, or `pure`."""
SHOWN = {
    "compiled": "compiled",
    "pure": "in Python; compiled, as in the image, it takes a sixth of the time (docs/deploy.md)",
}
"""What people are told of each."""
