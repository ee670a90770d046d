"""The date of a log, in the forms that units and their users write."""

from datetime import datetime

from drilling.setitec import names
from drilling.setitec.problem import Problem

_OTHER_FORMS = ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y:%H:%M:%S", "%d/%m/%Y")


def read_date(text: str, problems: list[Problem]) -> datetime | None:
    """The unit's local time, without a zone; None, and a Problem, where the text is no date.

    Units write `YYYY-MM-DD:HH:MM:SS`. A zone (`...T...Z`) is dropped, since no other log has one.
    """
    date, usual = _parsed(text)
    if date is None:
        problems.append(Problem("date_unknown", names.GENERAL, None, f"date {text!r}"))
        return None
    if not usual:
        problems.append(Problem("date_form", names.GENERAL, None, f"{text!r} read as {date.isoformat(' ')}"))
    if date.year <= 1970:
        problems.append(Problem("clock_unset", names.GENERAL, None, f"date {text}"))
    return date


def _parsed(text: str) -> tuple[datetime | None, bool]:
    """A date, and whether it has the usual form."""
    usual = len(text) == 19 and text[10] == ":"
    try:
        date = datetime.fromisoformat(f"{text[:10]} {text[11:]}" if usual else text)
    except ValueError:
        return _in_other_form(text), False
    return date.replace(tzinfo=None), usual


def _in_other_form(text: str) -> datetime | None:
    for form in _OTHER_FORMS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    return None
