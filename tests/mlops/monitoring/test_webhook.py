"""Webhooks: what is sent, signed and answered, over HTTP and TLS."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from mlops.errors import InvalidInput, NotDelivered
from mlops.monitoring.channels.base import Notice, NoticeEvent
from mlops.monitoring.channels.reach import Reach
from mlops.monitoring.channels.webhook import WebhookChannel, payload, signature
from tests.channels import (
    AT,
    HERE,
    HOSTILE,
    LOCAL,
    Hook,
    alert,
    dribble,
    named,
    notice,
    raw_server,
    web_server,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A web server of this machine."""
    with web_server() as started:
        yield started


def refusal(channel: WebhookChannel) -> NotDelivered:
    with pytest.raises(NotDelivered) as caught:
        channel.send(notice())
    return caught.value


def documented(name: str) -> Any:
    """The function of that name in docs/alerts.md."""
    page = (ROOT / "docs" / "alerts.md").read_text()
    found: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, flags=re.S | re.M):
        exec(block, found)
    return found[name]


def test_body_is_slacks_and_ours(hook: Hook) -> None:
    WebhookChannel("it", f"{hook.url}?to=x", reach=LOCAL).send(notice("7-fired"))
    ((path, headers, body),) = hook.posts
    sent = json.loads(body)
    assert path == "/hook?to=x"
    assert sent["text"].splitlines() == [
        "[critical] digits: error-rate fired (net)",
        "9 of 10 requests failed",
        "http://dashboard.example.com/alerts/7",
    ]
    assert (sent["id"], sent["event"], sent["at"]) == ("7-fired", "fired", "2026-11-27T17:40:00+00:00")
    assert sent["alert"] == {
        "id": 7,
        "rule": "error-rate",
        "kind": "error_rate",
        "project": "digits",
        "subject": "net",
        "severity": "critical",
        "state": "firing",
        "message": "9 of 10 requests failed",
        "began_at": "2026-11-27T17:40:00+00:00",
        "ended_at": None,
        "value": 0.9,
        "threshold": 0.1,
        "acknowledged_by": "",
    }
    assert headers["Content-Type"] == "application/json"
    assert headers["X-MLOps-Notice"] == "7-fired"
    assert headers["Host"] == f"127.0.0.1:{hook.port}"
    assert "X-MLOps-Signature" not in headers


def test_slack_is_given_no_links_and_no_calls_to_all() -> None:
    text = payload(notice(message=HOSTILE, project=HOSTILE))["text"]
    assert "<" not in text
    assert ">" not in text
    assert "&lt;!channel&gt; &amp;" in text


def test_notice_without_a_page_has_no_line_for_it() -> None:
    told = Notice("n", NoticeEvent.FIRED, AT, alert())
    assert payload(told)["text"].count("\n") == 1
    assert payload(told)["url"] == ""


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), None])
def test_number_that_json_cannot_hold_is_null(hook: Hook, value: float | None) -> None:
    WebhookChannel("it", hook.url, reach=LOCAL).send(notice(value=value, threshold=value))
    sent = json.loads(hook.posts[0][2], parse_constant=lambda name: pytest.fail(name))
    assert (sent["alert"]["value"], sent["alert"]["threshold"]) == (None, None)


def test_signature_is_of_time_and_body(hook: Hook) -> None:
    WebhookChannel("it", hook.url, secret="sesame", reach=LOCAL, clock=lambda: 1_800_000_000.9).send(notice())
    _, headers, body = hook.posts[0]
    at, code = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers["X-MLOps-Signature"]).groups()  # type: ignore[union-attr]
    assert at == "1800000000"
    assert code == signature("sesame", 1_800_000_000, body)


def test_signature_is_the_known_one() -> None:
    # printf '1.{}' | openssl dgst -sha256 -hmac key
    assert signature("key", 1, b"{}") == "1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224"


def test_the_documented_check_takes_ours_and_nothing_else(hook: Hook) -> None:
    check, now = documented("is_from_mlops"), 1_800_000_000
    WebhookChannel("it", hook.url, secret="sesame", reach=LOCAL, clock=lambda: now).send(notice())
    _, headers, body = hook.posts[0]
    header = headers["X-MLOps-Signature"]
    assert check("sesame", header, body, now)
    assert check("sesame", header, body, now + 299)
    assert not check("sesame", header, body, now + 301)
    assert not check("sesame", header, body, now - 301)
    assert not check("other", header, body, now)
    assert not check("sesame", header, body + b" ", now)
    assert not check("sesame", header.replace("t=1800000000", "t=1800000001"), body, now)
    for bad in ("", "t=1", "v1=00", "t=x,v1=00", f"t={now},v1=é"):
        assert not check("sesame", bad, body, now)


