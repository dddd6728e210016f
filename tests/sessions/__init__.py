"""Whole sessions in virtual time: simulated users, a homeserver and an SFU in memory, the bot."""
