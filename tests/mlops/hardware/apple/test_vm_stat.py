"""vm_stat: pages of the size that the output states."""

from __future__ import annotations

import pytest

from mlops.hardware.apple import parse_vm_stat
from tests.mlops.hardware.apple.inputs import VM_STAT


def test_pages_are_counted_in_bytes() -> None:
    sample = parse_vm_stat(VM_STAT)
    assert sample is not None
    assert sample.figures == {
        "memory_free_bytes": 1000 * 16384,
        "memory_wired_bytes": 2000 * 16384,
        "memory_compressed_bytes": 0,
    }
    assert sample.sources == dict.fromkeys(sample.figures, "vm_stat")


def test_the_page_size_is_the_outputs_own() -> None:
    sample = parse_vm_stat(VM_STAT.replace(b"16384", b"4096"))
    assert sample is not None
    assert sample.memory_wired_bytes == 2000 * 4096


@pytest.mark.parametrize(
    "header",
    [b"", b"Mach Virtual Memory Statistics:\n", b"(page size of bytes)\n"]
    + [
        f"Mach Virtual Memory Statistics: (page size of {size} bytes)\n".encode()
        for size in ("0", "96384", "16", "-1")
    ],
)
def test_without_a_page_size_there_is_nothing(header: bytes) -> None:
    assert parse_vm_stat(header + VM_STAT.partition(b"\n")[2]) is None


@pytest.mark.parametrize(
    "count", [b"", b"1000", b"-5.", b"1 000.", b"1e3.", b"999999999999999.", b"9" * 30 + b"."]
)
def test_a_count_that_is_cut_or_impossible_is_unreadable(count: bytes) -> None:
    sample = parse_vm_stat(VM_STAT.replace(b"1000.", count))
    assert sample is not None
    assert "memory_free_bytes" not in sample.figures
    assert sample.memory_wired_bytes == 2000 * 16384


def test_a_last_line_counts_once_its_period_is_there() -> None:
    head = VM_STAT.partition(b"\n")[0] + b"\nPages free:    1234"
    assert parse_vm_stat(head) is None
    whole = parse_vm_stat(head + b".")
    assert whole is not None
    assert whole.memory_free_bytes == 1234 * 16384


def test_of_a_count_that_comes_twice_the_first_one_counts() -> None:
    sample = parse_vm_stat(VM_STAT + b"Pages free: 7.\n")
    assert sample is not None
    assert sample.memory_free_bytes == 1000 * 16384


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"free active specul\n 1 2 3\n", VM_STAT.partition(b"\n")[0] + b"\n"]
)
def test_without_a_count_there_is_no_sample(data: bytes) -> None:
    assert parse_vm_stat(data) is None
