"""Segments: whatever happens to the file, what is read is a beginning of what was written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.tracking.segment import (
    MAGIC,
    OVERHEAD,
    SUFFIX,
    SegmentWriter,
    is_written_to,
    records,
    torn_bytes,
)

PAYLOADS = st.lists(st.binary(min_size=1, max_size=200), max_size=20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / f"one{SUFFIX}"


def write(path: Path, payloads: list[bytes], size: int = 1 << 16) -> None:
    writer = SegmentWriter(path, size)
    for payload in payloads:
        assert writer.append(payload)
    writer.close()


def read(path: Path, start: int = 0) -> list[bytes]:
    return [payload for payload, _ in records(path, start)]


@given(payloads=PAYLOADS)
def test_what_was_appended_is_read_from_every_record_on(payloads: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.seg"
        write(path, payloads)
        found = list(records(path))
        assert [payload for payload, _ in found] == payloads
        for index, (_, end) in enumerate(found):
            assert read(path, end) == payloads[index + 1 :]
        end = found[-1][1] if found else len(MAGIC)
        assert path.stat().st_size == end
        assert torn_bytes(path, end) == 0


@given(payloads=PAYLOADS)
def test_cut_at_every_byte_a_beginning_is_left(payloads: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.seg"
        write(path, payloads[:4])
        whole = path.read_bytes()
        ends = [end for _, end in records(path)]
        for length in range(len(whole) + 1):
            path.write_bytes(whole[:length])
            assert read(path) == payloads[: sum(end <= length for end in ends)]


@given(payloads=PAYLOADS, data=st.data())
def test_a_flipped_bit_costs_what_follows_and_invents_nothing(
    payloads: list[bytes], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.seg"
        write(path, payloads)
        whole = bytearray(path.read_bytes())
        ends = [len(MAGIC), *(end for _, end in records(path))]
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(whole)
        intact = 0 if at < len(MAGIC) else sum(end <= at for end in ends[1:])
        assert read(path) == payloads[:intact]
        assert torn_bytes(path, ends[intact]) > 0 or at < len(MAGIC)


@given(noise=st.binary(max_size=400))
def test_noise_is_no_records(noise: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.seg"
        path.write_bytes(MAGIC + noise)
        for payload, end in records(path):  # only what carries its own checksum
            assert noise[: end - len(MAGIC)].endswith(payload)
        path.write_bytes(noise)
        assert noise.startswith(MAGIC) or read(path) == []


def test_a_segment_of_a_killed_writer_ends_in_zeros(path: Path) -> None:
    writer = SegmentWriter(path, 4096)
    assert writer.append(b"one")
    assert writer.append(b"two")
    assert path.stat().st_size == 4096
    assert read(path) == [b"one", b"two"]
    assert torn_bytes(path, writer.end) == 0
    writer.close()


@pytest.mark.parametrize("sizes", [[1 << 20], [100, 3 << 18, 100], [262_144 - 16], [262_144] * 5])
def test_records_larger_than_what_is_read_at_once(path: Path, sizes: list[int]) -> None:
    payloads = [os.urandom(size) for size in sizes]
    write(path, payloads, 4 << 20)
    assert read(path) == payloads


def test_records_over_every_edge_of_what_is_read_at_once(path: Path) -> None:
    payloads = [os.urandom(1 + index % 977) for index in range(3000)]
    write(path, payloads, 4 << 20)
    assert read(path) == payloads


def test_what_does_not_fit_changes_nothing(path: Path) -> None:
    writer = SegmentWriter(path, len(MAGIC) + OVERHEAD + 3)
    assert not writer.append(b"four")
    assert writer.append(b"two")
    assert not writer.append(b"x")
    assert read(path) == [b"two"]
    writer.close()
    writer.close()
    assert read(path) == [b"two"]


def test_two_writers_never_share_a_file(path: Path) -> None:
    writer = SegmentWriter(path.with_suffix(".part"), 4096)
    with pytest.raises(FileExistsError):
        SegmentWriter(path, 4096)
    writer.close()


def test_a_segment_is_written_to_until_it_is_closed(path: Path) -> None:
    writer = SegmentWriter(path, 4096)
    held = writer.duplicate()
    assert is_written_to(path)
    writer.close()
    assert not is_written_to(path)  # though a duplicate is open
    os.close(held)
    assert not is_written_to(path.with_name("none.seg"))


def test_a_segment_has_its_name_only_when_it_is_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    reserve = os.posix_fallocate

    def look(fd: int, at: int, size: int) -> None:
        seen.append(path.exists())
        reserve(fd, at, size)

    monkeypatch.setattr(os, "posix_fallocate", look)
    writer = SegmentWriter(path, 4096)
    assert seen == [False]
    assert is_written_to(path)
    writer.close()


_WRITER = """
import sys
from pathlib import Path
from mlops.tracking.segment import SegmentWriter
writer = SegmentWriter(Path(sys.argv[1]), 4096)
writer.append(b"kept")
print("written", flush=True)
sys.stdin.read()
writer.close()
"""


@pytest.mark.parametrize("kill", [True, False])
def test_another_process_sees_the_writer_and_its_end(path: Path, kill: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        assert is_written_to(path)
        if kill:
            child.kill()
        assert child.stdin is not None
        child.stdin.close()
        child.wait()
    assert not is_written_to(path)
    assert read(path) == [b"kept"]


def test_a_forked_child_lets_go_without_touching_the_file(path: Path) -> None:
    writer = SegmentWriter(path, 4096)
    assert writer.append(b"before")
    if (child := os.fork()) == 0:
        writer.abandon()
        writer.abandon()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert is_written_to(path)
    assert writer.append(b"after")
    assert read(path) == [b"before", b"after"]
    writer.close()


def test_a_full_disk_leaves_nothing(path: Path) -> None:
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from mlops.tracking.segment import SegmentWriter\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10000, resource.RLIM_INFINITY))\n"
        "try: SegmentWriter(Path(sys.argv[1]), 20000)\n"
        "except OSError as error: print('refused')\n"
        "SegmentWriter(Path(sys.argv[1]), 10000).close()\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("refused\n", "")
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@settings(max_examples=20)
@given(payload=st.binary(min_size=1, max_size=50), rest=st.binary(min_size=1, max_size=50))
def test_a_torn_tail_is_counted(payload: bytes, rest: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.seg"
        write(path, [payload, rest])
        (_, end), _ = records(path)
        path.write_bytes(path.read_bytes()[: end + OVERHEAD])
        assert read(path) == [payload]
        assert 0 < torn_bytes(path, end) <= OVERHEAD
