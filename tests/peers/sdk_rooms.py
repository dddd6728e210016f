"""Rooms to be read by matrix-js-sdk and by us: generated ones, and what the two see differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from bot.rtc.membership import WHITEBOARD
from bot.rtc.session import Slot
from tests.unit.rtc.make import ANN, BEN, HOUR, NOW, element_call, event, foci, neoboard

USERS = [ANN, BEN, "@cid:other.org", "@dee:hs:8448", "@eve:hs"]
APPLICATIONS = ["m.call", WHITEBOARD, "org.example"]
CALL_IDS = ["", "custom", "!abc_whiteboard"]
SLOTS = [
    Slot(application, "ROOM" if application == "m.call" and not call_id else call_id)
    for application in APPLICATIONS
    for call_id in CALL_IDS
]

State = list[dict[str, Any]]


def in_room(user: str, membership: str = "join") -> dict[str, Any]:
    content = {"membership": membership}
    return event(content, user, type="m.room.member", state_key=user)


# -- where the rules agree -----------------------------------------------------------------------


def room(seed: int) -> State:
    """A room as R6 clients, leaves, accidents and time make it; the same one for the same seed."""
    random = Random(seed)
    state: State = []
    for number in range(random.randrange(3, 40)):
        user = random.choice(USERS)
        if random.random() < 0.3:
            kind = random.choice(["join", "join", "join", "leave", "ban", "invite"])
            one = in_room(user, kind)
        else:
            one = _said(random, user)
        state.append(one | {"event_id": f"${number}"})
    return [in_room(user) for user in random.sample(USERS, 4)] + state


def _said(random: Random, user: str) -> dict[str, Any]:
    [slot] = random.choices([("m.call", ""), ("org.example", "custom"), None], [4, 1, 2])
    application, call_id = slot or (random.choice(APPLICATIONS), random.choice(CALL_IDS))
    device = random.choice(["PHONE", "DESK"])
    # One device has one key for a slot: what more do, is among the differences.
    key = f"{user}_{device}" if user == ANN else f"_{user}_{device}"
    if user != BEN:
        key += f"_{application}{call_id}"
    ts = NOW - random.choice([0, 1, 1000, HOUR, 4 * HOUR - 1, 4 * HOUR, 5 * HOUR, 30 * HOUR])
    sender = user
    if random.random() < 0.15:
        content = _left(random)
        if not content:
            sender = random.choice(USERS)  # others may end it
    else:
        content = _joined(random, application, call_id, device, ts)
        if random.random() < 0.15:
            content = _broken(random, content)
    return event(content, sender, state_key=key, origin_server_ts=ts)


def _left(random: Random) -> dict[str, Any]:
    return random.choice(
        [
            {},
            {},
            {"memberships": ["i am a fish"]},
            {"memberships": []},
            {"m.calls": [{"m.call_id": "x", "m.devices": []}]},
            {"leave_reason": "lost_connection"},
            {"slot_id": "m.call#ROOM", "msc4354_sticky_key": "x"},
        ]
    )


def _joined(random: Random, application: str, call_id: str, device: str, ts: int) -> dict[str, Any]:
    content = element_call(application=application, call_id=call_id, device_id=device, expires=None)
    created_ts = ts
    if random.random() < 0.4:
        created_ts = content["created_ts"] = ts - random.choice([0, 1, HOUR, 3 * HOUR])
    if random.random() < 0.7:
        edge = max(0, NOW - created_ts + random.choice([-1, 0, 1]))
        content["expires"] = random.choice([edge, HOUR, 4 * HOUR, 24 * HOUR])
    changes: list[Mapping[str, Any]] = [
        {"foci_preferred": []},
        {"foci_preferred": [{"type": "full_mesh"}, *foci("https://a.hs", "not a url")]},
        {"focus_active": {"type": "livekit", "focus_selection": "multi_sfu"}},
        {"focus_active": {"type": "unheard_of"}},
        {"m.call.intent": "audio"},
        {"membershipID": "x"},
        {"org.example.more": {"deep": [1, None]}},
    ]
    for change in random.sample(changes, 2):
        content |= change
    for name in ("scope", "foci_preferred"):
        if random.random() < 0.1:
            del content[name]
    return content


def _broken(random: Random, content: Mapping[str, Any]) -> dict[str, Any]:
    """What neither side takes for a membership."""
    name, value = random.choice(
        [
            ("application", 5),
            ("application", None),
            ("application", {"type": "m.call"}),  # as sticky events have it
            ("call_id", None),
            ("call_id", 5),
            ("device_id", None),
            ("device_id", ["PHONE"]),
            ("created_ts", "yesterday"),
            ("created_ts", None),
            ("focus_active", "oldest_membership"),
            ("foci_preferred", {}),
            ("foci_preferred", "https://a.hs"),
        ]
    )
    rest = {key: one for key, one in content.items() if key != name}
    needed = name in {"application", "call_id", "device_id"}
    return rest if needed and random.random() < 0.3 else rest | {name: value}


# -- where they do not ---------------------------------------------------------------------------


_CUSTOM = Slot("m.call", "custom")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that matrix-js-sdk 43 and we read differently, and why.

    Attributes:
        state: what the room holds besides those who are in it.
        sdk: the members the SDK sees in the slot: event id and expiry, in its order.
        ours: those that we see.
    """

    reason: str
    state: State
    sdk: list[tuple[str, int]]
    ours: list[tuple[str, int]]
    slot: Slot = _CUSTOM


