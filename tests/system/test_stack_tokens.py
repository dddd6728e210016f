"""What the stack's homeserver and JWT service say of the sticky profile."""

from __future__ import annotations

from pathlib import Path

import pytest
from livekit import rtc

from tests.stack.http import request
from tests.stack.jwt_rules import hash_name
from tests.stack.stack import Options, Stack
from tests.system.test_stack import TRANSPORTS, VERSIONS, openid


@pytest.mark.parametrize(
    ("names", "hashed"),
    [
        (
            ("@alice:example.com", "DEVICE123", "memberABC"),
            "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU",
        ),
        (
            ("@alice:example.org", "AAAAAAA", "xyzHASHxyz"),
            "jUZ0Q1yF5nV3LlAI5xfD1I7BPnAytJaPEAR57EXjJ6s",
        ),
    ],
)
def test_identities_are_those_of_the_real_service(names: tuple[str, ...], hashed: str) -> None:
    assert hash_name(*names) == hashed


async def test_a_homeserver_without_the_sticky_profile_and_a_restricted_user(
    tmp_path: Path,
) -> None:
    options = Options(sticky=False, full_access=("elsewhere",))
    async with Stack.start(tmp_path / "stack", options) as stack:
        alice = await stack.user("alice")
        versions = (await stack.call(alice, "GET", VERSIONS)).body["unstable_features"]
        assert not versions["org.matrix.msc4354"]
        answer = await stack.call(alice, "GET", TRANSPORTS)
        assert answer.status == 404

        # A restricted user gets a token for a room that nobody has opened.
        member = {"id": "m", "claimed_user_id": alice.user_id, "claimed_device_id": "D"}
        body = {"room_id": "!r", "slot_id": "s", "member": member}
        body["openid_token"] = await openid(stack, alice)
        answer = await request("POST", f"{stack.jwt_url}/get_token", body=body)
        assert answer.status == 200
        with pytest.raises(rtc.ConnectError):
            await rtc.Room().connect(answer.body["url"], answer.body["jwt"])
