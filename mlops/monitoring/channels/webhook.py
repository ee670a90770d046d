"""Alerts to a web address: JSON that Slack and its like show, and programs can check and read."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import httpcore

from mlops.errors import NotDelivered
from mlops.monitoring.channels.base import Channel, Notice
from mlops.monitoring.channels.hook_url import HookUrl, read_url
from mlops.monitoring.channels.reach import PUBLIC, Call, Reach
from mlops.monitoring.channels.wording import MESSAGE_CHARS, cleaned, document, title

SIGNATURE_HEADER = "X-MLOps-Signature"
NOTICE_HEADER = "X-MLOps-Notice"

_READ_BYTES = 16_384
"""Of an answer's body, which nobody needs: a receiver that wrote it ends in peace."""
_MAY_PASS = frozenset({408, 425, 429})


class WebhookChannel:
    """POSTs each notice to one address.

    `secret` signs what is sent, when it is not empty; `clock` gives the signature's time, in seconds since
    1970. Raises `InvalidInput` (url) and `ConfigError` (the reach's certificates). No redirect is followed,
    no proxy used, and no address inside the network reached, but for what `reach` allows."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        secret: str = "",
        reach: Reach = PUBLIC,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._url = read_url("url", url)
        self._secret = secret
        self._reach = reach
        self._clock = clock
        self._tls = reach.tls() if self._url.scheme == "https" else None

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._name

    def send(self, notice: Notice) -> None:
        """See `Channel.send`; delivered is what is answered by 200 to 299."""
        body = json.dumps(payload(notice)).encode()
        with Call(self.name, self._reach) as call:
            status = _post(call, self._url, self._headers(notice, body), body, self._tls)
        if not 200 <= status < 300:
            raise NotDelivered(self.name, *_meaning(status))

    def _headers(self, notice: Notice, body: bytes) -> dict[bytes | str, bytes | str]:
        headers: dict[bytes | str, bytes | str] = {
            "Host": self._url.host_header,
            "Content-Type": "application/json",
            "User-Agent": "efficientai-toolkit",
            NOTICE_HEADER: notice.id,
        }
        if self._secret:
            at = int(self._clock())
            headers[SIGNATURE_HEADER] = f"t={at},v1={signature(self._secret, at, body)}"
        return headers


def payload(notice: Notice) -> dict[str, Any]:
    """The body: Slack's `text`, and beside it what programs read."""
    text = f"{title(notice)}\n{cleaned(notice.alert.message, MESSAGE_CHARS)}"
    fields = document(notice)
    if fields["url"]:
        text += f"\n{fields['url']}"
    # Slack takes what stands in <> as links and as calls to a whole channel.
    for plain, quoted in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(plain, quoted)
    return {"text": text, **fields}


def signature(secret: str, at: int, body: bytes) -> str:
    """HMAC-SHA256 of `<at>.<body>`, in hexadecimal."""
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def _meaning(status: int) -> tuple[str, bool]:
    if 300 <= status < 400:
        return f"it answered {status}, a redirect, which is not followed: give the address it leads to", False
    return f"it answered {status}", status >= 500 or status in _MAY_PASS


def _post(
    call: Call, url: HookUrl, headers: dict[bytes | str, bytes | str], body: bytes, tls: ssl.SSLContext | None
) -> int:
    pool = httpcore.ConnectionPool(network_backend=_Checked(call, tls))
    # To httpcore it is plain: the connection that it is given speaks TLS itself.
    where = httpcore.URL(scheme="http", host=url.host, port=url.port, target=url.target)
    try:
        with pool, pool.stream("POST", where, headers=headers, content=body) as response:
            _drain(response)
            return response.status
    except (OSError, httpcore.ProtocolError) as error:
        raise call.failed(error) from error


def _drain(response: httpcore.Response) -> None:
    read = 0
    with contextlib.suppress(OSError, httpcore.ProtocolError):  # the status has said what matters
        for part in response.iter_stream():
            read += len(part)
            if read >= _READ_BYTES:
                return


class _Checked(httpcore.NetworkBackend):
    """Connects as a `Call` does: httpcore itself looks nothing up."""

    def __init__(self, call: Call, tls: ssl.SSLContext | None) -> None:
        self._call = call
        self._tls = tls

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._call.connect(host, port, self._tls))


class _Stream(httpcore.NetworkStream):
    """A connected socket; its errors are the system's own."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._connection.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._connection.sendall(buffer)

    def close(self) -> None:
        self._connection.close()

    def get_extra_info(self, info: str) -> Any:
        return None


if TYPE_CHECKING:
    _conforms: type[Channel] = WebhookChannel
