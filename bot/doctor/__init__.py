"""`boardkeeper doctor`: examines a deployment and says what to change.

One module per subject. A check is an async generator of `Finding`s; `examination.py` runs all of
them, each bounded in time, so that none hides another. Nothing of a running bot is touched: the
doctor has devices and LiveKit identities of its own, throws them away at the end, and changes no
room.
"""
