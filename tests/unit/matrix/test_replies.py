from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from bot import errors
from bot.matrix.replies import LONGEST_HINT, Reply, decode, failure, retry_after

NOW = 1_795_000_000.0


def reply(status: int, body: Any = None, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, CIMultiDict(named), body)


@pytest.mark.scenario("M07", "M08", "M09", "M10")
@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("1", None, 1.0),
        (" 30 ", None, 30.0),
        ("0", None, 0.0),
        (formatdate(NOW + 7, usegmt=True), None, 7.0),
        (formatdate(NOW - 7, usegmt=True), None, 0.0),
        (formatdate(NOW + 7), None, 7.0),
        ("2", {"retry_after_ms": 9000}, 2.0),  # M08
        (None, {"retry_after_ms": 500}, 0.5),  # M09
        (None, {"retry_after_ms": 317.5}, 0.3175),
        ("soon", {"retry_after_ms": 500}, None),  # M10
        ("-1", None, None),
        ("1.5", None, None),
        ("٣", None, None),
        ("", None, None),
        ("9" * 400, None, LONGEST_HINT),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None, None),
        (None, None, None),
        (None, [], None),
        (None, {"retry_after_ms": "500"}, None),
        (None, {"retry_after_ms": True}, None),
        (None, {"retry_after_ms": -5}, 0.0),
        (None, {"retry_after_ms": 10**400}, LONGEST_HINT),
        (None, {"retry_after_ms": float("inf")}, LONGEST_HINT),
        (None, {"retry_after_ms": float("nan")}, LONGEST_HINT),
    ],
)
def test_retry_after(header: str | None, body: Any, seconds: float | None) -> None:
    headers = {} if header is None else {"retry_after": header}
    assert retry_after(reply(429, body, **headers), NOW) == seconds


def matrix(status: int, errcode: str, **more: Any) -> Reply:
    return reply(status, {"errcode": errcode, "error": "SECRET", **more})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (matrix(429, "M_LIMIT_EXCEEDED"), errors.RateLimited),
        (matrix(429, "M_UNKNOWN"), errors.RateLimited),
        (matrix(400, "M_LIMIT_EXCEEDED"), errors.RateLimited),
        (reply(429, None), errors.RateLimited),
        (
            matrix(
                429,
                "M_LIMIT_EXCEEDED",
                error="The maximum number of delayed events has been reached.",
            ),
            errors.TooManyDelayed,
        ),
        (
            matrix(
                400, "M_UNKNOWN", **{"org.matrix.msc4140.errcode": "M_MAX_DELAYED_EVENTS_EXCEEDED"}
            ),
            errors.TooManyDelayed,
        ),
        (matrix(400, "ORG.MATRIX.MSC4140_DELAY_TOO_LARGE"), errors.DelayTooLarge),
        (
            matrix(400, "M_UNKNOWN", **{"org.matrix.msc4140.errcode": "M_MAX_DELAY_EXCEEDED"}),
            errors.DelayTooLarge,
        ),
        (matrix(401, "M_UNKNOWN_TOKEN"), errors.AuthLost),
        (matrix(401, "M_MISSING_TOKEN"), errors.AuthLost),
        (matrix(403, "M_USER_DEACTIVATED"), errors.AuthLost),
        (matrix(403, "M_FORBIDDEN"), errors.Forbidden),
        (
            matrix(
                403, "M_FORBIDDEN", error="Sending delayed events has been disallowed by the admin"
            ),
            errors.Unsupported,
        ),
        (matrix(404, "M_NOT_FOUND"), errors.NotFound),
        (matrix(409, "M_CONFLICT"), errors.NotFound),
        (matrix(404, "M_UNRECOGNIZED"), errors.Unsupported),
        (matrix(405, "M_UNRECOGNIZED"), errors.Unsupported),
        (matrix(400, "M_BAD_JSON"), errors.ServerError),
        (matrix(500, "M_UNKNOWN"), errors.Transient),
        (matrix(408, "M_UNKNOWN"), errors.Transient),
        (matrix(601, "M_UNKNOWN"), errors.ServerError),
        (reply(502, None), errors.Transient),
        (reply(404, None), errors.Transient),
        (reply(403, {"errcode": 3}), errors.Transient),
        (reply(401, ["M_UNKNOWN_TOKEN"]), errors.Transient),
        (reply(200, None), errors.Transient),
        (reply(413, None), errors.ServerError),
    ],
)
def test_failures_are_sorted(answer: Reply, kind: type[errors.ServerError]) -> None:
    error = failure("send event", answer, NOW)
    assert type(error) is kind
    assert str(error).startswith("send event: the homeserver answered ")
    assert "SECRET" not in str(error)


def test_the_limit_of_delays_is_handed_on() -> None:
    answer = matrix(
        400,
        "M_UNKNOWN",
        **{
            "org.matrix.msc4140.errcode": "M_MAX_DELAY_EXCEEDED",
            "org.matrix.msc4140.max_delay": 1000,
        },
    )
    error = failure("schedule state", answer, NOW)
    assert isinstance(error, errors.DelayTooLarge)
    assert error.max_delay_ms == 1000
    silent = failure("schedule state", matrix(400, "ORG.MATRIX.MSC4140_DELAY_TOO_LARGE"), NOW)
    assert isinstance(silent, errors.DelayTooLarge)
    assert silent.max_delay_ms is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
ODD = st.fixed_dictionaries(
    {},
    optional={
        "errcode": JSON,
        "error": JSON,
        "retry_after_ms": JSON,
        "org.matrix.msc4140.errcode": JSON,
        "org.matrix.msc4140.max_delay": JSON,
    },
)


@given(st.integers(100, 599), JSON | ODD, st.none() | st.text())
def test_no_answer_is_too_odd(status: int, body: Any, header: str | None) -> None:
    headers = {} if header is None else {"Retry-After": header}
    error = failure("ask", Reply(status, headers, body), NOW)
    assert isinstance(error, errors.ServerError)
    if isinstance(error, errors.RateLimited) and error.retry_after is not None:
        assert 0 <= error.retry_after <= LONGEST_HINT


@pytest.mark.parametrize(
    "raw", [b"", b"<html>", b"\xff\xfe\xfd", b"[" * 100_000, b"1" * 10_000, b'{"a":']
)
def test_what_is_not_json_is_nothing(raw: bytes) -> None:
    assert decode(raw) is None


def test_json_is_decoded() -> None:
    assert decode(b'{"a":[1]}') == {"a": [1]}
