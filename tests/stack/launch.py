"""Runs a program that dies with its parent; called as a script, in its own tiny interpreter.

`python -I -S launch.py PARENT_PID PROGRAM ARGUMENT...`

The kernel is asked to send SIGKILL when the parent ends (PR_SET_PDEATHSIG), whatever way it ends,
and then this process becomes the program. A script of its own instead of `preexec_fn`, which may
deadlock in a process that has threads, as every test with LiveKit has.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Ties this process to its parent and becomes the program."""
    parent, program = int(arguments[0]), arguments[1:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # A parent that ended before the line above is never reported by the kernel.
    if os.getppid() != parent:
        sys.exit("the parent ended first")
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
