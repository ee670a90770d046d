"""`vm_stat`: memory by its use, counted in pages of the size that its first line states."""

from __future__ import annotations

import re

from mlops.hardware.apple.lines import lines
from mlops.hardware.base import HardwareSample, sampled, whole

_HEADER = re.compile(r"Mach Virtual Memory Statistics: \(page size of ([0-9]{4,5}) bytes\)\s*")
_COUNT = re.compile(r"(Pages [a-z ]+):\s+([0-9]{1,15})\.\s*")  # the period shows that the number is whole
_PAGE_SIZES = (4096, 8192, 16384, 32768, 65536)
_MOST_BYTES = 2**42


def parse_vm_stat(data: bytes) -> HardwareSample | None:
    """Bytes that are free, wired and compressed; None without the size of a page."""
    texts = [line.text for line in lines(data)]
    header = next((found for each in texts if (found := _HEADER.fullmatch(each))), None)
    if header is None or (size := int(header[1])) not in _PAGE_SIZES:
        return None
    pages: dict[str, int] = {}
    for count in filter(None, map(_COUNT.fullmatch, texts)):
        pages.setdefault(count[1], int(count[2]))

    def in_bytes(name: str) -> int | None:
        return whole(pages[name] * size, 0, _MOST_BYTES) if name in pages else None

    return sampled(
        "vm_stat",
        memory_free_bytes=in_bytes("Pages free"),
        memory_wired_bytes=in_bytes("Pages wired down"),
        memory_compressed_bytes=in_bytes("Pages occupied by compressor"),
    )
