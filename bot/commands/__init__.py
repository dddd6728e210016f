"""What people say to the bot in a room, and what it answers. Pure: the Room acts and sends."""