_END = NOW + 4 * HOUR
_SEEN = [("$ann", _END)]


def _says(event_id: str = "$ann", sender: str = ANN, **changes: Any) -> dict[str, Any]:
    named = ("state_key", "type", "origin_server_ts")
    outside = {name: changes.pop(name) for name in named if name in changes}
    content = element_call(**{"call_id": "custom"} | changes)
    return event(content, sender, event_id=event_id, **outside)


def _only_ours(reason: str, **changes: Any) -> Difference:
    return Difference(reason, [_says(**changes)], [], _SEEN)


def _only_sdk(reason: str, **changes: Any) -> Difference:
    return Difference(reason, [_says(**changes)], _SEEN, [])


def _null(**values: Any) -> State:
    """A content with fields that are there and null (`_says` leaves those out)."""
    one = _says()
    return [one | {"content": one["content"] | values}]


_R5 = {
    "session": {"application": "m.call", "id": "custom"},
    "member": {"id": "x", "device_id": "DEV", "user_id": ANN},
}
_R11 = {"m.application": "m.call", "m.call_id": "custom", "device_id": "DEV", "focus_active": {}}

DIFFERENCES = {
    "another application": Difference(
        "the SDK compares only the id of a slot; two applications may use the same one (S04)",
        [_says(), _says("$ben", BEN, application="org.example")],
        [("$ann", _END), ("$ben", _END)],
        _SEEN,
    ),
    "an instant": Difference(
        "NeoBoard writes an instant; the SDK adds it to the beginning and waits for decades",
        [event(neoboard(), event_id="$ann")],
        [("$ann", NOW + _END)],
        _SEEN,
        Slot(WHITEBOARD, "board"),
    ),
    "an instant that is over": Difference(
        "so it never sees a NeoBoard expire",
        [event(neoboard(expires=NOW), event_id="$ann")],
        [("$ann", 2 * NOW)],
        [],
        Slot(WHITEBOARD, "board"),
    ),
    "impostor": _only_sdk(
        "the SDK does not look at the key: anybody could overwrite Ben's membership (S20)",
        state_key="_@ben:hs_DEV",
    ),
    "one device under two keys": Difference(
        "a device is one member, since the older claim; the SDK counts keys",
        [
            _says("$new", state_key="_@ann:hs_DEV_m.callcustom"),
            _says(origin_server_ts=NOW - 1),
        ],
        [("$ann", _END - 1), ("$new", _END)],
        [("$ann", _END - 1)],
    ),
    "as old as another": Difference(
        "of equally old ones the SDK puts first who came first; we the smaller key, as that is "
        "the same for every reader",
        [_says("$ben", BEN), _says()],
        [("$ben", _END), ("$ann", _END)],
        [("$ann", _END), ("$ben", _END)],
    ),
    "no focus_active": _only_ours(
        "who takes part does not depend on how a media server is chosen (QS14)", focus_active=None
    ),
    "focus_active without type": _only_ours(
        "as above", focus_active={"focus_selection": "oldest_membership"}
    ),
    "a focus without type": _only_ours(
        "an unusable entry does not make the others unusable", foci_preferred=[{}]
    ),
    "a focus that is null": _only_ours("as above", foci_preferred=[None]),
    "null foci": Difference("as missing ones", _null(foci_preferred=None), [], _SEEN),
    "null expires": Difference(
        "a number or nothing; NeoBoard ignores mistyped fields too", _null(expires=None), _SEEN, []
    ),
    "scope that is no text": _only_ours("unknown to us, so never wrong (QS5)", scope=5),
    "intent that is no text": _only_ours("as above", **{"m.call.intent": 5}),
    "slot id with #": Difference(
        "the SDK cannot take such a slot apart; state events never put it together",
        [_says(call_id="a#b")],
        [],
        _SEEN,
        Slot("m.call", "a#b"),
    ),
    "no device": Difference(
        "nobody on LiveKit could have the identity `user:`",
        _null(device_id=""),
        _SEEN,
        [],
    ),
    "no application": Difference(
        "an empty name names nothing",
        _null(application=""),
        _SEEN,
        [],
        Slot("", "custom"),
    ),
    "a device longer than Matrix allows": _only_sdk("every text is bounded", device_id="D" * 256),
    "a beginning before 1970": Difference(
        "times are not negative",
        [_says(created_ts=-1, expires=NOW + 1 + HOUR)],
        [("$ann", NOW + HOUR)],
        [],
    ),
    "a strategy that is no text": _only_sdk(
        "mistyped, as NeoBoard has it", focus_active={"type": "livekit", "focus_selection": 5}
    ),
    "session object": Difference("R5, in the SDK never", [event(_R5, event_id="$ann")], [], _SEEN),
    "prefixed names": Difference("R11, as above", [event(_R11, event_id="$ann")], [], _SEEN),
    "stable type": _only_ours("the SDK reads state of the unstable type only", type="m.rtc.member"),
}
