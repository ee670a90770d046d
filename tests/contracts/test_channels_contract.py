"""What every alert channel promises, run over each of them with a real receiver."""

from __future__ import annotations

import email
import email.policy
import json
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops.entities import AlertState, Severity
from mlops.errors import NotDelivered
from mlops.logs.formatter import JsonLines
from mlops.logs.redaction import Redactor
from mlops.monitoring.channels.base import Channel, NoticeEvent
from mlops.monitoring.channels.email import EmailChannel, MailServer
from mlops.monitoring.channels.log import LOGGER, LogChannel
from mlops.monitoring.channels.memory import MemoryChannel
from mlops.monitoring.channels.mqtt import Broker, MqttChannel
from mlops.monitoring.channels.webhook import WebhookChannel
from tests.channels import (
    HOSTILE,
    LOCAL,
    Mailbox,
    eventually,
    mail_server,
    mqtt_broker,
    notice,
    silent_port,
    subscriber,
    web_server,
)

KINDS = ["webhook", "email", "mqtt", "log", "memory"]
FAILING = [kind for kind in KINDS if kind != "log"]  # a line of a log has nobody to reach

Seen = dict[str, str]


@dataclass
class Ends:
    """A channel and what its receiver got; channels of the same kind that cannot deliver."""

    channel: Channel
    seen: Callable[[int], list[Seen]]
    """So many notices, waited for: id, event, project, rule, severity, message, and the size in `bytes`."""
    unreachable: Channel | None = None
    refused: Channel | None = None


@pytest.fixture
def ends(request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Ends]:
    with ExitStack() as stack:
        if request.param == "webhook":
            yield _webhook(stack)
        elif request.param == "email":
            yield _email(stack)
        elif request.param == "mqtt":
            yield _mqtt(stack, tmp_path)
        elif request.param == "log":
            caplog.set_level("INFO", LOGGER)
            line = JsonLines("worker", Redactor())
            yield Ends(LogChannel("it"), lambda _: [_logged(line.format(each)) for each in caplog.records])
        else:
            yield _memory()


def _read(text: str | bytes) -> Seen:
    found = json.loads(text)
    told = {key: found["alert"][key] for key in ("project", "rule", "severity", "message")}
    return {"id": found["id"], "event": found["event"], **told, "bytes": str(len(text))}


def _logged(line: str) -> Seen:
    return {**_read(json.dumps(json.loads(line)["fields"]["notice"])), "bytes": str(len(line))}


def _webhook(stack: ExitStack) -> Ends:
    hook, refusing = stack.enter_context(web_server()), stack.enter_context(web_server())
    refusing.status = 404
    closed = stack.enter_context(silent_port())
    return Ends(
        WebhookChannel("it", hook.url, reach=LOCAL),
        lambda _: [_read(body) for _, _, body in hook.posts],
        WebhookChannel("it", f"http://127.0.0.1:{closed}/", reach=LOCAL),
        WebhookChannel("it", refusing.url, reach=LOCAL),
    )


def _email(stack: ExitStack) -> Ends:
    port, box = stack.enter_context(mail_server())
    box.refuse["nobody@example.com"] = "550 no such user"

    def channel(port: int, to: str) -> EmailChannel:
        server = MailServer("127.0.0.1", port, "plain")
        return EmailChannel("it", server, sender="mlops@example.com", to=[to], reach=LOCAL)

    return Ends(
        channel(port, "team@example.com"),
        lambda _: _mails(box),
        channel(stack.enter_context(silent_port()), "team@example.com"),
        channel(port, "nobody@example.com"),
    )


def _mails(box: Mailbox) -> list[Seen]:
    found = []
    for envelope in box.envelopes:
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        message, _, labelled = mail.get_content().replace("\r\n", "\n").partition("\n\n")
        rows = dict(line.partition(": ")[::2] for line in labelled.splitlines())
        told = {key.lower(): rows[key] for key in ("Event", "Project", "Rule", "Severity")}
        size = str(len(envelope.content))
        found.append({"id": rows["Notice"], **told, "message": message, "bytes": size})
    return found


