"""What goes wrong at the door, told to the log: requests that failed, callers who were refused.

Under an overload, or while somebody tries tokens, these come by thousands: some of each kind a second are
enough.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable

from starlette.types import Scope

log = logging.getLogger(__name__)

MOST, WINDOW_S = 10, 1.0
"""So many of a kind are told in so many seconds; the next one says how many were left out."""
_KINDS = 256


class Failures:
    """Requests that were answered with 500 or more, one kind for each path and status."""

    def __init__(self) -> None:
        self._sparing = Sparing()

    def tell(self, scope: Scope, status: int) -> None:
        """Write one down."""
        left_out = self._sparing.left_out((scope["path"], status))
        if left_out is None:
            return
        state = scope.get("state", {})
        problem = state.get("problem", "")
        facts = {
            "method": scope["method"], "path": scope["path"], "status": status,
            "seconds": round(asyncio.get_running_loop().time() - state["arrived"], 4),
        }  # fmt: skip
        log.warning(
            "%s %s is answered with %s%s", scope["method"], scope["path"], status,
            f": {problem}" if problem else "",
            extra={"event": "request.failed", **facts, **({"left_out": left_out} if left_out else {})},
        )  # fmt: skip


class Refusals:
    """Callers whose token, session or link is not good, one kind for each address."""

    def __init__(self) -> None:
        self._sparing = Sparing()

    def tell(self, scope: Scope) -> None:
        """Write one down."""
        caller = scope["client"][0] if scope.get("client") else ""
        left_out = self._sparing.left_out(caller)
        if left_out is None:
            return
        facts = {"caller": caller, "method": scope["method"], "path": scope["path"]}
        log.warning(
            "a caller is not known here: %s %s", scope["method"], scope["path"],
            extra={"event": "login.refused", **facts, **({"left_out": left_out} if left_out else {})},
        )  # fmt: skip


class Sparing:
    """Lets some of each kind pass in a while. Of one thread, that of the event loop."""

    def __init__(self, most: int = MOST, window_s: float = WINDOW_S) -> None:
        self._most = most
        self._window_s = window_s
        self._seen: dict[Hashable, tuple[float, int]] = {}

    def left_out(self, kind: Hashable) -> int | None:
        """None where this one is one too many; else how many of its kind were, in the window before."""
        now = asyncio.get_running_loop().time()
        began, count = self._seen.get(kind, (now, 0))
        before = 0
        if now - began >= self._window_s:
            began, count, before = now, 0, max(0, count - self._most)
        if len(self._seen) >= _KINDS and kind not in self._seen:
            self._seen.clear()
        self._seen[kind] = began, count + 1
        return before if count < self._most else None
