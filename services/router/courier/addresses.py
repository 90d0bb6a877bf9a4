"""Which addresses the courier may connect to: public ones, or those of a network that the endpoint names itself.

Keeps a registered name from being turned against the machines beside us (server-side request forgery, DNS rebinding).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from services.router.adapters.endpoints import Endpoint

DNS_SECONDS = 30.0
"""How long an answer is used before the name is asked again."""

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[tuple[str, ...]]]
"""All addresses of a host name, for a port. Raises OSError."""

_NEVER_PUBLIC = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "198.18.0.0/15",  # benchmarking, RFC 2544
        "64:ff9b::/96",  # NAT64, RFC 6052: an IPv4 address in disguise
        "64:ff9b:1::/48",  # local NAT64, RFC 8215
        "2001::/23",  # protocol assignments, Teredo among them
        "2002::/16",  # 6to4, RFC 3056
        "fec0::/10",  # site local, deprecated
    )
)
_MAPPED = ip_network("::ffff:0:0/96")
_COMPATIBLE = ip_network("::/96")


class AddressRefused(Exception):
    """The host has an address that the courier must not connect to."""


class NameUnresolved(Exception):
    """The host has no address now."""


@dataclass(frozen=True, slots=True)
class Vetted:
    """Addresses that may be connected to, for `seconds`."""

    addresses: tuple[str, ...]
    seconds: float


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could be reached there, and nobody nearer."""
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _COMPATIBLE):
        return False
    if any(address.version == network.version and address in network for network in _NEVER_PUBLIC):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


async def system_resolver(host: str, port: int) -> tuple[str, ...]:
    """Asks the system's resolver. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class Addresses:
    """Resolves a host and refuses it unless every one of its addresses may be connected to."""

    def __init__(self, resolver: Resolver = system_resolver, *, seconds: float = DNS_SECONDS) -> None:
        self._resolver = resolver
        self._seconds = seconds

    async def vet(self, endpoint: Endpoint) -> Vetted:
        """Raises AddressRefused, NameUnresolved."""
        try:
            found = await self._resolver(endpoint.host, endpoint.port)
        except OSError:
            raise NameUnresolved from None
        if not found:
            raise NameUnresolved
        for text in found:
            # One bad answer among good ones is how rebinding starts: all or nothing.
            if not allowed(text, endpoint):
                raise AddressRefused
        return Vetted(tuple(sorted(found)), self._seconds)


def allowed(text: str, endpoint: Endpoint) -> bool:
    """Whether the endpoint may be reached at this address."""
    try:
        address = ip_address(text)
    except ValueError:
        # Such as an IPv6 address with a zone: local by definition.
        return False
    if endpoint.allowed_networks:
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address.version == network.version and address in network for network in endpoint.allowed_networks)
    return is_public(address)
