"""The rooms the bot is in: one supervised task each, with what is said and who is there."""
