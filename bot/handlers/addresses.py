"""Where a handler may connect to: not into our own network, unless that is wanted.

Whoever may write the configuration is trusted, but the name in an address can come to point
anywhere later. So what a name resolves to is checked each time, and exactly that is connected to.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

_NAT64 = int(IPv6Address("64:ff9b::")) >> 32


class PrivateAddressError(OSError):
    """Raised when a name or address leads into a network that is not the public internet."""


def is_public(text: str) -> bool:
    """Return whether an IP address is one of the public internet.

    IPv4 addresses written inside an IPv6 one (mapped, NAT64, 6to4, Teredo) count as themselves.

    Raises:
        ValueError: it is no IP address.
    """
    found = ip_address(text.partition("%")[0])  # without the zone of a link-local one
    return all(one.is_global and not one.is_multicast for one in _inside(found))


def _inside(found: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    if isinstance(found, IPv4Address):
        return [found]
    if found.ipv4_mapped is not None:
        return [found.ipv4_mapped]
    if found.sixtofour is not None:
        return [found.sixtofour]
    if found.teredo is not None:
        return list(found.teredo)
    if int(found) >> 32 == _NAT64:
        return [IPv4Address(int(found) & 0xFFFF_FFFF)]
    return [found]


def check_host(host: str) -> None:
    """Check the host of an address that is connected to without a resolver: an IP address.

    Raises:
        PrivateAddressError: it is one, and not public.
    """
    try:
        public = is_public(host.strip("[]"))
    except ValueError:
        return  # a name; see PublicResolver
    if not public:
        raise PrivateAddressError(f"{host} is not an address of the public internet")


class PublicResolver(AbstractResolver):
    """Resolves names like the system does, to public addresses only."""

    def __init__(self) -> None:
        self._system = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            PrivateAddressError: one of them is not public. A name with both kinds is refused as a
                whole: nobody needs that but to get around this check.
            OSError: the name has none.
        """
        found = await self._system.resolve(host, port, family)
        if not all(is_public(one["host"]) for one in found):
            raise PrivateAddressError("the name leads to an address that is not public")
        return found

    async def close(self) -> None:
        """Free what it uses."""
        await self._system.close()
