"""Notices and their words."""

from __future__ import annotations

import email
import email.policy
import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import InvalidInput
from mlops.monitoring.channels.base import Notice, NoticeEvent
from mlops.monitoring.channels.email import EmailChannel, MailServer
from mlops.monitoring.channels.mqtt import Broker, MqttChannel
from mlops.monitoring.channels.webhook import payload
from mlops.monitoring.channels.wording import cleaned, document, plain_text, title
from tests.channels import AT, alert, notice

LABELS = ["Project", "Rule", "Event", "Severity", "Subject", "Value", "Threshold", "Began", "Notice", "Page"]
HEADERS = ["Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted"]
HEADERS += ["Content-Type", "Content-Transfer-Encoding", "MIME-Version"]


@pytest.mark.parametrize("bad", ["", "a b", "a\r\nX: y", "a/b", "a.b", "<x>", "é", "x" * 101])
def test_id_that_a_header_could_not_hold_is_refused(bad: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        notice(bad)
    assert caught.value.field == "notice.id"
    assert caught.value.remedy


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        Notice("n", NoticeEvent.FIRED, datetime(2026, 1, 1), alert())
    assert caught.value.field == "notice.at"


@pytest.mark.parametrize(
    ("text", "most", "found"),
    [
        ("plain", 5, "plain"),
        ("plainer", 5, "plai…"),
        ("a\r\nb\tc\0d\x1be", 50, "a  b c d e"),
        ("a\u2028b\u2029c\x85d\u202ee\u2066f", 50, "a b c d e f"),
        ("a\ud800b", 50, "a b"),
        ("👩‍🔧 grüßt 日本", 50, "👩‍🔧 grüßt 日本"),
        ("", 5, ""),
    ],
)
def test_text_is_one_line_and_bounded(text: str, most: int, found: str) -> None:
    assert cleaned(text, most) == found


ANY = st.text(st.characters(exclude_categories=()), max_size=300)  # halves of pairs and controls too


@given(message=ANY, project=ANY, rule=ANY, subject=ANY)
def test_no_text_breaks_out_of_its_place(message: str, project: str, rule: str, subject: str) -> None:
    told = notice(message=message, project=project, rule=rule, subject=subject)
    assert len(title(told).splitlines()) == 1
    there = {**dict.fromkeys(LABELS, "x"), "Rule": rule, "Subject": subject}
    rows = plain_text(told).split("\n\n", 1)[1].splitlines()
    assert [row.partition(":")[0] for row in rows] == [label for label in LABELS if there[label]]
    json.dumps(payload(told), ensure_ascii=False).encode()
    channel = EmailChannel("it", MailServer("a", 25, "plain"), sender="a@b.c", to=["d@e.f"])
    read = email.message_from_bytes(channel.message(told).as_bytes(), policy=email.policy.default)
    assert list(read.keys()) == HEADERS
    assert MqttChannel("it", Broker("a", 1883, tls=False), prefix="x").topic(told).count("/") == 2


def test_title_of_a_try_and_of_the_platform() -> None:
    told = notice(event=NoticeEvent.TEST, project="", subject="")
    assert title(told) == "[critical] platform: error-rate is tested"


def test_what_is_over_says_since_when() -> None:
    told = notice(event=NoticeEvent.RESOLVED, ended_at=AT, value=None, acknowledged_by="ada")
    assert "Ended: 2026-11-27T17:40:00+00:00\n" in plain_text(told)
    assert "Value" not in plain_text(told)
    assert document(told)["alert"]["ended_at"] == "2026-11-27T17:40:00+00:00"
    assert document(told)["alert"]["acknowledged_by"] == "ada"
