"""Alerts in the log."""

from __future__ import annotations

import json

import pytest

from mlops.entities import Severity
from mlops.logs.formatter import JsonLines
from mlops.logs.redaction import Redactor
from mlops.monitoring.channels.base import NoticeEvent
from mlops.monitoring.channels.log import LOGGER, LogChannel
from mlops.monitoring.channels.wording import document
from tests.channels import HOSTILE, notice


@pytest.mark.parametrize(
    ("severity", "event", "level"),
    [
        (Severity.INFO, NoticeEvent.FIRED, "INFO"),
        (Severity.WARNING, NoticeEvent.FIRED, "WARNING"),
        (Severity.CRITICAL, NoticeEvent.FIRED, "ERROR"),
        (Severity.CRITICAL, NoticeEvent.RESOLVED, "INFO"),
        (Severity.CRITICAL, NoticeEvent.TEST, "INFO"),
    ],
)
def test_level_is_the_severity_of_what_fired(
    caplog: pytest.LogCaptureFixture, severity: Severity, event: NoticeEvent, level: str
) -> None:
    caplog.set_level("INFO", LOGGER)
    told = notice(event=event, severity=severity)
    LogChannel("it").send(told)
    (record,) = caplog.records
    assert record.levelname == level
    line = json.loads(JsonLines("worker", Redactor()).format(record))
    assert (line["event"], line["project"]) == (f"alert.{event}", told.alert.project)
    assert line["fields"] == {"channel": "it", "notice": document(told)}


def test_a_hostile_text_is_one_line_of_ascii(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", LOGGER)
    LogChannel("it").send(notice(message=HOSTILE, project=HOSTILE))
    line = JsonLines("worker", Redactor()).format(caplog.records[0])
    assert line.isascii()
    assert line.isprintable()
