"""MLflow's REST API over one kept connection, as one project's account.

Spoken here without MLflow's own client, whose import takes seconds and 150 MB: a program that only logs
needs neither, and the sender must not hold up the program it lives in. The API is documented at
mlflow.org/docs/latest/rest-api.html; the calls used are those of MLflow 3.17.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from mlops.binding.context import WORKSPACE_HEADER
from mlops.binding.session import is_loopback
from mlops.errors import MLOpsError, ServiceUnavailable, Unauthorized

API = "/api/2.0/mlflow"
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_CONNECT_S, _ANSWER_S = 3.0, 60.0


class ServerRefusal(Exception):
    """The server answered, and said no; `code` is MLflow's error code."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status

    @property
    def missing(self) -> bool:
        """Whether it means "not here": another workspace's things are hidden, or forbidden."""
        return self.status in (403, 404)


class Rest:
    """Calls to one server; thread-safe, and usable after a fork."""

    def __init__(self, url: Callable[[], str], workspace: str, username: str, password: str) -> None:
        """`url` is asked at each call: an embedded server may come back on another port."""
        self._url = url
        self._headers = {WORKSPACE_HEADER: workspace}
        self._basic = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self._local = threading.local()
        self._answered = time.monotonic()

    @property
    def url(self) -> str:
        """The server's URL now."""
        return self._url().rstrip("/")

    def silent_since(self, moment: float) -> float:
        """Seconds since the last answer, or since `moment` (`time.monotonic()`) if that is later."""
        return time.monotonic() - max(moment, self._answered)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Wait no longer than that for the calls this thread makes inside, all together."""
        self._local.deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._local.deadline = None

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The answer to a call below `/api/2.0/mlflow`; `body` may be JSON already.

        Raises `ServerRefusal`, `Unauthorized`, and `ServiceUnavailable` when there is no answer.
        """
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data is not None else {}
        answer = self._send(method, API + path, data=data, params=query, headers=headers)
        try:
            # MLflow's least is `{}`: nothing at all is an answer that was cut, and confirms nothing.
            found = answer.json()
        except ValueError:
            raise ServiceUnavailable("mlflow", "an answer that is no JSON") from None
        return found if isinstance(found, dict) else {}

    def stream(self, path: str, query: Mapping[str, Any]) -> requests.Response:
        """The answer to a GET of the server's `path`, whose body the caller reads piece by piece, and closes.
        Raises what `call` raises."""
        return self._send("GET", path, params=query, headers={}, stream=True)

    def upload(self, file: Path, to: str) -> None:
        """Put a file to the server's artifacts at the path `to`. Raises what `call` raises, and
        `FileNotFoundError`."""
        with file.open("rb") as stream:
            # An empty file: `requests` would leave the body out, and wait for none.
            data: Any = stream if file.stat().st_size else b""
            self._send("PUT", f"{_ARTIFACTS}/{quote(to)}", data=data, params=None, headers={})

    def _send(self, method: str, path: str, **request: Any) -> requests.Response:
        request["headers"] |= self._headers
        deadline: float | None = getattr(self._local, "deadline", None)
        left = _ANSWER_S if deadline is None else max(deadline - time.monotonic(), 0.01)
        timeout = (min(_CONNECT_S, left), left)
        try:
            answer = self._session().request(
                method, self.url + path, timeout=timeout, auth=self._authorize, **request
            )
        except requests.RequestException as error:
            raise ServiceUnavailable("mlflow", str(error).partition("\n")[0][:300]) from error
        self._answered = time.monotonic()
        if answer.ok:
            return answer
        raise _refusal(answer)

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # As `auth`, which a netrc file cannot override.
        request.headers["Authorization"] = self._basic
        return request

    def _session(self) -> requests.Session:
        # A connection belongs to one thread of one process.
        held: tuple[int, requests.Session] | None = getattr(self._local, "session", None)
        if held is None or held[0] != os.getpid():
            session = requests.Session()
            session.trust_env = not is_loopback(self.url)  # no proxy, no netrc on this machine
            held = self._local.session = (os.getpid(), session)
        return held[1]


def _refusal(answer: requests.Response) -> ServerRefusal | MLOpsError:
    try:
        body = answer.json()
        code, message = str(body.get("error_code", "")), str(body.get("message", ""))
    except (ValueError, AttributeError):
        code, message = "", answer.text[:300]
    if answer.status_code == 401:
        return Unauthorized()
    if answer.status_code in (408, 429, 502, 503, 504) or code == "TEMPORARILY_UNAVAILABLE":
        return ServiceUnavailable("mlflow", f"status {answer.status_code}: {message}")
    return ServerRefusal(code or f"HTTP_{answer.status_code}", message, answer.status_code)
