"""Alerts by e-mail, against a real SMTP server."""

from __future__ import annotations

import email
import email.policy
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import AuthResult

from mlops.errors import InvalidInput, NotDelivered
from mlops.monitoring.channels.email import EmailChannel, MailServer
from mlops.monitoring.channels.reach import PUBLIC, Reach
from tests.channels import HERE, HOSTILE, LOCAL, Mailbox, dribble, mail_server, named, notice, raw_server

NAME = "mail.example.com"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority of our own."""
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server's context with its certificate for mail.example.com."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA, tmp_path: Path) -> Reach:
    """Trusts that authority, and finds the server by its name."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return named(NAME, ca_file=tmp_path / "ca.pem")


@pytest.fixture
def plain() -> Iterator[tuple[int, Mailbox]]:
    """Port and mailbox of a server without TLS."""
    with mail_server() as started:
        yield started


def over(
    port: int, to: tuple[str, ...] = ("team@example.com",), reach: Reach = LOCAL, **server: Any
) -> EmailChannel:
    settings = {"host": "127.0.0.1", "port": port, "security": "plain", **server}
    return EmailChannel("it", MailServer(**settings), sender="mlops@example.com", to=to, reach=reach)


def mail(box: Mailbox) -> EmailMessage:
    (envelope,) = box.envelopes
    read = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read


def refusal(channel: EmailChannel) -> NotDelivered:
    with pytest.raises(NotDelivered) as caught:
        channel.send(notice())
    return caught.value


def test_message_has_its_headers_and_its_text(plain: tuple[int, Mailbox]) -> None:
    port, box = plain
    over(port, to=("team@example.com", "boss@example.org")).send(notice("7-fired"))
    read = mail(box)
    assert read["Subject"] == "[critical] digits: error-rate fired (net)"
    assert (read["From"], read["To"]) == ("mlops@example.com", "team@example.com, boss@example.org")
    assert read["Message-ID"] == "<7-fired@example.com>"
    assert read["Date"] == "Fri, 27 Nov 2026 17:40:00 +0000"
    assert read["Auto-Submitted"] == "auto-generated"
    assert read.get_content_type() == "text/plain"
    assert read.get_content().splitlines() == [
        "9 of 10 requests failed",
        "",
        "Project: digits",
        "Rule: error-rate",
        "Event: fired",
        "Severity: critical",
        "Subject: net",
        "Value: 0.9",
        "Threshold: 0.1",
        "Began: 2026-11-27T17:40:00+00:00",
        "Notice: 7-fired",
        "Page: http://dashboard.example.com/alerts/7",
    ]
    assert box.envelopes[0].mail_from == "mlops@example.com"
    assert box.envelopes[0].rcpt_tos == ["team@example.com", "boss@example.org"]


def test_hostile_texts_make_no_header_and_no_receiver(plain: tuple[int, Mailbox]) -> None:
    port, box = plain
    over(port).send(notice(project=HOSTILE, rule=HOSTILE, subject=HOSTILE, message=HOSTILE))
    read = mail(box)
    assert sorted(read.keys()) == sorted(
        [
            "Subject",
            "From",
            "To",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
        ]
    )
    assert "Bcc: victim" in str(read["Subject"])  # as words of the subject
    assert len(str(read["Subject"]).splitlines()) == 1
    assert box.envelopes[0].rcpt_tos == ["team@example.com"]
    assert max(map(len, box.envelopes[0].content.splitlines())) <= 998
    assert box.envelopes[0].content.isascii()


def test_longest_id_stays_whole_in_the_message_id(plain: tuple[int, Mailbox]) -> None:
    port, box = plain
    over(port).send(notice("x" * 100))
    assert mail(box)["Message-ID"] == f"<{'x' * 100}@example.com>"


@pytest.mark.parametrize(
    ("answer", "again"), [("550 no such user", False), ("554 5.7.1 blocked", False), ("451 greylisted", True)]
)
def test_refused_receiver_says_whether_to_try_again(
    plain: tuple[int, Mailbox], answer: str, again: bool
) -> None:
    port, box = plain
    box.refuse["team@example.com"] = answer
    error = refusal(over(port))
    assert error.again is again
    assert answer in error.why
    assert box.envelopes == []


def test_receivers_that_are_refused_beside_others_are_named(plain: tuple[int, Mailbox]) -> None:
    port, box = plain
    box.refuse["gone@example.com"] = "451 later"
    error = refusal(over(port, to=("team@example.com", "gone@example.com")))
    assert error.again is False  # the others would get it twice
    assert "gone@example.com (451 later)" in error.why
    assert box.envelopes[0].rcpt_tos == ["team@example.com"]


