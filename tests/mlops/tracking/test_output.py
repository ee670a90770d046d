"""What a run prints: bounded, written through, heard from streams that were there before."""

from __future__ import annotations

import contextlib
import contextvars
import io
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops.tracking import output, printed
from mlops.tracking.output import Output, collect, logs


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Output]:
    made = Output(tmp_path / "output")
    yield made
    made.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Output]:
    made = Output(tmp_path / "output", "other.log")
    yield made
    made.close()


def text_of(log: Output, tmp_path: Path) -> str:
    whole = collect(log.folder, tmp_path / "whole")
    return whole.read_text() if whole else ""


# -- the log ------------------------------------------------------------------------------------


def test_what_is_written_is_there_at_once(log: Output, tmp_path: Path) -> None:
    log.write("first\nsec", "stdout")
    assert text_of(log, tmp_path) == "first\nsec"
    log.write("ond\n", "stdout")
    assert text_of(log, tmp_path) == "first\nsecond\n"


def test_a_log_of_nothing_is_no_file(log: Output, tmp_path: Path) -> None:
    log.write("", "stdout")
    assert collect(log.folder, tmp_path) is None


@pytest.mark.parametrize(
    ("writes", "kept"),
    [
        (["\r 10%", "\r 20%", "\r100%", "\n"], "100%\n"),
        (["\r 10%|#  |", "\r 5%"], " 5%"),
        (["50%\r", "60%\r"], "60%"),
        (["windows\r\n", "unix\n"], "windows\nunix\n"),
        (["half\r", "\nnext\n"], "half\nnext\n"),
        (["a longer line\rshort\n"], "short\n"),
    ],
)
def test_of_a_line_written_over_the_last_state_is_kept(
    log: Output, tmp_path: Path, writes: list[str], kept: str
) -> None:
    for each in writes:
        log.write(each, "stderr")
    assert text_of(log, tmp_path).strip(" ") == kept.strip(" ")


def test_a_progress_bar_does_not_cut_the_lines_of_the_other_stream(log: Output, tmp_path: Path) -> None:
    log.write("\r 10%", "stderr")
    log.write("epoch 1\n", "stdout")
    assert text_of(log, tmp_path) == "epoch 1\n 10%"
    log.write("\r 90%", "stderr")
    log.write("\n", "stderr")
    assert text_of(log, tmp_path) == "epoch 1\n 90%\n"


def test_a_long_log_keeps_its_beginning_and_its_end_and_says_what_was_cut(
    log: Output, tmp_path: Path
) -> None:
    lines = [f"line {number:07d} {'.' * 80}\n" for number in range(250_000)]
    for begin in range(0, len(lines), 500):
        log.write("".join(lines[begin : begin + 500]), "stdout")
    text = text_of(log, tmp_path)
    head, _, rest = text.partition("\n... ")
    cut, _, tail = rest.partition(" bytes were cut here ...\n")
    assert 999_000 < len(head) <= 1_000_000
    assert head.endswith("\n")
    assert "".join(lines).startswith(head)
    assert 6_000_000 <= len(tail) <= 9_000_000
    assert "".join(lines).endswith(tail)
    assert len(head) + int(cut) + len(tail) == sum(map(len, lines))
    assert sum(part.stat().st_size for part in log.folder.iterdir()) < 10_000_001


def test_a_line_without_end_is_written_as_it_stands(log: Output, tmp_path: Path) -> None:
    for _ in range(300):
        log.write("." * 1000, "stdout")
    assert text_of(log, tmp_path) == "." * 300_000
    assert len(log._open_lines["stdout"]) <= 1 << 16


def test_text_that_is_no_unicode_is_kept_readable(log: Output, tmp_path: Path) -> None:
    log.write("ä \udc80\n", "stdout")
    assert text_of(log, tmp_path) == "ä \\udc80\n"


def test_a_closed_log_takes_nothing_and_keeps_what_it_has(log: Output, tmp_path: Path) -> None:
    log.write("kept\n", "stdout")
    log.close()
    log.close()
    log.write("late\n", "stdout")
    assert text_of(log, tmp_path) == "kept\n"


def test_a_log_that_cannot_be_written_ends_without_disturbing_the_program(
    log: Output, caplog: pytest.LogCaptureFixture
) -> None:
    output.forget(log.folder)
    log.write("x" * 2_000_000, "stdout")  # needs a second part, in a folder that is gone
    assert log.closed
    assert "kept no more" in caplog.text


def test_many_threads_write_whole_lines(log: Output, tmp_path: Path) -> None:
    def work(number: int) -> None:
        for line in range(200):
            log.write(f"{number}-{line}\n", "stdout")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = text_of(log, tmp_path).splitlines()
    assert sorted(lines) == sorted(f"{number}-{line}" for number in range(4) for line in range(200))


