"""Alerts by e-mail, handed to an SMTP server."""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import TYPE_CHECKING, Literal

from mlops.errors import InvalidInput, NotDelivered
from mlops.monitoring.channels.base import Channel, Notice
from mlops.monitoring.channels.hosts import check_host
from mlops.monitoring.channels.reach import PUBLIC, Call, Reach
from mlops.monitoring.channels.wording import cleaned, plain_text, title

Security = Literal["starttls", "tls", "plain"]

PORTS: dict[Security, int] = {"starttls": 587, "tls": 465, "plain": 25}
"""The usual port of each."""

_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@([A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?)"
)
_MOST_RECEIVERS = 50
_REASON_CHARS = 200


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in.

    `starttls` and `tls` verify the server's certificate and refuse to go on without; `plain` sends all,
    a password too, in clear. Raises `InvalidInput` (host, user, secret)."""

    host: str
    port: int
    security: Security = "starttls"
    user: str = ""
    password: str = ""
    """Asked for by `user`; both empty where the server takes mail without."""

    def __post_init__(self) -> None:
        check_host("host", self.host)
        if bool(self.user) != bool(self.password):
            raise InvalidInput(
                "user",
                self.user,
                "needs a password, and a password a user",
                remedy="Give both user and secret, or neither.",
            )
        if not (self.user + self.password).isascii():
            raise InvalidInput(
                "secret",
                "(not shown)",
                "holds other than ASCII, which SMTP's log-in does not take",
                remedy="Have another password set at the server.",
            )


class EmailChannel:
    """Sends each notice as one plain-text message to all its receivers.

    Raises `InvalidInput` (sender, to) and `ConfigError` (the reach's certificates)."""

    def __init__(
        self, name: str, server: MailServer, *, sender: str, to: Sequence[str], reach: Reach = PUBLIC
    ) -> None:
        self._name = name
        self._server = server
        self._sender = check_address("sender", sender)
        self._to = [check_address("to", each) for each in to]
        if not 1 <= len(self._to) <= _MOST_RECEIVERS:
            raise InvalidInput(
                "to", list(to), f"must hold 1 to {_MOST_RECEIVERS} addresses", remedy="Use a mailing list."
            )
        self._reach = reach
        self._tls = None if server.security == "plain" else reach.tls()

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._name

    def send(self, notice: Notice) -> None:
        """See `Channel.send`. Where the server takes some receivers and refuses others, those have it, and
        `NotDelivered` names the rest; the same is not to be sent again then."""
        with Call(self.name, self._reach) as call:
            try:
                refused = self._hand_over(call, self.message(notice))
            except NotDelivered:
                raise
            except (OSError, smtplib.SMTPException) as error:
                raise self._failure(call, error) from error
        if refused:
            raise NotDelivered(self.name, f"delivered, but not to {_refusals(refused)}", again=False)

    def message(self, notice: Notice) -> EmailMessage:
        """The message that `send` hands over."""
        message = EmailMessage(policy=SMTP)
        message["Subject"] = title(notice)
        message["From"] = self._sender
        message["To"] = ", ".join(self._to)
        message["Date"] = notice.at
        message["Message-ID"] = f"<{notice.id}@{_domain(self._sender)}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(plain_text(notice), cte="quoted-printable")
        return message

    def _hand_over(self, call: Call, message: EmailMessage) -> dict[str, tuple[int, bytes]]:
        session = _Session(call, self._server, self._tls, _domain(self._sender))
        try:
            if self._server.security == "starttls":
                session.starttls(context=self._tls)
            if self._server.user:
                session.login(self._server.user, self._server.password)
            refused = session.send_message(message, self._sender, self._to)
            with contextlib.suppress(OSError, smtplib.SMTPException):  # it has the message
                session.quit()
            return refused
        finally:
            session.close()

    def _failure(self, call: Call, error: OSError) -> NotDelivered:
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            again = any(code < 500 for code, _ in error.recipients.values())
            return NotDelivered(self.name, f"refused for {_refusals(error.recipients)}", again)
        if isinstance(error, smtplib.SMTPResponseException):
            if error.smtp_code < 0:  # smtplib's for a line without a code
                return call.failed(OSError("it does not speak SMTP"))
            said = _said(error.smtp_code, error.smtp_error)
            return NotDelivered(self.name, f"the server said {said}", again=error.smtp_code < 500)
        if isinstance(error, smtplib.SMTPException) and not isinstance(error, smtplib.SMTPServerDisconnected):
            # It does not offer what the settings ask for: STARTTLS, or a way to log in.
            return NotDelivered(self.name, cleaned(str(error), _REASON_CHARS), again=False)
        return call.failed(error)


def check_address(field: str, address: str) -> str:
    """An e-mail address alone, without a name before it; raises `InvalidInput`."""
    if not _ADDRESS.fullmatch(address):
        raise InvalidInput(field, address, "is no e-mail address", remedy="Give one like team@example.com.")
    return address


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


def _said(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return cleaned(f"{code} {words}", _REASON_CHARS)


def _refusals(refused: dict[str, tuple[int, bytes]]) -> str:
    return cleaned("; ".join(f"{to} ({_said(*why)})" for to, why in refused.items()), _REASON_CHARS)


class _Session(smtplib.SMTP):
    """An SMTP session over a connection of a `Call`."""

    def __init__(self, call: Call, server: MailServer, tls: ssl.SSLContext | None, helo: str) -> None:
        self._call = call
        self._at_once = tls if server.security == "tls" else None
        # Without a name for EHLO, smtplib asks the resolver for ours, which may take long.
        super().__init__(server.host, server.port, local_hostname=helo)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        # smtplib's own place to bring another socket; SMTP_SSL uses it too.
        return self._call.connect(host, port, self._at_once)


if TYPE_CHECKING:
    _conforms: type[Channel] = EmailChannel
