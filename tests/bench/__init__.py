"""`python -m tests.bench`: what the bot does and costs, next to the bare LiveKit SDK."""
