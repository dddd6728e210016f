"""For tests of handlers: a room with people, in memory, without servers.

from bot.testing import SimulatedRoom
"""

from bot.testing.homeserver import Clock, Post
from bot.testing.person import Person
from bot.testing.room import SimulatedRoom
from bot.testing.watched import Failure

__all__ = ["Clock", "Failure", "Person", "Post", "SimulatedRoom"]
