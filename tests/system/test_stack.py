"""The stack itself: real servers, each fault, and nothing left running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import jwt
import pytest
from livekit import rtc

from tests.stack.http import Answer, request
from tests.stack.jwt_rules import FAULTS, hash_name
from tests.stack.ports import HOST
from tests.stack.processes import ROOT, start_time
from tests.stack.stack import Login, Options, Stack

VERSIONS = "/_matrix/client/versions"
TRANSPORTS = "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"


async def openid(stack: Stack, login: Login) -> dict[str, Any]:
    path = f"/_matrix/client/v3/user/{login.user_id}/openid/request_token"
    body = (await stack.call(login, "POST", path, {})).body
    assert isinstance(body, dict)
    return body


async def sfu_get(stack: Stack, body: dict[str, Any]) -> Answer:
    return await request("POST", f"{stack.jwt_url}/sfu/get", body=body)


async def good_request(stack: Stack, name: str) -> dict[str, Any]:
    login = await stack.user(name)
    token = await openid(stack, login)
    return {"room": "!room", "openid_token": token, "device_id": login.device_id}


@contextlib.asynccontextmanager
async def connected(answer: Answer) -> AsyncIterator[rtc.Room]:
    room = rtc.Room()
    await room.connect(answer.body["url"], answer.body["jwt"])
    try:
        yield room
    finally:
        await room.disconnect()


async def test_a_user_registers_logs_in_and_finds_the_focus(stack: Stack) -> None:
    first = await stack.user("alice", "FIRSTDEV")
    second = await stack.user("alice")
    assert first.user_id == second.user_id == f"@alice:{stack.server_name}"
    assert (first.device_id, first.password) == ("FIRSTDEV", second.password)
    assert second.device_id.isalnum()

    known = await stack.call(first, "GET", "/.well-known/matrix/client")
    focus = {"type": "livekit", "livekit_service_url": stack.jwt_url}
    assert known.body["org.matrix.msc4143.rtc_foci"] == [focus]
    transports = await stack.call(first, "GET", TRANSPORTS)
    assert transports.body == {"rtc_transports": [focus]}


async def test_openid_token_to_jwt_to_livekit(stack: Stack) -> None:
    alice, bob = await good_request(stack, "alice"), await good_request(stack, "bob")
    heard: asyncio.Queue[rtc.DataPacket] = asyncio.Queue()
    async with (
        connected(await sfu_get(stack, alice)) as left,
        connected(await sfu_get(stack, bob)) as right,
    ):
        right.on("data_received", heard.put_nowait)
        await left.local_participant.set_attributes({"announced": "at once"})
        await left.local_participant.publish_data(b"hello", reliable=True)
        packet = await asyncio.wait_for(heard.get(), 60)
        assert packet.data == b"hello"
        identity = f"@alice:{stack.server_name}:{alice['device_id']}"
        assert left.local_participant.identity == identity


async def test_both_endpoints_give_the_names_of_the_real_service(stack: Stack) -> None:
    login = await stack.user("alice", "DEVICE123")
    token = await openid(stack, login)
    legacy = await sfu_get(
        stack, {"room": "!room:example.com", "openid_token": token, "device_id": "ANY"}
    )
    claims = jwt.decode(legacy.body["jwt"], options={"verify_signature": False})
    assert claims.keys() == {"iss", "sub", "identity", "iat", "nbf", "exp", "video"}
    assert claims["iss"] == stack.livekit_key
    assert claims["sub"] == claims["identity"] == f"{login.user_id}:ANY"
    assert claims["exp"] - claims["nbf"] == 3600
    assert claims["video"] == {
        "roomJoin": True,
        "room": "krj2dgxw2K6EOm9he4GfQJ6JsSVWfJ8a7BkyjZcSmxs",
        "canPublish": True,
        "canSubscribe": True,
        "canUpdateOwnMetadata": True,
    }
    member = {
        "id": "memberABC",
        "claimed_user_id": login.user_id,
        "claimed_device_id": "DEVICE123",
    }
    body = {
        "room_id": "!roomid:example.com",
        "slot_id": "slot1234",
        "openid_token": token,
        "member": member,
    }
    sticky = await request("POST", f"{stack.jwt_url}/get_token", body=body)
    claims = jwt.decode(sticky.body["jwt"], options={"verify_signature": False})
    assert claims["video"]["room"] == "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc"
    assert claims["sub"] == hash_name(login.user_id, "DEVICE123", "memberABC")

    stranger = {**body, "member": {**member, "claimed_user_id": "@eve:localhost"}}
    refused = await request("POST", f"{stack.jwt_url}/get_token", body=stranger)
    assert (refused.status, refused.body["errcode"]) == (401, "M_UNAUTHORIZED")
    for lacking in ("slot_id", "room_id", "member", "openid_token"):
        incomplete = {key: part for key, part in body.items() if key != lacking}
        refused = await request("POST", f"{stack.jwt_url}/get_token", body=incomplete)
        assert (refused.status, refused.body["errcode"]) == (400, "M_BAD_JSON"), lacking
    refused = await request("POST", f"{stack.jwt_url}/get_token", body={**body, "extra": 1})
    assert (refused.status, refused.body["errcode"]) == (400, "M_NOT_JSON")


@pytest.mark.parametrize(
    ("change", "status", "errcode"),
    [
        ({"room": ""}, 400, "M_BAD_JSON"),
        ({"room": 5}, 400, "M_NOT_JSON"),
        ({"unknown": 1}, 400, "M_NOT_JSON"),
        ({"openid_token": {}}, 400, "M_BAD_JSON"),
        ({"openid_token": {"access_token": "x", "expires_in": 1.5}}, 400, "M_NOT_JSON"),
        ({"openid_token": {"access_token": "x", "matrix_server_name": "y"}}, 401, "M_UNAUTHORIZED"),
    ],
)
async def test_the_jwt_service_refuses(
    stack: Stack, change: dict[str, Any], status: int, errcode: str
) -> None:
    answer = await sfu_get(stack, {**await good_request(stack, "alice"), **change})
    assert (answer.status, answer.body["errcode"]) == (status, errcode)


async def test_an_invented_token_is_refused_by_the_homeserver(stack: Stack) -> None:
    body = await good_request(stack, "alice")
    body["openid_token"]["access_token"] = "invented"
    answer = await sfu_get(stack, body)
    assert answer.status == 401
    assert answer.body["error"] == "The request could not be authorised."
    assert (await request("GET", f"{stack.jwt_url}/sfu/get")).status == 405
    assert (await request("GET", f"{stack.jwt_url}/healthz")).status == 200


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault[0] >= 400])
async def test_each_error_can_be_switched_on(stack: Stack, name: str) -> None:
    status, errcode, error = FAULTS[name]
    body = await good_request(stack, "alice")
    await stack.jwt.fault(name, times=1, retry_after_ms=1500)
    answer = await sfu_get(stack, body)
    assert answer == Answer(status, {"errcode": errcode, "error": error, "retry_after_ms": 1500})
    assert (await sfu_get(stack, body)).status == 200


async def test_faults_that_are_no_errors(stack: Stack) -> None:
    body = await good_request(stack, "alice")
    await stack.jwt.fault("garbage")
    assert await sfu_get(stack, body) == Answer(200, None)
    await stack.jwt.fault("no_jwt")
    assert "jwt" not in (await sfu_get(stack, body)).body
    await stack.jwt.fault("stale_token")
    with pytest.raises(rtc.ConnectError):
        await rtc.Room().connect(stack.livekit_url, (await sfu_get(stack, body)).body["jwt"])
    await stack.jwt.fault("hang")
    with pytest.raises(TimeoutError):
        await request("POST", f"{stack.jwt_url}/sfu/get", body=body, timeout=0.3)
    await stack.jwt.fault("no_room", seconds=0.3)
    ends = time.monotonic() + 60
    while (await sfu_get(stack, body)).status == 500:
        assert time.monotonic() < ends
    with pytest.raises(ValueError, match="No such fault"):
        await stack.jwt.fault("flood")


async def test_a_cut_refuses_and_a_pause_hangs(stack: Stack) -> None:
    url = stack.homeserver_url + VERSIONS
    proxy = stack.proxies.synapse
    await proxy.cut()
    with pytest.raises(ConnectionError):
        await request("GET", url)
    assert (await stack.user("alice")).access_token  # logging in goes past the proxy
    await proxy.pause()
    with pytest.raises(TimeoutError):
        await request("GET", url, timeout=0.3)
    late = asyncio.create_task(request("GET", url, timeout=10))
    await asyncio.sleep(0.1)
    await proxy.restore()
    assert (await late).status == 200


async def test_a_drop_resets_open_connections_and_accepts_new_ones(stack: Stack) -> None:
    reader, writer = await asyncio.open_connection(HOST, stack.proxies.synapse.port)
    writer.write(b"GET ")
    await asyncio.sleep(0.1)
    await stack.proxies.synapse.drop()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert (await request("GET", stack.homeserver_url + VERSIONS)).status == 200


async def test_servers_are_killed_restarted_and_paused(stack: Stack) -> None:
    alice = await stack.user("alice")
    for process in stack.processes:
        before = process.pid
        await process.restart()
        assert process.pid != before
    whoami = "/_matrix/client/v3/account/whoami"
    assert (await stack.call(alice, "GET", whoami)).body["user_id"] == alice.user_id

    await stack.synapse.kill()
    with pytest.raises(ConnectionError):
        await stack.call(alice, "GET", whoami)
    await stack.jwt.pause()
    with pytest.raises(TimeoutError):
        await request("GET", f"{stack.jwt_url}/healthz", timeout=0.3)
    await stack.livekit.pause()
    await stack.heal()
    async with connected(await sfu_get(stack, await good_request(stack, "alice"))):
        assert stack.synapse.running


async def test_default_limits_are_felt_and_an_exempt_user_does_not_feel_them(
    tmp_path: Path,
) -> None:
    async with Stack.start(tmp_path / "stack", Options(default_limits=True)) as stack:
        alice = await stack.user("alice")
        created = await stack.call(alice, "POST", "/_matrix/client/v3/createRoom", {})
        path = f"/_matrix/client/v3/rooms/{created.body['room_id']}/send/m.test/"

        async def statuses(run: str) -> set[int]:
            answers = [
                await stack.call(alice, "PUT", f"{path}{run}{number}", {}) for number in range(15)
            ]
            return {answer.status for answer in answers}

        assert await statuses("limited") == {200, 429}
        await stack.exempt(alice.user_id)
        assert await statuses("exempt") == {200}


_CRASHING_RUN = """
import asyncio, pathlib, sys
from tests.stack.stack import Stack

