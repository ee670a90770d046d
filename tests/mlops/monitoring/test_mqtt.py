"""Alerts by MQTT, against a real broker."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trustme

from mlops.errors import InvalidInput, NotDelivered
from mlops.monitoring.channels.mqtt import Broker, MqttChannel
from mlops.monitoring.channels.reach import PUBLIC, Reach
from mlops.monitoring.channels.wording import document
from tests.channels import (
    HERE,
    LOCAL,
    dribble,
    eventually,
    mqtt_broker,
    named,
    notice,
    raw_server,
    subscriber,
)

NAME = "broker.example.com"


def over(port: int, reach: Reach = LOCAL, **broker: Any) -> MqttChannel:
    settings = {"host": "127.0.0.1", "port": port, "tls": False, **broker}
    return MqttChannel("it", Broker(**settings), prefix="plant/alerts", reach=reach)


def refusal(channel: MqttChannel) -> NotDelivered:
    with pytest.raises(NotDelivered) as caught:
        channel.send(notice())
    return caught.value


def passwords(folder: Path) -> list[str]:
    """Lines of a configuration that knows mlops and watcher, both with the password sesame."""
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed (Debian: mosquitto)")
    file = folder / "passwords"
    file.touch()
    for user in ("mlops", "watcher"):
        subprocess.run([program, "-b", str(file), user, "sesame"], check=True, capture_output=True)
    return ["allow_anonymous false", f"password_file {file}"]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_message_is_json_with_qos_1_on_its_topic(tmp_path: Path, protocol: str) -> None:
    with mqtt_broker(tmp_path) as port, subscriber(port) as arrived:
        over(port, protocol=protocol).send(notice())
        over(port, protocol=protocol).send(notice("8", project=""))
        eventually(lambda: len(arrived) == 2)
    assert [each.topic for each in arrived] == [
        "plant/alerts/digits/error-rate",
        "plant/alerts/platform/error-rate",
    ]
    assert json.loads(arrived[0].payload) == document(notice())
    assert [(each.qos, each.retain) for each in arrived] == [(1, False)] * 2


@pytest.mark.parametrize(
    ("rule", "level"),
    [
        ("p95 latency", "p95-latency"),
        ("a/b", "a-b"),
        ("#", "-"),
        ("+/+", "---"),
        ("$SYS", "-SYS"),
        ("a\0b\nc", "a-b-c"),
        ("", "-"),
        ("é😀", "é😀"),
    ],
)
def test_levels_hold_nothing_that_parts_or_matches(tmp_path: Path, rule: str, level: str) -> None:
    assert over(1).topic(notice(rule=rule)) == f"plant/alerts/digits/{level}"
    assert over(1).topic(notice(project=rule)) == f"plant/alerts/{level if rule else 'platform'}/error-rate"


def test_longest_topic_is_taken(tmp_path: Path) -> None:
    with mqtt_broker(tmp_path) as port, subscriber(port) as arrived:
        over(port).send(notice(rule="/😀" * 5000, project="#" * 5000))
        eventually(lambda: arrived)
    assert arrived[0].topic.count("/") == 3
    assert len(arrived[0].topic) < 500


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_account_of_the_broker(tmp_path: Path, protocol: str) -> None:
    with (
        mqtt_broker(tmp_path, *passwords(tmp_path)) as port,
        subscriber(port, "watcher", "sesame") as arrived,
    ):
        over(port, protocol=protocol, user="mlops", password="sesame").send(notice())
        eventually(lambda: arrived)
        for account in (
            {},
            {"user": "mlops", "password": "wrong"},
            {"user": "stranger", "password": "sesame"},
        ):
            error = refusal(over(port, protocol=protocol, **account))
            assert error.again is False
            assert "the broker said" in error.why
            assert "wrong" not in str(error)


def test_topic_that_the_broker_does_not_allow(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("user mlops\ntopic write elsewhere/#\nuser watcher\ntopic read #\n")
    lines = [*passwords(tmp_path), f"acl_file {tmp_path / 'acl'}"]
    with mqtt_broker(tmp_path, *lines) as port, subscriber(port, "watcher", "sesame") as arrived:
        error = refusal(over(port, user="mlops", password="sesame"))
        assert error.again is False
        assert "Not authorized" in error.why
        assert arrived == []


def test_tls_verifies_the_brokers_name(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert(NAME)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    lines = ["allow_anonymous true", f"certfile {tmp_path / 'cert.pem'}", f"keyfile {tmp_path / 'key.pem'}"]
    with mqtt_broker(tmp_path, *lines) as port:
        over(port, named(NAME, ca_file=tmp_path / "ca.pem"), host=NAME, tls=True).send(notice())
        other = named("other.example.com", ca_file=tmp_path / "ca.pem")
        for host, reach in ((NAME, named(NAME)), ("other.example.com", other)):
            error = refusal(over(port, reach, host=host, tls=True))
            assert error.again is False
            assert "certificate" in error.why


def test_address_inside_the_network_is_refused() -> None:
    with raw_server(lambda connection: pytest.fail("connected")) as port:
        error = refusal(over(port, PUBLIC))
    assert error.again is False
    assert "inside" in error.why


@pytest.mark.parametrize("text", [b"", b"\x20\xff\xff\xff\x7f"], ids=["mute", "packet"])
def test_broker_that_dribbles_is_cut_off(text: bytes) -> None:
    with raw_server(dribble(text)) as port:
        assert refusal(over(port, Reach(allowed=HERE, timeout_s=0.5))).again is True


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x20\x02",
        b"\x20\x00",
        b"\xff" * 50,
        b"\x20\x05\x00\x00\x02\xff\xff",
    ],
)
def test_what_speaks_no_mqtt_is_not_delivered(text: bytes) -> None:
    def talk(connection: Any) -> None:
        connection.recv(65536)
        connection.sendall(text)

    with raw_server(talk) as port:
        assert refusal(over(port)).again is True


def test_broker_that_is_busy_may_be_tried_again() -> None:
    def talk(connection: Any) -> None:
        connection.recv(65536)
        connection.sendall(b"\x20\x03\x00\x89\x00")  # CONNACK of MQTT 5: server busy

    with raw_server(talk) as port:
        error = refusal(over(port))
    assert error.again is True
    assert "busy" in error.why


@pytest.mark.parametrize(
    ("code", "again", "words"), [(0x97, True, "Quota exceeded"), (0x9B, False, "QoS not supported")]
)
def test_broker_that_ends_the_session_says_why(code: int, again: bool, words: str) -> None:
    def talk(connection: Any) -> None:
        connection.recv(65536)
        connection.sendall(b"\x20\x03\x00\x00\x00")  # CONNACK: success
        connection.recv(65536)
        connection.sendall(bytes((0xE0, 2, code, 0)))  # DISCONNECT

    with raw_server(talk) as port:
        error = refusal(over(port))
    assert error.again is again
    assert words in error.why


@pytest.mark.parametrize(
    "prefix", ["", "/", "/a", "a/", "a//b", "#", "a/+", "$SYS/a", "a b", "é", "a" * 201, "a\n"]
)
def test_prefix_that_is_none_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        MqttChannel("it", Broker(NAME, 1883, tls=False), prefix=prefix)
    assert caught.value.field == "prefix"


def test_broker_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        Broker("a b", 1883)
    assert caught.value.field == "host"
    with pytest.raises(InvalidInput) as caught:
        Broker(NAME, 1883, password="hidden")
    assert caught.value.field == "user"
    assert "hidden" not in str(caught.value)
