"""Names of the sticky profile."""

from __future__ import annotations

import pytest

from bot.rtc.sticky import pseudonym


@pytest.mark.scenario("J09")
@pytest.mark.parametrize(
    ("names", "identity"),
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
def test_pseudonyms_are_those_of_the_jwt_service(
    names: tuple[str, str, str], identity: str
) -> None:
    assert pseudonym(*names) == identity
