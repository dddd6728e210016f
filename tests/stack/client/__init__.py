"""Parts of the simulated NeoBoard user (tests/stack/neoboard.py).

None of them uses the bot's code, except its schema and `cut`, which are checked against the real
validator's answers and real Yjs: the peer that proves the bot must not share its mistakes.
"""
