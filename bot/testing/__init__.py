"""For tests of handlers: a room with people, in memory, without servers.

from bot.testing import SimulatedRoom
"""

from pathlib import Path

from bot.testing.homeserver import Clock, Post
from bot.testing.person import Person
from bot.testing.room import SimulatedRoom
from bot.testing.watched import Failure, Sent

__all__ = ["SAMPLE", "Clock", "Failure", "Person", "Post", "Sent", "SimulatedRoom"]

SAMPLE = Path(__file__).with_name("sample.rec")
"""A recording of simulated people: two draw on two slides, one presents, one locks a slide."""
