"""Parts of the simulated NeoBoard user (tests/stack/neoboard.py).

The peer that proves the bot must not share its mistakes: of the bot's code they use only the
schema and the cut at a gap, and both have a proof of their own (the real validator's answers in
tests/data, real Yjs in tests/peers).
"""
