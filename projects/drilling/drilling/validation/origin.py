"""Checks of what the log says of itself: its date, its counters, and what the reader had to repair."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from drilling.setitec import Problem
from drilling.validation.finding import Finding, Severity
from drilling.validation.recording import Recording

UNSET_YEAR = 1971
# Units keep local time: a log of today may be up to a day ahead of this machine.
_AHEAD = timedelta(days=1)
# The box header breaks in every version 4 file. The others have a check of their own.
_SILENT = frozenset({"broken_names", "clock_unset", "rate_unusual"})
_SAMPLES = "Datas"
# Samples were lost where the reader names these; it repairs every other kind, and loses nothing. Genuine
# logs without a header, or of eight columns, lack a date or a column without being damaged.
_LOSSES = frozenset(
    {
        "uneven_row", "cut_off", "not_a_number", "not_finite", "no_decimals", "not_whole", "incomplete_row",
        "mixed_sign", "step_order", "step_glitch",
    }
)  # fmt: skip


def clock(recording: Recording) -> Iterator[Finding]:
    """A clock that was never set, or that is ahead of now."""
    date = recording.log.recorded_at
    if date is None:
        return
    if date.year <= UNSET_YEAR:
        yield Finding(
            "clock_unset",
            Severity.WARNING,
            f"The unit's clock was not set: the log is dated {date:%Y-%m-%d}.",
            "Set the clock; order this hole by its counters.",
        )
    elif date > recording.now + _AHEAD:
        days = (date - recording.now) / timedelta(days=1)
        yield Finding(
            "clock_future",
            Severity.WARNING,
            f"The log is dated {date:%Y-%m-%d %H:%M}, {days:.0f} days from now.",
            "Set the unit's clock; order this hole by its counters.",
            None,
            days,
            _AHEAD / timedelta(days=1),
        )


def file_counters(recording: Recording) -> Iterator[Finding]:
    """The counters of the file's name against the header's."""
    who = recording.identity
    header = (who.global_counter, who.local_counter)
    pairs = zip(("global", "local"), who.file_counters, header, strict=False)
    for name, in_file, in_header in pairs:
        if in_header is None or in_file == in_header:
            continue
        # Counters without a name, and those counted up before or after the log was written, are weak proof.
        weak = abs(in_file - in_header) == 1 or not who.counters_named
        yield Finding(
            "file_counters",
            Severity.INFO if weak else Severity.WARNING,
            f"The file's name has {name} counter {in_file}, the header {in_header}.",
            "Check that the file was not renamed, and that the log is the hole's that it names.",
            None,
            float(in_file),
            float(in_header),
        )


def reader_problems(recording: Recording) -> Iterator[Finding]:
    """What the reader named, one finding a kind."""
    problems = [problem for problem in recording.log.problems if problem.kind not in _SILENT]
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(problem.kind, problem)
    for kind, count in Counter(problem.kind for problem in problems).items():
        lost = kind in _LOSSES and first[kind].section == _SAMPLES
        where = f" in line {first[kind].row}" if first[kind].row is not None else ""
        more = f" (and {count - 1} more)" if count > 1 else ""
        yield Finding(
            f"reader:{kind}",
            Severity.WARNING if lost else Severity.INFO,
            f"The reader noticed {kind.replace('_', ' ')}{where}: {first[kind].detail}{more}.",
            "Fetch the log again from the unit: values were lost."
            if lost
            else "Nothing to do: the log was read in spite of it.",
            None,
            float(count),
            None,
        )


CHECKS = (clock, file_counters, reader_problems)
