"""The homeserver: is it there, does it let us in, and what can it do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from math import inf, isinf

from bot.doctor.finding import Finding, broken, ok, warning
from bot.doctor.patient import Patient
from bot.errors import AuthLost, ServerError
from bot.matrix.clock import FAR_FROM, WRONG_FROM
from bot.matrix.probe import restart_rate
from bot.matrix.survey import versions
from bot.presence.admission import Limits, boards_by_count, boards_by_rate

SERVER = "homeserver"
CLOCK = "clock"
ACCOUNT = "account"
DELAYED = "delayed events"
LIMITS = "limits"

FEW_BOARDS = 10


async def reach(patient: Patient) -> AsyncIterator[Finding]:
    """See whether a Matrix homeserver answers."""
    url = patient.config.homeserver.url
    try:
        reply = await versions(patient.homeserver, 4.0)
    except ServerError as error:
        yield broken(SERVER, f"{url}: {error}", "homeserver.url in the configuration")
        return
    known = reply.get("versions")
    if not isinstance(known, list) or not known:
        yield broken(SERVER, f"{url} is no homeserver", "homeserver.url in the configuration")
        return
    yield ok(SERVER, f"{url} answers, Matrix up to {known[-1]}")


async def clock(patient: Patient) -> AsyncIterator[Finding]:
    """Compare this machine's clock with the homeserver's."""
    if not patient.homeserver.transport.clock.known:
        yield warning(CLOCK, "the homeserver does not say what time it is (no Date header)")
        return
    ahead = -patient.homeserver.clock_offset
    size = abs(ahead)
    if size <= WRONG_FROM:
        yield ok(CLOCK, f"within {max(size, 1):.0f} s of the homeserver's")
        return
    text = f"{size:.0f} s {'ahead of' if ahead > 0 else 'behind'} the homeserver's"
    advice = "timedatectl set-ntp true, on whichever of the two machines is wrong"
    yield (broken if size > FAR_FROM else warning)(CLOCK, text, advice)


async def account(patient: Patient) -> AsyncIterator[Finding]:
    """Log in as the bot, with a device of our own."""
    settings = patient.config.homeserver
    key = "password" if settings.access_token is None else "access_token"
    try:
        await patient.log_in()
    except AuthLost as error:
        yield broken(ACCOUNT, str(error), f"homeserver.{key} (or _file), homeserver.user_id")
        return
    yield ok(ACCOUNT, f"{settings.user_id} is let in")


async def delayed(patient: Patient) -> AsyncIterator[Finding]:
    """See whether the homeserver removes us from boards when we die."""
    support = await patient.homeserver.delayed_support(patience=0.0)
    if not support.supported:
        text = "the homeserver has none: if the bot dies it stays in the lists of participants"
        yield broken(DELAYED, text, "max_event_delay_duration: 24h in homeserver.yaml")
        return
    patient.scheduled = support.max_scheduled
    patient.max_delay_ms = support.max_delay_ms
    delay_ms = patient.config.rtc.delay * 1000
    if support.max_delay_ms is not None and support.max_delay_ms < delay_ms:
        text = f"may be {support.max_delay_ms / 1000:g} s at the most, rtc.delay is longer"
        yield warning(DELAYED, text, "max_event_delay_duration: 24h in homeserver.yaml")
        return
    most = "" if support.max_delay_ms is None else f", up to {support.max_delay_ms / 3.6e6:g} h"
    yield ok(DELAYED, f"on{most}")


async def limits(patient: Patient) -> AsyncIterator[Finding]:
    """Find out how many boards the homeserver's limits carry."""
    rtc = patient.config.rtc
    by_count = boards_by_count(Limits(scheduled=patient.scheduled))
    if by_count < FEW_BOARDS:
        yield warning(
            LIMITS,
            f"{patient.scheduled} delayed events per account carry {by_count:g} boards",
            "experimental_features: {msc4140_max_delayed_events_per_user: 1000} in homeserver.yaml",
        )
    rate = await restart_rate(patient.homeserver)
    by_rate = boards_by_rate(Limits(per_second=rate), rtc.refresh)
    patient.per_second = rate
    boards = min(by_count, by_rate)
    if isinf(rate):
        count = "any number of" if by_count == inf else f"{by_count:g}"
        yield ok(LIMITS, f"the account is exempt from rate limits; {count} boards at a time")
        return
    text = f"{rate:.1f} restarts a second carry {boards:g} boards every {rtc.refresh:g} s"
    advice = (
        "boardkeeper setup lifts the account's limits; or rc_delayed_event_mgmt:"
        " {per_second: 100, burst_count: 200} in homeserver.yaml"
    )
    yield warning(LIMITS, text, advice) if boards < FEW_BOARDS else ok(LIMITS, text)