@pytest.mark.parametrize(
    ("status", "again"),
    [
        *((status, False) for status in (400, 401, 404, 410, 413)),
        *((status, True) for status in (408, 425, 429, 500, 502, 503)),
    ],
)
def test_status_says_whether_to_try_again(hook: Hook, status: int, again: bool) -> None:
    hook.status = status
    error = refusal(WebhookChannel("it", hook.url, reach=LOCAL))
    assert (error.again, error.why) == (again, f"it answered {status}")


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_success_is_one(hook: Hook, status: int) -> None:
    hook.status = status
    WebhookChannel("it", hook.url, reach=LOCAL).send(notice())


def test_secret_path_is_in_no_error(hook: Hook) -> None:
    hook.status = 500
    error = refusal(WebhookChannel("it", f"http://127.0.0.1:{hook.port}/T0/hidden?token=hidden", reach=LOCAL))
    assert "hidden" not in str(error)
    with pytest.raises(InvalidInput) as caught:
        WebhookChannel("it", "http://user:hidden@example.com/hidden")
    assert "hidden" not in str(caught.value)


def test_answer_without_end_is_not_read_to_its_end(hook: Hook) -> None:
    broken_off = []

    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError as error:
            broken_off.append(error)

    hook.answer = endless
    WebhookChannel("it", hook.url, reach=LOCAL).send(notice())
    assert len(hook.posts) == 1


@pytest.mark.parametrize(
    "text",
    [b"", b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["mute", "header", "100"],
)
def test_receiver_that_dribbles_is_cut_off(text: bytes) -> None:
    with raw_server(dribble(text)) as port:
        reach = Reach(allowed=HERE, timeout_s=0.5)
        error = refusal(WebhookChannel("it", f"http://127.0.0.1:{port}/", reach=reach))
    assert error.again is True


def test_dribbling_is_cut_off_in_the_handshake_too() -> None:
    with raw_server(dribble(b"\x16\x03\x03\x40\x00")) as port:
        reach = Reach(allowed=HERE, timeout_s=0.5)
        error = refusal(WebhookChannel("it", f"https://127.0.0.1:{port}/", reach=reach))
    assert (error.again, error.why) == (True, "no answer within 0.5 s")


def test_status_that_came_counts_though_its_body_dribbles() -> None:
    def talk(connection: Any) -> None:
        connection.recv(65536)
        dribble(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")(connection)

    with raw_server(talk) as port:
        WebhookChannel("it", f"http://127.0.0.1:{port}/", reach=Reach(allowed=HERE, timeout_s=2.0)).send(
            notice()
        )


@pytest.mark.parametrize("text", [b"SSH-2.0-server\r\n", b"\x00" * 100, b"HTTP/1.1 abc\r\n\r\n"])
def test_what_speaks_no_http_is_not_delivered(text: bytes) -> None:
    def talk(connection: Any) -> None:
        connection.recv(65536)
        connection.sendall(text)

    with raw_server(talk) as port:
        assert refusal(WebhookChannel("it", f"http://127.0.0.1:{port}/", reach=LOCAL)).again is True


# -- TLS ----------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    """An authority of our own, and its certificate's file."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    return made, tmp_path / "ca.pem"


@pytest.fixture
def secure(authority: tuple[trustme.CA, Path]) -> Iterator[Hook]:
    """A web server with a certificate of that authority for hooks.example.com."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("hooks.example.com").configure_cert(context)
    with web_server(tls=context) as started:
        yield started


def test_tls_verifies_the_name_though_the_address_is_pinned(
    secure: Hook, authority: tuple[trustme.CA, Path]
) -> None:
    reach = named("hooks.example.com", ca_file=authority[1])
    WebhookChannel("it", f"https://hooks.example.com:{secure.port}/hook", reach=reach).send(notice())
    ((_, headers, _),) = secure.posts
    assert headers["Host"] == f"hooks.example.com:{secure.port}"


def test_certificate_of_another_name_is_refused(secure: Hook, authority: tuple[trustme.CA, Path]) -> None:
    reach = named("other.example.com", ca_file=authority[1])
    error = refusal(WebhookChannel("it", f"https://other.example.com:{secure.port}/hook", reach=reach))
    assert error.again is False
    assert "certificate" in error.why
    assert secure.posts == []


def test_certificate_of_a_name_is_none_of_its_address(
    secure: Hook, authority: tuple[trustme.CA, Path]
) -> None:
    reach = Reach(allowed=HERE, ca_file=authority[1])
    error = refusal(WebhookChannel("it", f"https://127.0.0.1:{secure.port}/hook", reach=reach))
    assert error.again is False


def test_certificate_of_an_unknown_authority_is_refused(secure: Hook) -> None:
    reach = named("hooks.example.com")
    error = refusal(WebhookChannel("it", f"https://hooks.example.com:{secure.port}/hook", reach=reach))
    assert error.again is False
    assert "certificate" in error.why
    assert secure.posts == []


def test_plain_server_where_tls_was_asked_for_gets_nothing(hook: Hook) -> None:
    refusal(WebhookChannel("it", f"https://127.0.0.1:{hook.port}/hook", reach=LOCAL))
    assert hook.posts == []