def _mqtt(stack: ExitStack, folder: Path) -> Ends:
    (folder / "closed").mkdir()
    port = stack.enter_context(mqtt_broker(folder))
    arrived = stack.enter_context(subscriber(port))
    demanding = stack.enter_context(mqtt_broker(folder / "closed", "allow_anonymous false"))

    def channel(port: int) -> MqttChannel:
        return MqttChannel("it", Broker("127.0.0.1", port, tls=False), prefix="alerts", reach=LOCAL)

    def seen(count: int) -> list[Seen]:
        eventually(lambda: len(arrived) >= count)
        return [_read(each.payload) for each in arrived]

    return Ends(channel(port), seen, channel(stack.enter_context(silent_port())), channel(demanding))


def _memory() -> Ends:
    channel, unreachable, refused = MemoryChannel("it"), MemoryChannel("it"), MemoryChannel("it")
    unreachable.fails = NotDelivered("it", "no connection", again=True)
    refused.fails = NotDelivered("it", "it says no", again=False)
    return Ends(
        channel, lambda _: [_read(json.dumps(each)) for each in channel.documents], unreachable, refused
    )


@pytest.mark.parametrize("ends", KINDS, indirect=True)
def test_fired_and_resolved_arrive_with_what_identifies_them(ends: Ends) -> None:
    ends.channel.send(notice("7-fired"))
    ends.channel.send(
        notice("7-resolved", NoticeEvent.RESOLVED, state=AlertState.RESOLVED, severity=Severity.WARNING)
    )
    seen = ends.seen(2)
    assert [each["id"] for each in seen] == ["7-fired", "7-resolved"]
    assert [each["event"] for each in seen] == ["fired", "resolved"]
    assert [each["severity"] for each in seen] == ["critical", "warning"]
    for each in seen:
        assert (each["project"], each["rule"]) == ("digits", "error-rate")
        assert each["message"] == "9 of 10 requests failed"


@pytest.mark.parametrize("ends", KINDS, indirect=True)
def test_a_try_is_told_as_one(ends: Ends) -> None:
    ends.channel.send(notice("try", NoticeEvent.TEST))
    assert [each["event"] for each in ends.seen(1)] == ["test"]


@pytest.mark.parametrize("ends", KINDS, indirect=True)
def test_sent_again_it_carries_the_same_id(ends: Ends) -> None:
    ends.channel.send(notice("same"))
    ends.channel.send(notice("same"))
    assert [each["id"] for each in ends.seen(2)] == ["same", "same"]


@pytest.mark.parametrize("ends", KINDS, indirect=True)
def test_hostile_texts_arrive_bounded_and_in_one_line(ends: Ends) -> None:
    ends.channel.send(notice("n", project=HOSTILE, rule=HOSTILE, subject=HOSTILE, message=HOSTILE))
    (seen,) = ends.seen(1)
    assert seen["id"] == "n"
    assert seen["severity"] == "critical"
    assert "😀" in seen["message"]
    assert int(seen["bytes"]) < 30_000
    for text, most in ((seen["message"], 2000), (seen["project"], 200), (seen["rule"], 200)):
        assert len(text) <= most
        assert {unicodedata.category(each) for each in text}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
        assert "\u202e" not in text


@pytest.mark.parametrize("ends", KINDS, indirect=True)
def test_many_threads_send_at_once(ends: Ends) -> None:
    ids = [f"n-{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ends.channel.send, map(notice, ids)))
    assert sorted(each["id"] for each in ends.seen(len(ids))) == sorted(ids)


@pytest.mark.parametrize("ends", KINDS, indirect=True)
def test_its_name_is_that_of_its_table(ends: Ends) -> None:
    assert ends.channel.name == "it"


@pytest.mark.parametrize("ends", FAILING, indirect=True)
def test_nobody_there_is_not_delivered_and_may_be_tried_again(ends: Ends) -> None:
    assert ends.unreachable is not None
    with pytest.raises(NotDelivered) as caught:
        ends.unreachable.send(notice())
    assert caught.value.again is True
    assert caught.value.channel == "it"


@pytest.mark.parametrize("ends", FAILING, indirect=True)
def test_a_refusal_is_not_delivered_and_not_worth_another_try(ends: Ends) -> None:
    assert ends.refused is not None
    with pytest.raises(NotDelivered) as caught:
        ends.refused.send(notice())
    assert caught.value.again is False
    assert caught.value.channel == "it"


@pytest.mark.parametrize("ends", KINDS, indirect=True)
def test_an_alert_without_a_project_is_the_platforms(ends: Ends) -> None:
    ends.channel.send(notice(project=""))
    assert ends.seen(1)[0]["project"] in ("", "platform")