async def main():
    async with Stack.start(pathlib.Path(sys.argv[1])):
        print("up", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_nothing_is_left_running_after_a_crash_of_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CRASHING_RUN, str(folder), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert run.stdout is not None
    assert await run.stdout.readline() == b"up\n"
    servers = [file.read_text().split() for file in folder.glob("*.pid")]
    assert len(servers) == 3
    assert all(start_time(int(pid)) == started for pid, started in servers)

    os.kill(run.pid, signal.SIGKILL)
    await run.wait()
    ends = time.monotonic() + 60
    while any(start_time(int(pid)) == started for pid, started in servers):
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)


async def test_people_start_see_and_end_the_servers(tmp_path: Path) -> None:
    folder = tmp_path / "stack"

    async def stack_command(command: str) -> tuple[int | None, str]:
        run = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.stack", command, "--folder", str(folder)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await run.communicate()
        return run.returncode, printed.decode()

    assert await stack_command("status") == (3, ANY)
    code, printed = await stack_command("up")
    assert code == 0
    url = re.search(r"homeserver +(\S+)", printed)
    assert url is not None
    assert (await request("GET", url[1] + VERSIONS)).status == 200
    assert await stack_command("up") == (0, printed.partition("s.\n\n")[2])
    assert await stack_command("down") == (0, "Ended.\n")
    assert not list(folder.glob("*.pid"))
    assert await stack_command("down") == (0, "Nothing runs.\n")
