"""Which addresses are public, by our own table.

The standard library's ``is_global`` calls NAT64, 6to4 and multicast addresses global on some versions of Python, so
it is not asked. Sources: the IANA IPv4 and IPv6 special-purpose address registries (RFC 6890 and its updates), and
the documentation of cloud providers for their metadata services.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


class OpenedBy(Enum):
    """What it takes to connect to an address of a range."""

    ANYBODY = "public"
    NAME = "an allowed host name or network"
    NETWORK = "an allowed network; a name is not enough, as whoever runs its DNS could point it there"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Range:
    """A range of addresses; ``what`` completes the sentence "the host is at …"."""

    network: Network
    what: str
    opened_by: OpenedBy


_LOOPBACK: Final = "an address of this machine itself"
_PRIVATE: Final = "a private address of this site"
_METADATA: Final = "the metadata service of a cloud"
_LINK: Final = "a link-local address, where clouds have their metadata"
_TEST: Final = "an address for documentation and tests"
_UNUSED: Final = "an address that is not assigned to any host"
_TUNNEL: Final = "an IPv6 address that wraps an IPv4 address"

_TABLE: Final[dict[OpenedBy, dict[str, str]]] = {
    OpenedBy.ANYBODY: {"0.0.0.0/0": "a public address", "2000::/3": "a public address"},
    OpenedBy.NAME: {
        "10.0.0.0/8": _PRIVATE,
        "172.16.0.0/12": _PRIVATE,
        "192.168.0.0/16": _PRIVATE,
        "100.64.0.0/10": "a carrier's private address",
        "127.0.0.0/8": _LOOPBACK,
        "::1/128": _LOOPBACK,
        "fc00::/7": _PRIVATE,
    },
    OpenedBy.NETWORK: {
        "169.254.0.0/16": _LINK,
        "100.100.100.200/32": _METADATA,  # Alibaba Cloud
        "168.63.129.16/32": _METADATA,  # Azure, although a public range
        "192.0.0.0/24": "an address for protocol use",  # with 192.0.0.192, Oracle Cloud's metadata
        "192.0.2.0/24": _TEST,
        "198.51.100.0/24": _TEST,
        "203.0.113.0/24": _TEST,
        "198.18.0.0/15": "an address for benchmarks",
        "192.88.99.0/24": "a 6to4 relay",
        "fd00:ec2::/32": _METADATA,  # AWS, fd00:ec2::254
        "fd20:ce::/32": _METADATA,  # Google Cloud, fd20:ce::254
        "fe80::/10": _LINK,
        "fec0::/10": "a site-local address",
        "::ffff:0:0/96": _TUNNEL,  # IPv4-mapped
        "64:ff9b::/96": _TUNNEL,  # NAT64: networks without IPv4 need it, so an administrator can allow it
    },
    OpenedBy.NOTHING: {
        "0.0.0.0/8": "an address that means 'this machine'",
        "224.0.0.0/4": "a multicast address",
        "240.0.0.0/4": "a reserved or broadcast address",
        "::/0": _UNUSED,  # whatever is outside global unicast and not named here
        "::/96": _TUNNEL,  # IPv4-compatible, with the unspecified address
        "::ffff:0:0:0/96": _TUNNEL,  # IPv4-translated
        "64:ff9b:1::/48": _TUNNEL,  # local-use NAT64, RFC 8215
        "100::/64": "a discard address",
        "100:0:0:1::/64": "a dummy address",
        "2001::/23": "an address for protocol use",  # Teredo, ORCHID, AMT, benchmarks
        "2001:db8::/32": _TEST,
        "3fff::/20": _TEST,
        "2002::/16": _TUNNEL,  # 6to4
        "5f00::/16": "a segment identifier",
        "ff00::/8": "a multicast address",
    },
}

RANGES: Final = sorted(
    (Range(ip_network(text), what, opened) for opened, rows in _TABLE.items() for text, what in rows.items()),
    key=lambda found: -found.network.prefixlen,
)
_WRAPPED_LAST: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
_ISATAP: Final = (0x00005EFE, 0x02005EFE)


def judge(address: Address) -> Range:
    """The narrowest range that holds ``address``; there always is one."""
    return next(found for found in RANGES if found.network.version == address.version and address in found.network)


def embedded(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that a packet to ``address`` may end up at, other than those that nothing opens."""
    if isinstance(address, IPv4Address):
        return ()
    number = int(address)
    isatap = (number >> 32) & 0xFFFFFFFF in _ISATAP  # RFC 5214, below any prefix
    wraps = isatap or any(address in network for network in _WRAPPED_LAST)
    return (IPv4Address(number & 0xFFFFFFFF),) if wraps else ()
