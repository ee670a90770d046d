"""Names of hosts that nothing reads in two ways."""

from __future__ import annotations

import re
from ipaddress import ip_address

from mlops.errors import InvalidInput

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.I | re.A)
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)", re.I | re.A)
_MOST_CHARS = 253


def check_host(field: str, host: str) -> str:
    """A host's name in lower case, or its IPv4 address; raises `InvalidInput`.

    A number that only old libraries read as an address (`2130706433`, `0x7f.1`, `017700000001`) is none."""
    try:
        return str(ip_address(host))
    except ValueError:
        labels = host.split(".")
    if (
        len(host) > _MOST_CHARS
        or not all(_LABEL.fullmatch(each) for each in labels)
        or _NUMBER.fullmatch(labels[-1])
    ):
        raise InvalidInput(
            field,
            host,
            "is no host's name",
            remedy="Use a name such as hooks.example.com, in its xn-- form and without a dot at the end,"
            " or an IP address.",
        )
    return host.lower()
