"""In which profiles to take part in a board's session (docs/matrixrtc.md, 0.1).

    rtc.profile   people of     the bot takes part in
    -----------   -----------   ------------------------------------------------
    legacy        -             legacy
    sticky        -             sticky; nothing where the homeserver has no sticky events
    auto          both          both, as a bridge; sticky alone with bridging switched off
                  one           that one
                  neither       sticky where the board has a slot, open or closed, otherwise legacy

The two cannot hear each other: other identities, other LiveKit rooms. A device that is in both is a
bridge, as we are, or somebody with a newer NeoBoard whose older one has not been cleared: it counts
where it came last.
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.rtc.membership import LEGACY, STICKY

AUTO = "auto"

Device = tuple[str, str]
"""User id and device id."""

BOTS = "BOARDKEEPER"
"""What the device ids of bots begin with (`homeserver.device_id`)."""

_NEITHER: frozenset[str] = frozenset()


def is_bot(device_id: str) -> bool:
    """Whether a device is a bot's: ours, or that of another boardkeeper in the room.

    Bots are there for people, not for each other: two would hold each other on a board for ever.
    A person with such a device is heard, recorded and counted as everybody is; he alone does not
    bring the bot.
    """
    return device_id.startswith(BOTS)


def choose(
    wish: str,
    legacy: Mapping[Device, int],
    sticky: Mapping[Device, int],
    *,
    possible: bool,
    has_slot: bool,
    bridge: bool,
) -> frozenset[str]:
    """Return the profiles to take part in.

    Args:
        wish: `rtc.profile`: auto, legacy or sticky.
        legacy: the devices of people on the board by the legacy profile, and since when (ms).
        sticky: likewise by the sticky profile.
        possible: whether the homeserver has sticky events.
        has_slot: whether the room says anything of the board's slot. Where it is closed nobody can
            be in the sticky profile, but those who come when it opens will be.
        bridge: `rtc.bridge_profiles`.
    """
    if wish == LEGACY:
        return frozenset({LEGACY})
    if not possible:
        return _NEITHER if wish == STICKY else frozenset({LEGACY})
    if wish == STICKY:
        return frozenset({STICKY})
    old = {one for one, since_ts in legacy.items() if since_ts > sticky.get(one, -1)}
    new = {one for one, since_ts in sticky.items() if since_ts >= legacy.get(one, -1)}
    if old and new and bridge:
        return frozenset({LEGACY, STICKY})
    if new or (has_slot and not old):
        return frozenset({STICKY})
    return frozenset({LEGACY})