def test_logs_in_the_making_are_found(log: Output, other: Output, tmp_path: Path) -> None:
    assert [each.name for each in logs(tmp_path / "output")] == ["other.log", "output.log"]
    assert logs(tmp_path / "none") == []


# -- listening ----------------------------------------------------------------------------------


@contextlib.contextmanager
def listening(*logs: Output) -> Iterator[None]:
    for each in logs:
        printed.listen(each)
    try:
        yield
    finally:
        for each in logs:
            printed.leave(each)


def test_prints_are_heard_and_still_seen(
    log: Output, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(log):
        print("to stdout")
        print("to stderr", file=sys.stderr)
    print("after")
    assert text_of(log, tmp_path) == "to stdout\nto stderr\n"
    assert capsys.readouterr() == ("to stdout\nafter\n", "to stderr\n")


def test_the_streams_are_as_they_were_afterwards(log: Output, other: Output) -> None:
    before = [dict(vars(stream)) for stream in (sys.stdout, sys.stderr)]
    with listening(log):
        with listening(other):
            pass
        assert "write" in vars(sys.stdout)
    assert [dict(vars(stream)) for stream in (sys.stdout, sys.stderr)] == before


def test_a_handler_that_was_there_before_is_heard(log: Output, tmp_path: Path) -> None:
    logger = logging.getLogger("test-output")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    try:
        with listening(log):
            logger.warning("careful")
    finally:
        logger.removeHandler(handler)
    assert text_of(log, tmp_path) == "careful\n"


def test_what_the_program_redirects_is_its_own(log: Output, tmp_path: Path) -> None:
    with listening(log), contextlib.redirect_stdout(io.StringIO()) as own:
        print("redirected")
    assert own.getvalue() == "redirected\n"
    assert text_of(log, tmp_path) == ""


def test_a_stream_that_takes_no_attributes_is_left_alone(
    log: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fixed:
        __slots__ = ("text",)

        def write(self, text: str) -> None:
            self.text = text

    monkeypatch.setattr(sys, "stdout", Fixed())
    monkeypatch.setattr(sys, "stderr", None)
    with listening(log):
        print("x", end="")
    assert sys.stdout.text == ""
    assert text_of(log, tmp_path) == ""


def test_each_context_prints_to_its_own_log(log: Output, other: Output, tmp_path: Path) -> None:
    together = threading.Barrier(2)

    def work(mine: Output, word: str) -> None:
        with printed.printing_to(mine):
            for _ in range(50):
                together.wait(60)
                print(word)

    with listening(log, other):
        threads = [
            threading.Thread(target=contextvars.Context().run, args=(work, each, word))
            for each, word in ((log, "one"), (other, "two"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert text_of(log, tmp_path) == "one\n" * 50
    assert text_of(other, tmp_path) == "two\n" * 50


def test_inner_prints_are_the_inner_runs(log: Output, other: Output, tmp_path: Path) -> None:
    with listening(log), printed.printing_to(log):
        print("before")
        with listening(other), printed.printing_to(other):
            print("inside")
        print("after")
    assert text_of(log, tmp_path) == "before\nafter\n"
    assert text_of(other, tmp_path) == "inside\n"


def in_thread(task: object) -> None:
    thread = threading.Thread(target=task)
    thread.start()
    thread.join()


def test_a_thread_without_a_context_prints_to_the_only_log(log: Output, tmp_path: Path) -> None:
    with listening(log), printed.printing_to(log):
        in_thread(lambda: print("worker"))
    assert text_of(log, tmp_path) == "worker\n"


def test_a_thread_without_a_context_prints_to_the_run_left_open(
    log: Output, other: Output, tmp_path: Path
) -> None:
    with listening(log), listening(other), printed.printing_to(other):
        in_thread(lambda: print("worker"))
    assert text_of(log, tmp_path) == "worker\n"
    assert text_of(other, tmp_path) == ""


def test_between_two_blocks_a_thread_without_a_context_is_nobodys(
    log: Output, other: Output, tmp_path: Path
) -> None:
    with listening(log), printed.printing_to(log), listening(other), printed.printing_to(other):
        in_thread(lambda: print("worker"))
    assert text_of(log, tmp_path) == text_of(other, tmp_path) == ""


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_is_not_heard_and_spoils_nothing(log: Output, tmp_path: Path) -> None:
    with listening(log):
        print("parent")
        child = os.fork()
        if child == 0:
            try:
                print("child " * 1000)
                sys.stdout.flush()
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print("parent again")
    assert text_of(log, tmp_path) == "parent\nparent again\n"
