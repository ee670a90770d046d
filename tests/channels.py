"""Real receivers of alerts on 127.0.0.1, and notices to send them."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from socketserver import TCPServer
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from mlops.entities import Alert, AlertState, Severity
from mlops.monitoring.channels.base import Notice, NoticeEvent
from mlops.monitoring.channels.reach import Reach

HERE = (ip_network("127.0.0.1/32"),)
LOCAL = Reach(allowed=HERE)
AT = datetime(2026, 11, 27, 17, 40, tzinfo=UTC)
HOSTILE = (
    "first\r\nBcc: victim@example.com\r\n\r\n.\r\n<script>alert(1)</script> <!channel> &"
    " \x00\x1b[31m\u2028\u202e \ud800 😀 " + "x" * 10_000
)


def alert(**changed: Any) -> Alert:
    """An alert of project digits."""
    usual: dict[str, Any] = {
        "id": 7,
        "rule": "error-rate",
        "kind": "error_rate",
        "project": "digits",
        "subject": "net",
        "severity": Severity.CRITICAL,
        "state": AlertState.FIRING,
        "message": "9 of 10 requests failed",
        "began_at": AT,
        "value": 0.9,
        "threshold": 0.1,
    }
    return Alert(**{**usual, **changed})


def notice(id: str = "7-fired", event: NoticeEvent = NoticeEvent.FIRED, **changed: Any) -> Notice:
    """A notice of such an alert."""
    return Notice(id, event, AT, alert(**changed), "http://dashboard.example.com/alerts/7")


def named(name: str, **more: Any) -> Reach:
    """Where `name`, and no other, is at 127.0.0.1."""

    def resolver(host: str, port: int) -> list[str]:
        if host != name:
            raise OSError(f"{host} is not known")
        return ["127.0.0.1"]

    return Reach(allowed=HERE, resolver=resolver, **more)


@contextmanager
def silent_port() -> Iterator[int]:
    """A port where nobody listens, and that nobody else takes."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def eventually(what: Callable[[], Any]) -> Any:
    """What it returns, once that is true; fails after long."""
    deadline = time.monotonic() + 30
    while not (found := what()):
        if time.monotonic() > deadline:
            pytest.fail("it never came")
        time.sleep(0.01)
    return found


# -- HTTP ---------------------------------------------------------------------------------------


@dataclass
class Hook:
    """A web server that keeps what is posted, and answers as it is told."""

    host: str
    port: int
    posts: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    answer: Callable[[BaseHTTPRequestHandler], None] | None = None
    """Answers instead, where it is set."""

    @property
    def url(self) -> str:
        """Of the hook."""
        return f"http://{self.host}:{self.port}/hook"


@contextmanager
def web_server(host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Hook]:
    """A `Hook` that runs meanwhile."""
    hook = Hook(host, 0)

    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            hook.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.posts.append((self.path, dict(self.headers.items()), body))
            if hook.answer is not None:
                hook.answer(self)
                return
            self.send_response(hook.status)
            for key, value in hook.headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 64

        def server_bind(self) -> None:
            TCPServer.server_bind(self)  # without a look-up of our own name

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # callers that break off are part of the tests

    server = Server((host, port), Handler)
    hook.port = server.server_address[1]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    with running(server):
        yield hook


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[None]:
    """Serve from a thread meanwhile."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that does `talk` with each that connects."""

    stopped = threading.Event()

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                if stopped.is_set():
                    return
                talk(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopped.set()
            socket.create_connection(listener.getsockname()).close()
            thread.join()


def dribble(text: bytes) -> Callable[[socket.socket], None]:
    """Sends `text`, then a byte now and then for as long as somebody listens."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(text)
        while True:
            time.sleep(0.05)
            connection.sendall(b"x")

    return talk


# -- SMTP ---------------------------------------------------------------------------------------


class Mailbox:
    """Keeps what a mail server takes, and refuses as it is told (aiosmtpd's hooks)."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []
        self.refuse: dict[str, str] = {}
        """Receiver -> the answer to it."""

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.envelopes.append(envelope)
        return "250 taken"


@contextmanager
def mail_server(**settings: Any) -> Iterator[tuple[int, Mailbox]]:
    """Port and mailbox of an SMTP server that runs meanwhile."""
    from aiosmtpd.controller import Controller

    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=_free_port(), ready_timeout=30, **settings)
    controller.start()
    try:
        yield controller.port, box
    finally:
        controller.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- MQTT ---------------------------------------------------------------------------------------

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def mqtt_broker(folder: Path, *lines: str) -> Iterator[int]:
    """The port of a mosquitto that runs meanwhile; `lines` of its configuration replace open access."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (Debian: mosquitto)")
    port = _free_port()
    config = folder / "mosquitto.conf"
    text = [
        f"listener {port} 127.0.0.1",
        "persistence false",
        "user root",
        *(lines or ["allow_anonymous true"]),
    ]
    config.write_text("\n".join(text) + "\n")
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen([MOSQUITTO, "-c", str(config)], stdout=log, stderr=log)
    try:
        eventually(lambda: _answers(port) or process.poll() is not None)
        if process.poll() is not None:
            pytest.fail((folder / "mosquitto.log").read_text())
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def subscriber(port: int, user: str = "", password: str = "") -> Iterator[list[paho.MQTTMessage]]:
    """What arrives at the broker meanwhile."""
    arrived: list[paho.MQTTMessage] = []
    ready = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    if user:
        client.username_pw_set(user, password)
    client.on_message = lambda _client, _data, message: arrived.append(message)
    client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert ready.wait(30)
        yield arrived
    finally:
        client.disconnect()
        client.loop_stop()
        client.on_connect = client.on_message = client.on_subscribe = None
