"""Every counter and gauge of the program, in one place; served at `/metrics`.

Labels never hold names of people or rooms: those are counted, not named.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Info

REGISTRY = CollectorRegistry()

BUILD = Info(
    "boardkeeper_build",
    "The version, and in which form what merges updates runs (compiled, pure)",
    registry=REGISTRY,
)
ROOMS = Gauge("boardkeeper_rooms", "Rooms the bot is in", registry=REGISTRY)
BOARDS = Gauge("boardkeeper_boards", "Boards known", registry=REGISTRY)
PRESENCES = Gauge("boardkeeper_presences", "Rooms the bot takes part in now", registry=REGISTRY)
CONNECTIONS = Gauge(
    "boardkeeper_connections", "LiveKit connections by state", ["state"], registry=REGISTRY
)
MEMBERSHIPS = Gauge("boardkeeper_memberships", "Own memberships announced", registry=REGISTRY)
ADMITTED = Gauge(
    "boardkeeper_boards_admitted", "Boards that have a place on the homeserver", registry=REGISTRY
)
CAPACITY = Gauge(
    "boardkeeper_boards_capacity",
    "Boards that the homeserver's limits carry; +Inf when it has none",
    registry=REGISTRY,
)
WAITING = Gauge(
    "boardkeeper_boards_refused",
    "Boards with people on them that wait because the homeserver's limits carry no more",
    registry=REGISTRY,
)
PARTICIPANTS = Gauge("boardkeeper_participants", "People on boards now", registry=REGISTRY)
SESSIONS = Gauge(
    "boardkeeper_sessions",
    "Sessions in rooms now, by what they are about (board, unknown_board, other)",
    ["about"],
    registry=REGISTRY,
)
PACKETS = Counter(
    "boardkeeper_packets_dropped_total",
    "Packets from peers that were dropped, by reason (invalid, unknown_board, too_many, stranger)",
    ["reason"],
    registry=REGISTRY,
)
UPDATES = Counter(
    "boardkeeper_updates_total",
    "Document updates by verdict (changed, known, waiting, refused, given_up)",
    ["verdict"],
    registry=REGISTRY,
)
SNAPSHOTS = Counter(
    "boardkeeper_snapshots_total", "Complete snapshots seen", ["by"], registry=REGISTRY
)
UNSAVED = Gauge(
    "boardkeeper_boards_unsaved",
    "Boards that hold something no complete snapshot in the room has",
    registry=REGISTRY,
)
UNSAVED_AGE = Gauge(
    "boardkeeper_unsaved_age_seconds",
    "How long ago the oldest change came that no complete snapshot in its room has; 0 without any",
    registry=REGISTRY,
)
LACKING = Gauge(
    "boardkeeper_boards_lacking",
    "Boards that are not safe, by reason (boardkeeper status says which, and what to do)",
    ["reason"],
    registry=REGISTRY,
)
REPAIRS = Counter(
    "boardkeeper_repairs_total",
    "What blocked people on boards and was mended, or could not be",
    ["what"],
    registry=REGISTRY,
)
BRIDGED = Counter(
    "boardkeeper_bridged_total",
    "Messages passed between people of the two profiles, by kind; dropped ones too",
    ["kind"],
    registry=REGISTRY,
)
REFUSED_EVENTS = Counter(
    "boardkeeper_refused_events_total", "Malformed room events ignored", ["what"], registry=REGISTRY
)
ENTRIES = Counter("boardkeeper_entries_total", "Entries committed", registry=REGISTRY)
ENTRIES_PENDING = Gauge(
    "boardkeeper_entries_pending", "Entries not committed yet", registry=REGISTRY
)
ENTRIES_DROPPED = Counter(
    "boardkeeper_entries_dropped_total",
    "Entries lost because the archive could not be written for too long",
    registry=REGISTRY,
)
HANDLER_FAILURES = Counter(
    "boardkeeper_handler_failures_total",
    "Events a handler failed on",
    ["handler"],
    registry=REGISTRY,
)
LANES_OPEN = Gauge(
    "boardkeeper_handler_lanes_open",
    "Lanes of a handler that pause because it failed there (boardkeeper handlers status)",
    ["handler"],
    registry=REGISTRY,
)
HANDLER_RESTARTS = Counter(
    "boardkeeper_handler_restarts_total",
    "Times the thread or process of a handler was replaced because it had ended",
    ["handler"],
    registry=REGISTRY,
)
STALLS = Counter(
    "boardkeeper_stalls_total",
    "Times the event loop stood still for a second, by the handler that held it up",
    ["handler"],
    registry=REGISTRY,
)
DEAD_LETTERS = Counter(
    "boardkeeper_dead_letters_total",
    "Events a durable handler could not take, and was not given any more",
    ["handler"],
    registry=REGISTRY,
)
HANDLER_EVENTS = Counter(
    "boardkeeper_handler_events_total",
    "What handlers count, each under names of its own",
    ["handler", "name"],
    registry=REGISTRY,
)
HANDLER_VALUES = Gauge(
    "boardkeeper_handler_value",
    "What handlers measure, each under names of its own",
    ["handler", "name"],
    registry=REGISTRY,
)
INVITES = Counter("boardkeeper_invites_total", "Invites by outcome", ["outcome"], registry=REGISTRY)
