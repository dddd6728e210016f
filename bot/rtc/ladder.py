"""What our own membership needs next, given what is known: the first rung that does not hold yet.

Reads only; `own.OwnMembership` changes what is known. The ladders are drawn there.
"""

from __future__ import annotations

from math import inf

from bot.rtc.actions import (
    Action,
    CancelDelayed,
    ClearState,
    ListDelayed,
    Restart,
    ScheduleLeave,
    SendDelayed,
    SendJoin,
)
from bot.rtc.known import Known, Step


def due_steps(known: Known, now: float) -> list[tuple[float, Step]]:
    """List what may be done next and when, the most important first."""
    return [(max(due, known.waits.get(step, due)), step) for due, step in _ladder(known, now)]


def deadline(known: Known, now: float) -> float | None:
    """Return when something is to be done, or changes by itself; None when nothing will."""
    instants = [due for due, _ in due_steps(known, now)] + _instants(known, now)
    return min((instant for instant in instants if instant < inf), default=None)


def leaving_step(known: Known) -> Step | None:
    """Return what remains to be done to have left."""
    if known.joined or known.dirty:
        # Of one that is there once the armed leave stays armed until another is in the room.
        sends = known.leave.armed is not None and not known.once
        return Step.SEND if sends else Step.CLEAR
    return Step.CANCEL if known.leave.strays else None


def action_for(step: Step, known: Known, now: float) -> Action:
    """Return the action of a step."""
    timing, armed = known.timing, known.leave.armed
    remaining = inf if armed is None else armed.fires_at - now
    # No call may take so long that no restart fits in before the armed leave fires.
    bound = max(timing.attempt, min(timing.request, remaining - timing.attempt))
    action: Action
    match step:
        case Step.LIST:
            action = ListDelayed(bound)
        case Step.CANCEL:
            action = CancelDelayed(known.leave.strays[0], bound)
        case Step.ARM:
            action = ScheduleLeave(known.leave.delay(timing), bound)
        case Step.JOIN:
            action = SendJoin(_expires(known, now), known.created_ts, bound)
        case Step.RESTART:
            assert armed is not None
            # Clipped to the firing, to learn of it in time; once it is past there is no hurry.
            clipped = min(timing.attempt, remaining) if remaining > 0 else timing.attempt
            action = Restart(armed.delay_id, clipped)
        case Step.SEND:
            assert armed is not None
            action = SendDelayed(armed.delay_id, timing.attempt)
        case _:
            action = ClearState(bound)
    return action


def _expires(known: Known, now: float) -> float:
    timing = known.timing
    if known.leave.armed is not None:
        return timing.expires
    if known.once and known.joined:
        # Of two sticky events the last to expire stands: a shorter one would not be seen.
        return max(timing.degraded_expires, known.expires_at - now + timing.request)
    return timing.degraded_expires


def _ladder(known: Known, now: float) -> list[tuple[float, Step]]:
    if known.stopped:
        return []
    if known.ended or not known.wanted:
        step = leaving_step(known)
        return [] if step is None else [(now, step)]
    if known.away:
        return [(now, Step.CANCEL)] if known.leave.strays else []
    return _restarting(known) + _joining(known, now)


def _restarting(known: Known) -> list[tuple[float, Step]]:
    leave = known.leave
    if leave.armed is None:
        return []
    if known.joined and leave.proved_at < known.renew_at:
        return [(min(leave.restart_at, known.renew_at), Step.RESTART)]
    return [(leave.restart_at, Step.RESTART)]


def _joining(known: Known, now: float) -> list[tuple[float, Step]]:
    leave = known.leave
    if not leave.listed:
        return [(now, Step.LIST)]
    if leave.strays:
        return [(now, Step.CANCEL)]
    steps = []
    if leave.armed is None:
        steps.append((leave.arm_at if leave.degraded else now, Step.ARM))
    elif known.rearm:
        steps.append((now, Step.ARM))
    if _may_send(known, now):
        steps.append((known.renew_at if known.joined else now, Step.JOIN))
    return steps


def _may_send(known: Known, now: float) -> bool:
    """Whether a membership may be sent: with a leave behind it, or knowingly without."""
    leave = known.leave
    if leave.armed is None:
        return leave.degraded
    proved = not known.joined or leave.proved_at >= known.renew_at
    return proved and now < leave.armed.fires_at


def _instants(known: Known, now: float) -> list[float]:
    """List when something changes that is no step: a pause ends, an expiry, a firing."""
    if known.stopped or known.ended or not known.wanted:
        return []
    instants = [] if known.paused_until is None else [known.paused_until]
    if known.joined:
        instants.append(known.expires_at)
        armed = known.leave.armed
        if armed is not None and now < armed.fires_at:
            instants.append(armed.fires_at)
    return instants
