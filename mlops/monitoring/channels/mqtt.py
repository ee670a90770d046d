"""Alerts to an MQTT broker, where machines of a workshop listen."""

from __future__ import annotations

import json
import re
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from mlops.errors import InvalidInput, NotDelivered
from mlops.monitoring.channels.base import Channel, Notice
from mlops.monitoring.channels.hosts import check_host
from mlops.monitoring.channels.reach import PUBLIC, Call, Reach
from mlops.monitoring.channels.wording import NAME_CHARS, cleaned, document, owner

Protocol = Literal["5", "3.1.1"]

_PROTOCOLS: dict[Protocol, Any] = {"5": paho.MQTTv5, "3.1.1": paho.MQTTv311}
_PREFIX = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")
_MOST_PREFIX_CHARS = 200
_KEEP_ALIVE_S = 60
_MOST_WAIT_S = 0.5

# Reasons that pass (MQTT 5, 2.4): unspecified, of the implementation, server unavailable, busy or shutting
# down, quota, rate of connections. All others say that the same would be refused again.
_MAY_PASS = frozenset({0x80, 0x83, 0x88, 0x89, 0x8B, 0x97, 0x9F})


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is. Without `tls` everything, a password too, is sent in clear.

    Raises `InvalidInput` (host, user)."""

    host: str
    port: int
    tls: bool = True
    protocol: Protocol = "5"
    user: str = ""
    password: str = ""

    def __post_init__(self) -> None:
        check_host("host", self.host)
        if self.password and not self.user:
            raise InvalidInput(
                "user", self.user, "is empty, and a password needs one", remedy="Give user too."
            )


class MqttChannel:
    """Publishes each notice once with QoS 1, as JSON, to `<prefix>/<project or platform>/<rule>`.

    Raises `InvalidInput` (prefix) and `ConfigError` (the reach's certificates)."""

    def __init__(self, name: str, broker: Broker, *, prefix: str, reach: Reach = PUBLIC) -> None:
        if not _PREFIX.fullmatch(prefix) or len(prefix) > _MOST_PREFIX_CHARS:
            raise InvalidInput(
                "prefix",
                prefix,
                "is no beginning of a topic",
                remedy="Use letters, digits, `_`, `.` and `-`, in levels parted by single `/`.",
            )
        self._name = name
        self._broker = broker
        self._prefix = prefix
        self._reach = reach
        self._tls = reach.tls() if broker.tls else None

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._name

    def send(self, notice: Notice) -> None:
        """See `Channel.send`; delivered is what the broker acknowledged, whoever listens there."""
        with Call(self.name, self._reach) as call:
            client = self._client(call)
            answers = _Answers(client)
            try:
                client.connect(self._broker.host, self._broker.port, _KEEP_ALIVE_S)
                self._await(call, client, answers, "connected")
                client.publish(self.topic(notice), json.dumps(document(notice)), qos=1)
                self._await(call, client, answers, "published")
                client.disconnect()
            except NotDelivered:
                raise
            except Exception as error:  # what a broker sends amiss surfaces as any of Python's errors
                raise call.failed(error) from error
            finally:
                client.close()

    def topic(self, notice: Notice) -> str:
        """Where the notice is published; what parts or matches topics is replaced by `-`."""
        return "/".join((self._prefix, _level(owner(notice)), _level(notice.alert.rule)))

    def _client(self, call: Call) -> _Client:
        client = _Client(call, _PROTOCOLS[self._broker.protocol], self._tls)
        if self._broker.user:
            client.username_pw_set(self._broker.user, self._broker.password or None)
        return client

    def _await(self, call: Call, client: _Client, answers: _Answers, what: str) -> None:
        while (reason := answers.got.get(what)) is None:
            if call.left_s == 0:
                raise call.failed(TimeoutError())
            state = client.loop(min(call.left_s, _MOST_WAIT_S))
            if state != paho.MQTT_ERR_SUCCESS and what not in answers.got:
                why = answers.got.get("disconnected")
                if why is not None and why.is_failure:
                    raise self._refused(why)
                raise call.failed(OSError(paho.error_string(state)))
        if reason.is_failure:
            raise self._refused(reason)

    def _refused(self, reason: ReasonCode) -> NotDelivered:
        why = cleaned(f"the broker said: {reason}", NAME_CHARS)
        return NotDelivered(self.name, why, again=reason.value in _MAY_PASS)


def _level(text: str) -> str:
    return re.sub(r"[+#/$\s]", "-", cleaned(text, NAME_CHARS)) or "-"


class _Answers:
    """What the broker answered to each step."""

    def __init__(self, client: _Client) -> None:
        self.got: dict[str, ReasonCode] = {}
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect

    def _on_connect(self, _c: object, _u: object, _f: object, reason: ReasonCode, _p: object) -> None:
        self.got["connected"] = reason

    def _on_publish(self, _c: object, _u: object, _mid: int, reason: ReasonCode, _p: object) -> None:
        self.got["published"] = reason

    def _on_disconnect(self, _c: object, _u: object, flags: Any, reason: ReasonCode, _p: object) -> None:
        if flags.is_disconnect_packet_from_server:
            self.got["disconnected"] = reason


class _Client(paho.Client):
    """paho's client over a connection of a `Call`, without its threads."""

    def __init__(self, call: Call, protocol: Any, tls: ssl.SSLContext | None) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, protocol=protocol, reconnect_on_failure=False)
        self._call = call
        self._tls = tls

    def _create_socket_connection(self) -> socket.socket:
        # paho's own place to bring a connection, where it else looks for proxies in the environment.
        return self._call.connect(self._host, self._port, self._tls)

    def close(self) -> None:
        """Close every socket of it now, not when it is collected."""
        self._reset_sockets()


if TYPE_CHECKING:
    _conforms: type[Channel] = MqttChannel
