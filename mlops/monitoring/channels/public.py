"""Which addresses belong to everybody, and which to the inside of some network.

The tables are the IANA registries of special-purpose addresses (RFC 6890 and what came after), written out.
Python's `is_global` differs between its own versions, and calls addresses public that carry an inner one.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_INNER_V4 = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this network; 0.0.0.0 reaches the machine itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # between a provider and its customers (CGNAT)
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's services of the virtual machine, though the address is public
        "169.254.0.0/16",  # link-local; metadata of the clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

# Only this part of IPv6 is given out. Outside lie loopback, link-local, unique local, multicast, and forms
# that carry an IPv4 address: ::ffff:0:0/96, ::/96, 64:ff9b::/96 and 64:ff9b:1::/48 (NAT64).
_GIVEN_V6 = IPv6Network("2000::/3")
_INNER_V6 = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # protocols, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: carries an IPv4 address
        "3fff::/20",
    )
)


def is_public(address: Address) -> bool:
    """Whether the address is one of the Internet's, and neither of an inside nor carrying one of it."""
    if isinstance(address, IPv4Address):
        return not any(address in each for each in _INNER_V4)
    if address.scope_id is not None or address not in _GIVEN_V6:
        return False
    return not any(address in each for each in _INNER_V6)


def may_reach(address: Address, allowed: tuple[Network, ...]) -> bool:
    """Whether the address is public, or in a network that was allowed by name."""
    return is_public(address) or any(address in each for each in allowed if each.version == address.version)
