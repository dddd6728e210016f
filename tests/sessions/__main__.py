"""How many strokes random sessions lose: `python -m tests.sessions [FIRST] [STOP]`."""

from __future__ import annotations

import logging
import sys

from tests.sessions.play import play


def main() -> int:
    """Play sessions with the bot and without; say what each of them lost."""
    logging.disable()
    first, stop = (int(one) for one in (*sys.argv[1:], "0", "500")[:2])
    drawn = alone = kept = 0
    failed = []
    for seed in range(first, stop):
        without, with_bot = play(seed, bot=False), play(seed, bot=True)
        drawn += len(without.strokes)
        alone += len(without.lost)
        kept += len(with_bot.lost)
        if with_bot.owed or not with_bot.settled:
            failed.append(with_bot.report())
    print(f"{stop - first} sessions, {drawn} strokes: lost without the bot {alone}, with it {kept}")
    print("\n\n".join(failed) or "with it none that reached it or the room")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
