"""Lines of ours: their form, what is left out of them, and the files they go to."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.logs.context import PROJECT, REQUEST_ID
from mlops.logs.files import KEPT_PARTS, LogFile, LogFileHandler, part
from mlops.logs.formatter import JsonLines
from mlops.logs.redaction import HIDDEN, Redactor


def line(
    message: str, *arguments: object, redactor: Redactor | None = None, **extra: object
) -> dict[str, object]:
    record = logging.LogRecord("mlops.test", logging.WARNING, "f.py", 1, message, arguments, None)
    record.__dict__.update(extra)
    told: dict[str, object] = json.loads(JsonLines("gateway", redactor or Redactor()).format(record))
    return told


# -- the line -----------------------------------------------------------------------------------


def test_a_line_has_what_is_looked_for() -> None:
    told = line("%s of %s", 1, "two", event="request.failed", status=503, project="alpha", request_id="r-1")
    assert datetime.fromisoformat(str(told.pop("time"))).tzinfo is not None
    assert told == {
        "service": "gateway", "level": "warning", "project": "alpha", "request_id": "r-1",
        "event": "request.failed", "message": "1 of two", "logger": "mlops.test", "fields": {"status": 503},
    }  # fmt: skip


def test_what_a_library_hangs_on_every_record_is_not_told() -> None:
    told = line("x", _ray_timestamp_ns=1795827663100795215, status=200)
    assert told["fields"] == {"status": 200}


def test_project_and_request_are_the_contexts() -> None:
    project, request = PROJECT.set("alpha"), REQUEST_ID.set("r-2")
    told = line("x")
    PROJECT.reset(project)
    REQUEST_ID.reset(request)
    assert (told["project"], told["request_id"]) == ("alpha", "r-2")
    assert (line("x")["project"], line("x")["request_id"]) == ("", "")


def test_a_traceback_is_part_of_its_line() -> None:
    try:
        raise ValueError("no\nnumber")
    except ValueError as error:
        record = logging.LogRecord(
            "mlops.test", logging.ERROR, "f.py", 1, "failed", (), (ValueError, error, error.__traceback__)
        )
    text = JsonLines("worker", Redactor()).format(record)
    assert "\n" not in text
    assert "ValueError: no\nnumber" in json.loads(text)["error"]


@settings(max_examples=200, deadline=None)
@given(st.text(), st.recursive(st.none() | st.floats() | st.text() | st.integers(), lambda of: st.lists(of)))
def test_whatever_is_said_is_one_line_of_json(message: str, value: object) -> None:
    record = logging.LogRecord("mlops", logging.INFO, "f.py", 1, "%s", (message,), None)
    record.__dict__["value"] = value
    text = JsonLines("gateway", Redactor()).format(record)
    assert "\n" not in text
    assert json.loads(text)["level"] == "info"


# -- secrets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Authorization: Bearer abcdef123456", "Authorization: "),
        ("postgresql://mlops:pa55word!@db:5432/x", "@db:5432/x"),
        ("http://hook.example/?token=abcdef123456&a=1", "&a=1"),
        ('{"password": "hunter2-hunter2"}', '"password"'),
        ("api_key='0123456789abcdef'", "api_key"),
    ],
)
def test_credentials_are_known_by_their_form(said: str, kept: str) -> None:
    cleaned = Redactor().clean(said)
    assert HIDDEN in cleaned
    assert kept in cleaned
    for secret in ("abcdef123456", "pa55word", "hunter2", "0123456789abcdef"):
        assert secret not in cleaned


def test_the_installations_secrets_are_left_out_also_those_of_later(tmp_path: Path) -> None:
    (tmp_path / "admin_token").write_text("s3cret/of+admin==\n")
    redactor = Redactor(tmp_path, ["of-a-setting"])
    assert redactor.clean("x s3cret/of+admin== y of-a-setting") == f"x {HIDDEN} y {HIDDEN}"
    assert "of%2Badmin" not in redactor.clean("/login?t=s3cret%2Fof%2Badmin%3D%3D")
    (tmp_path / "second").write_text("another-secret")
    os.utime(tmp_path, (1, 2_000_000_000))
    told = line(
        "here: %s", "another-secret", redactor=redactor, error="another-secret", why={"a": ["another-secret"]}
    )
    assert "another-secret" not in json.dumps(told)
    assert Redactor(tmp_path / "nowhere").clean("as it is") == "as it is"


# -- files --------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.log"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.Logger("of a test")
    yield made
    for handler in made.handlers:
        handler.close()


def handler(path: Path, keep_bytes: int) -> LogFileHandler:
    made = LogFileHandler(path, streams=(), keep_bytes=keep_bytes)
    made.setFormatter(JsonLines("gateway", Redactor()))
    return made


def written(path: Path) -> list[dict[str, object]]:
    found = []
    for number in range(KEPT_PARTS, -1, -1):
        each = part(path, number) if number else path
        if each.exists():
            found += [json.loads(text) for text in each.read_text().splitlines()]
    return found


def test_a_file_is_turned_over_and_nothing_is_lost_by_it(path: Path, logger: logging.Logger) -> None:
    logger.addHandler(handler(path, 4000))
    for number in range(60):
        logger.warning("line %s", number)
    assert [each["message"] for each in written(path)] == [f"line {number}" for number in range(60)]
    assert part(path, 1).exists()
    assert all(each.stat().st_size <= 4000 for each in path.parent.iterdir())
    assert path.stat().st_mode & 0o077 == 0


def test_all_parts_together_are_bounded(path: Path, logger: logging.Logger) -> None:
    logger.addHandler(handler(path, 2000))
    for number in range(500):
        logger.warning("line %s", number)
    assert sum(each.stat().st_size for each in path.parent.iterdir()) <= 2000 * (KEPT_PARTS + 1)
    assert written(path)[-1]["message"] == "line 499"


def _write_many(path: Path, name: int, count: int) -> None:
    log = logging.Logger("process")
    log.addHandler(handler(path, 200_000))
    for number in range(count):
        log.warning("%s-%s %s", name, number, "x" * (number % 300))


def test_processes_that_share_a_file_tear_no_line_and_lose_none(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_many, args=(path, name, 300)) for name in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    told = [str(each["message"]).split()[0] for each in written(path)]
    assert sorted(told) == sorted(f"{name}-{number}" for name in range(4) for number in range(300))


def test_threads_that_share_a_handler_lose_none(path: Path, logger: logging.Logger) -> None:
    logger.addHandler(handler(path, 300_000))
    threads = [threading.Thread(target=lambda: [logger.warning("x") for _ in range(200)]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written(path)) == 1000


def test_standard_error_follows_the_file(path: Path, logger: logging.Logger) -> None:
    stream = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    made = LogFileHandler(path, streams=(stream,), keep_bytes=1000)
    made.setFormatter(JsonLines("gateway", Redactor()))
    logger.addHandler(made)
    for _ in range(20):
        logger.warning("line")
    os.write(stream, b"a crash's last words\n")
    os.close(stream)
    assert path.read_text().endswith("a crash's last words\n")


def test_another_programs_file_is_bounded_under_it(path: Path) -> None:
    file = LogFile(path)
    with file.open() as held:
        held.write(b"a" * 3000 + b"\n")
        held.flush()
        assert not file.bound(5000)
        assert file.bound(2000)
        held.write(b"after\n")
        held.flush()
    assert path.read_bytes() == b"after\n"
    assert part(path, 1).stat().st_size == 3001


def test_a_full_disk_raises_nothing(
    path: Path, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger.addHandler(handler(path, 10_000))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as during:
        during.setattr(os, "write", full)
        logger.warning("lost")
    logger.warning("there again")
    assert written_after_a_torn_line(path) == ["there again"]


def written_after_a_torn_line(path: Path) -> list[object]:
    return [json.loads(text)["message"] for text in path.read_text().splitlines() if text]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=200), max_size=30))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, said: list[str]) -> None:
    path = tmp_path_factory.mktemp("logs") / "gateway.log"
    log = logging.Logger("any")
    log.addHandler(handler(path, 1_000_000))
    for text in said:
        log.warning("%s", f"x {text}")
    log.handlers[0].close()
    assert len(written(path)) == len(said)
