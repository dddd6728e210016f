"""What people say in a room, and what the bot answers."""