def test_address_inside_the_network_is_refused(plain: tuple[int, Mailbox]) -> None:
    error = refusal(over(plain[0], reach=PUBLIC))
    assert error.again is False
    assert "inside" in error.why


# -- TLS and accounts ---------------------------------------------------------------------------


def checked(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"mlops", b"sesame"), handled=False)


def test_starttls_and_login(tls: ssl.SSLContext, trusting: Reach) -> None:
    with mail_server(tls_context=tls, require_starttls=True, auth_required=True, authenticator=checked) as (
        port,
        box,
    ):
        account = {"host": NAME, "security": "starttls", "user": "mlops", "password": "sesame"}
        over(port, reach=trusting, **account).send(notice())
        assert len(box.envelopes) == 1
        error = refusal(over(port, reach=trusting, **{**account, "password": "wrong"}))
        assert error.again is False
        assert "535" in error.why
        assert "wrong" not in str(error)
        error = refusal(over(port, reach=trusting, host=NAME, security="starttls"))
        assert error.again is False
        assert len(box.envelopes) == 1


def test_tls_from_the_beginning(tls: ssl.SSLContext, trusting: Reach) -> None:
    with mail_server(ssl_context=tls) as (port, box):
        over(port, reach=trusting, host=NAME, security="tls").send(notice())
        assert len(box.envelopes) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_certificate_that_is_not_trusted_or_of_another_name_is_refused(
    tls: ssl.SSLContext, trusting: Reach, security: str
) -> None:
    server = {"tls_context": tls} if security == "starttls" else {"ssl_context": tls}
    other = named("other.example.com", ca_file=trusting.ca_file)
    for host, reach in ((NAME, named(NAME)), ("other.example.com", other)):
        with mail_server(**server) as (port, box):
            error = refusal(over(port, reach=reach, host=host, security=security))
            assert error.again is False
            assert "certificate" in error.why
            assert box.envelopes == []


def test_server_without_starttls_gets_no_mail(plain: tuple[int, Mailbox]) -> None:
    port, box = plain
    error = refusal(over(port, security="starttls"))
    assert error.again is False
    assert "STARTTLS" in error.why
    assert box.envelopes == []


def test_server_without_login_is_no_use_for_an_account(plain: tuple[int, Mailbox]) -> None:
    error = refusal(over(plain[0], user="mlops", password="sesame"))
    assert error.again is False
    assert "sesame" not in str(error)


# -- servers that misbehave ---------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"", b"220 ", b"220-hello\r\n220-"], ids=["mute", "line", "lines"])
def test_server_that_dribbles_is_cut_off(text: bytes) -> None:
    with raw_server(dribble(text)) as port:
        error = refusal(over(port, reach=Reach(allowed=HERE, timeout_s=0.5)))
    assert (error.again, error.why) == (True, "no answer within 0.5 s")


@pytest.mark.parametrize(
    ("text", "again"),
    [
        (b"", True),
        (b"421 too busy\r\n", True),
        (b"554 go away\r\n", False),
        (b"HTTP/1.1 400 Bad\r\n\r\n", True),
    ],
)
def test_server_that_does_not_welcome(text: bytes, again: bool) -> None:
    with raw_server(lambda connection: connection.sendall(text)) as port:
        assert refusal(over(port)).again is again


# -- settings -----------------------------------------------------------------------------------

BAD = ["", "team", "team@", "@example.com", "Team <team@example.com>", "a@b@c", "a b@example.com"]
BAD += ["team@example.com\r\nBcc: x@example.com", "team@example.com, x@example.com", "é@example.com", "-@-"]


@pytest.mark.parametrize("address", BAD)
def test_address_that_is_none_is_refused(address: str) -> None:
    server = MailServer(NAME, 25, "plain")
    with pytest.raises(InvalidInput) as caught:
        EmailChannel("it", server, sender=address, to=["team@example.com"])
    assert caught.value.field == "sender"
    with pytest.raises(InvalidInput) as caught:
        EmailChannel("it", server, sender="mlops@example.com", to=["team@example.com", address])
    assert caught.value.field == "to"


@pytest.mark.parametrize("count", [0, 51])
def test_number_of_receivers_is_bounded(count: int) -> None:
    with pytest.raises(InvalidInput, match="1 to 50"):
        EmailChannel("it", MailServer(NAME, 25, "plain"), sender="a@b.c", to=["team@example.com"] * count)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"host": "a b"}, "host"),
        ({"user": "mlops"}, "user"),
        ({"password": "hidden"}, "user"),
        ({"user": "mlops", "password": "hiddén"}, "secret"),
    ],
)
def test_server_that_cannot_be_is_refused(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        MailServer(**{"host": NAME, "port": 25, **settings})
    assert caught.value.field == field
    assert "hidd" not in str(caught.value)
