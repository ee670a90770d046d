"""Channels as tables of settings: `[alerts.channels.<name>]`, in project.toml or the platform's own.

Secrets are never in such a table, nor are paths of files: a project could read any file by one. It names an
entry, and whoever builds the channel looks it up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from mlops.errors import ConfigError, InvalidInput, InvalidName
from mlops.monitoring.channels.base import Channel
from mlops.monitoring.channels.reach import PUBLIC, Reach

SecretOf = Callable[[str], str]
"""The secret of that name; raises an `MLOpsError` where there is none."""

_NAME = re.compile(r"[a-z](?:[a-z0-9_-]{0,38}[a-z0-9])?")
_NAME_RULE = "1 to 40 lower-case letters, digits, `-` and `_`, beginning with a letter"
_MOST_SECRET_CHARS = 4096
_LAST_PORT = 65535


def check_channel_name(name: object) -> str:
    """Return `name` if it is safe as a channel's; raises `InvalidName`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidName("alerts.channels", name, _NAME_RULE)
    return name


def check_channel(name: str, table: object) -> None:
    """Raise what `build_channel` would, whatever the secrets are: for registering a project on a machine that
    has none of them. It loads the adapter and certificates, which takes some 0.1 s."""
    build_channel(name, table, secret_of=lambda _: "https://secret.invalid/")


def build_channel(name: str, table: object, *, secret_of: SecretOf, reach: Reach = PUBLIC) -> Channel:
    """The channel that the table describes.

    Raises `InvalidName` for the channel's name, `ConfigError` for a table, key or value that cannot be taken
    (its `field` is `alerts.channels.<name>.<key>`) and for a bad certificate file of `reach`, and what
    `secret_of` raises."""
    where = f"alerts.channels.{check_channel_name(name)}"
    if not isinstance(table, Mapping):
        raise ConfigError(f"`{where}` must be a table", remedy=f"Write it as [{where}].", field=where)
    keys = _Keys(name, table, secret_of)
    try:
        return _builder(keys)(keys, reach)
    except InvalidInput as error:  # knows its key alone
        fields = {**error.fields, "field": f"{where}.{error.fields['field']}"}
        raise ConfigError(f"[{where}] {error.message}", remedy=error.remedy, **fields) from error


class _Keys:
    """A channel's table, read key by key; raises `InvalidInput`, whose field is the key."""

    def __init__(self, channel: str, table: Mapping[str, Any], secret_of: SecretOf) -> None:
        self.channel = channel
        self._table = table
        self._secret_of = secret_of

    def only(self, *known: str) -> None:
        """Refuse keys besides `kind` and these."""
        for key in sorted(map(str, self._table)):
            if key not in ("kind", *known):
                remedy = f"Known keys: {', '.join(('kind', *known))}."
                raise InvalidInput(key, "(not shown)", "is not known", remedy=remedy)  # it may be a password

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._table

    def text(self, key: str, default: str | None = None) -> str:
        """A text that is not empty; one without a default must be there."""
        value = self._table.get(key, default)
        if value is None:
            raise InvalidInput(key, None, "is missing", remedy=f'Add `{key} = "…"`.')
        if not isinstance(value, str) or (not value and default != ""):
            raise InvalidInput(key, value, "must be a text that is not empty", remedy="Put it in quotes.")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> Any:
        """One of some texts."""
        value = self.text(key, default)
        if value not in choices:
            raise InvalidInput(key, value, "is none of the choices", remedy=f"Use {', '.join(choices)}.")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._table.get(key, default)
        if not isinstance(value, bool):
            raise InvalidInput(key, value, "must be true or false", remedy="Write it without quotes.")
        return value

    def port(self, default: int) -> int:
        """The key `port`."""
        value = self._table.get("port", default)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LAST_PORT:
            problem = f"must be a whole number from 1 to {_LAST_PORT}"
            raise InvalidInput("port", value, problem, remedy="Leave it out for the usual one.")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts, or one text."""
        value = self._table.get(key)
        if isinstance(value, str):
            return [value]
        if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
            raise InvalidInput(
                key, value, "must be a list of texts", remedy=f'Write it as {key} = ["…", "…"].'
            )
        return list(value)

    def secret(self, key: str = "secret") -> str:
        """The secret that the key names; empty without the key."""
        if not self.has(key):
            return ""
        name = self.text(key)
        if not _NAME.fullmatch(name):
            remedy = f"Give the secret's name, not the secret: {_NAME_RULE}."
            raise InvalidInput(key, "(not shown)", "is no name of a secret", remedy=remedy)
        value = self._secret_of(name)
        if not 1 <= len(value) <= _MOST_SECRET_CHARS or not value.isprintable():
            problem = f"names a secret that is no line of 1 to {_MOST_SECRET_CHARS} characters"
            raise InvalidInput(key, name, problem, remedy="Set that secret anew.")
        return value


def _builder(keys: _Keys) -> Callable[[_Keys, Reach], Channel]:
    kind = keys.text("kind")
    if kind not in _KINDS:
        raise InvalidInput("kind", kind, "is no kind of channel", remedy=f"Use {', '.join(_KINDS)}.")
    return _KINDS[kind]


# Each adapter is imported when a channel of its kind is built.


def _webhook(keys: _Keys, reach: Reach) -> Channel:
    from mlops.monitoring.channels.webhook import WebhookChannel

    keys.only("url", "url_secret", "secret")
    if keys.has("url") == keys.has("url_secret"):
        raise InvalidInput(
            "url",
            None,
            "must be there, or `url_secret`, but not both",
            remedy="Name a secret by `url_secret` where the address itself is one, as Slack's is.",
        )
    url = keys.text("url") if keys.has("url") else keys.secret("url_secret")
    return WebhookChannel(keys.channel, url, secret=keys.secret(), reach=reach)


def _email(keys: _Keys, reach: Reach) -> Channel:
    from mlops.monitoring.channels.email import PORTS, EmailChannel, MailServer, Security

    keys.only("host", "port", "security", "user", "secret", "sender", "to")
    security: Security = keys.choice("security", get_args(Security), "starttls")
    server = MailServer(
        keys.text("host"), keys.port(PORTS[security]), security, keys.text("user", ""), keys.secret()
    )
    return EmailChannel(keys.channel, server, sender=keys.text("sender"), to=keys.texts("to"), reach=reach)


def _mqtt(keys: _Keys, reach: Reach) -> Channel:
    from mlops.monitoring.channels.mqtt import Broker, MqttChannel, Protocol

    keys.only("host", "port", "tls", "protocol", "user", "secret", "prefix")
    tls = keys.flag("tls", True)
    protocol: Protocol = keys.choice("protocol", get_args(Protocol), "5")
    broker = Broker(
        keys.text("host"),
        keys.port(8883 if tls else 1883),
        tls,
        protocol,
        keys.text("user", ""),
        keys.secret(),
    )
    return MqttChannel(keys.channel, broker, prefix=keys.text("prefix", "mlops/alerts"), reach=reach)


def _log(keys: _Keys, reach: Reach) -> Channel:
    from mlops.monitoring.channels.log import LogChannel

    keys.only()
    return LogChannel(keys.channel)


_KINDS: dict[str, Callable[[_Keys, Reach], Channel]] = {
    "webhook": _webhook,
    "email": _email,
    "mqtt": _mqtt,
    "log": _log,
}
