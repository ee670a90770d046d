"""Asks Evidently's UI, which answers this platform alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from mlops.errors import ServiceError, ServiceUnavailable

SECRET_HEADER = "X-MLOps-Evidently-Secret"  # noqa: S105 - a name
HEALTH = "/health"
START = "efficientai-toolkit mlops:evidently"
_LONGEST_S = 60.0


@dataclass(frozen=True, slots=True)
class UiAnswer:
    """What the UI said."""

    status: int
    headers: Mapping[str, str]
    """By their names in small letters."""
    body: bytes


class EvidentlyClient:
    """Of one event loop; `close` ends it."""

    def __init__(self, url: str, secret: str) -> None:
        """`url` is where the UI listens, without a trailing slash."""
        self._url = url
        self._headers = {SECRET_HEADER: secret}
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, method: str, path: str, query: str = "", body: bytes = b"") -> UiAnswer:
        """Its answer. Raises `ServiceUnavailable` where it does not run, `ServiceError` where it fails."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=_LONGEST_S)
            )
        url = f"{self._url}{path}" + (f"?{query}" if query else "")
        headers = {**self._headers, **({"Content-Type": "application/json"} if body else {})}
        try:
            async with self._session.request(
                method, url, data=body or None, headers=headers, allow_redirects=False
            ) as answer:
                found = UiAnswer(answer.status, _lowered(answer.headers), await answer.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ServiceUnavailable("evidently", str(error), remedy=f"Run `{START}`.") from error
        if found.status in (401, 403) or found.status >= 500:
            raise ServiceError(
                f"Evidently's UI answered {found.status} at {path}",
                remedy="Read `efficientai-toolkit mlops:logs evidently`.",
                service="evidently",
            )
        return found

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
