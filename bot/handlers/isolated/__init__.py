"""Handlers in a thread or process of their own (`isolation`), with an event loop of their own.

    the bot's loop                          │  the thread or process
    lane ── Isolated ── Worker ── messages ──── Inside ── the author's handler
                          └─ Desk ◄── asks ──── RemoteContext, RemoteBoard

What stands left is a handler as any other: lanes, delivery and dead letters are the same.
Both sides speak in `messages`; a thread is given them as they are, a process through a socket.
"""
