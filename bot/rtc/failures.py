"""What a failed action means for our own membership (docs/matrixrtc.md, 2.5; table in `own`)."""

from __future__ import annotations

from math import inf

from bot.rtc.actions import Failed, Kind
from bot.rtc.known import Flight, Known, Step

_SOFT = frozenset({Kind.TIMEOUT, Kind.TRANSIENT, Kind.RATE_LIMITED})
_LEAST_WAIT = 0.5  # a third of what remains shrinks for ever; never ask faster than this


def take_failure(known: Known, flight: Flight, failed: Failed, now: float) -> None:
    """Change what is known after an action has failed."""
    if failed.kind is Kind.AUTH_LOST:
        known.stopped = True
        return
    unknown = failed.kind in {Kind.TIMEOUT, Kind.TRANSIENT}
    if flight.step is Step.JOIN and not unknown:
        known.dirty = flight.dirty
    if flight.step is Step.SEND:
        _cannot_send(known, failed)
    elif failed.kind in _SOFT:
        _again(known, flight.step, failed, now)
    else:
        _refused(known, flight, failed, now)


def _refused(known: Known, flight: Flight, failed: Failed, now: float) -> None:
    leave = known.leave
    match flight.step:
        case Step.LIST:
            leave.listed = True  # what cannot be listed must not keep us out for ever
        case Step.CANCEL:
            leave.strays.pop(0)  # not found is what we wanted; nothing else gets better
        case Step.ARM:
            _cannot_arm(known, failed, now)
        case Step.JOIN:
            _cannot_join(known, failed, now)
        case Step.RESTART:
            _cannot_restart(known, failed, now)
        case _:
            _cannot_clear(known, failed)


def _again(known: Known, step: Step, failed: Failed, now: float) -> None:
    leave, timing = known.leave, known.timing
    remaining = inf if leave.armed is None else leave.armed.fires_at - now
    if step is Step.ARM and failed.kind is not Kind.RATE_LIMITED:
        leave.listed = False  # it may have been stored: the call is not idempotent
    if step is Step.RESTART and now >= known.renew_at and remaining > timing.attempt:
        leave.proved_at = now  # it is surely still armed: the renewal need not wait for it
    if failed.kind is Kind.TIMEOUT:
        wait = 0.0
    elif failed.retry_after is not None:
        wait = max(failed.retry_after, _LEAST_WAIT)
    elif failed.kind is Kind.RATE_LIMITED:
        wait = timing.rate_limited
    elif remaining > 0:
        wait = min(timing.retry, max(remaining / 3, _LEAST_WAIT))
    else:
        wait = timing.retry
    _retry(known, step, wait, now, counts=failed.kind is Kind.TRANSIENT)


def _retry(known: Known, step: Step, wait: float, now: float, *, counts: bool = True) -> None:
    known.waits[step] = now + wait
    known.failures[step] += counts


def _cannot_arm(known: Known, failed: Failed, now: float) -> None:
    leave, timing = known.leave, known.timing
    if leave.armed is not None:
        known.rearm = False  # the one there is does it too
        return
    again_at = now + timing.refused
    match failed.kind:
        case Kind.DELAY_TOO_LARGE:
            if leave.lower(failed.max_delay, timing):
                return
            again_at = inf
        case Kind.TOO_MANY:
            if not leave.crowded():
                return  # first see whether some of them are ours
            again_at = now + timing.degraded_renew
        case Kind.UNSUPPORTED:
            again_at = inf
            if known.joined:
                # A server that does not know delays sends the leave at once (synapse#20254).
                known.start_over(in_room=True)
    if known.joined and not leave.degraded:
        _shorten(known, now)
    leave.degrade(again_at)


def _shorten(known: Known, now: float) -> None:
    """Have what is in the room replaced by something short-lived, if that is possible."""
    if not known.once:
        known.renew_at = now


def _cannot_join(known: Known, failed: Failed, now: float) -> None:
    if failed.kind is Kind.FORBIDDEN:
        known.start_over(in_room=known.joined or known.dirty)
        known.forbidden = True
    else:
        _retry(known, Step.JOIN, known.timing.refused, now)


def _cannot_restart(known: Known, failed: Failed, now: float) -> None:
    leave, armed = known.leave, known.leave.armed
    if armed is None:
        return  # the room has told us already
    if failed.kind is Kind.NOT_FOUND:
        leave.armed = None
        if now >= armed.fires_at:  # it fired; before that it was cancelled or lost
            # Or was lost as it fell due (0.5): nothing would ever replace what is there once.
            known.ended = known.once
            known.start_over(in_room=known.once and (known.joined or known.dirty))
    elif failed.kind is Kind.UNSUPPORTED:
        leave.armed = None
        leave.degrade(inf)
        _shorten(known, now)
    else:
        _retry(known, Step.RESTART, known.timing.retry, now)


def _cannot_send(known: Known, failed: Failed) -> None:
    """Whatever it was, `{}` is the sure way; the delayed leave is cancelled afterwards."""
    if failed.kind is Kind.NOT_FOUND:
        known.leave.armed = None
    known.leave.disarm()
    known.start_over(in_room=True)


def _cannot_clear(known: Known, failed: Failed) -> None:
    known.start_over(in_room=False)
    if known.once or failed.kind is not Kind.FORBIDDEN:
        # Let the delayed leave do it. Should we come back before, LIST will find it.
        known.leave.armed = None
        known.leave.strays.clear()
        known.leave.listed = False
