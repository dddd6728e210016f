"""Compiles what merges updates where `BOARDKEEPER_COMPILE=1` asks for it: six times as fast.

mypyc compiles the modules as they are; they are developed in their pure form. To build, it takes
mypy, a C compiler and Python's headers; to run, none of them.
"""

from __future__ import annotations

import os

from setuptools import setup  # type: ignore[import-untyped]

# What an update passes through. Not `touched` and `verdict`: their frozen data classes go to the
# processes of handlers, and compiled ones cannot be unpickled; `breath` is there to be interpreted.
HOT = (
    "causality",
    "content",
    "document",
    "fields",
    "inspection",
    "item",
    "lib0",
    "merger",
    "notes",
    "objects",
    "places",
    "replica",
    "schema",
    "store",
    "trial",
    "update",
    "waiting",
)

if os.environ.get("BOARDKEEPER_COMPILE") == "1":
    from mypyc.build import mypycify

    # The code is checked in `make check`; here mypy need not find what only the rest of it imports.
    options = ["--follow-imports=silent", "--ignore-missing-imports"]
    modules = ["bot/errors.py", *(f"bot/whiteboard/{name}.py" for name in HOT)]
    setup(ext_modules=mypycify([*options, *modules], group_name="boardkeeper", debug_level="0"))
else:
    setup()
