"""What one can do with boards; the one place behind the command line, rooms and handlers."""
