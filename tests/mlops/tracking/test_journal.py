"""The journal of one run: what is acknowledged is there once, and what is refused is not there at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops.entities import RunStatus
from mlops.errors import InvalidInput, JournalError, RunEnded
from mlops.tracking import codec, journal
from mlops.tracking.journal import RunJournal, snapshot
from mlops.tracking.records import check_records
from mlops.tracking.run_folder import Opening, RunFolder, confirm, confirmed, forget, new_key, run_folders
from mlops.tracking.segment import is_written_to, records


@pytest.fixture
def run(tmp_path: Path) -> RunJournal:
    opening = Opening("digits", "first", 1_700_000_000_000, new_key(), tags={"kind": "test"})
    return RunJournal.create(tmp_path / "digits", opening)


def read(run: RunJournal) -> list[codec.Points | dict[str, Any]]:
    """Every record, read as the sender reads it."""
    found = []
    for segment in run.folder.segments():
        decoder = codec.Decoder()
        decoded = [decoder.decode(payload) for payload, _ in records(segment)]
        found += [each for each in decoded if each is not None]
    return found


def texts(run: RunJournal, params: dict[str, Any], tags: dict[str, str] | None = None) -> None:
    run.texts(check_records(params, None, tags, 0, None))


def test_a_new_run_is_complete_on_the_disk(run: RunJournal) -> None:
    assert run.folder.opening() == run.opening
    assert run.owned
    assert run.delivered
    assert [each.path for each in run_folders(run.folder.path.parent)] == [run.folder.path]
    assert run.folder.open_lock() is None  # held by this process
    assert snapshot(run).tags == {"kind": "test"}
    assert (run.folder.path.stat().st_mode & 0o777) == 0o700


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (True, 1.0),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 4), 0.25),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.bool_(True), 1.0),
        (np.array(2.5), 2.5),
        (float("inf"), float("inf")),
        (5e-324, 5e-324),
    ],
    ids=repr,
)
def test_numbers_of_any_kind_are_metrics(run: RunJournal, value: Any, expected: float) -> None:
    run.metrics({"a": 0.0, "value": value}, np.int64(4))  # type: ignore[arg-type]
    (points,) = read(run)
    assert isinstance(points, codec.Points)
    assert (points.step, points.keys, points.values) == (4, ("a", "value"), (0.0, expected))
    assert run.last_metrics() == {"a": 0.0, "value": expected}


class Sour:
    """A number that cannot be read, as a tensor of three elements."""

    def __float__(self) -> float:
        raise RuntimeError("only one element tensors can be converted")


@pytest.mark.parametrize(
    "value",
    ["1.0", b"1", None, [1.0], (1.0,), {}, 1j, np.array([1.0, 2.0]), 10**400, object(), Sour()],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_number_is_refused_by_name(run: RunJournal, value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"metrics\[bad\]"):
        run.metrics({"good": 1.0, "bad": value})
    assert read(run) == []
    run.metrics({"good": 1.0, "bad": 2.0})
    assert len(read(run)) == 1


@pytest.mark.parametrize("step", [1.0, "1", None, 2**63, -(2**63) - 1, [1]], ids=repr)
def test_a_step_that_is_no_whole_number_is_refused(run: RunJournal, step: Any) -> None:
    with pytest.raises(InvalidInput, match="step"):
        run.metrics({"a": 1.0}, step)
    assert read(run) == []


@pytest.mark.parametrize("key", ["", "a//b", "../a", "/a", "a\n", "ü" * 251, "a#", 3, None, "."], ids=repr)
def test_a_key_that_mlflow_refuses_is_refused_at_once(run: RunJournal, key: Any) -> None:
    with pytest.raises(InvalidInput, match="metrics"):
        run.metrics({key: 1.0})
    assert read(run) == []


def test_params_are_write_once(run: RunJournal) -> None:
    texts(run, {"rate": 0.1}, {"t": "1"})
    texts(run, {"rate": 0.1}, {"t": "2"})
    with pytest.raises(InvalidInput, match="write-once"):
        texts(run, {"other": 1, "rate": 0.2}, {"t": "3"})
    assert len(read(run)) == 2
    assert run.params == {"rate": "0.1"}
    assert run.tags == {"kind": "test", "t": "2"}


def test_an_operation_that_json_cannot_hold_is_not_recorded(run: RunJournal) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        run.operation({"op": "call", "body": float("nan")})
    assert read(run) == []
    assert run.delivered


def test_an_ended_run_takes_nothing_more(run: RunJournal, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"1")
    run.metrics({"a": 1.0})
    run.end(RunStatus.FINISHED)
    before = read(run)
    calls: list[Callable[[], None]] = [
        lambda: run.metrics({"a": 1.0}),
        lambda: texts(run, {"p": 1}),
        lambda: run.operation({"op": "call"}),
        lambda: run.file(tmp_path / "model.bin", None),
        lambda: run.end(RunStatus.FAILED),
    ]
    for call in calls:
        with pytest.raises(RunEnded):
            call()
    assert read(run) == before
    assert not run.folder.files.exists()
    assert [each["op"] for each in before[1:] if isinstance(each, dict)] == ["status"]
    assert not any(is_written_to(each) for each in run.folder.segments())


def test_many_threads_roll_segments_and_lose_nothing(
    run: RunJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_LARGEST", 1 << 14)
    run._size = 1 << 12
    threads, calls = 8, 1500
    barrier = threading.Barrier(threads)

    def log(thread: int) -> None:
        barrier.wait()
        for step in range(calls):
            # Ever new sets of names, beside one that stays.
            keys = (f"t{thread}", f"k{step % 50}") if step % 2 else (f"t{thread}",)
            run.metrics(dict.fromkeys(keys, float(step)), step)
            if step % 100 == 0:
                run.operation({"op": "call", "thread": thread, "step": step})

    workers = [threading.Thread(target=log, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(run.folder.segments()) > 10
    found = read(run)
    for thread in range(threads):
        of_thread = [p for p in found if isinstance(p, codec.Points) and p.keys[0] == f"t{thread}"]
        assert [p.step for p in of_thread] == list(range(calls))
        assert all(set(p.values) == {float(p.step)} for p in of_thread)
        assert all(len(p.keys) == 1 + p.step % 2 for p in of_thread)
        operations = [o["step"] for o in found if isinstance(o, dict) and o["thread"] == thread]
        assert operations == list(range(0, calls, 100))
    open_ones = [each for each in run.folder.segments() if is_written_to(each)]
    assert len(open_ones) == 1


def test_more_sets_of_names_than_are_remembered(run: RunJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_SCHEMAS", 8)
    for step in range(100):
        run.metrics({f"k{step % 20}": float(step)}, step)
    found = read(run)
    assert [(p.keys, p.values) for p in found if isinstance(p, codec.Points)] == [
        ((f"k{step % 20}",), (float(step),)) for step in range(100)
    ]
    assert len(run._schemas) <= 8


def test_records_larger_than_a_segment(run: RunJournal) -> None:
    wide = {f"key-{index:06d}": float(index) for index in range(20_000)}
    run.metrics(wide, 1)
    run.operation({"op": "call", "body": "x" * (5 << 20)})
    run.metrics(wide, 2)
    first, operation, last = read(run)
    assert isinstance(first, codec.Points)
    assert isinstance(last, codec.Points)
    assert isinstance(operation, dict)
    assert dict(zip(first.keys, first.values, strict=True)) == wide
    assert (first.step, last.step, last.values) == (1, 2, first.values)
    assert len(operation["body"]) == 5 << 20


def test_a_full_disk_is_an_error_of_the_call_alone(run: RunJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    run.metrics({"a": 1.0}, 1)
    reserve = os.posix_fallocate

    def full(fd: int, at: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(JournalError, match="No space left"):
        run.operation({"op": "call", "body": "x" * (1 << 20)})
    run.metrics({"a": 2.0}, 2)  # what is set aside takes more
    assert [each.name for each in run.folder.path.iterdir() if each.suffix in (".part", ".seg")] == [
        each.name for each in run.folder.segments()
    ]
    assert len(run.folder.segments()) == 1
    monkeypatch.setattr(os, "posix_fallocate", reserve)
    run.operation({"op": "call", "body": "x" * (1 << 20)})
    run.metrics({"a": 3.0}, 3)
    assert [p.step for p in read(run) if isinstance(p, codec.Points)] == [1, 2, 3]


def test_a_first_call_on_a_full_disk_can_be_repeated(
    run: RunJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(JournalError):
            run.metrics({"a": 1.0})
        with pytest.raises(JournalError):
            texts(run, {"p": 1})
        assert run.params == {}
    run.metrics({"a": 1.0})
    texts(run, {"p": 2})
    assert len(read(run)) == 2


def test_delivered_is_what_was_confirmed(run: RunJournal) -> None:
    assert run.delivered
    run.metrics({"a": 1.0})
    assert not run.delivered
    (segment,) = run.folder.segments()
    confirm(segment, run.end_of(segment) or 0)
    assert run.delivered
    run.metrics({"a": 2.0})
    assert not run.delivered
    run.end(RunStatus.FINISHED)
    assert not run.delivered
    assert confirmed(segment) < segment.stat().st_size
    forget(segment)
    assert run.delivered
    assert confirmed(segment) == 0


def test_delivered_forgets_nothing_while_a_segment_ends(
    run: RunJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.metrics({"a": 1.0})
    (segment,) = run.folder.segments()
    asked = journal.confirmed

    def roll_meanwhile(path: Path) -> int:
        monkeypatch.setattr(journal, "confirmed", asked)
        run.metrics({"a": 2.0})
        run.operation({"op": "call", "body": "x" * (1 << 17)})
        return asked(path)

    monkeypatch.setattr(journal, "confirmed", roll_meanwhile)
    assert not run.delivered
    second = next(each for each in run.folder.segments() if each != segment)
    confirm(second, run.end_of(second) or 0)
    assert not run.delivered  # the first is at nobody's
    confirm(segment, segment.stat().st_size)
    assert run.delivered


def kept(run: RunJournal) -> dict[str, bytes]:
    (operation,) = [each for each in read(run) if isinstance(each, dict)]
    folder = run.folder.files / operation["kept"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_file_is_what_it_was_at_the_call(run: RunJournal, tmp_path: Path) -> None:
    file = tmp_path / "näme with 100% #1.txt"
    file.write_text("then")
    run.file(file, "below/it")
    file.write_text("now")
    assert kept(run) == {file.name: b"then"}


@pytest.mark.parametrize("form", ["plain", "dot", "dotdot"])
def test_a_folder_keeps_its_name(
    run: RunJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    folder = tmp_path / "results"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "empty").touch()
    (folder / "a.txt").write_text("a")
    monkeypatch.chdir(folder / "deep" if form == "dotdot" else folder)
    run.file({"plain": folder, "dot": Path(), "dotdot": Path("..")}[form], None)
    assert kept(run) == {"results/deep/er/empty": b"", "results/a.txt": b"a"}


def test_a_copy_that_fails_leaves_nothing(run: RunJournal, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "good").write_text("1")
    (folder / "broken").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    for path in (folder, tmp_path / "nowhere", tmp_path / "pipe"):
        with pytest.raises(InvalidInput, match="cannot be copied"):
            run.file(path, None)
    assert list(run.folder.files.iterdir()) == []
    assert read(run) == []


def test_a_name_that_mlflow_would_change_is_refused(run: RunJournal, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "20%41").write_text("1")
    for path in (tmp_path / "folder", tmp_path / "folder" / "20%41"):
        with pytest.raises(InvalidInput, match=r"'20A'|folder/20A"):
            run.file(path, None)
    assert list(run.folder.files.iterdir()) == []


def test_a_run_on_an_unwritable_journal_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "digits").write_text("in the way")
    with pytest.raises(JournalError) as caught:
        RunJournal.create(tmp_path / "digits", Opening("digits", "n", 1, new_key()))
    assert caught.value.remedy


def test_a_damaged_opening_says_what_to_do(run: RunJournal) -> None:
    (run.folder.path / "run.json").write_text("{")
    with pytest.raises(JournalError, match="damaged"):
        run.folder.opening()


def test_who_joins_writes_beside_the_owner(run: RunJournal) -> None:
    run.metrics({"a": 1.0})
    joined = RunJournal.join(RunFolder(run.folder.path))
    assert not joined.owned
    joined.metrics({"a": 2.0})
    run.metrics({"a": 3.0})
    assert len(run.folder.segments()) == 2
    joined.leave()
    assert not run.closed
    with pytest.raises(RunEnded):
        joined.metrics({"a": 4.0})
    assert sorted(p.values for p in read(run) if isinstance(p, codec.Points)) == [(1.0,), (2.0,), (3.0,)]


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_a_sync_gives_back_every_descriptor(run: RunJournal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    run.metrics({"a": 1.0})
    run.sync()
    before = descriptors()
    for step in range(5):
        run.metrics({"a": 1.0}, step)
        run.file(tmp_path / "file", None)
        run.operation({"op": "call", "body": "x" * (1 << 20)})
    run.sync()
    assert descriptors() == before
    run.sync()


def test_a_forked_child_writes_a_segment_of_its_own_while_threads_log(run: RunJournal) -> None:
    over = threading.Event()
    counts = [0, 0, 0]

    def log(thread: int) -> None:
        while not over.is_set():
            run.metrics({f"parent{thread}": float(counts[thread])}, counts[thread])
            counts[thread] += 1

    threads = [threading.Thread(target=log, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    children = []
    for number in range(5):
        if (child := os.fork()) == 0:
            status = 1
            try:
                for step in range(200):
                    run.metrics({f"child{number}": float(step)}, step)
                status = 2 if run.owned else 0
            finally:
                os._exit(status)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    over.set()
    for thread in threads:
        thread.join()
    assert codes == [0] * 5
    assert run.owned
    steps: dict[str, list[int]] = {}
    for points in read(run):
        assert isinstance(points, codec.Points)
        steps.setdefault(points.keys[0], []).append(points.step)
    assert all(steps[f"child{number}"] == list(range(200)) for number in range(5))
    assert all(steps[f"parent{thread}"] == list(range(count)) for thread, count in enumerate(counts))
    ours = [each for each in run.folder.segments() if f"-{os.getpid()}-" in each.name]
    theirs = [each for each in run.folder.segments() if each not in ours]
    assert not any(is_written_to(each) for each in theirs)
    run.end(RunStatus.FINISHED)
    assert not any(is_written_to(each) for each in ours)


def test_writing_imports_no_mlflow_and_opens_no_connection(tmp_path: Path) -> None:
    script = """
import socket, sys
from pathlib import Path
def forbidden(*args): raise AssertionError("a connection")
socket.socket.connect = forbidden
from mlops.entities import RunStatus
from mlops.tracking.journal import RunJournal
from mlops.tracking.run_folder import Opening, new_key
from mlops.tracking.records import check_records
run = RunJournal.create(Path(sys.argv[1]), Opening("digits", "n", 1, new_key()))
run.metrics({"a": 1.0})
run.texts(check_records({"p": 1}, None, {"t": "1"}, 0, None))
run.file(Path(sys.argv[0]) if Path(sys.argv[0]).is_file() else Path(__import__("os").__file__), None)
run.end(RunStatus.FINISHED)
import mlops.tracking.mlflow
print(sorted({"mlflow", "pandas", "torch", "ray", "sqlalchemy"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", script, tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_memory_does_not_hold_the_backlog(run: RunJournal) -> None:
    for step in range(20_000):
        run.metrics({"a": float(step), "b": 1.0}, step)
    assert len(run._latest) == len(run._schemas) == 1
    assert len(run._written) == len(run.folder.segments()) - 1 < 10
    run.sync()
    assert run._unsynced == []
