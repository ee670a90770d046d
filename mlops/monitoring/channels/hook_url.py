"""Addresses of webhooks: taken apart once, strictly, so that nothing is checked in one reading and called in
another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Literal

from mlops.errors import InvalidInput
from mlops.monitoring.channels.hosts import check_host

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<target>[/?][!-\"$-;=?-\[\]-~]*)?", re.I | re.A
)
_AUTHORITY = re.compile(
    r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?", re.I | re.A
)

_MOST_CHARS = 2000
_PORTS = {"http": 80, "https": 443}
_LEAST_FREE_PORT = 1024
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class HookUrl:
    """A webhook's address; its path and query may be secret, and are in no message."""

    scheme: Literal["http", "https"]
    host: str
    """A name, or an IP address without brackets."""
    port: int
    target: str
    """Path and query."""

    @property
    def host_header(self) -> str:
        """As the header `Host` has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def read_url(field: str, url: str) -> HookUrl:
    """Take the address apart; raises `InvalidInput` for `field` without showing what may be secret."""
    found = _URL.fullmatch(url) if len(url) <= _MOST_CHARS else None
    if found is None:
        raise _refused(field, "is not a web address of visible ASCII characters without `#`")
    authority = found["authority"]
    if "@" in authority:
        raise _refused(field, "holds an account", "Give it without `user:password@`; a secret signs instead.")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise _refused(field, "has no host that could be called")
    scheme: Literal["http", "https"] = "https" if found["scheme"].lower() == "https" else "http"
    port = _PORTS[scheme] if parts["port"] is None else int(parts["port"])
    if port not in _PORTS.values() and not _LEAST_FREE_PORT <= port <= _LAST_PORT:
        raise _refused(field, f"has port {port}", "Use 80, 443, or 1024 to 65535.")
    target = found["target"] or "/"
    return HookUrl(
        scheme,
        _host_v6(field, parts["v6"]) if parts["v6"] else check_host(field, parts["name"]),
        port,
        target if target.startswith("/") else f"/{target}",
    )


def _host_v6(field: str, text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise _refused(field, "has no IPv6 address between its brackets") from None


def _refused(field: str, problem: str, remedy: str = "") -> InvalidInput:
    return InvalidInput(
        field, "(not shown)", problem, remedy=remedy or "Give one like https://hooks.example.com/path."
    )
