"""A membership kept over real HTTP: what is on the wire, and homeservers that answer oddly."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from urllib.parse import unquote

import pytest

from bot.errors import Transient
from bot.matrix.client import Homeserver
from bot.rtc.own import Status
from tests.fakes.homeserver import Answer, FakeHomeserver, Seen, refused
from tests.fakes.rooms import until
from tests.unit.matrix.conftest import ME
from tests.unit.matrix.wire import DELAY, KEY, QUICK, ROOM, SECRET_ID, wire

PATIENT = replace(QUICK, attempt=1.0, delay=5.0)
"""For tests that count requests: one that is answered late would be repeated."""


@pytest.mark.scenario("M01", "M02")
async def test_leave_first_then_the_join_byte_for_byte(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    async with wire(fake, hs) as here:
        await here.join()
        arm, join = here.puts
        path = f"/_matrix/client/v3/rooms/{ROOM}/state/org.matrix.msc3401.call.member/{KEY}"
        assert unquote(arm.path) == unquote(join.path) == path
        assert "@" not in arm.path
        assert (arm.query, arm.body) == ({DELAY: "1600"}, {})
        expires = join.body.pop("expires")
        assert type(expires) is int
        assert abs(expires - (time.time() + 14_400) * 1000) < 60_000
        assert json.dumps(join.body) == json.dumps(
            {
                "application": "net.nordeck.whiteboard",
                "call_id": "board",
                "device_id": "DEV",
                "focus_active": {"type": "livekit", "focus_selection": "oldest_membership"},
                "foci_preferred": [
                    {
                        "type": "livekit",
                        "livekit_service_url": "https://sfu",
                        "livekit_alias": ROOM,
                    }
                ],
                "scope": "m.room",
            }
        )


TOO_LARGE = refused(400, "ORG.MATRIX.MSC4140_DELAY_TOO_LARGE")
WITH_LIMIT = refused(
    400,
    "M_UNKNOWN",
    **{
        "org.matrix.msc4140.errcode": "M_MAX_DELAY_EXCEEDED",
        "org.matrix.msc4140.max_delay": 7500,
    },
)


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(WITH_LIMIT, marks=pytest.mark.scenario("M12")),
        pytest.param(TOO_LARGE, marks=pytest.mark.scenario("M13")),
        pytest.param(refused(403, "M_FORBIDDEN"), marks=pytest.mark.scenario("M14")),
    ],
)
async def test_a_delay_that_is_too_large_is_lowered_at_once(
    fake: FakeHomeserver, hs: Homeserver, refusal: Answer
) -> None:
    limit = {"max_delay_ms": 7500, "max_scheduled": 100}
    capabilities = {"org.matrix.msc4140.delayed_events": limit}
    fake.on("GET", "/capabilities", Answer(body={"capabilities": capabilities}))
    async with wire(fake, hs, replace(QUICK, delay=9.0, retry=100.0)) as here:
        here.scheduling = [refusal]
        begun = time.monotonic()
        await here.join()
        assert time.monotonic() - begun < 50
        assert here.delays == ["9000", "7500"]
        asked = len(fake.asked("/capabilities"))
        assert asked == (0 if refusal is WITH_LIMIT else 1)


@pytest.mark.parametrize(
    "capabilities",
    [
        Answer(body={"capabilities": {"m.delayed_events": {"max_delay_ms": 9000}}}),
        Answer(body={}),
        refused(500, "M_UNKNOWN"),
    ],
)
@pytest.mark.scenario("M14")
async def test_forbidden_for_another_reason_is_no_delay_that_is_too_large(
    fake: FakeHomeserver, hs: Homeserver, capabilities: Answer
) -> None:
    fake.on("GET", "/capabilities", capabilities)
    async with wire(fake, hs, replace(QUICK, delay=9.0)) as here:
        here.scheduling = [refused(403, "M_FORBIDDEN")]
        await here.join(Status.DEGRADED)
        assert here.delays == ["9000"]


@pytest.mark.scenario("M15")
async def test_without_the_feature_nothing_is_scheduled(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    async with wire(fake, hs) as here:
        here.supported = False
        await here.join(Status.DEGRADED)
        [join] = here.puts
        assert DELAY not in join.query
        assert abs(join.body["expires"] - (time.time() + 300) * 1000) < 60_000


@pytest.mark.scenario("M15")
async def test_what_the_server_could_not_do_it_does_once_it_can(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    async with wire(fake, hs, replace(QUICK, degraded_renew=0.3)) as here:
        here.supported = False
        await here.join(Status.DEGRADED)
        here.supported = True
        await until(lambda: here.statuses[-1] is Status.JOINED, 5)
        await until(lambda: here.states[-1]["expires"] > (time.time() + 14_000) * 1000, 5)
        assert len(here.delays) == 1


@pytest.mark.scenario("M16")
async def test_a_server_that_sets_the_leave_at_once_gets_the_membership_again(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    async with wire(fake, hs) as here:
        await here.join()
        here.scheduling = [Answer(body={"event_id": "$leave"})]
        fake.on("POST", "/restart", refused(404, "M_NOT_FOUND"))
        await until(lambda: here.statuses[-1:] == [Status.DEGRADED], 5)
        assert [len(seen.query) for seen in here.puts] == [1, 0, 1, 0]
        assert "created_ts" not in here.states[-1]
        await asyncio.sleep(0.5)
        assert len(here.delays) == 2


@pytest.mark.scenario("M17")
async def test_a_status_nobody_knows_leads_to_degraded(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    async with wire(fake, hs) as here:
        here.scheduling = [refused(601, "M_UNKNOWN")]
        await here.join(Status.DEGRADED)
        assert len(here.states) == 1


@pytest.mark.scenario("M18")
async def test_501_again_and_again_is_told_and_tried_on(
    fake: FakeHomeserver, hs: Homeserver, caplog: pytest.LogCaptureFixture
) -> None:
    async with wire(fake, hs, replace(QUICK, retry=0.01)) as here:
        here.scheduling = [refused(501, "M_UNKNOWN")] * 12
        await here.join()
        assert len(here.delays) == 13
        assert len(here.states) == 1
    assert caplog.text.count("keeping the membership fails again and again") == 1


@pytest.mark.scenario("M19")
async def test_a_restart_that_hangs_is_abandoned_and_its_late_answer_ignored(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    answer = asyncio.Event()
    async with wire(fake, hs) as here:
        gone = replace(refused(404, "M_NOT_FOUND"), wait=answer)
        fake.on("POST", "/restart", Answer(), gone, Answer())
        await here.join()
        begun = time.monotonic()
        await until(lambda: len(fake.asked("/restart")) == 3, 5)
        assert time.monotonic() - begun > 0.25  # 0.2 between two, 0.1 of hanging
        answer.set()
        await asyncio.sleep(0.5)
        assert len(here.delays) == len(here.states) == 1
        assert here.statuses[-1] is Status.JOINED


@pytest.mark.scenario("M20")
async def test_a_membership_that_has_probably_gone_is_told_of_once(
    fake: FakeHomeserver, hs: Homeserver, caplog: pytest.LogCaptureFixture
) -> None:
    async with wire(fake, hs) as here:
        fake.on("POST", "/restart", Answer(), refused(502, "M_UNKNOWN"))
        await here.join()
        assert not caplog.records
        begun = time.monotonic()
        await until(lambda: "probably cleared" in caplog.text, 5)
        assert time.monotonic() - begun > 1.3
        await asyncio.sleep(0.3)
        assert caplog.text.count("probably cleared") == 1
        assert here.keeper.machine.probably_left(time.monotonic())
        fake.on("POST", "/restart", Answer())
        await until(lambda: not here.keeper.machine.probably_left(time.monotonic()), 5)


@pytest.mark.scenario("M25", "M28")
async def test_renewals_say_when_it_began_and_last_longer(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    async with wire(fake, hs, replace(QUICK, renew=0.5)) as here:
        await here.join()
        began = hs.server_ts()
        shown = {
            "type": "org.matrix.msc3401.call.member",
            "state_key": KEY,
            "sender": ME,
            "event_id": "$state",
            "origin_server_ts": began,
            "content": here.states[0],
        }
        here.keeper.own_state(shown)
        await until(lambda: len(here.states) == 3, 5)
        assert [state.get("created_ts") for state in here.states] == [None, began, began]
        expiries = [state["expires"] for state in here.states]
        assert expiries == sorted(set(expiries))
        renewal = fake.seen.index(here.puts[2])
        assert fake.seen[renewal - 1].path.endswith("/restart")
        assert len(here.delays) == 1


@pytest.mark.scenario("M34")
async def test_leaving_twice_is_leaving_once(fake: FakeHomeserver, hs: Homeserver) -> None:
    async with wire(fake, hs, PATIENT) as here:
        await here.join()
        here.keeper.leave()
        here.keeper.leave()
        async with asyncio.timeout(15):
            await asyncio.gather(here.keeper.left(), here.keeper.left())
        here.keeper.leave()
        await asyncio.wait_for(here.keeper.left(), 15)
        assert len(fake.asked("/send")) == 1
        assert len(here.states) == 1


@pytest.mark.scenario("M35")
async def test_leaving_without_a_network_does_not_end_in_time(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    async with wire(fake, hs) as here:
        await here.join()
        away = refused(502, "M_UNKNOWN")
        for method in ("PUT", "POST", "GET"):
            fake.on(method, "", away)
        for action in ("restart", "send", "cancel"):
            fake.on("POST", f"/{action}", away)
        here.keeper.leave()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(here.keeper.left(), 0.5)
        before = len(fake.asked("/restart"))
        await asyncio.sleep(0.5)
        assert len(fake.asked("/restart")) == before  # so that the homeserver clears it


@pytest.mark.scenario("M52")
async def test_expires_is_by_the_homeservers_clock(
    fake: FakeHomeserver, hs: Homeserver, caplog: pytest.LogCaptureFixture
) -> None:
    async with wire(fake, hs) as here:
        here.headers = {"Date": formatdate(time.time() - 7200, usegmt=True)}
        await here.join()
        [join] = here.states
        assert abs(join["expires"] - (time.time() - 7200 + 14_400) * 1000) < 60_000
    [told] = caplog.records
    assert told.levelno == logging.ERROR
    assert abs(told.__dict__["seconds_ahead"] - 7200) < 60


@pytest.mark.scenario("M53")
async def test_a_wall_clock_that_jumps_disturbs_no_timer(
    fake: FakeHomeserver, hs: Homeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    async with wire(fake, hs) as here:
        # The fake's own header follows the patched clock; the homeserver's does not.
        begun = time.monotonic(), real()

        def date(_: Seen) -> Answer:
            now = begun[1] + time.monotonic() - begun[0]
            return Answer(headers={"Date": formatdate(now, usegmt=True)})

        fake.on("POST", "/restart", date)

        def restarted(times: int) -> bool:
            return len(fake.asked("/restart")) >= times

        await here.join()
        before, at = len(fake.asked("/restart")), time.monotonic()
        for jump in (7200.0, -7200.0):
            monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
            jumped = len(fake.asked("/restart"))
            await until(partial(restarted, jumped + 2), 5)
            assert abs(hs.server_ts() - real() * 1000) < 60_000
        restarts = len(fake.asked("/restart")) - before
        due = (time.monotonic() - at) / 0.2
        assert restarts <= due + 2
        assert here.statuses[-1] is Status.JOINED
        assert len(here.states) == 1


@pytest.mark.scenario("M55")
async def test_an_old_server_is_asked_in_the_new_way_only_once(
    fake: FakeHomeserver, hs: Homeserver
) -> None:
    async with wire(fake, hs, PATIENT) as here:
        for action in ("restart", "send", "cancel"):
            fake.on("POST", f"/{action}", refused(404, "M_UNRECOGNIZED"))
        fake.on("POST", f"/{SECRET_ID}", Answer())
        await here.join()
        await until(lambda: len(fake.asked(f"/{SECRET_ID}")) >= 3, 5)
        here.keeper.leave()
        await asyncio.wait_for(here.keeper.left(), 15)
        assert len(fake.asked("/restart")) == 1
        assert not fake.asked("/send")
        assert fake.asked(f"/{SECRET_ID}")[-1].body == {"action": "send"}


@pytest.mark.scenario("M56")
async def test_delay_ids_are_in_no_log_and_no_error(
    fake: FakeHomeserver, hs: Homeserver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with wire(fake, hs) as here:
        odd = Answer(502, f"no such {SECRET_ID}".encode())
        quoting = refused(500, "M_UNKNOWN", text=SECRET_ID)
        fake.on("POST", "/restart", Answer(), quoting, odd)
        fake.on("POST", "/send", odd)
        fake.on("POST", "/cancel", Answer(429, {"error": SECRET_ID, "retry_after_ms": 100}), odd)
        await here.join()
        await until(lambda: "probably cleared" in caplog.text, 5)
        with pytest.raises(Transient) as caught:
            await hs.restart_delayed(SECRET_ID)
        here.keeper.leave()
        await until(lambda: len(fake.asked("/cancel")) >= 2, 5)
    assert fake.asked(f"{SECRET_ID}/restart")
    assert SECRET_ID not in repr(caught.value) + caplog.text
    assert not [one for one in caplog.records if SECRET_ID in str(one.__dict__)]
