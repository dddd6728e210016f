from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.whiteboard.lib0 import pass_value, value, write_value

VALUES = st.recursive(
    st.none() | st.booleans() | st.text() | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text().filter(lambda key: key != "__proto__"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_what_is_written_is_read_back(one: Any) -> None:
    written = write_value(one)
    assert pass_value(written, 0) == len(written)
    assert value(written, 0) == (one, len(written))


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "7d00"),
        (63, "7d3f"),
        (64, "7d8001"),
        (-64, "7dc001"),
        (2**31 - 1, "7dbfffffff0f"),
        (2**31, "7c4f000000"),
        (0.5, "7c3f000000"),
        (0.1, "7b3fb999999999999a"),
        (1e300, "7b7e37e43c8800759c"),
    ],
)
def test_numbers_take_the_form_that_yjs_gives_them(number: float, written: str) -> None:
    assert write_value(number).hex() == written
