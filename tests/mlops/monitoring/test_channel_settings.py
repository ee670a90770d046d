"""Channels out of tables of settings."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mlops.errors import ConfigError, InvalidName, NotFound
from mlops.monitoring.channels.email import EmailChannel
from mlops.monitoring.channels.log import LogChannel
from mlops.monitoring.channels.mqtt import MqttChannel
from mlops.monitoring.channels.reach import Reach
from mlops.monitoring.channels.settings import build_channel, check_channel
from mlops.monitoring.channels.webhook import WebhookChannel
from tests.channels import LOCAL, mail_server, notice, web_server

SECRETS = {
    "hook": "sesame",
    "address": "https://hooks.example.com/T0/hidden",
    "mail": "hidden",
    "lines": "a\nb",
}
WEBHOOK = {"kind": "webhook", "url": "https://hooks.example.com/x"}
EMAIL = {"kind": "email", "host": "mail.example.com", "sender": "a@example.com", "to": ["b@example.com"]}
MQTT = {"kind": "mqtt", "host": "broker.example.com"}


def secret_of(name: str) -> str:
    if name not in SECRETS:
        raise NotFound(f"there is no secret {name!r}", remedy="Set it.")
    return SECRETS[name]


def build(table: object, reach: Reach = LOCAL, name: str = "it") -> Any:
    return build_channel(name, table, secret_of=secret_of, reach=reach)


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (WEBHOOK, WebhookChannel),
        ({**WEBHOOK, "secret": "hook"}, WebhookChannel),
        ({"kind": "webhook", "url_secret": "address"}, WebhookChannel),
        (EMAIL, EmailChannel),
        ({**EMAIL, "to": "b@example.com", "security": "plain", "port": 2525}, EmailChannel),
        ({**EMAIL, "user": "mlops", "secret": "mail", "security": "tls"}, EmailChannel),
        (MQTT, MqttChannel),
        ({**MQTT, "tls": False, "protocol": "3.1.1", "prefix": "plant/alerts"}, MqttChannel),
        ({**MQTT, "user": "mlops", "secret": "mail", "port": 8884}, MqttChannel),
        ({"kind": "log"}, LogChannel),
    ],
)
def test_table_makes_its_channel(table: dict[str, Any], kind: type) -> None:
    channel = build(table)
    assert type(channel) is kind
    assert channel.name == "it"
    check_channel("it", table)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({}, "kind"),
        ({"kind": 7}, "kind"),
        ({"kind": "pigeon"}, "kind"),
        ({"kind": "log", "level": "INFO"}, "level"),
        ({"kind": "webhook"}, "url"),
        ({**WEBHOOK, "url": ""}, "url"),
        ({**WEBHOOK, "url": "ftp://example.com"}, "url"),
        ({**WEBHOOK, "url": ["https://example.com"]}, "url"),
        ({**WEBHOOK, "url_secret": "address"}, "url"),
        ({**WEBHOOK, "secret_file": "/etc/shadow"}, "secret_file"),
        ({**WEBHOOK, "allowed": ["127.0.0.0/8"]}, "allowed"),
        ({**WEBHOOK, "secret": "../../etc/shadow"}, "secret"),
        ({**WEBHOOK, "secret": "/etc/shadow"}, "secret"),
        ({**WEBHOOK, "secret": "My hidden Secret!"}, "secret"),
        ({**WEBHOOK, "secret": ""}, "secret"),
        ({**WEBHOOK, "secret": 7}, "secret"),
        ({**WEBHOOK, "secret": "lines"}, "secret"),
        ({**EMAIL, "host": ""}, "host"),
        ({**EMAIL, "host": "a b"}, "host"),
        ({key: value for key, value in EMAIL.items() if key != "host"}, "host"),
        ({key: value for key, value in EMAIL.items() if key != "sender"}, "sender"),
        ({key: value for key, value in EMAIL.items() if key != "to"}, "to"),
        ({**EMAIL, "to": []}, "to"),
        ({**EMAIL, "to": [7]}, "to"),
        ({**EMAIL, "to": ["team"]}, "to"),
        ({**EMAIL, "security": "ssl"}, "security"),
        ({**EMAIL, "port": "25"}, "port"),
        ({**EMAIL, "port": True}, "port"),
        ({**EMAIL, "port": 0}, "port"),
        ({**EMAIL, "port": 65536}, "port"),
        ({**EMAIL, "user": "mlops"}, "user"),
        ({**EMAIL, "secret": "mail"}, "user"),
        ({**EMAIL, "password": "hidden"}, "password"),
        ({**EMAIL, "password_file": "/etc/shadow"}, "password_file"),
        ({"kind": "mqtt"}, "host"),
        ({**MQTT, "tls": "yes"}, "tls"),
        ({**MQTT, "protocol": "4"}, "protocol"),
        ({**MQTT, "protocol": 5}, "protocol"),
        ({**MQTT, "prefix": "#"}, "prefix"),
        ({**MQTT, "secret": "mail"}, "user"),
    ],
)
def test_what_cannot_be_taken_is_named(table: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(table)
    error = caught.value
    assert error.field == f"alerts.channels.it.{key}"
    assert error.message.startswith(f"[alerts.channels.it] {key}=")
    assert error.remedy
    assert "hidden" not in str(error)
    if table.get("secret") != "lines":
        with pytest.raises(ConfigError):
            check_channel("it", table)


@pytest.mark.parametrize("table", [None, "log", ["log"], 7])
def test_what_is_no_table_is_refused(table: object) -> None:
    with pytest.raises(ConfigError, match="must be a table") as caught:
        build(table)
    assert caught.value.field == "alerts.channels.it"


@pytest.mark.parametrize("name", ["", "It", "a b", "-a", "a-", "../a", "a.b", "x" * 41, 7, None])
def test_name_that_is_not_safe_is_refused(name: Any) -> None:
    with pytest.raises(InvalidName):
        build({"kind": "log"}, name=name)


def test_secret_that_is_not_there_is_told_by_who_looked_it_up() -> None:
    with pytest.raises(NotFound, match="nothing-here"):
        build({**WEBHOOK, "secret": "nothing-here"})


def test_certificate_file_is_the_administrators(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build(WEBHOOK, Reach(ca_file=tmp_path / "missing.pem"))
    assert caught.value.fields == {"ca_file": str(tmp_path / "missing.pem")}


def test_built_channels_deliver() -> None:
    with web_server() as hook, mail_server() as (port, box):
        text = f"""
            [alerts.channels.chat]
            kind = "webhook"
            url = "{hook.url}"
            secret = "hook"

            [alerts.channels.post]
            kind = "email"
            host = "127.0.0.1"
            port = {port}
            security = "plain"
            sender = "mlops@example.com"
            to = "team@example.com"
        """
        for name, table in tomllib.loads(text)["alerts"]["channels"].items():
            build(table, name=name).send(notice())
        assert "X-MLOps-Signature" in hook.posts[0][1]
        assert len(box.envelopes) == 1


@pytest.mark.parametrize("module", ["base", "settings"])
def test_adapters_are_imported_when_they_are_used(module: str) -> None:
    code = f"import mlops.monitoring.channels.{module}, json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"smtplib", "paho", "mlops.monitoring.channels.webhook"}.isdisjoint(json.loads(done.stdout))
