"""Every service's log as the same records, and what is wanted of them."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.entities import LogLevel, LogLine
from mlops.errors import InvalidInput
from mlops.logs.files import part
from mlops.logs.query import LogQuery
from mlops.logs.reading import LogFolder
from mlops.logs.text import records

KNOWN = ("gateway", "postgres", "mlflow")
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def ours(message: str, ago_s: float = 0.0, **fields: object) -> str:
    time = (NOW - timedelta(seconds=ago_s)).isoformat()
    return json.dumps({"time": time, "level": "info", "message": message} | fields)


def write(folder: Path, service: str, *lines: str) -> None:
    (folder / f"{service}.log").write_text("".join(f"{line}\n" for line in lines))


def messages(folder: Path, count: int = 100, **wanted: str) -> list[str]:
    return [line.message for line in LogFolder(folder).newest(LogQuery.of(KNOWN, **wanted), count)]


# -- text of other programs ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "level", "message"),
    [
        ("2026-11-27 11:00:00.123 UTC [77] LOG:  checkpoint starting", "info", "checkpoint starting"),
        ("2026-11-27 11:00:00.123 UTC [77] FATAL:  no such role", "error", "no such role"),
        ("2026-11-27 11:00:00.123 UTC [77] PANIC:  no room", "critical", "no room"),
        (
            "2026/11/27 11:00:00 INFO:     Application startup complete.",
            "info",
            "Application startup complete.",
        ),
        (
            "2026-11-27 11:00:00,123\tSUCC scripts.py:9 -- \x1b[32mRay runtime started.\x1b[39m",
            "info",
            "Ray runtime started.",
        ),
        ("2026/11/27 11:00:00 WARNING mlflow.store: slow query", "warning", "slow query"),
        ("2026-11-27 11:00:00,123\tINFO worker.py:1 -- Connected", "info", "Connected"),
        ("INFO:     Started server process", "info", "Started server process"),
        ("[2026-11-27 11:00:00,123 E 5 9] (raylet) a.cc:3: lost", "error", "lost"),
        ("something with a ValueError in it", "error", "something with a ValueError in it"),
        ("DeprecationWarning: old", "warning", "DeprecationWarning: old"),
        ("plain words", "info", "plain words"),
    ],
)
def test_lines_of_other_programs_are_understood(text: str, level: str, message: str) -> None:
    (found,) = records("postgres", [text], NOW)
    assert (found.level.value, found.message) == (level, message)
    if "11:00:00" in text and "UTC" in text:
        assert found.time.replace(microsecond=0) == datetime(2026, 11, 27, 11, tzinfo=UTC)


def test_a_traceback_stays_with_its_line() -> None:
    text = [
        "2026-11-27 11:00:00 ERROR mlflow: failed",
        "Traceback (most recent call last):",
        '  File "x", line 1',
        "ValueError: no",
        "2026-11-27 11:00:01 INFO mlflow: on",
    ]
    first, second = records("mlflow", text, NOW)
    assert first.error.endswith("ValueError: no")
    assert second.message == "on"


def test_postgres_details_stay_with_their_line() -> None:
    text = [
        "2026-11-27 11:00:00.1 UTC [7] ERROR:  duplicate key",
        "2026-11-27 11:00:00.1 UTC [7] DETAIL:  Key exists.",
    ]
    (found,) = records("postgres", text, NOW)
    assert found.error == "DETAIL:  Key exists."
    assert "Key exists." in found.error


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=60), max_size=8
    )
)
def test_no_text_breaks_the_reader(lines: list[str]) -> None:
    found = list(records("mlflow", lines, NOW))
    assert len(found) <= len(lines)
    assert all(isinstance(each, LogLine) for each in found)


# -- what is wanted -----------------------------------------------------------------------------


def test_services_are_merged_by_time(tmp_path: Path) -> None:
    write(tmp_path, "gateway", ours("a", 30), ours("c", 10))
    write(
        tmp_path, "postgres", "2026-11-27 11:59:40.000 UTC [7] LOG:  b", "2026-11-27 11:59:59 UTC [7] LOG:  d"
    )
    assert messages(tmp_path) == ["a", "b", "c", "d"]
    assert messages(tmp_path, 2) == ["c", "d"]
    assert messages(tmp_path, 0) == []
    assert messages(tmp_path, service="gateway") == ["a", "c"]
    assert messages(tmp_path / "nowhere") == []


def test_by_project_level_time_text_and_request(tmp_path: Path) -> None:
    write(
        tmp_path, "gateway",
        ours("old", 7200, project="alpha"),
        ours("failed at last", 60, project="alpha", level="error", request_id="r-1", event="request.failed"),
        ours("fine", 30, project="beta", fields={"model": "Depth"}),
        ours("worse", 10, level="critical", error="ValueError: nothing"),
    )  # fmt: skip
    assert messages(tmp_path, project="alpha") == ["old", "failed at last"]
    assert messages(tmp_path, level="ERROR") == ["failed at last", "worse"]
    since = (NOW - timedelta(hours=1)).isoformat()
    assert messages(tmp_path, since=since) == ["failed at last", "fine", "worse"]
    assert messages(tmp_path, until=since) == ["old"]
    assert messages(tmp_path, text="AT failed") == ["failed at last"]
    assert messages(tmp_path, text="depth") == ["fine"]
    assert messages(tmp_path, text="valueerror") == ["worse"]
    assert messages(tmp_path, request_id="r-1") == ["failed at last"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("service", "nothing"),
        ("level", "loud"),
        ("since", "yesterday"),
        ("until", "1 year"),
        ("since", "-1h"),
    ],
)
def test_what_cannot_be_wanted_is_named(field: str, value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        LogQuery.of(KNOWN, **{field: value})
    assert caught.value.fields["field"] == field
    assert value in caught.value.message
    assert caught.value.remedy


def test_ages_and_times_are_moments() -> None:
    query = LogQuery.of(KNOWN, since="90min", until="2026-11-27T11:00:00+01:00", level="warning")
    assert query.since is not None
    assert abs((datetime.now(UTC) - query.since).total_seconds() - 5400) < 5
    assert query.until == datetime(2026, 11, 27, 10, tzinfo=UTC)
    assert query.level is LogLevel.WARNING


# -- files --------------------------------------------------------------------------------------


def test_earlier_parts_are_read_and_no_further_than_needed(tmp_path: Path) -> None:
    write(tmp_path, "gateway", ours("new", 1))
    part(tmp_path / "gateway.log", 1).write_text(ours("older", 10) + "\n")
    part(tmp_path / "gateway.log", 2).write_bytes(
        b"\xff\xfe not text\n" + ours("oldest", 20).encode() + b"\n"
    )
    assert messages(tmp_path)[-3:] == ["oldest", "older", "new"]
    assert messages(tmp_path, 1) == ["new"]


def test_a_large_file_is_read_from_its_end(tmp_path: Path) -> None:
    with (tmp_path / "gateway.log").open("w") as file:
        for number in range(20_000):
            file.write(ours(f"line {number} {'x' * 100}", 20_000 - number) + "\n")
    query = LogQuery.of(KNOWN)
    found = LogFolder(tmp_path).newest(query, 3, most_bytes=100_000)
    assert [each.message.split()[1] for each in found] == ["19997", "19998", "19999"]
    bounded = LogFolder(tmp_path).newest(query, 1_000_000, most_bytes=100_000)
    assert 100 < len(bounded) < 1000


def test_new_lines_are_followed_through_a_turn(tmp_path: Path) -> None:
    write(tmp_path, "gateway", ours("before"))
    path = tmp_path / "gateway.log"
    found: list[str] = []
    done = threading.Event()

    def follow() -> None:
        with closing(LogFolder(tmp_path).follow(LogQuery.of(KNOWN, text="new"), poll_s=0.02)) as lines:
            for line in lines:
                found.append(line.message)
                if len(found) == 4:
                    break
        done.set()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    threading.Event().wait(0.3)
    with path.open("a") as file:
        file.write(ours("new 1") + "\n" + ours("other") + "\n" + ours("new 2") + "\n")
    threading.Event().wait(0.2)
    path.replace(part(path, 1))
    write(tmp_path, "gateway", ours("new 3"))
    threading.Event().wait(0.2)
    with path.open("a") as file:
        file.write(ours("new 4")[:20])
        file.flush()
        file.write(ours("new 4")[20:] + "\n")
    assert done.wait(10)
    assert found == ["new 1", "new 2", "new 3", "new 4"]


def test_the_end_for_people(tmp_path: Path) -> None:
    write(tmp_path, "mlflow", "starting", "2026-11-27 11:00:00 ERROR x: failed", "  because", "")
    folder = LogFolder(tmp_path)
    assert folder.tail("mlflow", 2) == ["failed", "  because"]
    assert folder.last_line("mlflow") == "because"
    assert folder.last_line("gateway") == "no output"
