"""How many strokes random sessions lose: `python -m tests.sessions [FIRST] [STOP]`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from tests.sessions.play import play


def read(arguments: Sequence[str]) -> range:
    """Return which sessions to play.

    Raises:
        SystemExit: the call is wrong, or asks for help.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.sessions",
        description="Plays random sessions with the bot and without, and says how many strokes each"
        " of them lost. Takes a few minutes for 500; the same number is the same session.",
    )
    parser.add_argument("first", nargs="?", type=int, default=0, help="the first session (0)")
    parser.add_argument(
        "stop", nargs="?", type=int, help="the session to stop before (500 after the first)"
    )
    options = parser.parse_args(arguments)
    stop = options.first + 500 if options.stop is None else options.stop
    if not 0 <= options.first < stop:
        parser.error("there is no session to play: FIRST has to be less than STOP")
    return range(options.first, stop)


def main() -> int:
    """Play sessions with the bot and without; say what each of them lost."""
    seeds = read(sys.argv[1:])
    logging.disable()
    drawn = alone = kept = 0
    failed = []
    for seed in seeds:
        without, with_bot = play(seed, bot=False), play(seed, bot=True)
        drawn += len(without.strokes)
        alone += len(without.lost)
        kept += len(with_bot.lost)
        if with_bot.owed or not with_bot.settled:
            failed.append(with_bot.report())
    print(f"{len(seeds)} sessions, {drawn} strokes: lost without the bot {alone}, with it {kept}")
    print("\n\n".join(failed) or "with it none that reached it or the room")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
