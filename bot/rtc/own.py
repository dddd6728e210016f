"""Our own membership as a state machine (docs/matrixrtc.md, 2.2 to 2.6, and 2.9).

Nothing is queued. What to do is computed from what is known, so a wish or news from the room may
come at any moment, also while an action is in flight, and no timer goes stale. What is wanted
chooses the ladder; its first rung that does not hold yet is the next action:

    join wanted         LIST ─► CANCEL ─► ARM ─► JOIN ─► RESTART, RESTART, … ─► JOIN (renewal) ─► …
                         ▲                 ▲      ▲         │
                         │     404 in time ┴──────┼─────────┤
       outcome unknown ──┘                        └─────────┴ 404 too late, or cleared: start over

    leave wanted        in the room:   SEND ──failed──► CLEAR ─► CANCEL ─► left
                                        └────done────────────────────────► left
                        not there:     CANCEL ─► left

    forbidden, paused   CANCEL, then wait for permission_changed() or the end of the pause
    stopped             nothing, ever

LIST finds delayed leaves of a former life, which would clear the new membership; CANCEL ends them.
ARM schedules the leave, and only then JOIN sends the membership. Once a leave is armed, RESTART
outranks every other rung, so that waiting for JOIN does not let it fire. A renewal first needs a
RESTART that succeeded after it fell due: a membership without a leave behind it is a ghost.

What failures do (soft: a time-out of ours, tried again at once; transient, within 3 s; a rate
limit, when told). No step is given up because of a count.

    step     done     soft             404                403            unsupported    other
    LIST     CANCEL   again            go on              go on          go on          go on
    CANCEL   ARM      again            gone               gone           gone           gone
    ARM      JOIN     LIST, again      degraded           degraded       degraded       degraded
    JOIN     RESTART  again            in 30 s            FORBIDDEN      in 30 s        in 30 s
    RESTART  in 5 s   again            ARM or start over  in 3 s         degraded       in 3 s
    SEND     left     CLEAR, CANCEL    CLEAR              as soft        as soft        as soft
    CLEAR    left     again            given up           CANCEL         given up       given up

ARM also knows: delay too large (lower it, again at once), too many (LIST once, again, then
degraded). A lost token stops everything. Degraded is a membership without a leave behind it,
short-lived and often renewed; ARM is tried again at times, unless the server cannot do it at all.

Cleared by our delayed leave: join again at once. By somebody else: likewise, the fourth time in a
minute PAUSED for one. By our own account without that: another process has our device; PAUSED.

A sticky membership is there once: a leave in the room ends its member id for good, and nobody but
us can write one. So there is nothing to list at first, nobody to fight with, and one end:

    join wanted         ARM ─► JOIN ─► RESTART, … ─► JOIN (renewal) ─► ARM another ─► CANCEL the old
    leave wanted        CLEAR ──done─────► CANCEL ─► ended
                          └────refused───► ended: the leave stays armed, and does it
    our leave seen      CANCEL ─► ended
    404 too late, expired, redacted, 403 for a renewal:  as leave wanted

Its leave stays armed until another one is in the room; only when arming fails is there none. What
is in the room cannot be made short-lived afterwards: of two the last to expire stands.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from bot.rtc.actions import (
    Action,
    CancelDelayed,
    Failed,
    Listed,
    Outcome,
    Restart,
    Scheduled,
    ScheduleLeave,
    SendJoin,
    Sent,
    Shown,
)
from bot.rtc.failures import take_failure
from bot.rtc.known import Flight, Known, Step
from bot.rtc.ladder import action_for, deadline, due_steps, leaving_step
from bot.rtc.timing import Timing

UNHEALTHY_AFTER = 10
"""So many failures of one step in a row are worth telling the operator."""


class Status(Enum):
    """What to show of our own membership."""

    LEFT = "left"
    JOINING = "joining"
    JOINED = "joined"
    DEGRADED = "degraded"
    """Joined, but nothing would clear the membership if we died: it is short-lived instead."""
    LEAVING = "leaving"
    FORBIDDEN = "forbidden"
    """The room does not let us; waits for `permission_changed`."""
    PAUSED = "paused"
    """Somebody, or another process of our account, keeps clearing us."""
    ENDED = "ended"
    """It was there once and cannot come back: the next one needs another name."""
    STOPPED = "stopped"
    """The access token is gone."""


class OwnMembership:
    """Keeps one membership of ours in one room.

    One owner calls it: `take` when `deadline` has come, carries the action out, tells `done`, and
    calls `join`, `leave`, `own_state` and `permission_changed` whenever they happen. An action may
    be abandoned at any time with `Failed(Kind.TIMEOUT)`. `now` is monotonic, in seconds.

    Args:
        timing: the durations.
        once: whether it is a sticky one, good for one stay.

    Attributes:
        deadline: when to call `take`; None while an action is in flight, and when nothing falls
            due without another call.
    """

    def __init__(self, timing: Timing, *, once: bool = False) -> None:
        self.deadline: float | None = None
        self._known = Known(timing, once)
        self._known.leave.listed = once  # a fresh name has no former life
        self._fights: list[float] = []
        self._twin = False
        self._shown: Shown | None = None
        self._shown_id: str | None = None

    # -- what is asked ---------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """What to show."""
        known = self._known
        if known.stopped:
            return Status.STOPPED
        if known.ended or not known.wanted:
            if not (known.wanted or self._idle):
                return Status.LEAVING
            return Status.ENDED if known.ended else Status.LEFT
        if known.away:
            return Status.FORBIDDEN if known.forbidden else Status.PAUSED
        if not known.joined:
            return Status.JOINING
        return Status.DEGRADED if known.leave.degraded else Status.JOINED

    @property
    def joined(self) -> bool:
        """Whether our membership is in the room, as far as we know."""
        return self._known.joined

    @property
    def left(self) -> bool:
        """Whether there is nothing to do any more: we have left, or the token is gone."""
        known = self._known
        return known.stopped or (self._idle and (known.ended or not known.wanted))

    @property
    def ended(self) -> bool:
        """Whether its name is spent: another membership is needed to be there again."""
        return self._known.ended

    @property
    def _idle(self) -> bool:
        return self._known.flight is None and leaving_step(self._known) is None

    @property
    def twin(self) -> bool:
        """Whether PAUSED is because another process of our account took us out."""
        return self._known.paused_until is not None and self._twin

    @property
    def healthy(self) -> bool:
        """Whether no step has failed too often in a row."""
        return all(count < UNHEALTHY_AFTER for count in self._known.failures.values())

    def probably_left(self, now: float) -> bool:
        """Whether our delayed leave has probably fired: no restart succeeded in time."""
        armed = self._known.leave.armed
        return self._known.joined and armed is not None and now >= armed.fires_at

    # -- what is told ----------------------------------------------------------------------

    def join(self, now: float) -> None:
        """Want the membership; nothing happens if it is wanted already."""
        if not self._known.wanted:
            self._known.wanted = True
            self._known.forbidden = False
            self._compare(now)
        self._settle(now)

    def leave(self, now: float) -> None:
        """Want no membership; whatever is pending is given up."""
        self._known.wanted = False
        self._settle(now)

    def give_way(self, now: float) -> None:
        """Want no membership where another application now stands: only CANCEL is left to do.

        The state is neither sent nor cleared, unless a join under way may still have replaced it.
        (Nobody can stand where a sticky one is.)
        """
        self._known.wanted = False
        self._known.start_over(in_room=False)
        self._settle(now)

    def permission_changed(self, now: float) -> None:
        """Try again after FORBIDDEN."""
        self._known.forbidden = False
        self._settle(now)

    def arm_again(self, now: float) -> None:
        """Try to arm a leave although the server could not do it before: now it says it can."""
        self._known.leave.arm_at = now
        self._settle(now)

    def renew(self, now: float) -> None:
        """Send the membership again soon: what it says has changed (F08)."""
        known = self._known
        known.renew_at = min(known.renew_at, now)
        if known.flight is not None and known.flight.step is Step.JOIN:
            known.flight.outdated = True
        self._settle(now)

    def retime(self, timing: Timing, now: float) -> None:
        """Change the durations; a new delay counts from the next arming on."""
        self._known.timing = timing
        self._settle(now)

    def own_state(self, shown: Shown, now: float) -> None:
        """Take what sync shows of our membership, in the order of the room.

        A clearing counts only when it replaces the very event we know of: an older leave of ours,
        or whatever comes while our join is under way, means nothing. One that comes after that
        event all the same was sent beside it (an overdue leave, as Synapse starts again): the
        room's state is ours, but who reads events in their order takes us for gone. So we say
        again that we are there.

        For one that is there once a leave is a leave, whatever it replaces; a redaction of the
        event that we know of (which it `replaces`) takes it out too.
        """
        if self._known.once and shown.created_ts is None:
            self._taken_out(shown)
            self._settle(now)
            return
        self._shown = replace(shown, replaces=shown.replaces or self._shown_id)
        if shown.created_ts is not None:
            self._shown_id = shown.event_id
        self._compare(now)
        self._settle(now)

    def take(self, now: float) -> Action | None:
        """Return the next action when it is due and none is in flight."""
        known = self._known
        if known.flight is not None:
            return None
        if known.paused_until is not None and now >= known.paused_until:
            known.paused_until = None
        if known.wanted and known.joined and now >= known.expires_at:
            known.start_over(in_room=True)
        step = next((step for due, step in due_steps(known, now) if due <= now), None)
        if step is not None:
            known.flight = Flight(step, action_for(step, known, now), now, known.dirty)
            known.dirty = known.dirty or step is Step.JOIN
            known.ended = known.ended or (known.once and step is Step.CLEAR)
        self._settle(now)
        return known.flight.action if known.flight is not None else None

    def done(self, outcome: Outcome, now: float) -> None:
        """Take the outcome of the action in flight."""
        known = self._known
        flight, known.flight = known.flight, None
        assert flight is not None, "no action is in flight"
        if isinstance(outcome, Failed):
            take_failure(known, flight, outcome, now)
        else:
            known.failures.pop(flight.step, None)
            self._succeeded(flight, outcome, now)
        self._settle(now)

    # -- what that means -------------------------------------------------------------------

    def _succeeded(self, flight: Flight, outcome: Outcome, now: float) -> None:
        known, leave = self._known, self._known.leave
        match flight.action, outcome:
            case _, Listed(delay_ids):
                leave.found(delay_ids)
            case ScheduleLeave(delay), Scheduled(delay_id):
                promoted = known.joined and leave.degraded and not known.once
                leave.disarm()  # another in its place: this one is cancelled after it
                known.rearm = False
                leave.scheduled(delay_id, delay, flight.at, known.timing)
                if promoted:
                    known.renew_at = leave.proved_at  # what is in the room is short-lived
            case SendJoin(), Sent(event_id):
                self._sent(flight, flight.action, event_id, now)
            case CancelDelayed(delay_id), _:
                leave.cancelled(delay_id)
            case Restart(delay_id), _:
                leave.restarted(delay_id, flight.at, known.timing)
            case _:  # SendDelayed, ClearState
                if not known.once:
                    leave.armed = None
                known.start_over(in_room=False)

    def _sent(self, flight: Flight, join: SendJoin, event_id: str, now: float) -> None:
        known = self._known
        if flight.stale:
            return  # it is in the room but does not count: `dirty` says so
        known.rearm = known.once and known.leave.armed is not None and known.joined
        known.joined, known.dirty = True, False
        known.event_id = event_id
        known.expires_at = flight.at + join.expires
        timing = known.timing
        known.renew_at = now + (timing.degraded_renew if known.leave.degraded else timing.renew)
        if flight.outdated:
            known.renew_at = now
        # At once: some servers cancel delayed events when their own user changes the state (0.4).
        known.leave.restart_at = now
        self._compare(now)

    def _compare(self, now: float) -> None:
        """Compare what sync shows with what we believe."""
        shown, known = self._shown, self._known
        if shown is None or not (known.wanted and known.joined):
            return
        if shown.created_ts is not None:
            if shown.event_id == known.event_id:
                known.created_ts = shown.created_ts
        elif shown.replaces == known.event_id:
            self._cleared(shown, now)
        elif self._shown_id == known.event_id:
            known.renew_at = min(known.renew_at, now)

    def _cleared(self, shown: Shown, now: float) -> None:
        """Our membership was taken out of the room (2.6)."""
        known, timing = self._known, self._known.timing
        known.start_over(in_room=False)
        if shown.delay_id is not None:
            known.leave.fired(shown.delay_id)
            return
        self._fights = [at for at in self._fights if now - at < timing.fight_window]
        if shown.by_us or len(self._fights) >= timing.fight_limit:
            # Another process of our account would do the same again, and so would we.
            self._fights.clear()
            self._twin = shown.by_us
            known.paused_until = now + timing.fight_pause
        else:
            self._fights.append(now)
            # The server has cancelled it with the state (measured); CANCEL makes sure.
            known.leave.disarm()

    def _taken_out(self, shown: Shown) -> None:
        """What is there once was taken out of the room, by a leave of ours or a redaction."""
        known = self._known
        redacted = shown.replaces is not None
        if redacted and shown.replaces != known.event_id:
            return  # the event that stands is another
        known.ended = True
        known.start_over(in_room=redacted)  # by then: who does not look at redactions
        if shown.delay_id is not None:
            known.leave.fired(shown.delay_id)

    def _settle(self, now: float) -> None:
        """Restore what holds between calls: no leave armed for nothing, and the deadline."""
        known = self._known
        gone = not (known.joined or known.dirty)
        useless = known.away or (gone and not known.wanted)
        if gone if known.ended else useless:
            known.leave.disarm()
        self.deadline = None if known.flight is not None else deadline(known, now)
