"""A notice in words and as JSON: bounded, and without characters that could act on what shows them."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

from mlops.monitoring.channels.base import Notice

MESSAGE_CHARS = 2000
NAME_CHARS = 200
_URL_CHARS = 500

# Control characters, halves of surrogate pairs, and the separators that some take for a line's end.
_ACTING = frozenset({"Cc", "Cs", "Zl", "Zp"})
# These turn the direction of the text around them: what is shown is then not what is written.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def cleaned(text: str, most: int) -> str:
    """`text` in one line of at most `most` characters; one that was longer ends with `…`."""
    kept = "".join(
        " " if unicodedata.category(each) in _ACTING or each in _TURNING else each
        for each in text[: most + 1]
    )
    return kept if len(kept) <= most else kept[: most - 1] + "…"


def owner(notice: Notice) -> str:
    """Whose alert it is: the project's name, or `platform`."""
    return cleaned(notice.alert.project, NAME_CHARS).strip() or "platform"


def title(notice: Notice) -> str:
    """One short line, such as `[critical] digits: error-rate fired (net)`."""
    alert = notice.alert
    subject = f" ({cleaned(alert.subject, NAME_CHARS)})" if alert.subject else ""
    event = "is tested" if notice.event == "test" else notice.event
    return f"[{alert.severity}] {owner(notice)}: {cleaned(alert.rule, NAME_CHARS)} {event}{subject}"


def plain_text(notice: Notice) -> str:
    """Some lines for people, each with its label."""
    alert = notice.alert
    rows = {
        "Project": owner(notice),
        "Rule": cleaned(alert.rule, NAME_CHARS),
        "Event": str(notice.event),
        "Severity": str(alert.severity),
        "Subject": cleaned(alert.subject, NAME_CHARS),
        "Value": "" if alert.value is None else f"{alert.value:g}",
        "Threshold": "" if alert.threshold is None else f"{alert.threshold:g}",
        "Began": alert.began_at.isoformat(timespec="seconds"),
        "Ended": "" if alert.ended_at is None else alert.ended_at.isoformat(timespec="seconds"),
        "Notice": notice.id,
        "Page": cleaned(notice.url, _URL_CHARS),
    }
    labelled = "".join(f"{label}: {text}\n" for label, text in rows.items() if text)
    return f"{cleaned(alert.message, MESSAGE_CHARS)}\n\n{labelled}"


def document(notice: Notice) -> dict[str, Any]:
    """What programs read: JSON types alone; times in ISO 8601; a number that JSON cannot hold is null."""
    alert = notice.alert
    return {
        "id": notice.id,
        "event": str(notice.event),
        "at": notice.at.isoformat(),
        "url": cleaned(notice.url, _URL_CHARS),
        "alert": {
            "id": alert.id,
            "rule": cleaned(alert.rule, NAME_CHARS),
            "kind": cleaned(alert.kind, NAME_CHARS),
            "project": cleaned(alert.project, NAME_CHARS),
            "subject": cleaned(alert.subject, NAME_CHARS),
            "severity": str(alert.severity),
            "state": str(alert.state),
            "message": cleaned(alert.message, MESSAGE_CHARS),
            "began_at": alert.began_at.isoformat(),
            "ended_at": None if alert.ended_at is None else alert.ended_at.isoformat(),
            "value": _finite(alert.value),
            "threshold": _finite(alert.threshold),
            "acknowledged_by": cleaned(alert.acknowledged_by, NAME_CHARS),
        },
    }


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else number
