"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says how busy the machine is. The profile `ci`, which `make check` asks
# for, has no deadline either; this is for who runs tests without it.
settings.register_profile("default", deadline=None)
