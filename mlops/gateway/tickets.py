"""One-time login links: what `mlops:dashboard` opens, so that no token stands in a URL."""

from __future__ import annotations

import secrets
import time

from mlops.store.tokens import Principal

LIFETIME_S = 60.0
_MOST = 1000


class Tickets:
    """Tickets of this process; a restart voids them."""

    def __init__(self, lifetime_s: float = LIFETIME_S) -> None:
        self._lifetime_s = lifetime_s
        self._open: dict[str, tuple[Principal, float]] = {}

    def issue(self, principal: Principal) -> str:
        """A ticket that logs `principal` in once."""
        now = time.monotonic()
        self._open = {key: kept for key, kept in self._open.items() if kept[1] > now}
        while len(self._open) >= _MOST:
            self._open.pop(next(iter(self._open)))
        ticket = secrets.token_urlsafe(32)
        self._open[ticket] = (principal, now + self._lifetime_s)
        return ticket

    def redeem(self, ticket: str) -> Principal | None:
        """Who the ticket logs in; None when it is unknown, used or too old."""
        principal, expires = self._open.pop(ticket, (None, 0.0))
        return principal if time.monotonic() < expires else None
